package server

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/api/names"
	"fairway/internal/catalog"
	"fairway/internal/dns"
	"fairway/internal/metrics"
	"fairway/internal/testkit"

	miekg "github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	local = []netip.Prefix{
		netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("10.0.0.5/24"), netip.MustParsePrefix("172.17.0.1/16"), netip.MustParsePrefix("172.18.0.1/16"), netip.MustParsePrefix("fd00:18::1/64"),
	}
	// The settings of most tests.
	settings = dns.Settings{SingleLabel: true}
)

// snapshot has services of one instance each, NAME=ADDRESS,ADDRESS.
func snapshot(services ...string) *catalog.Snapshot {
	s := &catalog.Snapshot{Revision: 1, Sources: []catalog.SourceStatus{{Name: "docker", Synced: true}}}
	for _, text := range services {
		name, addresses, _ := strings.Cut(text, "=")
		in := &catalog.Instance{ID: name, Name: name + "-1", Source: "docker", State: catalog.StateReady, Ports: []catalog.Port{{Number: 80, Protocol: "tcp"}}}
		for a := range strings.SplitSeq(addresses, ",") {
			address := catalog.Address{Host: a, Network: "shop", Reach: catalog.ReachBridge}
			if _, err := netip.ParseAddr(a); err != nil {
				address.Reach = catalog.ReachFixed
			}
			in.Addresses = append(in.Addresses, address)
		}
		s.Services = append(s.Services, &catalog.Service{ID: name + "@docker", Name: name, Source: "docker", Instances: []*catalog.Instance{in}})
	}
	return s
}

func shop() *catalog.Snapshot {
	return snapshot("res=172.17.0.2", "six=172.18.0.40,fd00:18::40", "old=old.example.com")
}

// serve starts a server on a port of loopback; this machine asks it.
func serve(t *testing.T, change func(*Options)) (*Server, string) {
	t.Helper()
	feed := &catalog.Feed{}
	feed.Publish(shop())
	o := Options{Listen: []string{"127.0.0.1:" + testkit.FreePort(t)}, Settings: settings, Feed: feed, Local: func() []netip.Prefix { return local }, Metrics: &metrics.Set{}}
	if change != nil {
		change(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s, s.Bound()[0]
}

// query makes a question; size zero is one without EDNS.
func query(name string, qtype uint16, size uint16) *miekg.Msg {
	m := new(miekg.Msg).SetQuestion(miekg.Fqdn(name), qtype)
	if size > 0 {
		m.SetEdns0(size, false)
	}
	return m
}

func packed(t *testing.T, m *miekg.Msg) []byte {
	t.Helper()
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func exchange(t *testing.T, network, address string, m *miekg.Msg) *miekg.Msg {
	t.Helper()
	c := &miekg.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 4096}
	r, _, err := c.Exchange(m, address)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestServer(t *testing.T) {
	var feed *catalog.Feed
	set := &metrics.Set{}
	s, address := serve(t, func(o *Options) { feed, o.Metrics = o.Feed, set })
	for _, network := range []string{"udp", "tcp"} {
		m := exchange(t, network, address, query("res.docker", miekg.TypeA, 1232))
		if len(m.Answer) != 1 || !m.Authoritative || m.RecursionAvailable {
			t.Errorf("%s: %v", network, m)
		}
		if m := exchange(t, network, address, query("example.com", miekg.TypeA, 1232)); m.Rcode != miekg.RcodeRefused {
			t.Errorf("%s, a name of others: %v", network, m)
		}
	}
	// Three questions in one segment get three answers (case 44).
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var all []byte
	for _, name := range []string{"res.docker", "nope.docker", "six.docker"} {
		raw := packed(t, query(name, miekg.TypeA, 0))
		all = append(all, byte(len(raw)>>8), byte(len(raw)))
		all = append(all, raw...)
	}
	if _, err := conn.Write(all); err != nil {
		t.Fatal(err)
	}
	c := &miekg.Conn{Conn: conn}
	for _, name := range []string{"res.docker.", "nope.docker.", "six.docker."} {
		if m, err := c.ReadMsg(); err != nil || m.Question[0].Name != name {
			t.Errorf("pipelined %s: %v, %v", name, m, err)
		}
	}
	// What changes is answered at once.
	feed.Publish(snapshot("six=172.18.0.40"))
	testkit.Eventually(t, "the service is gone", func() bool {
		return !slices.ContainsFunc(s.Names(), func(n names.Name) bool { return n.Name == "res.docker" })
	})
	if m := exchange(t, "udp", address, query("res.docker", miekg.TypeA, 0)); m.Rcode != miekg.RcodeNameError {
		t.Errorf("after the change: %v", m)
	}
	figures := testkit.Metrics(t, set)
	for name, want := range map[string]float64{
		"dns_queries_total A NOERROR udp": 1, "dns_queries_total A NXDOMAIN udp": 1,
		"dns_refused_total recursion": 2,
	} {
		if figures[name] != want {
			t.Errorf("%s is %v, want %v, of %v", name, figures[name], want, figures)
		}
	}
}

// Addresses that stand for several follow those of this machine.
func TestListen(t *testing.T) {
	port := testkit.FreePort(t)
	_, address := serve(t, func(o *Options) {
		o.Listen, o.Local = []string{":" + port}, func() []netip.Prefix {
			return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("198.51.100.7/24")}
		}
	})
	if address != "127.0.0.1:"+port {
		t.Errorf("bound %s", address)
	}
	for _, text := range []string{"nonsense", "a:b", "localhost:53", ":99999"} {
		if _, err := parseListen(text); err == nil || !strings.Contains(err.Error(), "write ADDRESS:PORT") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{":53", "127.0.0.1", "bridges", "bridges:8053", "[::1]:53"} {
		if _, err := parseListen(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := New(Options{Listen: []string{"127.0.0.1:" + port}, Feed: &catalog.Feed{}}); err == nil {
		t.Error("one address is bound twice")
	}
	if _, err := New(Options{Listen: []string{"127.0.0.1:0"}, Feed: &catalog.Feed{}, Settings: dns.Settings{Zones: []string{"home.local"}}}); err == nil {
		t.Error("a zone of multicast DNS")
	}
	z := dns.Build(nil, shop(), settings, local, time.Now())
	s := &Server{wanted: []listen{{bridges: true, port: 53}}}
	s.memo.Store(newMemo(z))
	var got []string
	for at := range s.addresses() {
		got = append(got, at.String())
	}
	slices.Sort(got)
	if want := "127.0.0.1:53 172.17.0.1:53 172.18.0.1:53 [fd00:18::1]:53"; strings.Join(got, " ") != want {
		t.Errorf("bridges: %v", got)
	}
}

// elsewhere answers every name with an address.
type elsewhere struct{}

func (elsewhere) Lookup(_ context.Context, question *miekg.Msg, _ netip.Addr) *miekg.Msg {
	m := new(miekg.Msg).SetReply(question)
	m.Answer = []miekg.RR{&miekg.A{Hdr: miekg.RR_Header{Name: question.Question[0].Name, Rrtype: miekg.TypeA, Class: miekg.ClassINET, Ttl: 9}, A: net.IPv4(192, 0, 2, 7)}}
	return m
}
func (elsewhere) Resolvers() []names.Resolver { return nil }
func (elsewhere) Run(context.Context)         {}

// An instance that is known by a name alone has its address in the answer, too: programs
// that ask do not ask again.
func TestFixedName(t *testing.T) {
	s, address := serve(t, func(o *Options) { o.Foreign = elsewhere{} })
	m := exchange(t, "udp", address, query("old.docker", miekg.TypeA, 1232))
	if len(m.Answer) != 2 || m.Answer[0].Header().Name != "old.docker." || m.Answer[1].Header().Name != "old.example.com." || m.Question[0].Name != "old.docker." {
		t.Errorf("a name of its own: %v", m)
	}
	if why, err := s.Explain("_old._tcp.docker", "SRV", ""); err != nil || len(why.Members) != 1 || why.Members[0].Address != "old.example.com:80" {
		t.Errorf("%+v, %v", why, err)
	}
	for client, want := range map[string]string{"203.0.113.9": "dns.clients", "10.0.0.77": "dns.recursion"} {
		if why, err := s.Explain("example.com", "", client); err != nil || why.Rcode != "REFUSED" || !strings.Contains(why.Text, want) {
			t.Errorf("%s: %+v, %v", client, why, err)
		}
	}
}

// What cannot be bound is logged once, and addresses stay while the system gives none.
func TestBindFails(t *testing.T) {
	var log bytes.Buffer
	known := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("198.51.100.7/24")}
	feed := &catalog.Feed{}
	s, err := New(Options{Listen: []string{":" + testkit.FreePort(t)}, Feed: feed, Local: func() []netip.Prefix { return known }, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.failed = nil
	s.rebind()
	s.rebind()
	if n := strings.Count(log.String(), "cannot be bound"); n != 1 || !strings.Contains(log.String(), "198.51.100.7") {
		t.Errorf("logged %d times: %s", n, log.String())
	}
	if list := s.State().Unbound; len(list) != 1 || !strings.HasPrefix(list[0], "198.51.100.7:") {
		t.Errorf("not bound: %v", list)
	}
	known = nil
	if s.build(time.Now()); len(s.Zone().Local()) != 2 {
		t.Errorf("addresses: %v", s.Zone().Local())
	}
}

// Those who may not ask have few connections, and each for one answer.
func TestStrangers(t *testing.T) {
	s := &Server{clients: map[netip.Addr]int{}}
	s.memo.Store(newMemo(dns.Build(nil, shop(), settings, local, time.Now())))
	s.m = newMeasures(nil, s)
	for i := range tcpStrangers + 1 {
		if got, want := s.enter(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), true), i < tcpStrangers; got != want {
			t.Errorf("stranger %d: %t", i, got)
		}
	}
	if !s.enter(netip.MustParseAddr("172.17.0.9"), false) {
		t.Error("strangers have all places")
	}
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.converse(there, dns.Asker{Addr: netip.MustParseAddr("203.0.113.9"), Asked: netip.MustParseAddr("10.0.0.5")})
		_ = there.Close()
	}()
	c := &miekg.Conn{Conn: here}
	_ = here.SetDeadline(time.Now().Add(testkit.Patience))
	if err := c.WriteMsg(query("res.docker", miekg.TypeA, 0)); err != nil {
		t.Fatal(err)
	}
	if m, err := c.ReadMsg(); err != nil || m.Rcode != miekg.RcodeRefused {
		t.Errorf("%v, %v", m, err)
	}
	if err := c.WriteMsg(query("six.docker", miekg.TypeA, 0)); err == nil {
		t.Error("a second question is taken")
	}
	_ = here.Close()
	<-done
}

// Connections have bounds, for each client too.
func TestConnections(t *testing.T) {
	_, address := serve(t, nil)
	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for range tcpPerClient + 1 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	last := open[tcpPerClient]
	_ = last.SetReadDeadline(time.Now().Add(testkit.Patience))
	if _, err := last.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("one connection too many: %v", err)
	}
	if m := exchange(t, "udp", address, query("res.docker", miekg.TypeA, 0)); len(m.Answer) != 1 {
		t.Errorf("beside idle connections: %v", m)
	}
}
