package embedded

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	library "github.com/quic-go/quic-go/http3"

	"fairway/internal/engine/enginetest/overquic"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// withQUIC adds the listener https, which serves HTTP/3 as well at the address.
func (s *site) withQUIC(address string) {
	l := tlsListener(s.t, "https", "a.example")
	l.QUIC.Address = address
	s.listeners = append(s.listeners, l)
}

// overQUIC is a client of HTTP/3, with connections of its own.
func (s *site) overQUIC() *http.Client {
	addr := s.engine.AddrQUIC("https")
	return &http.Client{Transport: overquic.Transport(s.t, func() net.Addr { return addr }, &tls.Config{InsecureSkipVerify: true}), Timeout: 2 * testkit.Patience}
}

func ask(t testing.TB, c *http.Client, url string) *http.Response {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return res
}

// TestAltSvc: who comes over TLS gets to know where HTTP/3 is, and no one else.
func TestAltSvc(t *testing.T) {
	var log lockedBuffer
	a := newApp(t, nil)
	s := newSite(t, Options{AccessLog: &log})
	s.withQUIC("127.0.0.1:0")
	s.serve("a.example", a.addr())
	s.apply()
	_, port, _ := net.SplitHostPort(s.engine.AddrQUIC("https").String())
	for _, want := range []string{port, "443"} {
		for proto, c := range map[string]*http.Client{"HTTP/1.1": s.client("https", false), "HTTP/2.0": s.client("https", true), "HTTP/3.0": s.overQUIC()} {
			res := ask(t, c, "https://a.example/"+want+"/"+proto[5:6])
			if got := res.Header.Get("Alt-Svc"); res.StatusCode != 200 || res.Proto != proto || got != `h3=":`+want+`"; ma=86400` {
				t.Errorf("%s: %d over %s, Alt-Svc %q", proto, res.StatusCode, res.Proto, got)
			}
		}
		if got := s.get("a.example", "/").Header.Get("Alt-Svc"); got != "" {
			t.Errorf("in clear: %q", got)
		}
		s.listeners[1].QUIC.Port = 443
		s.apply()
	}
	testkit.Eventually(t, "the access log has the request", func() bool {
		return strings.Contains(log.String(), `"path":"/443/3","proto":"HTTP/3.0","tls":true`)
	})
}

// TestQUICLeaves: a request that runs when the listener leaves the table is answered, nothing
// new is, and the address can be bound at once by the next table.
func TestQUICLeaves(t *testing.T) {
	arrived, proceed := make(chan struct{}), make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			close(arrived)
			<-proceed
		}
		_, _ = io.WriteString(w, "answer")
	})
	s := newSite(t, Options{})
	socket, err := net.ListenPacket("udp", "127.0.0.1:0") // port 0 would be another one each time
	if err != nil {
		t.Fatal(err)
	}
	address := socket.LocalAddr().String()
	_ = socket.Close()
	s.withQUIC(address)
	s.serve("a.example", a.addr())
	s.apply()
	old, idle := s.overQUIC(), s.overQUIC()
	ask(t, idle, "https://a.example/")
	answered := make(chan error, 1)
	go func() {
		res, err := old.Get("https://a.example/wait")
		if err == nil {
			var body []byte
			body, err = io.ReadAll(res.Body)
			_ = res.Body.Close()
			if string(body) != "answer" {
				err = errors.Join(err, errors.New(res.Status+": "+string(body)))
			}
		}
		answered <- err
	}()
	<-arrived
	s.listeners[1].QUIC.Address = ""
	s.apply()
	if s.engine.AddrQUIC("https") != nil {
		t.Error("HTTP/3 is still served")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if c, err := quic.DialAddr(ctx, address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil); err == nil {
		_ = c.CloseWithError(0, "")
		t.Error("a listener that left takes connections")
	}
	close(proceed)
	if err := <-answered; err != nil {
		t.Errorf("the request that ran: %v", err)
	}
	s.listeners[1].QUIC.Address = address
	s.apply()
	if res := ask(t, s.overQUIC(), "https://a.example/"); res.StatusCode != 200 {
		t.Errorf("after the listener came back: %d", res.StatusCode)
	}
}

// TestQUICStops: a stop waits for requests, and not for connections without any.
func TestQUICStops(t *testing.T) {
	arrived, proceed := make(chan struct{}), make(chan struct{})
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			close(arrived)
			<-proceed
		}
	})
	s := newSite(t, Options{})
	s.withQUIC("127.0.0.1:0")
	s.serve("a.example", a.addr())
	s.apply()
	c, idle := s.overQUIC(), s.overQUIC()
	ask(t, idle, "https://a.example/")
	var res *http.Response
	var err error
	var running sync.WaitGroup
	running.Go(func() { res, err = c.Get("https://a.example/wait") })
	<-arrived
	stopped := make(chan error, 1)
	go func() { stopped <- s.engine.Stop(t.Context()) }()
	close(proceed)
	running.Wait()
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("the request that ran: %v", err)
	}
	_ = res.Body.Close()
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testkit.Patience):
		t.Error("a connection without requests holds up a stop")
	}
}

// TestQUICRoom: connections of HTTP/3 count as others do, and one that is idle makes room.
func TestQUICRoom(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{MaxConnsPerSource: 2})
	s.withQUIC("127.0.0.1:0")
	s.serve("a.example", a.addr())
	s.apply()
	addr := s.engine.AddrQUIC("https").String()
	connect := func() *quic.Conn {
		c, err := quic.DialAddr(t.Context(), addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.CloseWithError(0, "") })
		res, err := (&library.Transport{}).NewClientConn(c).RoundTrip(newGet(t, "https://a.example/"))
		if err != nil || res.StatusCode != 200 {
			t.Fatal(res, err)
		}
		_ = res.Body.Close()
		return c
	}
	first := connect()
	connect()
	testkit.Eventually(t, "both count", func() bool { return s.engine.OpenConnections()["https"] == 2 })
	connect()
	select {
	case <-first.Context().Done():
	case <-time.After(testkit.Patience):
		t.Error("the connection that was idle longest is still open")
	}
	testkit.Eventually(t, "it does not count any more", func() bool { return s.engine.OpenConnections()["https"] == 2 })
}

// TestQUICHalfAHead: a connection whose client never finishes the head of a request ends like
// one that is idle.
func TestQUICHalfAHead(t *testing.T) {
	s := newSite(t, Options{IdleTimeout: 200 * time.Millisecond})
	s.withQUIC("127.0.0.1:0")
	s.apply()
	c, err := quic.DialAddr(t.Context(), s.engine.AddrQUIC("https").String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseWithError(0, "") }()
	stream, err := c.OpenStreamSync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Write([]byte{0x01, 0x40, 0x64, 0, 0}); err != nil { // HEADERS of 100 bytes, and two of them
		t.Fatal(err)
	}
	select {
	case <-c.Context().Done():
	case <-time.After(testkit.Patience):
		t.Error("the connection is still open")
	}
}

// TestQUICHalfHeads: one client has no more heads under way than requests at once, also beside a
// request that runs, which is answered; others are served meanwhile.
func TestQUICHalfHeads(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(asked)
			<-answer
		}
	}))
	defer slow.Close()
	s := newSite(t, Options{IdleTimeout: 200 * time.Millisecond})
	s.withQUIC("127.0.0.1:0")
	s.serve("a.example", slow.Listener.Addr().String())
	s.apply()
	c, err := quic.DialAddr(t.Context(), s.engine.AddrQUIC("https").String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseWithError(0, "") }()
	running := make(chan error, 1)
	go func() {
		res, err := (&library.Transport{}).NewClientConn(c).RoundTrip(newGet(t, "https://a.example/slow"))
		if err == nil && res.StatusCode != 200 {
			err = errors.New(res.Status)
		}
		running <- err
	}()
	<-asked
	heads := 0
	for ; heads < 1000; heads++ {
		stream, err := c.OpenStream()
		if err != nil {
			break
		}
		if _, err := stream.Write([]byte{0x01, 0x40, 0x64, 0, 0}); err != nil {
			t.Fatal(err)
		}
	}
	if heads == 0 || heads > 100 {
		t.Errorf("%d heads are under way", heads)
	}
	if res := ask(t, s.overQUIC(), "https://a.example/"); res.StatusCode != 200 {
		t.Error(res.Status)
	}
	close(answer)
	if err := <-running; err != nil {
		t.Errorf("the request that runs: %v", err)
	}
	select {
	case <-c.Context().Done():
	case <-time.After(testkit.Patience):
		t.Error("heads that never end keep the connection")
	}
}

func newGet(t testing.TB, url string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestQUICMoves: a client whose address changes is known by the one that it has now.
func TestQUICMoves(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.withQUIC("127.0.0.1:0")
	s.serve("a.example", a.addr())
	s.route("a.example", "a.example", func(r *route.Route) {
		r.Filters = []route.Filter{{IPAllow: &route.IPAllow{Prefixes: prefixesOf("127.0.0.1/32", "127.0.0.3/32")}}}
	})
	s.apply()
	transport := func(host string) *quic.Transport {
		socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)})
		if err != nil {
			t.Skip("this machine has no such address: ", err)
		}
		tr := &quic.Transport{Conn: socket}
		t.Cleanup(func() { _ = tr.Close(); _ = socket.Close() })
		return tr
	}
	c, err := transport("127.0.0.1").Dial(t.Context(), s.engine.AddrQUIC("https"), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseWithError(0, "") }()
	client := (&library.Transport{}).NewClientConn(c)
	status := func() int {
		res, err := client.RoundTrip(newGet(t, "https://a.example/"))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	if got := status(); got != 200 || a.last().header.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Fatalf("before it moves: %d", got)
	}
	move := func(host string) {
		path, err := c.AddPath(transport(host))
		if err != nil {
			t.Fatal(err)
		}
		if err := path.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := path.Switch(); err != nil {
			t.Fatal(err)
		}
	}
	move("127.0.0.2")
	testkit.Eventually(t, "an address that may not is refused", func() bool { return status() == 403 })
	move("127.0.0.3")
	testkit.Eventually(t, "the third address is known", func() bool { return status() == 200 && a.last().header.Get("X-Forwarded-For") == "127.0.0.3" })
}

// TestIndependentClient: a client of HTTP/3 that has nothing in common with the library of
// the engine (ngtcp2, nghttp3 and GnuTLS) gets its answers, and no 0-RTT.
func TestIndependentClient(t *testing.T) {
	program, err := exec.LookPath("gtlsclient")
	if err != nil {
		t.Skip("there is no gtlsclient: apt-get install ngtcp2-client")
	}
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/large" {
			body = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		}
		_, _ = w.Write(append([]byte(r.Method+" "+r.Host+" "), body...))
	})
	s := newSite(t, Options{})
	s.withQUIC("127.0.0.1:0")
	s.serve("a.example", a.addr())
	s.apply()
	_, port, _ := net.SplitHostPort(s.engine.AddrQUIC("https").String())
	dir := t.TempDir()
	run := func(args ...string) string {
		args = append([]string{"--exit-on-all-streams-close", "--download=" + dir, "--session-file=" + dir + "/session", "--tp-file=" + dir + "/tp", "--sni=a.example"}, args...)
		out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	run("127.0.0.1", port, "https://a.example/small", "https://a.example/large")
	if got := read("small"); got != "GET a.example " {
		t.Errorf("got %q", got)
	}
	if got := read("large"); len(got) != len("GET a.example ")+1<<20 {
		t.Errorf("got %d bytes", len(got))
	}
	upload := filepath.Join(dir, "upload")
	if err := os.WriteFile(upload, bytes.Repeat([]byte("x"), 300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	out := run("--http-method=POST", "--data="+upload, "127.0.0.1", port, "https://a.example/posted")
	if got := read("posted"); len(got) != len("POST a.example ")+300_000 || !strings.HasPrefix(got, "POST") {
		t.Errorf("posted: %d bytes", len(got))
	}
	if !strings.Contains(out, "type=0RTT") || !strings.Contains(out, "Early data was rejected by server") {
		t.Error("the client has a session of before, and its early data was not refused")
	}
}
