package dns

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/api/names"
	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/metrics"

	"github.com/miekg/dns"
)

// Bridges as an address to listen on is loopback and the machine's address on each network
// that containers are on, as they come and go.
const Bridges = "bridges"

const (
	lookEvery   = 2 * time.Second // after new addresses of this machine
	maxSockets  = 256
	receiveSize = 4 << 20 // bytes that wait in a socket

	tcpConnections = 256
	tcpPerClient   = 16
	tcpStrangers   = 16 // connections of those who may not ask
	tcpIdle        = 10 * time.Second
	tcpFirst       = 2 * time.Second
	tcpWrite       = 5 * time.Second
	foreignAtOnce  = 1000
)

// Foreign looks up names of others. *forward.Forwarder is one.
type Foreign interface {
	// Lookup answers a question; nil for no answer.
	Lookup(ctx context.Context, question *dns.Msg, client netip.Addr) *dns.Msg
	// Resolvers says where it asks.
	Resolvers() []names.Resolver
	// Run does what it does beside questions until ctx ends.
	Run(ctx context.Context)
}

// Options are what New needs. Listen and Feed are required.
type Options struct {
	// Listen are addresses, ADDRESS:PORT; an address that is empty or unspecified stands for
	// every address of this machine, and "bridges" or "bridges:PORT" for those of Bridges.
	Listen   []string
	Settings Settings
	Feed     *catalog.Feed
	// Foreign looks up names of others; nil refuses them.
	Foreign Foreign
	// Local returns the addresses of this machine with their networks; nil asks the system.
	// An empty answer is none: what was known stays.
	Local   func() []netip.Prefix
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Server answers questions over UDP and TCP.
type Server struct {
	o       Options
	wanted  []listen
	zone    atomic.Pointer[Zone]
	m       measures
	sockets map[netip.AddrPort]*socket // Run's alone, once it runs, as failed
	failed  map[netip.AddrPort]string  // why an address is not bound
	foreign chan struct{}              // places for questions that are looked up elsewhere
	jobs    sync.WaitGroup
	ctx     context.Context // ends with Run
	cancel  context.CancelFunc

	mu      sync.Mutex
	clients map[netip.Addr]int // TCP connections of each
	total   int                // of all
	strange int                // of those who may not ask
	bound   []string
	unbound []string // failed, for people
}

// listen is one of Options.Listen.
type listen struct {
	text    string
	addr    netip.Addr // invalid for Bridges
	port    uint16
	bridges bool
}

// parseListen reads one address to listen on.
func parseListen(text string) (listen, error) {
	if text == Bridges {
		text += ":53"
	}
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		host, digits = strings.Trim(text, "[]"), "53"
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return listen{}, fmt.Errorf("%q is no address: write ADDRESS:PORT, or bridges", text)
	}
	l := listen{text: text, port: uint16(n)}
	switch addr, err := netip.ParseAddr(host); {
	case host == Bridges:
		l.bridges = true
	case host == "":
		l.addr = netip.IPv4Unspecified()
	case err != nil:
		return listen{}, fmt.Errorf("%q is no address: write ADDRESS:PORT, or bridges", text)
	default:
		l.addr = addr.Unmap()
	}
	return l, nil
}

// New binds the addresses that are there. An address that is named and cannot be bound is an
// error; of those that stand for several, one has to be bound.
func New(o Options) (*Server, error) {
	o.Settings.Complete()
	if err := o.Settings.Check(); err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Local == nil {
		o.Local = systemAddresses
	}
	s := &Server{o: o, sockets: map[netip.AddrPort]*socket{}, clients: map[netip.Addr]int{}, foreign: make(chan struct{}, foreignAtOnce)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.m = newMeasures(o.Metrics, s)
	for _, text := range o.Listen {
		l, err := parseListen(text)
		if err != nil {
			return nil, fmt.Errorf("dns: %w", err)
		}
		s.wanted = append(s.wanted, l)
	}
	s.build(time.Now())
	if err := s.bind(); err != nil {
		s.Close()
		return nil, err
	}
	o.Logger.Info("dns is up", "addresses", s.Bound(), "zones", o.Settings.Zones)
	return s, nil
}

// Close gives the addresses back. After Run has ended it does nothing.
func (s *Server) Close() {
	s.cancel()
	for _, k := range s.sockets {
		k.close()
	}
	s.jobs.Wait()
}

// Zone is what is answered now.
func (s *Server) Zone() *Zone { return s.zone.Load() }

// Bound are the addresses that are listened on, sorted.
func (s *Server) Bound() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound
}

// Run answers until ctx ends, and follows the snapshots and the addresses of this machine.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	if s.o.Foreign != nil {
		s.jobs.Go(func() { s.o.Foreign.Run(s.ctx) })
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		changed := s.o.Feed.Changed()
		s.build(time.Now())
		s.rebind()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

// rebind is bind that says what has changed for the worse.
func (s *Server) rebind() {
	before := s.failed
	_ = s.bind() // in failed
	for at, why := range s.failed {
		if before[at] != why {
			s.o.Logger.Warn("an address for DNS cannot be bound", "address", at, "error", why)
		}
	}
}

// build makes the zone anew when the snapshot or the addresses of this machine changed.
func (s *Server) build(now time.Time) {
	snapshot, local, before := s.o.Feed.Newest(), s.o.Local(), s.zone.Load()
	if len(local) == 0 && before != nil {
		local = before.local
	}
	if before != nil && before.snapshot == snapshot && slices.Equal(before.local, local) {
		return
	}
	began := time.Now()
	z := Build(before, snapshot, s.o.Settings, local, now)
	s.zone.Store(z)
	s.m.build.Set(time.Since(began).Seconds())
}

// systemAddresses asks the system.
func systemAddresses() (list []netip.Prefix) {
	all, _ := net.InterfaceAddrs() // an error leaves none
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			list = append(list, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()))
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return list
}

// addresses are those to listen on at this moment, with whether each must be bound.
func (s *Server) addresses() map[netip.AddrPort]bool {
	want := map[netip.AddrPort]bool{}
	z := s.zone.Load()
	for _, l := range s.wanted {
		switch {
		case l.bridges:
			want[netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), l.port)] = false
			for _, p := range z.local {
				if slices.Contains(z.bridges, p.Masked()) {
					want[netip.AddrPortFrom(p.Addr(), l.port)] = false
				}
			}
		case l.addr.IsUnspecified():
			for _, p := range z.local {
				want[netip.AddrPortFrom(p.Addr(), l.port)] = false
			}
		default:
			want[netip.AddrPortFrom(l.addr, l.port)] = true
		}
	}
	return want
}

// bind opens and closes sockets, and notes those that cannot be opened. The error is of an
// address that must be bound, or that none is.
func (s *Server) bind() error {
	want := s.addresses()
	for at, k := range s.sockets {
		if _, ok := want[at]; !ok {
			k.close()
			delete(s.sockets, at)
		}
	}
	var required, other error
	s.failed = map[netip.AddrPort]string{}
	for at, must := range want {
		if s.sockets[at] != nil || len(s.sockets) >= maxSockets {
			continue
		}
		k, err := s.open(at)
		if err == nil {
			s.sockets[at] = k
			continue
		}
		s.failed[at] = err.Error()
		if other = err; must {
			required = err
		}
	}
	var bound []string
	for _, k := range s.sockets {
		bound = append(bound, k.udp.LocalAddr().String())
	}
	slices.Sort(bound)
	var unbound []string
	for at, why := range s.failed {
		unbound = append(unbound, at.String()+": "+why)
	}
	slices.Sort(unbound)
	s.mu.Lock()
	s.bound, s.unbound = bound, unbound
	s.mu.Unlock()
	if len(s.sockets) == 0 {
		return cmp.Or(required, other)
	}
	return required
}

// socket is one address that is listened on, over UDP and TCP.
type socket struct {
	udp *net.UDPConn
	tcp *net.TCPListener
}

func (k *socket) close() {
	_ = k.udp.Close()
	_ = k.tcp.Close()
}

func (s *Server) open(at netip.AddrPort) (*socket, error) {
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	at = netip.AddrPortFrom(at.Addr(), uint16(tcp.Addr().(*net.TCPAddr).Port))
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		_ = tcp.Close()
		return nil, fmt.Errorf("dns: %w", err)
	}
	_ = udp.SetReadBuffer(receiveSize) // as far as the system lets
	k := &socket{udp, tcp}
	s.jobs.Go(func() { s.serveUDP(k, at.Addr()) })
	s.jobs.Go(func() { s.serveTCP(k, at.Addr()) })
	return k, nil
}

// serveUDP answers what comes over UDP until the socket is closed.
func (s *Server) serveUDP(k *socket, asked netip.Addr) {
	buffer := make([]byte, dns.MaxMsgSize)
	for {
		n, from, err := k.udp.ReadFromUDPAddrPort(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			_ = clock.Sleep(s.ctx, time.Millisecond) // of one that could not be reached, most likely
			continue
		}
		p := packet{buffer[:n], Asker{from.Addr().Unmap(), asked}, false}
		r := s.zone.Load().handle(p)
		if r.foreign == nil {
			s.m.count(r, "udp")
			if r.out != nil {
				_, _ = k.udp.WriteToUDPAddrPort(r.out, from)
			}
			continue
		}
		p.raw = slices.Clone(p.raw)
		s.elsewhere(func() {
			if out := s.lookup(p, r); out != nil {
				_, _ = k.udp.WriteToUDPAddrPort(out, from)
			}
		}, func() { _, _ = k.udp.WriteToUDPAddrPort(s.busy(p, r), from) })
	}
}

// elsewhere runs a job beside the socket while there is a place, else full.
func (s *Server) elsewhere(job, full func()) {
	select {
	case s.foreign <- struct{}{}:
		s.jobs.Go(func() {
			defer func() { <-s.foreign }()
			job()
		})
	default:
		full()
	}
}

// busy says that too much is looked up already.
func (s *Server) busy(p packet, r reply) []byte {
	out := p.finish(r.foreign, Answer{Rcode: dns.RcodeServerFailure, Text: "too many questions at once", Code: dns.ExtendedErrorCodeOther}, maxUDP)
	s.m.count(out, "udp")
	return out.out
}

// lookup has a question answered elsewhere.
func (s *Server) lookup(p packet, r reply) []byte {
	transport := map[bool]string{false: "udp", true: "tcp"}[p.tcp]
	z := s.zone.Load()
	limit := z.limit(p, r.foreign.IsEdns0(), true)
	question := r.foreign
	switch {
	case r.target != "" && s.o.Foreign != nil:
		question = question.Copy()
		question.Question[0].Name = r.target
	case r.target != "":
		out := p.finish(r.foreign, r.begun, limit)
		s.m.count(out, transport)
		return out.out
	case s.o.Foreign == nil:
		out := p.finish(r.foreign, Answer{Rcode: dns.RcodeRefused, Code: dns.ExtendedErrorCodeNotAuthoritative, Text: "names of others are not looked up here"}, limit)
		out.refused = refusedRecursion
		s.m.count(out, transport)
		return out.out
	}
	m := s.o.Foreign.Lookup(s.ctx, question, p.from.Addr)
	if m == nil {
		return nil
	}
	var out reply
	if r.target != "" {
		r.begun.Rcode, r.begun.Records = m.Rcode, append(r.begun.Records, m.Answer...)
		out = p.finish(r.foreign, r.begun, limit)
	} else {
		out = pack(m, r.qtype, m.Rcode, limit)
	}
	s.m.count(out, transport)
	return out.out
}

// serveTCP takes connections until the socket is closed.
func (s *Server) serveTCP(k *socket, asked netip.Addr) {
	for {
		conn, err := k.tcp.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no file descriptors, such things
			_ = clock.Sleep(s.ctx, 10*time.Millisecond)
			continue
		}
		from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		stranger := !s.zone.Load().mayAsk(from)
		if !s.enter(from, stranger) {
			_ = conn.Close()
			continue
		}
		s.jobs.Go(func() {
			defer s.leave(from, stranger)
			defer conn.Close()
			stop := context.AfterFunc(s.ctx, func() { _ = conn.Close() })
			defer stop()
			s.converse(conn, Asker{from, asked})
		})
	}
}

func (s *Server) enter(from netip.Addr, stranger bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[from] >= tcpPerClient || s.total >= tcpConnections || stranger && s.strange >= tcpStrangers {
		return false
	}
	if stranger {
		s.strange++
	}
	s.clients[from]++
	s.total++
	return true
}

func (s *Server) leave(from netip.Addr, stranger bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stranger {
		s.strange--
	}
	s.total--
	if s.clients[from]--; s.clients[from] == 0 {
		delete(s.clients, from)
	}
}

// converse answers the questions of a connection, one after the other.
func (s *Server) converse(conn net.Conn, from Asker) {
	patience := tcpFirst
	for {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		patience = tcpIdle
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		raw := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, raw); err != nil {
			return
		}
		p := packet{raw, from, true}
		r := s.zone.Load().handle(p)
		out := r.out
		if r.foreign != nil {
			out = s.lookup(p, r)
		} else {
			s.m.count(r, "tcp")
		}
		if out == nil {
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(tcpWrite))
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil || r.refused == refusedClient {
			return
		}
	}
}

// measures is what is counted.
type measures struct {
	queries   *metrics.Vec[metrics.Counter]
	truncated *metrics.Counter
	refused   *metrics.Vec[metrics.Counter]
	build     *metrics.Gauge
}

func newMeasures(m *metrics.Set, s *Server) measures {
	m = cmp.Or(m, &metrics.Set{})
	m.GaugeFunc("fairway_dns_names", "Number of services and instances that have names.", func() float64 { return float64(s.zone.Load().Len()) })
	m.GaugeFunc("fairway_dns_names_taken", "Number of names that are asked for and that another service has.", func() float64 { return float64(len(s.zone.Load().taken)) })
	return measures{
		queries:   m.CounterVec("fairway_dns_queries_total", "Questions that were answered.", "type", "rcode", "transport"),
		truncated: m.Counter("fairway_dns_truncated_total", "Answers that did not fit, and were asked for again over TCP."),
		refused:   m.CounterVec("fairway_dns_refused_total", "Questions that were refused or ignored, by reason: client, recursion, kind, malformed.", "why"),
		build:     m.Gauge("fairway_dns_build_seconds", "Time that the newest zone took to make."),
	}
}

// count counts a reply. Types that few ask for are one.
func (m measures) count(r reply, transport string) {
	if r.refused != "" {
		m.refused.With(r.refused).Inc()
	}
	if r.cut {
		m.truncated.Inc()
	}
	if r.out == nil {
		return
	}
	qtype := "other"
	switch r.qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypePTR, dns.TypeSOA, dns.TypeNS, dns.TypeTXT, dns.TypeMX, dns.TypeHTTPS, dns.TypeANY:
		qtype = dns.TypeToString[r.qtype]
	}
	m.queries.With(qtype, RcodeText(r.rcode), transport).Inc()
}
