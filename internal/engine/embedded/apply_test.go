package embedded

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// TestApplyKeepsStreams: 100 changes to A, with traffic, close none of B's
// streams and fail none of A's requests.
func TestApplyKeepsStreams(t *testing.T) {
	tick := make(chan struct{})
	b := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		for range tick {
			_, _ = io.WriteString(w, "tick\n")
			w.(http.Flusher).Flush()
		}
	})
	var apps []string
	for range 3 {
		apps = append(apps, newApp(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }).addr())
	}
	s := newSite(t, Options{})
	s.serve("a.example", apps[0])
	s.serve("b.example", b.addr())
	s.apply()

	stream := s.dial("http")
	stream.within(30 * time.Second)
	stream.send("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n")
	ticked := func() {
		tick <- struct{}{}
		if line, err := stream.r.ReadString('\n'); err != nil {
			t.Fatalf("stream of B: %q %v", line, err)
		}
	}
	tick <- struct{}{}
	for line := ""; line != "tick\n"; line, _ = stream.r.ReadString('\n') { // behind the header
	}

	var wg sync.WaitGroup
	var requests atomic.Int64
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			c := s.dial("http")
			c.within(30 * time.Second)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi")
				if res := c.answer("POST"); res.StatusCode != 200 || res.body != "hi" {
					t.Errorf("request %d to A: %d %q", i, res.StatusCode, res.body)
				}
				requests.Add(1)
			}
		})
	}
	for i := range 100 {
		s.backend("a.example", nil, apps[i%3], apps[(i+1)%3])
		s.route("a.example", "a.example", func(r *route.Route) { r.Priority = i % 2 })
		s.route(fmt.Sprint("new", i), fmt.Sprintf("new%d.example", i), func(r *route.Route) { r.Backend = "a.example" })
		delete(s.routes, fmt.Sprint("new", i-5))
		s.apply()
		ticked()
	}
	close(stop)
	wg.Wait()
	close(tick)
	if requests.Load() == 0 {
		t.Error("there was no traffic")
	}
}

// TestApplyRefused: a table that cannot be served leaves everything as it was.
func TestApplyRefused(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := deadAddress(t)
	good := s.listeners
	for name, tt := range map[string]struct {
		listeners []route.Listener
		says      string
	}{
		"address taken":   {[]route.Listener{{Name: "free", Address: free}, {Name: "web", Address: taken.Addr().String()}}, "listener web"},
		"no certificate":  {[]route.Listener{{Name: "https", Address: free, TLS: true}}, "no certificate"},
		"bad certificate": {[]route.Listener{{Name: "https", Address: free, TLS: true, Certificates: []route.Certificate{{CertFile: "/none", KeyFile: "/none"}}}}, "/none"},
		"same address":    {[]route.Listener{{Name: "one", Address: free}, {Name: "two", Address: free}}, "same address"},
	} {
		s.listeners = tt.listeners
		s.serve("new.example", a.addr())
		err := s.engine.Apply(context.Background(), s.table())
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want something about %q", name, err, tt.says)
		}
		if res := s.get("a.example", "/"); res.StatusCode != 200 {
			t.Errorf("%s: afterwards status %d", name, res.StatusCode)
		}
		if res := s.get("new.example", "/"); res.StatusCode != 404 {
			t.Errorf("%s: half of the table is live", name)
		}
		if l, err := net.Listen("tcp", free); err != nil {
			t.Errorf("%s: a socket was left open: %v", name, err)
		} else {
			l.Close()
		}
	}
	s.listeners = good
	s.apply()
}

// TestApplyListeners: listeners come and go with the tables; those that stay keep
// their connections, also under another name.
func TestApplyListeners(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	fixed := deadAddress(t)
	s.listeners = []route.Listener{{Name: "http", Address: fixed}}
	s.serve("a.example", a.addr())
	s.apply()
	c := s.dial("http")
	ask := func() *response {
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		return c.answer("GET")
	}
	ask()
	s.listeners = []route.Listener{{Name: "renamed", Address: fixed}, {Name: "second", Address: "127.0.0.1:0"}}
	s.apply()
	if res := ask(); res.StatusCode != 200 {
		t.Errorf("old connection: status %d", res.StatusCode)
	}
	if s.engine.Addr("http") != nil || s.engine.Addr("renamed").String() != fixed {
		t.Error("the name did not change")
	}
	second := s.addr("second")
	if res := func() *response {
		c := dial(t, second)
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		return c.answer("GET")
	}(); res.StatusCode != 200 {
		t.Errorf("second listener: status %d", res.StatusCode)
	}
	s.listeners = s.listeners[:1]
	s.apply()
	if c, err := net.Dial("tcp", second); err == nil {
		c.Close()
		t.Error("the listener that left still accepts")
	}
	// The same address turns to TLS without being closed in between.
	s.listeners = []route.Listener{tlsListener(t, "renamed", "a.example")}
	s.listeners[0].Address = fixed
	s.apply()
	if res, err := s.client("renamed", true).Get("https://a.example/"); err != nil || res.StatusCode != 200 {
		t.Errorf("%v %v", res, err)
	}
}

// TestApplyLeavingListener: running requests of a listener that leaves finish.
func TestApplyLeavingListener(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		fmt.Fprint(w, "late")
	})
	s := newSite(t, Options{})
	s.listeners = append(s.listeners, route.Listener{Name: "leaves", Address: "127.0.0.1:0"})
	s.serve("a.example", a.addr())
	s.apply()
	c := s.dial("leaves")
	c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	<-began
	s.listeners = s.listeners[:1]
	s.apply()
	close(release)
	if res := c.answer("GET"); res.body != "late" || !res.Close {
		t.Errorf("%q, close %v", res.body, res.Close)
	}
	c.closed()
}

func TestApplySameTable(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	before := s.engine.live.Load()
	s.apply()
	if s.engine.live.Load() != before {
		t.Error("the same contents made another live table")
	}
	s.serve("b.example", a.addr())
	s.apply()
	if after := s.engine.live.Load(); after.lookup(s.routes["a.example"]) != before.lookup(s.routes["a.example"]) {
		t.Error("a route that did not change was made again")
	}
}

// TestRemovedRouteKeepsRunning: a request that runs when its route is removed
// finishes, and the series of the route do not come back.
func TestRemovedRoute(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-release
		fmt.Fprint(w, "late")
	})
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	c := s.dial("http")
	c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	<-began
	delete(s.routes, "a.example")
	delete(s.backends, "a.example")
	s.apply()
	if res := s.get("a.example", "/"); res.StatusCode != 404 {
		t.Errorf("status %d", res.StatusCode)
	}
	close(release)
	if res := c.answer("GET"); res.body != "late" {
		t.Errorf("%d %q", res.StatusCode, res.body)
	}
}

// TestEndpointDrain: an endpoint that drains finishes what it has, gets nothing
// new, and its idle connections are closed.
func TestEndpointDrain(t *testing.T) {
	var open atomic.Int64
	began, release := make(chan struct{}), make(chan struct{})
	a := &app{}
	a.Server = httptest.NewUnstartedServer(a.record(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-release
		}
		fmt.Fprint(w, "a")
	}))
	a.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
	a.Start()
	t.Cleanup(a.Close)
	b := newApp(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "b") })
	s := newSite(t, Options{EndpointIdle: time.Hour})
	s.serve("a.example", a.addr())
	s.apply()
	running := s.dial("http")
	running.send("GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n")
	<-began
	s.get("a.example", "/")
	if n := open.Load(); n != 2 {
		t.Fatalf("%d connections, want one busy and one idle", n)
	}
	s.backend("a.example", func(b *route.Backend) { b.Endpoints[0].State = route.EndpointDraining }, a.addr(), b.addr())
	s.apply()
	testkit.Eventually(t, "the idle connection is closed", func() bool { return open.Load() == 1 })
	for range 3 {
		if res := s.get("a.example", "/"); res.body != "b" {
			t.Errorf("answer of %q", res.body)
		}
	}
	close(release)
	if res := running.answer("GET"); res.body != "a" {
		t.Errorf("running request: %d %q", res.StatusCode, res.body)
	}
	testkit.Eventually(t, "the last connection is closed", func() bool { return open.Load() == 0 })
}

// TestStop: what runs finishes and is told that the connection closes; idle
// connections are closed; nothing new is accepted.
func TestStop(t *testing.T) {
	began, release := make(chan struct{}), make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(began)
			<-release
		}
		fmt.Fprint(w, "done")
	})
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	idle, busy := s.dial("http"), s.dial("http")
	idle.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	idle.answer("GET")
	busy.send("GET /slow HTTP/1.1\r\nHost: a.example\r\n\r\n")
	<-began
	addr := s.addr("http")
	stopped := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- s.engine.Stop(ctx)
	}()
	idle.closed()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("still accepts")
	}
	close(release)
	if res := busy.answer("GET"); res.body != "done" || !res.Close {
		t.Errorf("%q, close %v", res.body, res.Close)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := s.engine.Apply(context.Background(), s.table()); err == nil {
		t.Error("a stopped engine took a table")
	}
	if err := s.engine.Stop(context.Background()); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

// TestStopCutsOff: what does not finish is cut off at the limit, upgraded
// connections as well, and the error says how many those were.
func TestStopCutsOff(t *testing.T) {
	addr := rawApp(t, func(c net.Conn) {
		req, err := http.ReadRequest(bufio.NewReader(c))
		if err != nil {
			return
		}
		if req.URL.Path == "/ws" {
			_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		}
		_, _ = io.Copy(io.Discard, c)
	})
	s := newSite(t, Options{})
	s.serve("a.example", addr)
	s.apply()
	ws, busy := s.dial("http"), s.dial("http")
	ws.send("GET /ws HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	if res, err := http.ReadResponse(ws.r, nil); err != nil || res.StatusCode != 101 {
		t.Fatal(res, err)
	}
	busy.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	testkit.Eventually(t, "both run", func() bool { return s.engine.running.Load() == 2 })
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	err := s.engine.Stop(ctx)
	if err == nil || !strings.Contains(err.Error(), "2 requests cut off") {
		t.Errorf("error %v", err)
	}
	ws.closed()
	if n := s.engine.running.Load(); n != 0 {
		t.Errorf("%d still run", n)
	}
}

// large is a table of n services.
func large(t testing.TB, n int) *site {
	s := newSite(t, Options{Logger: testLog(t)})
	for i := range n {
		host := fmt.Sprintf("h%d.example", i)
		s.route(host, host, func(r *route.Route) {
			r.Filters = []route.Filter{{RateLimit: &route.RateLimit{Requests: 100, Per: time.Second, Burst: 10}}}
		})
		s.backend(host, nil, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
	}
	return s
}

// BenchmarkApplyOneChange: one backend of 5,000 changes.
func BenchmarkApplyOneChange(b *testing.B) {
	s := large(b, 5000)
	s.apply()
	tables := make([]*route.Table, 2)
	for i := range tables {
		s.backend("h7.example", nil, fmt.Sprintf("127.0.0.1:%d", 10+i))
		tables[i] = s.table()
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		if err := s.engine.Apply(context.Background(), tables[n%2]); err != nil {
			b.Fatal(err)
		}
		n++
	}
}

// BenchmarkRequest: one small request over a connection that is kept.
func BenchmarkRequest(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			s := large(b, n)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })}
			go func() { _ = server.Serve(l) }()
			defer server.Close()
			s.route("bench", "bench.example", nil)
			s.backend("bench", nil, l.Addr().String())
			s.apply()
			c := s.dial("http")
			c.within(time.Hour)
			b.ReportAllocs()
			for b.Loop() {
				c.send("GET / HTTP/1.1\r\nHost: bench.example\r\n\r\n")
				c.answer("GET")
			}
		})
	}
}

// TestAnOptionalListenerRefusesNobody pins that an address that labels ask for,
// and that is taken, costs nothing but itself, and is bound once it is free.
func TestAnOptionalListenerRefusesNobody(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	listeners := []route.Listener{
		{Name: "http", Address: "127.0.0.1:0"},
		{Name: "tcp-1", Address: taken.Addr().String(), TCP: true, Optional: true},
	}
	table, err := route.New(1, listeners, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Apply(t.Context(), table); err != nil {
		t.Fatalf("Apply = %v; the other listener could have served", err)
	}
	if e.Addr("http") == nil || e.Addr("tcp-1") != nil {
		t.Fatalf("bound: http %v, tcp-1 %v; want only http", e.Addr("http"), e.Addr("tcp-1"))
	}
	before := e.live.Load()
	e.bindMissing()
	if e.live.Load() != before {
		t.Error("a try that came to nothing has made another table")
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	e.bindMissing()
	if e.Addr("tcp-1") == nil {
		t.Error("the address is free and still not bound")
	}
	if e.live.Load().requests != before.requests {
		t.Error("for one listener the whole table was made anew")
	}

	listeners[1].Optional, listeners[1].Address = false, e.Addr("http").String()
	if table, err = route.New(2, listeners, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.Apply(t.Context(), table); err == nil {
		t.Error("a configured listener that cannot be bound was left out silently")
	}
}
