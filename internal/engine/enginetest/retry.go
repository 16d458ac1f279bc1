package enginetest

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// retryCases say when a request goes to another endpoint, and when never.
func retryCases() []goCase {
	return []goCase{
		{"a dead endpoint costs no request", retryDead},
		{"one of many is alive", retryMany},
		{"a body that was not sent is sent whole", retryBody},
		{"a streamed body goes to another endpoint", retryStreamedBody},
		{"what was sent is never sent again", retryNever},
		{"a keep-alive connection the endpoint closed", retryStale},
		{"a client that left is not tried for", retryGone},
		{"an endpoint that hangs up is told on kept connections", retryKept},
		{"hold until an endpoint is ready", holdReady},
		{"hold is bounded", holdBounded},
		{"hold ends when the client leaves", holdGone},
		{"hold until an endpoint listens", holdListens},
		{"hold does not hide that nobody listens", holdFailing},
		{"hold outlasts a service that is removed and made again", holdRemade},
		{"hold goes to another service with the same host", holdMoved},
	}
}

// No connection, nothing sent: any method may go elsewhere.
func retryDead(w *world) {
	w.apply(`routes: [{id: any, to: [dead1, e1, dead2]}]`)
	c := w.client("http", false)
	for i := range 30 {
		method := []string{"GET", "POST", "DELETE", "PATCH"}[i%4]
		w.want(w.do(c, method, "http://a.example/", nil), 200, "e1")
	}
}

// However many are dead: trying costs little, and nothing was sent.
func retryMany(w *world) {
	w.apply(`routes: [{id: any, to: [dead1, dead2, dead3, dead4, dead5, dead6, dead7, e1]}]`)
	for range 5 {
		w.want(w.do(w.client("http", false), http.MethodPost, "http://a.example/", strings.NewReader("hello")), 200, "e1")
	}
}

// A client that keeps its connection learns of it as any other.
func retryKept(w *world) {
	w.apply(`routes: [{id: any, to: [e1]}]`)
	c := w.client("http", false)
	for range 3 {
		w.want(w.do(c, http.MethodPost, "http://a.example/", strings.NewReader("x")), 200, "e1")
		w.want(w.do(c, http.MethodPost, "http://a.example/", strings.NewReader("x"), "X-Do: close"), http.StatusBadGateway, "")
	}
}

func retryBody(w *world) {
	w.apply(`routes: [{id: any, balance: least-conn, to: [dead1, dead2, e1]}]`)
	body := strings.Repeat("0123456789abcdef", 1<<14) // 256 KiB
	for range 5 {
		w.want(w.do(w.client("http", false), http.MethodPost, "http://a.example/", strings.NewReader(body)), 200, "e1")
	}
	for _, s := range w.log.since(0) {
		if s.Body != body || s.BodyErr != "" {
			w.Errorf("sent %d bytes, the endpoint saw %d others (%s)", len(body), len(s.Body), s.BodyErr)
		}
	}
}

// A body that arrives slowly cannot be kept, and need not be: nothing was sent.
func retryStreamedBody(w *world) {
	w.apply(`routes: [{id: any, to: [dead1, e1]}]`)
	for range 4 {
		body, pipe := io.Pipe()
		p := w.begin(w.client("http", false), http.MethodPost, "http://a.example/", body)
		_, _ = io.WriteString(pipe, "slow")
		time.Sleep(5 * time.Millisecond)
		_, _ = io.WriteString(pipe, "ly")
		_ = pipe.Close()
		w.want(p.end(), 200, "e1")
	}
	for _, s := range w.log.since(0) {
		if s.Body != "slowly" {
			w.Errorf("the endpoint saw the body %q", s.Body)
		}
	}
}

// An order that was placed is not placed twice, however the endpoint fails.
func retryNever(w *world) {
	w.apply(`routes: [{id: any, to: [e1, e2, e3]}]`)
	for i, do := range []string{"close", "rst", "garbage", "no-read; close", "no-read; rst"} {
		for _, method := range []string{"POST", "PATCH"} {
			before := w.log.len()
			body := fmt.Sprint("order ", i)
			a := w.do(w.client("http", false), method, "http://a.example/order", strings.NewReader(body), "X-Do: "+do)
			if a.StatusCode != http.StatusBadGateway {
				w.Errorf("%s, %s: answered %d, want 502", method, do, a.StatusCode)
			}
			if n := w.log.len() - before; n != 1 {
				w.Errorf("%s, %s: endpoints saw it %d times", method, do, n)
			}
		}
	}
}

// An endpoint may close a connection that is idle. The engine has seen that by
// the time of the next request, or finds out before it has sent anything.
func retryStale(w *world) {
	w.serve("e1", func(rw http.ResponseWriter, r *http.Request) {
		e := w.endpoints["e1"]
		s := e.note(r)
		conn, buffered, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(buffered, "HTTP/1.1 200 OK\r\nX-Endpoint: e1\r\nContent-Length: %d\r\n\r\n%s", len(s.Body), s.Body)
		_ = buffered.Flush()
		_ = conn.Close() // without having said so
	})
	w.apply(`routes: [{id: any, to: [e1]}]`)
	c := w.client("http", false)
	for i := range 8 {
		w.want(w.do(c, http.MethodPost, "http://a.example/", strings.NewReader("hello")), 200, "e1")
		if n := w.log.len(); n != i+1 {
			w.Fatalf("after %d requests the endpoint has seen %d", i+1, n)
		}
		time.Sleep(settle) // the close arrives
	}
}

func retryGone(w *world) {
	var calls atomic.Int64
	arrived := make(chan struct{}, 10)
	slow := func(_ http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		arrived <- struct{}{}
		<-r.Context().Done()
	}
	w.serve("e1", slow)
	w.serve("e2", slow)
	w.apply(`routes: [{id: any, to: [e1, e2]}]`)
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	receive(w, "request", arrived)
	_ = r.Close()
	time.Sleep(2 * settle)
	if n := calls.Load(); n != 1 {
		w.Errorf("endpoints were asked %d times for a client that left", n)
	}
}

const (
	holdNothing = `routes: [{id: any, hold: 4s, to: ["e1!waiting"]}]`
	holdSomeone = `routes: [{id: any, hold: 4s, to: [e1]}]`
)

// A request that comes while a service restarts waits instead of failing.
func holdReady(w *world) {
	w.apply(holdNothing)
	start := time.Now()
	var all []pending
	for i := range 5 {
		all = append(all, w.begin(w.client("http", false), http.MethodPost, "http://a.example/", strings.NewReader(fmt.Sprint("body ", i))))
	}
	time.Sleep(2 * settle)
	if n := w.log.len(); n != 0 {
		w.Fatalf("a waiting endpoint saw %d requests", n)
	}
	w.apply(holdSomeone)
	for _, p := range all {
		w.want(p.end(), 200, "e1")
	}
	if d := time.Since(start); d > 3*time.Second {
		w.Errorf("the requests were held for %v, though the endpoint was ready after %v", d, 2*settle)
	}
	for _, s := range w.log.since(0) {
		if !strings.HasPrefix(s.Body, "body ") {
			w.Errorf("the body became %q", s.Body)
		}
	}
}

func holdBounded(w *world) {
	w.apply(`
routes:
  - {id: held, host: held.example, hold: 300ms, to: []}
  - {id: not, host: not.example, to: []}
`)
	for host, hold := range map[string]time.Duration{"held.example": 300 * time.Millisecond, "not.example": 0} {
		start := time.Now()
		a := w.get("http://" + host + "/")
		if a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
			w.Errorf("%s: answered %d, Retry-After %q", host, a.StatusCode, a.Header.Get("Retry-After"))
		}
		if d := time.Since(start); d < hold || d > hold+patience {
			w.Errorf("%s: answered after %v, the hold is %v", host, d, hold)
		}
	}
}

// A client that resets its connection has left; one that only closes its side may
// still wait for the answer.
func holdGone(w *world) {
	w.apply(holdNothing)
	r := w.raw()
	r.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	_ = r.SetReadDeadline(time.Now().Add(2 * settle))
	if b, err := r.r.ReadByte(); err == nil {
		w.Errorf("answered %q though no endpoint is ready", b)
	}
	if tcp, ok := r.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = r.Close()
	time.Sleep(4 * settle) // the engine hears of it
	w.apply(holdSomeone)
	time.Sleep(2 * settle)
	if n := w.log.len(); n != 0 {
		w.Errorf("the endpoint saw %d requests of a client that left", n)
	}
}

// A container that has just been started may not listen yet.
func holdListens(w *world) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	w.endpoints["e1"] = &endpoint{name: "e1", address: address, log: w.log}
	w.apply(`routes: [{id: any, hold: 4s, to: [e1]}]`)
	p := w.begin(w.client("http", false), http.MethodPost, "http://a.example/", strings.NewReader("hello"))
	time.Sleep(2 * settle)
	l, err := net.Listen("tcp", address)
	if err != nil {
		w.Skipf("another program took the port: %v", err)
	}
	server := &http.Server{Handler: w.endpoints["e1"], ReadHeaderTimeout: patience}
	w.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(l) }()
	w.want(p.end(), 200, "e1")
	if s := w.log.since(0)[0]; s.Body != "hello" {
		w.Errorf("the body became %q", s.Body)
	}
}

// Nobody listens, and that does not change: when the time is over it is said.
func holdFailing(w *world) {
	w.apply(`routes: [{id: any, hold: 300ms, to: [dead1]}]`)
	start := time.Now()
	a := w.get("http://a.example/")
	if a.StatusCode != http.StatusBadGateway && a.StatusCode != http.StatusServiceUnavailable || time.Since(start) > patience {
		w.Errorf("answered %d after %v, want 502 or 503 after 300ms", a.StatusCode, time.Since(start))
	}
}

// A service is removed, and made again: what is held goes to its next instance.
func holdRemade(w *world) { holdMeanwhile(w, "web") }

// Its place is taken by another service, which shares nothing with it but the host.
func holdMoved(w *world) { holdMeanwhile(w, "other") }

func holdMeanwhile(w *world, next string) {
	const elsewhere = `routes: [{id: elsewhere, host: elsewhere.example, to: [e1]}`
	for _, before := range []string{`["e2!waiting"]`, `[dead1]`, `[]`} {
		for wait := settle; ; wait *= 2 {
			w.apply(elsewhere + `, {id: web, path: /web, hold: 60s, to: ` + before + `}]`)
			seen := w.log.len()
			c := w.client("http", false)
			c.Timeout = w.limit()
			p := w.begin(c, http.MethodPost, "http://a.example/web", strings.NewReader("hello"))
			time.Sleep(wait)
			w.apply(elsewhere + `]`)
			w.apply(elsewhere + `, {id: ` + next + `, path: /web, hold: 60s, to: [e3]}]`)
			a := p.end()
			if a.StatusCode == http.StatusNotFound && wait < patience {
				continue // it came late, when there was no route: another try
			}
			w.want(a, 200, "e3")
			if s := w.log.since(seen); len(s) != 1 || s[0].Body != "hello" {
				w.Errorf("%s: the endpoint saw %+v", before, s)
			}
			break
		}
	}
}
