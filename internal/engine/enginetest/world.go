package enginetest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairway/internal/engine/enginetest/overquic"
	"fairway/internal/route"
)

// The measures of the suite. Nothing waits for patience when all is well; a
// case that fails should fail soon.
const (
	patience = 10 * time.Second // for what must happen
	settle   = 50 * time.Millisecond
)

// world is what a case plays in: an engine, endpoints, and what those have seen.
type world struct {
	testing.TB
	start     func() Engine // one more
	engine    Engine
	log       *record
	endpoints map[string]*endpoint
	certs     map[string]route.Certificate // by server name
	dir       string
	revision  uint64
	quic      bool // requests go over HTTP/3 where the case does not ask for HTTP/1.1
	differs   bool // of an engine that is known to fail the case
}

func newWorld(t testing.TB, start func() Engine) *world {
	return &world{
		TB:        t,
		start:     start,
		engine:    start(),
		log:       &record{},
		endpoints: map[string]*endpoint{},
		certs:     map[string]route.Certificate{},
		dir:       t.TempDir(),
	}
}

// limit bounds what has no bound of its own. An engine that is known to fail a case
// would take it whole.
func (w *world) limit() time.Duration {
	if w.differs {
		return patience / 2
	}
	return 6 * patience
}

// apply makes a table live that is written in the form of the data cases.
func (w *world) apply(text string) {
	w.Helper()
	w.applyTable(w.table(text))
}

func (w *world) applyTable(t *route.Table) {
	w.Helper()
	if err := w.engine.Apply(w.Context(), t); err != nil {
		w.Fatalf("apply: %v", err)
	}
}

// serve starts (or replaces the behaviour of) an endpoint that is not a plain
// recording one. Call it before the table that names the endpoint.
func (w *world) serve(name string, h http.HandlerFunc) *endpoint {
	w.Helper()
	e := w.endpoint(name, route.SchemeHTTP)
	e.handler.Store(&h)
	return e
}

// dial opens a connection to a listener.
func (w *world) dial(listener string) net.Conn {
	w.Helper()
	addr := w.engine.Addr(listener)
	if addr == nil {
		w.Fatalf("there is no listener %s", listener)
	}
	conn, err := net.DialTimeout("tcp", addr.String(), patience)
	if errors.Is(err, syscall.ECONNRESET) {
		// An engine that hangs up at once may be quicker than the dialler.
		var other net.Conn
		conn, other = net.Pipe()
		err = other.Close()
	}
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(2 * patience))
	return conn
}

// dialTLS opens a TLS connection to the listener https. An empty name sends no
// server name.
func (w *world) dialTLS(name string, protocols ...string) *tls.Conn {
	w.Helper()
	conn := tls.Client(w.dial("https"), &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: protocols})
	if err := conn.HandshakeContext(w.Context()); err != nil {
		w.Fatalf("TLS handshake for %s: %v", name, err)
	}
	return conn
}

// client returns an HTTP client that connects to the listener whatever the URL
// says. With "https" it speaks TLS, and HTTP/2 when h2 is set. It follows no
// redirects and adds no encoding of its own.
func (w *world) client(listener string, h2 bool) *http.Client {
	if w.quic && listener == "https" && h2 {
		return w.overQUIC(&tls.Config{InsecureSkipVerify: true})
	}
	transport := &http.Transport{
		DisableCompression: true,
		Protocols:          new(http.Protocols),
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true},
	}
	dial := func() (net.Conn, error) {
		return net.DialTimeout("tcp", w.engine.Addr(listener).String(), patience)
	}
	transport.DialContext = dialer(dial)
	transport.Protocols.SetHTTP1(!h2)
	transport.Protocols.SetHTTP2(h2)
	w.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		Timeout:       w.limit(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// overQUIC returns a client as client does, of HTTP/3.
func (w *world) overQUIC(config *tls.Config) *http.Client {
	return overquic.Client(w, func() net.Addr { return w.engine.(quicEngine).AddrQUIC("https") }, config, w.limit())
}

// answer is a response that was read to its end.
type answer struct {
	*http.Response
	body   string
	broken error // why the body ended early
}

// do sends a request and reads the answer.
func (w *world) do(c *http.Client, method, url string, body io.Reader, header ...string) answer {
	w.Helper()
	return w.begin(c, method, url, body, header...).end()
}

// pending is a request under way.
type pending struct {
	w    *world
	what string
	done chan pendingEnd
}

type pendingEnd struct {
	answer
	err error
}

// begin sends a request in the background.
func (w *world) begin(c *http.Client, method, url string, body io.Reader, header ...string) pending {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, url, body)
	if err != nil {
		w.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	p := pending{w, method + " " + url, make(chan pendingEnd, 1)}
	go func() {
		resp, err := c.Do(req)
		if err != nil {
			p.done <- pendingEnd{err: err}
			return
		}
		p.done <- pendingEnd{answer: readAnswer(resp)}
	}()
	return p
}

// end waits for the answer.
func (p pending) end() answer {
	p.w.Helper()
	select {
	case e := <-p.done:
		if e.err != nil {
			p.w.Fatalf("%s: %v", p.what, e.err)
		}
		return e.answer
	case <-time.After(3 * patience):
		p.w.Fatalf("%s: no answer", p.what)
		panic("unreachable")
	}
}

// get sends a GET over a client of its own to the listener http.
func (w *world) get(url string, header ...string) answer {
	w.Helper()
	return w.do(w.client("http", false), http.MethodGet, url, nil, header...)
}

func readAnswer(resp *http.Response) answer {
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return answer{resp, string(body), err}
}

// want checks the status of an answer, and who answered when endpoint is not
// empty.
func (w *world) want(a answer, status int, endpoint string) {
	w.Helper()
	if a.StatusCode != status || a.broken != nil {
		w.Fatalf("answered %d (%v), want %d; body: %s", a.StatusCode, a.broken, status, a.body)
	}
	if got := a.Header.Get(headerEndpoint); endpoint != "" && got != endpoint {
		w.Fatalf("answered by %q, want %s", got, endpoint)
	}
}

// raw is a connection over which a case speaks HTTP/1.1 by itself.
type raw struct {
	w *world
	net.Conn
	r *bufio.Reader
}

func (w *world) raw() *raw {
	w.Helper()
	conn := w.dial("http")
	return &raw{w, conn, bufio.NewReader(conn)}
}

// send writes text as it is. Failing to is no failure of the case: an engine may
// hang up on what it does not like, and the answer says so.
func (r *raw) send(text string) {
	_, _ = io.WriteString(r, text)
}

// response reads the head of the next response to a request of the method.
func (r *raw) response(method string) *http.Response {
	r.w.Helper()
	resp, err := http.ReadResponse(r.r, &http.Request{Method: method})
	if err != nil {
		r.w.Fatalf("no answer: %v", err)
	}
	return resp
}

// eventually waits until ok, and fails the case when it does not happen.
func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("%s: it did not happen within %v", what, patience)
		}
	}
}

// receive takes the next value out of a channel, and fails the case when there
// is none.
func receive[T any](w *world, what string, c <-chan T) T {
	w.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		w.Fatalf("%s: it did not happen within %v", what, patience)
		panic("unreachable")
	}
}

func newReader(conn net.Conn) *bufio.Reader { return bufio.NewReader(conn) }

// writeFile writes a file of the case's own directory, in one step.
func (w *world) writeFile(name, content string) {
	w.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		w.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		w.Fatal(err)
	}
}
