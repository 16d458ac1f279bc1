package embedded

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testLog passes the log on to the test.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// site is an engine with a table that a test changes piece by piece.
type site struct {
	t      testing.TB
	engine *Engine

	revision  uint64
	listeners []route.Listener
	routes    map[string]*route.Route
	backends  map[string]*route.Backend
	problems  []route.Problem
}

// newSite starts an engine with one listener, "http", in clear.
func newSite(t testing.TB, o Options) *site {
	t.Helper()
	if o.Logger == nil {
		o.Logger = testLog(t)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
		defer cancel()
		_ = e.Stop(ctx) // tests of Stop look at its error
	})
	return &site{
		t: t, engine: e,
		listeners: []route.Listener{{Name: "http", Address: "127.0.0.1:0"}},
		routes:    map[string]*route.Route{},
		backends:  map[string]*route.Backend{},
	}
}

// route adds or replaces a route for all paths of a host. change may adapt it.
func (s *site) route(id, host string, change func(*route.Route)) {
	r := &route.Route{
		ID: id, Service: id, Backend: id,
		Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: host}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
	}
	if change != nil {
		change(r)
	}
	s.routes[id] = r
}

// backend adds or replaces the backend of a route.
func (s *site) backend(id string, change func(*route.Backend), addresses ...string) {
	b := &route.Backend{ID: id, Service: id, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
	for i, a := range addresses {
		b.Endpoints = append(b.Endpoints, route.Endpoint{
			ID: fmt.Sprintf("e%d", i), Address: a, Weight: 1, State: route.EndpointReady, Instance: fmt.Sprintf("%s-%d", id, i),
		})
	}
	if change != nil {
		change(b)
	}
	s.backends[id] = b
}

// serve adds a route for host with a backend of these addresses.
func (s *site) serve(host string, addresses ...string) {
	s.route(host, host, nil)
	s.backend(host, nil, addresses...)
}

// disconnected has the table say that no network leads to an instance that runs.
func (s *site) disconnected(e route.Endpoint) {
	s.problems = append(s.problems, route.Problem{
		Code: route.CodeNoAddress, Source: e.Source, Instance: e.Instance, Text: "Fairway is on none of its networks",
	})
}

// table makes the table of what there is.
func (s *site) table() *route.Table {
	s.t.Helper()
	s.revision++
	var routes []*route.Route
	for _, r := range s.routes {
		routes = append(routes, r)
	}
	var backends []*route.Backend
	for _, b := range s.backends {
		backends = append(backends, b)
	}
	table, err := route.New(s.revision, s.listeners, routes, backends, s.problems)
	if err != nil {
		s.t.Fatal(err)
	}
	return table
}

func (s *site) apply() {
	s.t.Helper()
	if err := s.engine.Apply(context.Background(), s.table()); err != nil {
		s.t.Fatal(err)
	}
}

// addr is where a listener listens.
func (s *site) addr(listener string) string { return s.engine.Addr(listener).String() }

// get asks for a path of a host over a connection of its own.
func (s *site) get(host, path string) *response {
	s.t.Helper()
	return s.raw("GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
}

// response is an answer that was read to its end.
type response struct {
	*http.Response
	body string
}

// raw sends bytes and reads one answer.
func (s *site) raw(request string) *response {
	s.t.Helper()
	method, _, _ := strings.Cut(request, " ")
	c := s.dial("http")
	defer c.Close()
	c.send(request)
	return c.answer(method)
}

// conn is a client's connection, for tests that care about single bytes.
type conn struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (s *site) dial(listener string) *conn {
	s.t.Helper()
	return dial(s.t, s.addr(listener))
}

func dial(t testing.TB, addr string) *conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	cc := &conn{Conn: c, t: t, r: bufio.NewReader(c)}
	cc.within(testkit.Patience)
	return cc
}

// within bounds everything that is read and written from now on.
func (c *conn) within(d time.Duration) {
	c.t.Helper()
	if err := c.SetDeadline(time.Now().Add(d)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *conn) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// answer reads one answer to a request with the method.
func (c *conn) answer(method string) *response {
	c.t.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatalf("reading the answer: %v", err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatalf("reading the answer's body: %v", err)
	}
	return &response{res, string(body)}
}

// closed fails the test unless the other end closes the connection.
func (c *conn) closed() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 {
		c.t.Errorf("connection was to be closed, but there came %q (%v)", rest, err)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Error("connection is still open")
	}
}

// app is an application that notes what it was asked.
type app struct {
	*httptest.Server
	mu       sync.Mutex
	requests []seen
}

// seen is a request as an application saw it.
type seen struct {
	method, target, host string
	header               http.Header
	body                 string
	trailer              http.Header
}

// newApp starts an application. handle may be nil: it answers 200.
func newApp(t testing.TB, handle http.HandlerFunc) *app {
	t.Helper()
	a := &app{}
	a.Server = httptest.NewServer(a.record(handle))
	t.Cleanup(a.Close)
	return a
}

func (a *app) record(handle http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := seen{method: r.Method, target: r.RequestURI, host: r.Host, header: r.Header.Clone()}
		if handle == nil {
			body, _ := io.ReadAll(r.Body)
			s.body, s.trailer = string(body), r.Trailer.Clone()
		}
		a.mu.Lock()
		a.requests = append(a.requests, s)
		a.mu.Unlock()
		if handle == nil {
			fmt.Fprint(w, "ok")
			return
		}
		handle(w, r)
	})
}

func (a *app) addr() string { return a.Listener.Addr().String() }

func (a *app) all() []seen {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]seen(nil), a.requests...)
}

// last is the request that came last.
func (a *app) last() seen {
	all := a.all()
	if len(all) == 0 {
		return seen{}
	}
	return all[len(all)-1]
}

// deadAddress is an address where nobody listens.
func deadAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// silentAddress is an address where a connection is neither taken nor refused: the
// queue of those who wait to be accepted is full.
func silentAddress(t testing.TB) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for failed := 0; failed < 2; { // one alone may be the fault of a busy machine
		c, err := net.DialTimeout("tcp", addr, 300*time.Millisecond)
		if err != nil {
			failed++
			continue
		}
		failed = 0
		t.Cleanup(func() { _ = c.Close() })
	}
	return addr
}

// client returns an HTTP client that resolves every name to a listener. h2 has it
// speak HTTP/2 over TLS without looking at the certificate.
func (s *site) client(listener string, h2 bool) *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.addr(listener))
		},
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2:  h2,
		DisableCompression: true,
	}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport: tr, Timeout: testkit.Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
