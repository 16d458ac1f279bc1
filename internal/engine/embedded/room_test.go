package embedded

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/metrics"
	"fairway/internal/testkit"
)

// TestRoom plays connections that come, work, rest and go at random against a model
// that is a list.
func TestRoom(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	clients := []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}
	evictions := map[string]int{}
	o := Options{MaxConns: 20, MaxConnsPerSource: 4}.withDefaults()
	room := newRoom(o, func(reason string) { evictions[reason]++ })
	var open, idle []*clientConn // idle is in order
	endpoints := 0
	of := func(list []*clientConn, source netip.Addr) (out []*clientConn) {
		for _, c := range list {
			if c.source == source {
				out = append(out, c)
			}
		}
		return out
	}
	without := func(list []*clientConn, c *clientConn) []*clientConn {
		return slices.DeleteFunc(list, func(d *clientConn) bool { return c == d })
	}
	closed := func(c *clientConn) bool {
		_, err := c.Conn.Write(nil)
		return err != nil
	}
	evict := func(c *clientConn) {
		if !closed(c) {
			t.Fatal("the connection that was idle longest is still open")
		}
		open, idle = without(open, c), without(idle, c)
	}
	refusals := map[string]int{}
	for range 20_000 {
		switch n := r.IntN(10); {
		case n < 4:
			near, far := net.Pipe()
			defer far.Close()
			c := &clientConn{Conn: near, source: clients[r.IntN(len(clients))]}
			want := ""
			var victims []*clientConn
			left, rest := len(open)+endpoints, idle
			if c.source.IsValid() && len(of(open, c.source)) >= room.perSource {
				if own := of(idle, c.source); len(own) == 0 {
					want = limitSource
				} else {
					victims, left, rest = append(victims, own[0]), left-1, without(slices.Clone(rest), own[0])
				}
			}
			if want == "" && left >= room.limit {
				if len(rest) == 0 {
					want = limitConnections
				} else {
					victims = append(victims, rest[0])
				}
			}
			if got := room.admit(c); got != want {
				t.Fatalf("refused %q, want %q", got, want)
			}
			refusals[want]++
			for _, v := range victims {
				evict(v)
			}
			if want == "" {
				open, idle = append(open, c), append(idle, c)
			}
		case n < 7 && len(open) > 0:
			c, rest := open[r.IntN(len(open))], r.IntN(3) == 0
			room.set(c, rest)
			if idle = without(idle, c); rest {
				idle = append(idle, c)
			}
		case n < 8 && len(open) > 0:
			c := open[r.IntN(len(open))]
			room.exit(c)
			room.exit(c)
			room.set(c, true) // what comes late changes nothing
			open, idle = without(open, c), without(idle, c)
		case n < 9:
			full := len(open)+endpoints >= room.limit
			ok := room.reach()
			if full && len(idle) > 0 {
				evict(idle[0])
			}
			if want := len(open)+endpoints < room.limit+room.slack; ok != want {
				t.Fatalf("room for an endpoint: %v, want %v", ok, want)
			}
			if ok {
				endpoints++
			}
		case endpoints > 0:
			room.done()
			endpoints--
		}
		if room.open != len(open)+endpoints {
			t.Fatalf("%d connections are counted, %d are open", room.open, len(open)+endpoints)
		}
	}
	for _, reason := range []string{limitSource, limitConnections} {
		if refusals[reason] == 0 || evictions[reason] == 0 {
			t.Errorf("%s was never tried: refusals %v, evictions %v", reason, refusals, evictions)
		}
	}
	for _, c := range open {
		room.exit(c)
	}
	if len(room.sources) > 0 || room.idle.Len() != 1 {
		t.Errorf("left behind: %v", room.sources)
	}
}

// TestConnectionLimit: some files stay in reserve, however few there are.
func TestConnectionLimit(t *testing.T) {
	for files, want := range map[uint64]int{0: 1, 1: 1, 20: 10, 64: 32, 256: 224, 400: 350, 1024: 896, 1 << 20: 1<<20 - 1024, 1<<64 - 1: 1<<24 - 1024} {
		if got := connectionLimit(files); got != want {
			t.Errorf("of %d files connections may have %d, want %d", files, got, want)
		}
	}
}

const askA = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"

// TestIdleConnectionsMakeRoom: where there is no room for another connection, the one
// that has been idle longest is closed, and none that carries a request.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			arrived <- struct{}{}
			<-release
		}
		_, _ = io.WriteString(w, "ok")
	})
	reg := &metrics.Set{}
	s := newSite(t, Options{MaxConns: 4, MaxConnsPerSource: 4, Metrics: reg})
	s.serve("a.example", a.addr())
	s.apply()
	busy := s.dial("http")
	busy.send(strings.Replace(askA, "/", "/wait", 1))
	<-arrived // with its connection to the endpoint that is two
	first, second := s.dial("http"), s.dial("http")
	resting(t, s, 2)
	third := s.dial("http")
	third.send("GET / HTTP/1.1\r\nHost: unknown.example\r\n\r\n")
	if res := third.answer("GET"); res.StatusCode != 404 {
		t.Errorf("status %d", res.StatusCode)
	}
	first.closed()
	resting(t, s, 2)
	second.send("GET / HTTP/1.1\r\nHost: unknown.example\r\n\r\n")
	if res := second.answer("GET"); res.StatusCode != 404 {
		t.Errorf("one that was idle for less: status %d", res.StatusCode)
	}
	close(release)
	if res := busy.answer("GET"); res.StatusCode != 200 {
		t.Errorf("one that was busy: status %d", res.StatusCode)
	}
	if got := testkit.Metrics(t, reg)["evicted_connections_total "+limitConnections]; got != 1 {
		t.Errorf("%v connections were evicted, want 1", got)
	}
}

// TestOneClientCannotTakeAllConnections: a client that has as many as it may makes
// room with its own; trusted proxies speak for many and are not bounded.
func TestOneClientCannotTakeAllConnections(t *testing.T) {
	reg := &metrics.Set{}
	s := newSite(t, Options{MaxConns: 20, MaxConnsPerSource: 2, Metrics: reg, BodyTimeout: time.Hour})
	s.serve("a.example", newApp(t, nil).addr())
	s.apply()
	ask := func(c *conn, r string) {
		t.Helper()
		c.send(r)
		if res := c.answer("GET"); res.StatusCode != 200 {
			t.Errorf("status %d", res.StatusCode)
		}
	}
	first, second := s.dial("http"), s.dial("http")
	resting(t, s, 2)
	third := s.dial("http")
	ask(third, askA)
	first.closed()
	ask(second, askA)
	// Where all are busy the next one is refused.
	for _, c := range []*conn{second, third} {
		c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n")
	}
	resting(t, s, 0)
	s.dial("http").closed()
	m := testkit.Metrics(t, reg)
	if m["evicted_connections_total "+limitSource] != 1 || m["guard_refusals_total "+limitSource] != 1 {
		t.Errorf("metrics: %v", m)
	}
	s.listeners[0].TrustedProxies = prefixesOf("127.0.0.0/8")
	s.apply()
	for range 5 {
		ask(s.dial("http"), askA)
	}
}

// TestNoRoomForAnEndpoint: a request for which no connection can be opened is
// answered at once, and its endpoint is not to blame.
func TestNoRoomForAnEndpoint(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{MaxConns: 4})
	s.serve("a.example", a.addr())
	s.apply()
	c := s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n")
	resting(t, s, 0)
	taken := 0
	for s.engine.room.reach() {
		taken++
	}
	c.send("hi")
	if res := c.answer("POST"); res.StatusCode != 503 || res.Header.Get("X-Fairway-Error") != limitConnections || res.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, %v", res.StatusCode, res.Header)
	}
	if got := s.engine.Endpoints()[0].Failures; got != 0 {
		t.Errorf("the endpoint is blamed for %d failures", got)
	}
	for range taken {
		s.engine.room.done()
	}
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi")
	if res := c.answer("POST"); res.StatusCode != 200 {
		t.Errorf("when there is room again: status %d", res.StatusCode)
	}
}

// resting waits until so many connections are open and idle.
func resting(t *testing.T, s *site, n int) {
	t.Helper()
	r := s.engine.room
	testkit.Eventually(t, "connections are idle", func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		count := r.idle.Len() - 1
		if count == n && r.open > 0 {
			return ""
		}
		return fmt.Sprintf("%d of %d are idle, want %d", count, r.open, n)
	})
}

// TestIdleEndpointConnectionsMakeRoom: connections to endpoints that nobody uses are
// given up before a client is refused.
func TestIdleEndpointConnectionsMakeRoom(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	s := newSite(t, Options{MaxConns: 6, EndpointIdle: time.Hour, BodyTimeout: time.Hour})
	s.listeners[0].TrustedProxies = prefixesOf("127.0.0.0/8") // not bounded by themselves
	s.serve("a.example", a.addr())
	s.apply()
	var clients []*conn
	for range 3 {
		c := s.dial("http")
		c.send(askA)
		clients = append(clients, c)
		<-arrived
	}
	close(release)
	for _, c := range clients {
		c.answer("GET")
		_ = c.Close()
	}
	booked := func(n int) {
		t.Helper()
		testkit.Eventually(t, "connections are counted", func() string {
			s.engine.room.mu.Lock()
			defer s.engine.room.mu.Unlock()
			if open := s.engine.room.open; open != n {
				return fmt.Sprintf("%d are, want %d", open, n)
			}
			return ""
		})
	}
	booked(3) // to the endpoint
	for n := range 6 {
		c := s.dial("http")
		c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\n")
		testkit.Eventually(t, "the request is being served", func() bool { return s.engine.running.Load() == int64(n+1) })
		if n < 3 {
			booked(4 + n)
		}
		resting(t, s, 0)
		clients = append(clients, c)
	}
	booked(6)
	s.dial("http").closed() // now all that are open are in use
	for _, c := range clients[3:] {
		c.send("hi")
		<-arrived // the first beyond the limit
		if res := c.answer("POST"); res.StatusCode != 200 {
			t.Errorf("status %d", res.StatusCode)
		}
	}
}
