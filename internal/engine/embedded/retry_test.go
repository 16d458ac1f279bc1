package embedded

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// TestRetryUnreachable: a request that reached nobody goes elsewhere, with any
// method and its whole body.
func TestRetryUnreachable(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", deadAddress(t), deadAddress(t), a.addr())
	s.apply()
	for _, method := range []string{"GET", "POST", "PATCH"} {
		for range 3 {
			res := s.raw(method + " / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello")
			if res.StatusCode != 200 || a.last().body != "hello" {
				t.Errorf("%s: status %d, body %q", method, res.StatusCode, a.last().body)
			}
		}
	}
	if n := len(a.all()); n != 9 {
		t.Errorf("the application saw %d requests, want 9", n)
	}
	s.serve("dead.example", deadAddress(t))
	s.apply()
	if res := s.get("dead.example", "/"); res.StatusCode != 502 || res.Header.Get("X-Fairway-Error") != "unreachable" {
		t.Errorf("nobody there: %d %v", res.StatusCode, res.Header)
	}
}

// keepAliveApp answers the first request of each connection, and closes the
// connection when the channel says so.
type keepAliveApp struct {
	addr         string
	quit, closed chan struct{}

	mu     sync.Mutex
	bodies []string
}

func newKeepAliveApp(t *testing.T, second func(net.Conn)) *keepAliveApp {
	a := &keepAliveApp{quit: make(chan struct{}), closed: make(chan struct{})}
	var conns atomic.Int64
	a.addr = rawApp(t, func(c net.Conn) {
		n := conns.Add(1)
		r := bufio.NewReader(c)
		for i := 0; ; i++ {
			if i == 1 && n == 1 && second != nil {
				second(c)
				return
			}
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(req.Body)
			a.mu.Lock()
			a.bodies = append(a.bodies, string(body))
			a.mu.Unlock()
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			if n == 1 && second == nil {
				<-a.quit
				_ = c.Close()
				close(a.closed)
				return
			}
		}
	})
	return a
}

// TestPOSTOnDeadKeepAlive: a connection that the application has closed in the
// meantime costs nothing, whatever the method and with a body of any size.
func TestPOSTOnDeadKeepAlive(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		for _, size := range []int{0, 10, 40_000} {
			a := newKeepAliveApp(t, nil)
			s := newSite(t, Options{})
			s.serve("a.example", a.addr)
			s.apply()
			body := strings.Repeat("x", size)
			request := fmt.Sprintf("%s / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %d\r\n\r\n%s", method, size, body)
			if res := s.raw(request); res.StatusCode != 200 {
				t.Fatalf("status %d", res.StatusCode)
			}
			close(a.quit)
			<-a.closed // and at once, before the transport can have noticed:
			if res := s.raw(request); res.StatusCode != 200 {
				t.Errorf("%s with %d bytes: status %d", method, size, res.StatusCode)
			}
			a.mu.Lock()
			if len(a.bodies) != 2 || a.bodies[1] != body {
				t.Errorf("%s with %d bytes: application saw %d bodies", method, size, len(a.bodies))
			}
			a.mu.Unlock()
		}
	}
}

// TestPOSTWithoutIdempotence: a request that may have been received is repeated
// only where repeating does no harm.
func TestPOSTIsNeverRepeated(t *testing.T) {
	for method, status := range map[string]int{"GET": 200, "PUT": 200, "DELETE": 200, "POST": 502, "PATCH": 502} {
		var got atomic.Int64
		a := newKeepAliveApp(t, func(c net.Conn) {
			// The second request on the connection is read, and then nothing.
			if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.ReadAll(req.Body)
				got.Add(1)
			}
		})
		s := newSite(t, Options{})
		s.serve("a.example", a.addr)
		s.apply()
		request := method + " / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi"
		if res := s.raw(request); res.StatusCode != 200 {
			t.Fatalf("status %d", res.StatusCode)
		}
		if res := s.raw(request); res.StatusCode != status {
			t.Errorf("%s: status %d, want %d", method, res.StatusCode, status)
		}
		if got.Load() != 1 {
			t.Errorf("%s: the request that was lost came %d times", method, got.Load())
		}
	}
}

// TestAttemptsAreBounded: an application that always breaks off is not asked for
// ever.
func TestAttemptsAreBounded(t *testing.T) {
	var asked atomic.Int64
	addr := rawApp(t, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			asked.Add(1)
		}
	})
	s := newSite(t, Options{})
	s.serve("a.example", addr, strings.Replace(addr, "127.0.0.1", "127.0.0.2", 1))
	l, err := net.Listen("tcp", strings.Replace(addr, "127.0.0.1", "127.0.0.2", 1))
	if err != nil {
		t.Skip("only one loopback address here")
	}
	l.Close()
	s.apply()
	if res := s.get("a.example", "/"); res.StatusCode != 502 {
		t.Errorf("status %d", res.StatusCode)
	}
	if n := asked.Load(); n < 1 || n > maxAttempts {
		t.Errorf("asked %d times", n)
	}
}

// TestNoEndpoint: 503 with Retry-After, never 404.
func TestNoEndpoint(t *testing.T) {
	s := newSite(t, Options{})
	s.serve("none.example")
	s.serve("waiting.example", "127.0.0.1:1")
	s.backends["waiting.example"].Endpoints[0].State = route.EndpointWaiting
	s.apply()
	for _, host := range []string{"none.example", "waiting.example"} {
		if res := s.get(host, "/"); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v", host, res.StatusCode, res.Header)
		}
	}
}

// TestHold: requests wait for an endpoint, as long as the route says and no more
// of them than allowed.
func TestHold(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{MaxHeld: 1})
	s.serve("a.example")
	s.routes["a.example"].Hold = time.Hour
	s.apply()
	held := make(chan *response, 1)
	go func() { held <- s.raw("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi") }()
	testkit.Eventually(t, "the request is held", func() bool { return s.engine.live.Load().lookup(s.routes["a.example"]).held.Load() == 1 })
	if res := s.get("a.example", "/"); res.StatusCode != 503 {
		t.Errorf("one too many: status %d", res.StatusCode)
	}
	s.backend("a.example", nil, a.addr())
	s.apply()
	if res := <-held; res.StatusCode != 200 || a.last().body != "hi" {
		t.Errorf("held request: status %d, body %q", res.StatusCode, a.last().body)
	}
	s.serve("b.example")
	s.routes["b.example"].Hold = 50 * time.Millisecond
	s.apply()
	if res := s.get("b.example", "/"); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("held too long: status %d", res.StatusCode)
	}
	if n := s.engine.live.Load().lookup(s.routes["a.example"]).held.Load(); n != 0 {
		t.Errorf("%d still counted as held", n)
	}
}

// TestHoldUnreachable: while the only endpoint refuses connections, a route that
// holds keeps trying.
func TestHoldUnreachable(t *testing.T) {
	addr := deadAddress(t)
	s := newSite(t, Options{})
	s.serve("a.example", addr)
	s.routes["a.example"].Hold = time.Hour
	s.apply()
	held := make(chan *response, 1)
	go func() { held <- s.raw("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 2\r\n\r\nhi") }()
	heldAre(t, s, "a.example", 1)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	if res := <-held; res.StatusCode != 200 || res.body != "hi" {
		t.Errorf("%d %q", res.StatusCode, res.body)
	}
}

// TestFailedDialCounts: an endpoint is blamed for a connection that it refuses, also on
// a transport that no route asks for any more, and not for one that was given up
// because it left.
func TestFailedDialCounts(t *testing.T) {
	s := newSite(t, Options{DialTimeout: time.Hour})
	s.serve("dead.example", deadAddress(t))
	s.serve("silent.example", silentAddress(t))
	s.apply()
	dial := func(backend string, retire func(*transport)) balance.Result {
		ep, err := s.engine.set.Backend(backend).Pick(balance.Key{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ep.Done(balance.ResultCanceled)
		tr := s.engine.transports.of(ep, s.backends[backend], time.Minute, false)
		retire(tr)
		_, err = tr.dial(t.Context())
		if err == nil {
			t.Fatal("the endpoint was reached")
		}
		a := &attempt{x: &exchange{}, endpoint: ep, transport: tr}
		return a.result(err)
	}
	if got := dial("dead.example", (*transport).retire); got != balance.ResultUnreachable {
		t.Errorf("refused, on a retired transport: result %v", got)
	}
	late := func(tr *transport) { time.AfterFunc(50*time.Millisecond, tr.leave) }
	for name, leave := range map[string]func(*transport){"before": (*transport).leave, "meanwhile": late} {
		if got := dial("silent.example", leave); got != balance.ResultCanceled {
			t.Errorf("given up, as it left %s: result %v", name, got)
		}
	}
}
