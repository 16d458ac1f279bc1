package dns

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/metrics"
	"fairway/internal/testkit"

	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve starts a server on a port of loopback; this machine asks it.
func serve(t *testing.T, w *world, change func(*Options)) (*Server, string) {
	t.Helper()
	feed := &catalog.Feed{}
	feed.Publish(w.snapshot)
	o := Options{Listen: []string{"127.0.0.1:" + testkit.FreePort(t)}, Settings: w.settings, Feed: feed, Local: func() []netip.Prefix { return local }, Metrics: &metrics.Set{}}
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

func exchange(t *testing.T, network, address string, raw []byte) *dns.Msg {
	t.Helper()
	m := unpack(t, raw)
	c := &dns.Client{Net: network, Timeout: 5 * time.Second, UDPSize: 4096}
	r, _, err := c.Exchange(m, address)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestServer(t *testing.T) {
	w := newWorld()
	var feed *catalog.Feed
	set := &metrics.Set{}
	s, address := serve(t, w, func(o *Options) { feed, o.Metrics = o.Feed, set })
	for _, network := range []string{"udp", "tcp"} {
		m := exchange(t, network, address, query("shop-web.docker", dns.TypeA, 1232))
		if len(m.Answer) != 3 || !m.Authoritative || m.RecursionAvailable {
			t.Errorf("%s: %v", network, m)
		}
		if m := exchange(t, network, address, query("example.com", dns.TypeA, 1232)); m.Rcode != dns.RcodeRefused {
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
		raw := query(name, dns.TypeA, 0)
		all = append(all, byte(len(raw)>>8), byte(len(raw)))
		all = append(all, raw...)
	}
	if _, err := conn.Write(all); err != nil {
		t.Fatal(err)
	}
	c := &dns.Conn{Conn: conn}
	for _, name := range []string{"res.docker.", "nope.docker.", "six.docker."} {
		if m, err := c.ReadMsg(); err != nil || m.Question[0].Name != name {
			t.Errorf("pipelined %s: %v, %v", name, m, err)
		}
	}
	// What changes is answered at once.
	next := *w.snapshot
	next.Services = slices.DeleteFunc(slices.Clone(next.Services), func(svc *catalog.Service) bool { return svc.Name == "res" })
	feed.Publish(&next)
	testkit.Eventually(t, "the service is gone", func() bool { return s.Zone().services["res"] == nil })
	if m := exchange(t, "udp", address, query("res.docker", dns.TypeA, 0)); m.Rcode != dns.RcodeNameError {
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
	_, address := serve(t, newWorld(), func(o *Options) {
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
	if _, err := New(Options{Listen: []string{"127.0.0.1:0"}, Feed: &catalog.Feed{}, Settings: Settings{Zones: []string{"home.local"}}}); err == nil {
		t.Error("a zone of multicast DNS")
	}
	z := newWorld().zone()
	s := &Server{wanted: []listen{{bridges: true, port: 53}}}
	s.zone.Store(z)
	var got []string
	for at := range s.addresses() {
		got = append(got, at.String())
	}
	slices.Sort(got)
	if want := "127.0.0.1:53 172.17.0.1:53 172.18.0.1:53 172.19.0.1:53 [fd00:18::1]:53"; strings.Join(got, " ") != want {
		t.Errorf("bridges: %v", got)
	}
}

// Connections have bounds, for each client too.
func TestConnections(t *testing.T) {
	_, address := serve(t, newWorld(), nil)
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
	if m := exchange(t, "udp", address, query("res.docker", dns.TypeA, 0)); len(m.Answer) != 1 {
		t.Errorf("beside idle connections: %v", m)
	}
}
