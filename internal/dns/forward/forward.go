// Package forward looks up names of others for the DNS server: at the resolvers of this
// machine, or at those that the operator names for a domain.
//
// What waits, what is kept and what is asked at once has bounds. A resolver that fails is
// asked last; one that sends questions back is left out, which ends nothing else.
package forward

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/api/names"
	"fairway/internal/clock"
	"fairway/internal/files"
	"fairway/internal/metrics"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"
)

const (
	patience   = 3 * time.Second        // for an answer in all
	secondAt   = 300 * time.Millisecond // when a second resolver is asked, too
	lookEvery  = 5 * time.Second        // after changes of resolv.conf
	probeEvery = time.Minute
	downFor    = 10 * time.Second // that one that failed is asked last
	maxServers = 8                // of a domain
	perClient  = 100              // questions under way
	maxUDP     = 1232
	stub       = "/run/systemd/resolve/resolv.conf" // what is behind systemd's own resolver
)

// Rule names the resolvers of a domain; "." is everything.
type Rule struct {
	Domain  string
	Servers []netip.AddrPort
}

// UnmarshalText reads DOMAIN=ADDRESS[:PORT][+ADDRESS…].
func (r *Rule) UnmarshalText(text []byte) error {
	domain, servers, ok := strings.Cut(string(text), "=")
	domain = strings.ToLower(strings.Trim(strings.TrimSpace(domain), "."))
	if _, valid := dns.IsDomainName(domain); !ok || domain != "" && !valid {
		return errRule
	}
	out := Rule{Domain: domain + "."}
	for one := range strings.SplitSeq(servers, "+") {
		at, err := parseServer(strings.TrimSpace(one))
		if err != nil {
			return errRule
		}
		out.Servers = append(out.Servers, at)
	}
	*r = out
	return nil
}

var errRule = errors.New("write DOMAIN=ADDRESS, such as consul=127.0.0.1:8600 or .=9.9.9.9; more addresses after +")

// String returns the text form.
func (r Rule) String() string {
	var servers []string
	for _, at := range r.Servers {
		servers = append(servers, at.String())
	}
	if r.Domain == "." {
		return ".=" + strings.Join(servers, "+")
	}
	return strings.TrimSuffix(r.Domain, ".") + "=" + strings.Join(servers, "+")
}

func parseServer(text string) (netip.AddrPort, error) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at, nil
	}
	addr, err := netip.ParseAddr(text)
	return netip.AddrPortFrom(addr, 53), err
}

// Options are what New needs. The zero value works.
type Options struct {
	// Rules name resolvers of domains; the longest domain counts. Without one for "." the
	// resolvers of ResolvConf are asked for the rest.
	Rules []Rule
	// ResolvConf is read anew when it changes; empty is /etc/resolv.conf.
	ResolvConf string
	// Own are addresses that Fairway answers on, which are no resolvers; nil for none.
	Own func() []string
	// Entries is how many answers are kept; zero for none.
	Entries int
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Forwarder looks up names. Its methods may be called by any goroutine.
type Forwarder struct {
	o       Options
	bound   time.Duration // patience, but for tests
	behind  string        // stub, but for tests
	cache   *cache
	flights singleflight.Group
	results *metrics.Vec[metrics.Counter]
	loops   *metrics.Counter

	mu      sync.Mutex
	domains map[string][]*server
	probes  map[string]*server // names on their way to a server
	clients map[netip.Addr]int
	stamps  [2]files.Stamp // of ResolvConf, and of behind
}

// New makes a forwarder, and reads ResolvConf.
func New(o Options) *Forwarder {
	o.ResolvConf = cmp.Or(o.ResolvConf, "/etc/resolv.conf")
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	m := cmp.Or(o.Metrics, &metrics.Set{})
	f := &Forwarder{o: o, bound: patience, behind: stub, cache: newCache(o.Entries), domains: map[string][]*server{}, probes: map[string]*server{}, clients: map[netip.Addr]int{}}
	f.results = m.CounterVec("fairway_dns_forward_total", "Questions that were looked up elsewhere, by result: cached, stale, or the rcode of an answer, failed without one.", "result")
	f.loops = m.Counter("fairway_dns_loops_total", "Times that a resolver sent a question back.")
	m.GaugeFunc("fairway_dns_cache_entries", "Number of answers that are kept.", func() float64 { return float64(f.cache.len()) })
	for _, r := range o.Rules {
		f.domains[r.Domain] = servers(r.Servers, nil)
	}
	f.reread()
	return f
}

// Run follows ResolvConf and looks for loops until ctx ends.
func (f *Forwarder) Run(ctx context.Context) {
	f.mu.Lock()
	f.stamps = [2]files.Stamp{} // what Fairway answers on is known by now
	f.mu.Unlock()
	for last := (time.Time{}); ctx.Err() == nil; _ = clock.Sleep(ctx, lookEvery) {
		if f.reread() || time.Since(last) >= probeEvery {
			f.probe(ctx)
			last = time.Now()
		}
	}
}

// reread reads ResolvConf when it changed, and reports whether it did.
func (f *Forwarder) reread() bool {
	stamps := [2]files.Stamp{files.StampOf(f.o.ResolvConf), files.StampOf(f.behind)}
	f.mu.Lock()
	same := f.domains["."] != nil && f.stamps[0].Same(stamps[0]) && f.stamps[1].Same(stamps[1])
	ruled := slices.ContainsFunc(f.o.Rules, func(r Rule) bool { return r.Domain == "." })
	f.mu.Unlock()
	if same || ruled {
		return false
	}
	own := []string{}
	if f.o.Own != nil {
		own = f.o.Own()
	}
	list := read(f.o.ResolvConf, own)
	if len(list) == 1 && list[0].Addr().String() == "127.0.0.53" {
		list = cmpOr(read(f.behind, own), list)
	}
	f.mu.Lock()
	f.stamps = stamps
	f.domains["."] = servers(list, f.domains["."])
	f.mu.Unlock()
	f.o.Logger.Info("resolvers of names of others", "file", f.o.ResolvConf, "resolvers", list)
	return true
}

func cmpOr(a, b []netip.AddrPort) []netip.AddrPort {
	if len(a) > 0 {
		return a
	}
	return b
}

// read returns the resolvers of a file that are none of our own; none of one that cannot be read.
func read(path string, own []string) (list []netip.AddrPort) {
	text, err := files.Read(path, 64<<10)
	if err != nil {
		return nil
	}
	conf, err := dns.ClientConfigFromReader(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	for _, host := range conf.Servers {
		at, err := parseServer(host)
		if err == nil && !slices.Contains(own, at.String()) && !slices.Contains(list, at) && len(list) < maxServers {
			list = append(list, at)
		}
	}
	return list
}

// servers keeps what is known of those that stay. It is never nil.
func servers(list []netip.AddrPort, before []*server) []*server {
	out := []*server{}
	for _, at := range list[:min(len(list), maxServers)] {
		i := slices.IndexFunc(before, func(s *server) bool { return s.at == at })
		if i >= 0 {
			out = append(out, before[i])
		} else {
			out = append(out, &server{at: at})
		}
	}
	return out
}

// of returns the resolvers for a name in lower case, the best first, and whether the
// operator has named them.
func (f *Forwarder) of(name string) (list []*server, named bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	domain := ""
	for d := range f.domains {
		if len(d) > len(domain) && dns.IsSubDomain(d, name) {
			domain = d
		}
	}
	list = slices.DeleteFunc(slices.Clone(f.domains[domain]), func(s *server) bool { return s.loop.Load() })
	now := time.Now()
	slices.SortStableFunc(list, func(a, b *server) int { return cmp.Compare(a.rank(now), b.rank(now)) })
	return list, domain != "."
}

// Resolvers says how the resolvers are doing, sorted.
func (f *Forwarder) Resolvers() []names.Resolver {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []names.Resolver{}
	for domain, list := range f.domains {
		for _, s := range list {
			out = append(out, s.show(domain))
		}
	}
	slices.SortFunc(out, func(a, b names.Resolver) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), strings.Compare(a.Address, b.Address))
	})
	return out
}

// private are domains that are of no use to a resolver elsewhere.
var private = []string{
	"local.", "localhost.", "invalid.", "test.", "onion.", "10.in-addr.arpa.", "168.192.in-addr.arpa.", "254.169.in-addr.arpa.", "127.in-addr.arpa.",
	"16.172.in-addr.arpa.", "17.172.in-addr.arpa.", "18.172.in-addr.arpa.", "19.172.in-addr.arpa.", "20.172.in-addr.arpa.", "21.172.in-addr.arpa.", "22.172.in-addr.arpa.", "23.172.in-addr.arpa.",
	"24.172.in-addr.arpa.", "25.172.in-addr.arpa.", "26.172.in-addr.arpa.", "27.172.in-addr.arpa.", "28.172.in-addr.arpa.", "29.172.in-addr.arpa.", "30.172.in-addr.arpa.", "31.172.in-addr.arpa.",
	"c.f.ip6.arpa.", "d.f.ip6.arpa.", "8.e.f.ip6.arpa.", "9.e.f.ip6.arpa.", "a.e.f.ip6.arpa.", "b.e.f.ip6.arpa.",
}

// Lookup answers a question for a client; never nil.
func (f *Forwarder) Lookup(ctx context.Context, question *dns.Msg, client netip.Addr) *dns.Msg {
	q := question.Question[0]
	name := strings.ToLower(q.Name)
	if f.came(name, q.Qtype) {
		return failed(question, dns.ExtendedErrorCodeOther, "a loop of resolvers")
	}
	list, named := f.of(name)
	if !named && slices.ContainsFunc(private, func(d string) bool { return dns.IsSubDomain(d, name) }) {
		m := reply(question, &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeNameError}}, 0)
		m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: ".", Mbox: ".", Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60}}
		return m
	}
	key := keyOf(question)
	now := time.Now()
	kept, fresh := f.cache.get(key, now)
	if fresh {
		f.results.With("cached").Inc()
		return reply(question, kept.at(now), 0)
	}
	if !f.enter(client) {
		return failed(question, dns.ExtendedErrorCodeOther, "too many questions at once")
	}
	defer f.leave(client)
	got, err, _ := f.flights.Do(key, func() (any, error) {
		m, err := ask(ctx, question, list, f.bound)
		if err == nil {
			f.cache.put(key, m, time.Now())
		}
		return m, err
	})
	switch {
	case err == nil:
		m := got.(*dns.Msg)
		f.results.With(dns.RcodeToString[m.Rcode]).Inc()
		return reply(question, m.Copy(), 0)
	case kept != nil:
		f.results.With("stale").Inc()
		return reply(question, kept.stale(), dns.ExtendedErrorCodeStaleAnswer)
	}
	f.results.With("failed").Inc()
	return failed(question, dns.ExtendedErrorCodeNoReachableAuthority, err.Error())
}

func (f *Forwarder) enter(client netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clients[client] >= perClient {
		return false
	}
	f.clients[client]++
	return true
}

func (f *Forwarder) leave(client netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.clients[client]--; f.clients[client] == 0 {
		delete(f.clients, client)
	}
}

// probe sends a name that nothing else has to each resolver, and waits a moment for it to
// come back.
func (f *Forwarder) probe(ctx context.Context) {
	sent := map[string]*server{}
	f.mu.Lock()
	for _, list := range f.domains {
		for _, s := range list {
			name := unused() + "."
			sent[name], f.probes[name] = s, s
			s.back.Store(false)
		}
	}
	f.mu.Unlock()
	var all sync.WaitGroup
	for name, s := range sent {
		all.Go(func() {
			m := new(dns.Msg)
			m.SetQuestion(name, dns.TypeHINFO)
			began := time.Now()
			if _, err := s.exchange(ctx, m, "udp"); err == nil {
				s.note(time.Since(began), true) // one that was away answers again
			}
		})
	}
	all.Wait()
	f.mu.Lock()
	for name := range sent {
		delete(f.probes, name)
	}
	f.mu.Unlock()
	for _, s := range sent {
		if back := s.back.Load(); s.loop.Swap(back) != back && back {
			f.loops.Inc()
			f.o.Logger.Warn("a resolver sends questions back to Fairway, and is left out", "resolver", s.at)
		}
	}
}

// unused is a name of two labels that nothing has.
func unused() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // it does not fail
	return hex.EncodeToString(b[:8]) + "." + hex.EncodeToString(b[8:])
}

// came reports whether a question is one of probe, and notes it.
func (f *Forwarder) came(name string, qtype uint16) bool {
	if qtype != dns.TypeHINFO {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.probes[name]
	if s != nil {
		s.back.Store(true)
	}
	return s != nil
}

// reply makes the answer to a question out of that of a resolver, which is changed.
func reply(question, m *dns.Msg, code uint16) *dns.Msg {
	m.Id, m.Response, m.Opcode, m.RecursionDesired, m.RecursionAvailable = question.Id, true, dns.OpcodeQuery, question.RecursionDesired, true
	m.Authoritative, m.Truncated, m.CheckingDisabled = false, false, question.CheckingDisabled
	opt := question.IsEdns0()
	m.AuthenticatedData = m.AuthenticatedData && (question.AuthenticatedData || opt != nil && opt.Do())
	m.Question, m.Compress = question.Question, true
	m.Extra = slices.DeleteFunc(m.Extra, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeOPT })
	if opt != nil {
		o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		o.SetUDPSize(maxUDP)
		if opt.Do() {
			o.SetDo()
		}
		if code > 0 {
			o.Option = append(o.Option, &dns.EDNS0_EDE{InfoCode: code})
		}
		m.Extra = append(m.Extra, o)
	}
	return m
}

func failed(question *dns.Msg, code uint16, text string) *dns.Msg {
	m := reply(question, &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeServerFailure}}, 0)
	if o := m.IsEdns0(); o != nil {
		o.Option = append(o.Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: text})
	}
	return m
}

var errNone = errors.New("there is no resolver to ask")
