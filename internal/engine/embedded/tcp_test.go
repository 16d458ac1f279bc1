package embedded

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"

	"fairway/internal/engine/embedded/relay"
	"fairway/internal/metrics"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// newPeer starts an endpoint that talks by itself.
func newPeer(t testing.TB, talk func(c *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(testkit.Patience))
				talk(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

// echo sends back what comes, under its name.
func echo(name string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		_, _ = io.WriteString(c, name+":")
		_, _ = io.Copy(c, c)
	}
}

// greeter speaks first, says what it was told once that has ended, and hangs up.
func greeter(c *net.TCPConn) {
	_, _ = io.WriteString(c, "hello\n")
	said, _ := io.ReadAll(c)
	fmt.Fprintf(c, "you said %q\n", said)
}

// newTCPSite starts an engine with the listener "tcp" besides "http".
func newTCPSite(t testing.TB, o Options, change func(*route.Listener)) *site {
	s := newSite(t, o)
	l := route.Listener{Name: "tcp", Address: "127.0.0.1:0", TCP: true}
	if change != nil {
		change(&l)
	}
	s.listeners = append(s.listeners, l)
	return s
}

// pass adds a route for connections; an empty host is any.
func (s *site) pass(id, host string, change func(*route.Route), addresses ...string) {
	s.route(id, host, func(r *route.Route) {
		if host == "" {
			r.Matches[0].Host = route.Host{Kind: route.HostAny}
		}
		r.Matches[0].Conditions = []route.Condition{{Kind: route.ConditionListener, Values: []string{"tcp"}}}
		if change != nil {
			change(r)
		}
	})
	s.backend(id, func(b *route.Backend) { b.Scheme = route.SchemeTCP }, addresses...)
}

func (c *conn) readLine() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", line, err)
	}
	return line
}

func (c *conn) rest() string {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil {
		c.t.Fatalf("after %q: %v", rest, err)
	}
	return string(rest)
}

// TestTCPServerFirst: where no route asks for a name, nobody waits for the client
// to speak, and the end of one direction leaves the other open.
func TestTCPServerFirst(t *testing.T) {
	s := newTCPSite(t, Options{ServerNameTimeout: time.Hour}, nil)
	s.pass("db", "", nil, newPeer(t, greeter))
	s.apply()
	c := s.dial("tcp")
	if got := c.readLine(); got != "hello\n" {
		t.Fatalf("got %q", got)
	}
	c.send("ping")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := c.rest(); got != "you said \"ping\"\n" {
		t.Errorf("got %q", got)
	}
}

// TestTCPServerName: TLS clients are told apart by the name they ask for, and
// nobody but the endpoint sees their certificate.
func TestTCPServerName(t *testing.T) {
	s := newTCPSite(t, Options{ServerNameTimeout: 200 * time.Millisecond}, nil)
	s.pass("db", "db.example", nil, newPeer(t, echo("db")))
	s.pass("wild", "*.w.example", func(r *route.Route) {
		r.Matches[0].Host = route.Host{Kind: route.HostWildcard, Value: "w.example"}
	}, newPeer(t, echo("wild")))
	s.pass("rest", "", nil, newPeer(t, echo("rest")))
	s.serve("db.example", deadAddress(t)) // a route for requests, which is none of its business
	s.apply()
	for name, want := range map[string]string{"db.example": "db", "DB.Example": "db", "x.w.example": "wild", "other.example": "rest", "": "rest"} {
		hello := clientHello(t, name)
		c := s.dial("tcp")
		c.send(hello[:5]) // in two pieces
		time.Sleep(5 * time.Millisecond)
		c.send(hello[5:])
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		if got := c.rest(); got != want+":"+hello {
			t.Errorf("%q: got %.20q, want %s and the hello", name, got, want)
		}
	}
	for _, said := range []string{"GET / HTTP/1.1\r\n", "\x16\x03\x01\x00\x05hello", "\x16\x03\x01\xff\xff" + strings.Repeat("x", 20_000)} {
		c := s.dial("tcp")
		c.send(said)
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		if got := c.rest(); got != "rest:"+said {
			t.Errorf("%.20q: got %.30q", said, got)
		}
	}
	// A client that waits for the endpoint to speak first has no name.
	c := s.dial("tcp")
	head := make([]byte, 5)
	if _, err := io.ReadFull(c.r, head); err != nil || string(head) != "rest:" {
		t.Errorf("silent client: %q, %v", head, err)
	}
}

// clientHello is what a TLS client sends first.
func clientHello(t testing.TB, name string) string {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		c := tls.Client(theirs, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		_ = c.Handshake()
		_ = theirs.Close()
	}()
	buf := make([]byte, relay.MaxHello)
	n, err := ours.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// TestTCPConnects: an endpoint that cannot be reached gives way to another, and
// the hold time is spent where none can.
func TestTCPConnects(t *testing.T) {
	s := newTCPSite(t, Options{}, nil)
	dead := deadAddress(t)
	s.pass("db", "", nil, dead, newPeer(t, echo("e")))
	s.apply()
	for range 4 {
		c := s.dial("tcp")
		_ = c.Conn.(*net.TCPConn).CloseWrite()
		if got := c.rest(); got != "e:" {
			t.Errorf("got %q", got)
		}
	}
	s.pass("db", "", nil, dead)
	s.apply()
	s.dial("tcp").closed()
	s.pass("db", "", func(r *route.Route) { r.Hold = time.Hour })
	s.apply()
	held := s.dial("tcp")
	heldAre(t, s, "db", 1)
	s.pass("db", "", func(r *route.Route) { r.Hold = time.Hour }, newPeer(t, echo("late")))
	s.apply()
	_ = held.Conn.(*net.TCPConn).CloseWrite()
	if got := held.rest(); got != "late:" {
		t.Errorf("held: got %q", got)
	}
}

// TestTCPRefuses: no route, a filter, a refused route.
func TestTCPRefuses(t *testing.T) {
	s := newTCPSite(t, Options{}, nil)
	s.apply()
	s.dial("tcp").closed()
	s.serve("a.example", newApp(t, nil).addr())
	s.pass("db", "", func(r *route.Route) {
		r.Filters = []route.Filter{{IPAllow: &route.IPAllow{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}}
	}, newPeer(t, echo("e")))
	s.apply()
	s.dial("tcp").closed()
	s.pass("db", "", func(r *route.Route) { r.Refused = "its file is missing" }, newPeer(t, echo("e")))
	s.apply()
	s.dial("tcp").closed()
	if got := s.get("a.example", "/").body; got != "ok" {
		t.Errorf("the other listener: %q", got)
	}
}

// TestTCPProxyProtocol: the header of a trusted peer tells who the client is, to
// filters and to the endpoint; without one there is no connection.
func TestTCPProxyProtocol(t *testing.T) {
	header := func(version byte, from string) string {
		var b bytes.Buffer
		h := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 5432})
		if _, err := h.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	local := netip.MustParsePrefix("127.0.0.0/8")
	s := newTCPSite(t, Options{HeaderTimeout: 100 * time.Millisecond}, func(l *route.Listener) {
		l.ProxyProtocol, l.TrustedProxies = true, []netip.Prefix{local}
	})
	for _, version := range []int{0, 1, 2} {
		s.pass("db", "", func(r *route.Route) {
			r.Filters = []route.Filter{{IPAllow: &route.IPAllow{Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8::/32")}}}}
		}, newPeer(t, func(c *net.TCPConn) {
			r := bufio.NewReader(c)
			from := "nobody"
			if h, err := proxyproto.Read(r); err == nil {
				from = fmt.Sprintf("v%d %s to %s", h.Version, h.SourceAddr, h.DestinationAddr)
			}
			said, _ := io.ReadAll(r)
			fmt.Fprintf(c, "%s: %s", from, said)
		}))
		s.backends["db"].SendProxy = version
		s.apply()
		for _, tt := range []struct{ send, want string }{
			{header(1, "203.0.113.7:4000"), "203.0.113.7:4000 to 192.0.2.9:5432"},
			{header(2, "203.0.113.7:4000"), "203.0.113.7:4000 to 192.0.2.9:5432"},
			{header(2, "[2001:db8::7]:4000"), "[2001:db8::7]:4000 to 192.0.2.9:5432"},
			{header(2, "198.51.100.1:4000"), ""}, // not allowed
			{"PROXY UNKNOWN\r\n", ""},            // the peer itself is not allowed
			{"GET / HTTP/1.1\r\n\r\n", ""},
			{"PROXY TCP4 x y 1 2\r\n", ""},
			{"", ""},
		} {
			c := s.dial("tcp")
			c.send(tt.send)
			if tt.send != "" {
				c.send("ping")
				_ = c.Conn.(*net.TCPConn).CloseWrite()
			}
			got, _ := io.ReadAll(c.r)
			want := ""
			switch {
			case tt.want != "" && version == 0:
				want = "nobody: ping"
			case tt.want != "":
				want = fmt.Sprintf("v%d %s: ping", version, tt.want)
			}
			if string(got) != want {
				t.Errorf("v%d, %.30q: got %q, want %q", version, tt.send, got, want)
			}
		}
	}
	s.listeners[1].TrustedProxies = nil
	s.apply()
	c := s.dial("tcp")
	_, _ = io.WriteString(c, header(2, "203.0.113.7:4000"))
	if got, _ := io.ReadAll(c.r); len(got) > 0 {
		t.Errorf("an untrusted peer gets %q", got)
	}
}

// TestIdleConn: silence in both directions ends a connection, traffic in one does
// not.
func TestIdleConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := net.Pipe()
		far, endpoint := net.Pipe()
		through := relay.NewIdleConn(far, time.Minute, func() { _, _ = near.Close(), far.Close() })
		buffers := relay.NewBuffers()
		ended := make(chan error, 2)
		go func() { ended <- relay.Copy(through, near, buffers, func(int) {}) }()
		go func() { ended <- relay.Copy(near, through, buffers, func(int) {}) }()
		go func() { _, _ = io.Copy(io.Discard, endpoint) }()
		for range 10 {
			if _, err := client.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Second)
		}
		silent := time.Now().Add(-50 * time.Second)
		for range 2 {
			if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("ended with %v", err)
			}
		}
		if took := time.Since(silent); took != time.Minute {
			t.Errorf("ended after a silence of %v, want 1m", took)
		}
		_, _ = client.Close(), endpoint.Close()
	})
}

// TestTCPIdle: a silent connection ends.
func TestTCPIdle(t *testing.T) {
	s := newTCPSite(t, Options{}, nil)
	s.pass("db", "", func(r *route.Route) { r.Idle = 50 * time.Millisecond }, newPeer(t, greeter))
	s.apply()
	s.dial("tcp").rest()
}

// TestTCPIdleWhereNothingIsTaken: an end that takes nothing more ends the connection, too.
func TestTCPIdleWhereNothingIsTaken(t *testing.T) {
	flood := func(c net.Conn) error {
		piece := make([]byte, 1<<20)
		for {
			if _, err := c.Write(piece); err != nil {
				return err
			}
		}
	}
	flooded, over := make(chan error), make(chan struct{})
	for name, peer := range map[string]func(c *net.TCPConn){
		"client":   func(c *net.TCPConn) { flooded <- flood(c) },
		"endpoint": func(*net.TCPConn) { <-over },
	} {
		s := newTCPSite(t, Options{}, nil)
		s.pass("db", "", func(r *route.Route) { r.Idle = 200 * time.Millisecond }, newPeer(t, peer))
		s.apply()
		c := s.dial("tcp")
		var err error
		if name == "client" {
			err = <-flooded
		} else {
			err = flood(c.Conn)
			close(over)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the %s takes nothing, and the connection stays", name)
		}
	}
}

// TestTCPDrain: connections to an endpoint that drains, and of a listener that
// leaves, go on until the drain limit.
func TestTCPDrain(t *testing.T) {
	for name, leave := range map[string]func(*site){
		"endpoint": func(s *site) { s.backends["db"].Endpoints[0].State = route.EndpointDraining },
		"listener": func(s *site) { s.listeners = s.listeners[:1]; delete(s.routes, "db"); delete(s.backends, "db") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newTCPSite(t, Options{DrainLimit: 300 * time.Millisecond}, nil)
			s.pass("db", "", nil, newPeer(t, echo("e")))
			s.apply()
			c := s.dial("tcp")
			head := make([]byte, 2)
			if _, err := io.ReadFull(c.r, head); err != nil {
				t.Fatal(err)
			}
			s.pass("db", "", nil, s.backends["db"].Endpoints[0].Address)
			leave(s)
			s.apply()
			c.send("on")
			if _, err := io.ReadFull(c.r, head); err != nil || string(head) != "on" {
				t.Errorf("got %q, %v", head, err)
			}
			c.closed()
		})
	}
}

// TestTCPStop: Stop waits for connections, and cuts off what is left.
func TestTCPStop(t *testing.T) {
	s := newTCPSite(t, Options{}, nil)
	s.pass("db", "", nil, newPeer(t, greeter))
	s.apply()
	slow, fast := s.dial("tcp"), s.dial("tcp")
	slow.readLine()
	fast.readLine()
	stopped := make(chan error)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { stopped <- s.engine.Stop(ctx) }()
	_ = fast.Conn.(*net.TCPConn).CloseWrite()
	if got := fast.rest(); got != "you said \"\"\n" {
		t.Errorf("got %q", got)
	}
	testkit.Eventually(t, "one is left", func() bool { return s.engine.running.Load() == 1 })
	cancel()
	if err := <-stopped; err == nil || !strings.Contains(err.Error(), "1 request") {
		t.Errorf("error %v", err)
	}
	slow.closed()
}

// TestTCPIsSeen: connections are counted and logged.
func TestTCPIsSeen(t *testing.T) {
	var log bytes.Buffer
	r := &metrics.Set{}
	s := newTCPSite(t, Options{AccessLog: &log, Metrics: r}, nil)
	s.pass("db", "", nil, newPeer(t, greeter))
	s.apply()
	c := s.dial("tcp")
	c.send("ping")
	_ = c.Conn.(*net.TCPConn).CloseWrite()
	c.rest()
	testkit.Eventually(t, "it is over", func() bool { return s.engine.running.Load() == 0 })
	if err := s.engine.access.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"listener":"tcp"`, `"client":"127.0.0.1"`, `"proto":"TCP"`, `"outcome":"closed"`, `"received":4`, `"bytes":22`, `"route":"db"`, `"endpoint":"e0"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not have %s: %s", want, log.String())
		}
	}
	got := testkit.Metrics(t, r)
	for name, want := range map[string]float64{
		"connections_total db": 1, "connection_received_bytes_total db": 4, "connection_sent_bytes_total db": 22,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}
