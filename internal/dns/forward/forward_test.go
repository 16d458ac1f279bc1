package forward

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairway/internal/testkit"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// resolver answers by a function, over UDP and TCP, and counts; nil is silence.
type resolver struct {
	at    netip.AddrPort
	asked atomic.Int64
}

func newResolver(t *testing.T, answer func(q *dns.Msg, network string) *dns.Msg) *resolver {
	t.Helper()
	r := &resolver{}
	var address string
	for range 20 {
		address = "127.0.0.1:" + testkit.FreePort(t)
		pc, err := net.ListenPacket("udp", address)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			_ = pc.Close()
			continue
		}
		for _, s := range []*dns.Server{{PacketConn: pc}, {Listener: l}} {
			network := "udp"
			if s.Listener != nil {
				network = "tcp"
			}
			s.Handler = dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
				r.asked.Add(1)
				if m := answer(q, network); m != nil {
					cut := m.Truncated
					m.SetReply(q)
					m.Truncated = cut
					_ = w.WriteMsg(m)
				}
			})
			up := make(chan struct{})
			s.NotifyStartedFunc = func() { close(up) }
			ended := make(chan struct{})
			go func() { defer close(ended); _ = s.ActivateAndServe() }()
			<-up
			t.Cleanup(func() { _ = s.Shutdown(); <-ended })
		}
		r.at = netip.MustParseAddrPort(address)
		return r
	}
	t.Fatal("no port")
	return nil
}

func records(ttl uint32, addresses ...string) func(q *dns.Msg, network string) *dns.Msg {
	return func(q *dns.Msg, _ string) *dns.Msg {
		m := new(dns.Msg)
		for _, a := range addresses {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: net.ParseIP(a)})
		}
		return m
	}
}

func silent(*dns.Msg, string) *dns.Msg { return nil }

func newForwarder(t *testing.T, entries int, list ...*resolver) *Forwarder {
	t.Helper()
	r := Rule{Domain: "."}
	for _, one := range list {
		r.Servers = append(r.Servers, one.at)
	}
	f := New(Options{Rules: []Rule{r}, Entries: entries, ResolvConf: filepath.Join(t.TempDir(), "none")})
	f.bound = time.Second
	return f
}

var client = netip.MustParseAddr("172.18.0.30")

func lookup(f *Forwarder, name string) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeA)
	m.SetEdns0(1232, false)
	return f.Lookup(context.Background(), m, client)
}

func said(m *dns.Msg) string {
	var parts []string
	for _, rr := range m.Answer {
		parts = append(parts, rr.(*dns.A).A.String())
	}
	if len(parts) == 0 {
		parts = append(parts, dns.RcodeToString[m.Rcode])
	}
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				parts = append(parts, fmt.Sprintf("EDE %d", e.InfoCode))
			}
		}
	}
	return strings.Join(parts, " ")
}

// The second question is answered from the cache, with what is left of its time (case 46).
func TestCached(t *testing.T) {
	up := newResolver(t, records(300, "192.0.2.1"))
	f := newForwarder(t, 10, up)
	m := lookup(f, "Example.com")
	if said(m) != "192.0.2.1" || !m.RecursionAvailable || m.Authoritative || m.Question[0].Name != "Example.com." {
		t.Errorf("first: %v", m)
	}
	key := keyOf(m)
	e, fresh := f.cache.get(key, time.Now())
	if !fresh {
		t.Fatal("it is not kept")
	}
	if m := lookup(f, "example.COM"); said(m) != "192.0.2.1" || up.asked.Load() != 1 {
		t.Errorf("second: %v, %d questions", m, up.asked.Load())
	}
	if ttl := e.at(e.came.Add(100 * time.Second)).Answer[0].Header().Ttl; ttl != 200 {
		t.Errorf("after 100 s the TTL is %d", ttl)
	}
	if _, fresh := f.cache.get(key, e.came.Add(301*time.Second)); fresh {
		t.Error("it holds after its time")
	}
	if got, _ := f.cache.get(key, e.came.Add(2*time.Hour)); got != nil {
		t.Error("it is kept for ever")
	}
	for i := range 50 {
		lookup(f, fmt.Sprintf("n%d.example", i))
	}
	if n := f.cache.len(); n != 10 {
		t.Errorf("%d entries of 10", n)
	}
}

// A silent resolver costs a moment, and the next question goes to the other one (case 47).
func TestSecond(t *testing.T) {
	first, second := newResolver(t, silent), newResolver(t, records(1, "192.0.2.2"))
	f := newForwarder(t, 0, first, second)
	before := goleak.IgnoreCurrent()
	for i := range 3 {
		if m := lookup(f, "example.com"); said(m) != "192.0.2.2" {
			t.Errorf("question %d: %v", i, m)
		}
	}
	if n := first.asked.Load(); n != 1 {
		t.Errorf("the silent one was asked %d times", n)
	}
	goleak.VerifyNone(t, before) // it is waited for no longer
	f.domains["."][0].note(0, false)
	if r := f.domains["."][0].show("."); r.State != "up" {
		t.Errorf("after two questions: %+v", r)
	}
	f.domains["."][0].note(0, false)
	for _, r := range f.Resolvers() {
		if want := map[string]string{first.at.String(): "down", second.at.String(): "up"}[r.Address]; r.State != want || r.Domain != "." {
			t.Errorf("%+v, want %s", r, want)
		}
	}
	f.domains["."][0].note(time.Millisecond, true)
	if r := f.domains["."][0].show("."); r.State != "up" {
		t.Errorf("after an answer: %+v", r)
	}
}

// Nothing answers: SERVFAIL, or what was known (case 48).
func TestSilence(t *testing.T) {
	answers := atomic.Bool{}
	answers.Store(true)
	up := newResolver(t, func(q *dns.Msg, n string) *dns.Msg {
		if answers.Load() {
			return records(60, "192.0.2.3")(q, n)
		}
		return nil
	})
	f := newForwarder(t, 10, up)
	lookup(f, "known.example")
	answers.Store(false)
	for key, e := range f.cache.entries {
		old := *e
		old.expires = time.Now().Add(-time.Minute)
		f.cache.entries[key] = &old
	}
	m := lookup(f, "known.example")
	if said(m) != "192.0.2.3 EDE 3" || m.Answer[0].Header().Ttl != staleTTL {
		t.Errorf("what was known: %v", m)
	}
	if m := lookup(f, "new.example"); said(m) != "SERVFAIL EDE 22" {
		t.Errorf("what was not: %v", m)
	}
	if m := lookup(newForwarder(t, 0), "any.example"); said(m) != "SERVFAIL EDE 22" {
		t.Errorf("without a resolver: %v", m)
	}
}

// A resolver that sends questions back is left out; the others answer (case 49).
func TestLoop(t *testing.T) {
	var asks atomic.Pointer[Forwarder]
	loop := newResolver(t, func(q *dns.Msg, _ string) *dns.Msg { return asks.Load().Lookup(context.Background(), q, client) })
	good := newResolver(t, records(1, "192.0.2.4"))
	f := newForwarder(t, 0, loop, good)
	asks.Store(f)
	f.probe(t.Context())
	if m := lookup(f, "example.com"); said(m) != "192.0.2.4" {
		t.Errorf("beside a loop: %v", m)
	}
	states := map[string]string{}
	for _, r := range f.Resolvers() {
		states[r.Address] = r.State
	}
	if states[loop.at.String()] != "loop" || states[good.at.String()] != "up" {
		t.Errorf("states %v", states)
	}
}

// What resolv.conf says counts, without what Fairway answers on itself (case 50).
func TestResolvConf(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# none\n")
	f := New(Options{ResolvConf: file, Own: func() []string { return []string{"172.17.0.1:53"} }})
	if list := f.Resolvers(); len(list) > 0 {
		t.Errorf("none: %v", list)
	}
	write("nameserver 172.17.0.1\nnameserver 10.1.1.1\nnameserver 10.1.1.1\nsearch docker\n")
	if !f.reread() {
		t.Error("the change is not seen")
	}
	if list := f.Resolvers(); len(list) != 1 || list[0].Address != "10.1.1.1:53" {
		t.Errorf("resolvers %v", list)
	}
	// systemd-resolved has a file of its own, which changes alone.
	f.behind = filepath.Join(t.TempDir(), "behind")
	write("nameserver 127.0.0.53\n")
	f.reread()
	if err := os.WriteFile(f.behind, []byte("nameserver 10.2.2.2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if list := f.Resolvers(); !f.reread() || f.Resolvers()[0].Address != "10.2.2.2:53" {
		t.Errorf("behind systemd-resolved: %v, then %v", list, f.Resolvers())
	}
}

// Reverse names of private addresses go nowhere.
func TestPrivate(t *testing.T) {
	up := newResolver(t, records(1, "192.0.2.9"))
	f := newForwarder(t, 0, up)
	for _, name := range []string{"1.168.192.in-addr.arpa", "1.c.f.ip6.arpa", "1.d.f.ip6.arpa", "1.8.e.f.ip6.arpa", "1.9.e.f.ip6.arpa", "1.a.e.f.ip6.arpa", "1.b.e.f.ip6.arpa"} {
		if m := lookup(f, name); m.Rcode != dns.RcodeNameError || up.asked.Load() > 0 {
			t.Errorf("%s: %v", name, m)
		}
	}
}

// An answer that does not fit is asked for again over TCP (case 51).
func TestTruncated(t *testing.T) {
	up := newResolver(t, func(q *dns.Msg, network string) *dns.Msg {
		if network == "tcp" {
			return records(1, "192.0.2.5", "192.0.2.6")(q, network)
		}
		m := new(dns.Msg)
		m.Truncated = true
		return m
	})
	f := newForwarder(t, 0, up)
	if m := lookup(f, "big.example"); said(m) != "192.0.2.5 192.0.2.6" || m.Truncated {
		t.Errorf("over TCP: %v", m)
	}
}

// The resolvers of a domain are asked for it, and no others (case 52); names that are of no use elsewhere
// are asked for nowhere.
func TestDomains(t *testing.T) {
	consul, rest := newResolver(t, records(1, "192.0.2.7")), newResolver(t, records(1, "192.0.2.8"))
	f := New(Options{Rules: []Rule{{".", []netip.AddrPort{rest.at}}, {"consul.", []netip.AddrPort{consul.at}}, {"17.172.in-addr.arpa.", []netip.AddrPort{consul.at}}}})
	for name, want := range map[string]string{
		"files.service.consul": "192.0.2.7", "consul": "192.0.2.7", "notconsul": "192.0.2.8", "a.example": "192.0.2.8", "1.0.17.172.in-addr.arpa": "192.0.2.7",
		"x.local": "NXDOMAIN", "wpad.localhost": "NXDOMAIN", "1.1.168.192.in-addr.arpa": "NXDOMAIN", "1.0.18.172.in-addr.arpa": "NXDOMAIN",
	} {
		if got := said(lookup(f, name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestRules(t *testing.T) {
	for text, want := range map[string]string{
		"consul=127.0.0.1:8600": "consul=127.0.0.1:8600", ".=9.9.9.9": ".=9.9.9.9:53", "Corp.Example.=10.1.1.1+10.1.1.2:54": "corp.example=10.1.1.1:53+10.1.1.2:54", "a=[fd00::1]:53": "a=[fd00::1]:53",
		"consul": "", "consul=": "", "consul=host:53": "", "a b=127.0.0.1+": "",
	} {
		var r Rule
		err := r.UnmarshalText([]byte(text))
		if (err == nil) != (want != "") || err == nil && r.String() != want {
			t.Errorf("%q is %q, %v", text, r, err)
		}
	}
}

// One client does not take all places.
func TestPerClient(t *testing.T) {
	f := newForwarder(t, 0)
	for range perClient {
		if !f.enter(client) {
			t.Fatal("refused too early")
		}
	}
	if f.enter(client) || !f.enter(netip.MustParseAddr("172.18.0.31")) {
		t.Error("the bound is not that of one client")
	}
}
