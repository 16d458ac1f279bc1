package embedded

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// TestHeaders: what an application gets of a plain request, to the last header.
func TestHeaders(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.listeners[0].TrustedProxies = prefixesOf("127.0.0.1/32")
	s.apply()
	res := s.raw("PUT /x?y=1 HTTP/1.1\r\nHost: A.example\r\nX-Request-Id: abc-1\r\nTraceparent: 00-1-2-01\r\nContent-Length: 2\r\n" +
		"Connection: X-Gone\r\nX-Gone: 1\r\nX-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nCookie: a=b\r\n\r\nhi")
	if res.StatusCode != 200 || res.Header.Get("X-Request-Id") != "abc-1" {
		t.Errorf("answer %d %v", res.StatusCode, res.Header)
	}
	want := seen{method: "PUT", target: "/x?y=1", host: "a.example", body: "hi", header: http.Header{
		"Content-Length": {"2"}, "Cookie": {"a=b"}, "Traceparent": {"00-1-2-01"}, "X-Request-Id": {"abc-1"},
		"X-Forwarded-For": {"9.9.9.9, 127.0.0.1"}, "X-Real-Ip": {"9.9.9.9"}, "X-Forwarded-Proto": {"https"},
		"X-Forwarded-Host": {"a.example"}, "X-Forwarded-Port": {"443"},
	}}
	if diff := cmp.Diff(want, a.last(), cmp.AllowUnexported(seen{})); diff != "" {
		t.Errorf("request at the application (-want +got):\n%s", diff)
	}
}

func TestWebSocket(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, append([]byte("echo "), b...)); err != nil {
				return
			}
		}
	})
	s := newSite(t, Options{})
	s.listeners = append(s.listeners, tlsListener(t, "https", "a.example"))
	s.serve("a.example", a.addr())
	s.apply()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for listener, url := range map[string]string{"http": "ws://a.example/ws", "https": "wss://a.example/ws"} {
		c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: s.client(listener, false)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if err := c.Write(ctx, websocket.MessageText, fmt.Append(nil, i)); err != nil {
				t.Fatal(err)
			}
			if _, b, err := c.Read(ctx); err != nil || string(b) != fmt.Sprint("echo ", i) {
				t.Fatalf("%s: %q %v", listener, b, err)
			}
		}
		if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
			t.Errorf("%s: close: %v", listener, err)
		}
	}
	testkit.Eventually(t, "both sockets are over", func() bool { return s.engine.running.Load() == 0 })
	for _, e := range s.engine.Endpoints() {
		if e.InFlight != 0 {
			t.Errorf("%d requests in flight", e.InFlight)
		}
	}
}

// TestServerSentEvents: each event arrives when it is sent, over both versions.
func TestServerSentEvents(t *testing.T) {
	streams := map[string]chan string{"http": make(chan string), "https": make(chan string)}
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		next := streams[r.Header.Get("X-Forwarded-Proto")]
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			select {
			case e := <-next:
				fmt.Fprintf(w, "data: %s\n\n", e)
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	s := newSite(t, Options{})
	s.listeners = append(s.listeners, tlsListener(t, "https", "a.example"))
	s.serve("a.example", a.addr())
	s.routes["a.example"].Filters = []route.Filter{{Compress: &route.Compress{}}}
	s.apply()
	for _, listener := range []string{"http", "https"} {
		next := streams[listener]
		go func() { next <- "first" }()
		req, _ := http.NewRequest(http.MethodGet, map[string]string{"http": "http://a.example/", "https": "https://a.example/"}[listener], nil)
		req.Header.Set("Accept-Encoding", "gzip")
		res, err := s.client(listener, true).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(res.Body)
		for _, e := range []string{"first", "second", "third"} {
			if e != "first" {
				next <- e
			}
			line, err := r.ReadString('\n')
			if err != nil || line != "data: "+e+"\n" {
				t.Fatalf("%s: %q %v", listener, line, err)
			}
			_, _ = r.ReadString('\n')
		}
		res.Body.Close()
	}
}

// newH2App starts an application that speaks HTTP/2, with or without TLS.
func newH2App(t testing.TB, secure bool, handle http.HandlerFunc) *app {
	t.Helper()
	a := &app{}
	a.Server = httptest.NewUnstartedServer(a.record(handle))
	a.Config.Protocols = new(http.Protocols)
	if secure {
		a.Config.Protocols.SetHTTP2(true)
		a.EnableHTTP2 = true
		a.StartTLS()
	} else {
		a.Config.Protocols.SetUnencryptedHTTP2(true)
		a.Start()
	}
	t.Cleanup(a.Close)
	return a
}

// TestGRPC: what gRPC needs of a proxy: HTTP/2 on both sides, "TE: trailers",
// both directions at the same time, trailers, and trailers without a body.
func TestGRPC(t *testing.T) {
	handle := func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" {
			http.Error(w, "not what gRPC needs: "+r.Proto+" "+r.Header.Get("Te"), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		if r.URL.Path == "/none" {
			w.Header().Set("Grpc-Status", "12")
			return
		}
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "echo %s\n", lines.Text())
			w.(http.Flusher).Flush()
		}
		w.Header().Set("Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", "unannounced")
	}
	s := newSite(t, Options{})
	s.listeners = append(s.listeners, tlsListener(t, "https", "a.example"))
	s.serve("h2c.example", newH2App(t, false, handle).addr())
	s.backends["h2c.example"].Scheme = route.SchemeH2C
	s.serve("tls.example", newH2App(t, true, handle).addr())
	s.backends["tls.example"].Scheme = route.SchemeHTTPS
	s.backends["tls.example"].TLS = &route.TLS{SkipVerify: true}
	s.apply()
	client := s.client("https", true)
	for _, host := range []string{"h2c.example", "tls.example"} {
		in, out := io.Pipe()
		req, _ := http.NewRequest(http.MethodPost, "https://"+host+"/echo", in)
		req.Header.Set("Te", "trailers")
		req.Header.Set("Content-Type", "application/grpc")
		go fmt.Fprintln(out, 0)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 || res.ProtoMajor != 2 {
			body, _ := io.ReadAll(res.Body)
			t.Fatalf("%s: %s %s %s", host, res.Proto, res.Status, body)
		}
		r := bufio.NewReader(res.Body)
		for i := range 3 {
			if i > 0 {
				fmt.Fprintln(out, i)
			}
			if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("echo %d\n", i) {
				t.Fatalf("%s: %q %v", host, line, err)
			}
		}
		out.Close()
		if _, err := io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
		want := http.Header{"Grpc-Status": {"0"}, "Grpc-Message": {"unannounced"}}
		if diff := cmp.Diff(want, res.Trailer); diff != "" {
			t.Errorf("%s: trailer (-want +got):\n%s", host, diff)
		}

		req, _ = http.NewRequest(http.MethodPost, "https://"+host+"/none", strings.NewReader("x"))
		req.Header.Set("Te", "trailers")
		if res, err = client.Do(req); err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(res.Body)
		if got := res.Trailer.Get("Grpc-Status"); got != "12" {
			t.Errorf("%s: trailers alone: %q, header %v", host, got, res.Header)
		}
	}
}

// TestEarlyAnswers: 103 and 100 pass through.
func TestEarlyAnswers(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusUnauthorized) // without asking for the body
			return
		}
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%d bytes", len(body))
	})
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	var early []int
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		if code == 103 && h.Get("Link") == "" {
			t.Error("103 without its header")
		}
		early = append(early, code)
		return nil
	}}
	ctx := httptrace.WithClientTrace(context.Background(), trace)
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://a.example/", strings.NewReader("hello"))
	res, err := s.client("http", false).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if string(body) != "5 bytes" || len(early) != 1 || early[0] != 103 {
		t.Errorf("%q after %v", body, early)
	}

	c := s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	status := func() string { line, _ := c.r.ReadString('\n'); return strings.TrimSpace(line) }
	for _, want := range []string{"HTTP/1.1 103 Early Hints", "HTTP/1.1 100 Continue"} {
		if got := status(); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
		for line := "-"; line != ""; line = status() {
		}
	}
	c.send("hi")
	if res := c.answer("POST"); res.body != "2 bytes" {
		t.Errorf("after 100: %d %q", res.StatusCode, res.body)
	}

	c = s.dial("http")
	c.send("PUT / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if got := status(); got != "HTTP/1.1 103 Early Hints" {
		t.Fatalf("%q", got)
	}
	for line := "-"; line != ""; line = status() {
	}
	if got := status(); got != "HTTP/1.1 401 Unauthorized" {
		t.Errorf("%q: the client was asked for a body that the application does not want", got)
	}
}

// TestStreamingBody: a body goes on while it comes, and the answer may begin
// before it ends.
func TestStreamingBody(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex()
		b := make([]byte, 100)
		for {
			n, err := r.Body.Read(b)
			if n > 0 {
				fmt.Fprintf(w, "<%s>", b[:n])
				w.(http.Flusher).Flush()
			}
			if err != nil {
				return
			}
		}
	})
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	c := s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 3)
	for _, piece := range []string{"a", "b", "c"} {
		if piece != "a" {
			c.send("1\r\n" + piece + "\r\n")
		}
		if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != "<"+piece+">" {
			t.Fatalf("%q %v", b, err)
		}
	}
	c.send("0\r\n\r\n")
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil {
		t.Errorf("rest %q %v", rest, err)
	}
	// The connection is as good as new.
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nz")
	if res := c.answer("POST"); res.body != "<z>" {
		t.Errorf("%d %q", res.StatusCode, res.body)
	}
}

// TestClientGone: the application learns that nobody waits any more.
func TestClientGone(t *testing.T) {
	began, gone := make(chan struct{}), make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(gone)
	})
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.backends["a.example"].MaxFails = 1
	s.apply()
	c := s.dial("http")
	c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	<-began
	c.Close()
	select {
	case <-gone:
	case <-time.After(testkit.Patience):
		t.Fatal("the application still works")
	}
	testkit.Eventually(t, "the request is over", func() bool { return s.engine.running.Load() == 0 })
	if e := s.engine.Endpoints()[0]; e.InFlight != 0 || e.Failures != 0 {
		t.Errorf("endpoint after a client went away: %+v", e)
	}
}

// TestTimeout: an application that does not begin to answer is given up.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	a := newApp(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.routes["a.example"].Timeout = 100 * time.Millisecond
	s.apply()
	for _, method := range []string{"GET", "POST"} {
		res := s.raw(method + " / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
		if res.StatusCode != 504 || res.Header.Get("X-Fairway-Error") != "timeout" {
			t.Errorf("%s: %d %v", method, res.StatusCode, res.Header)
		}
	}
	if n := len(a.all()); n != 2 {
		t.Errorf("the application saw %d requests; one that timed out must not be repeated", n)
	}
}

// TestHTTPSBackend: certificates of endpoints are verified unless told otherwise.
func TestHTTPSBackend(t *testing.T) {
	cert := writeCertificate(t, t.TempDir(), "inner.example")
	pair, err := tls.LoadX509KeyPair(cert.CertFile, cert.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	a := &app{}
	a.Server = httptest.NewUnstartedServer(a.record(nil))
	a.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		names = append(names, h.ServerName)
		return &pair, nil
	}}
	a.StartTLS()
	defer a.Close()
	s := newSite(t, Options{})
	for host, opts := range map[string]*route.TLS{
		"plain.example": nil, "named.example": {ServerName: "inner.example"}, "skip.example": {SkipVerify: true},
	} {
		s.serve(host, a.addr())
		s.backends[host].Scheme, s.backends[host].TLS = route.SchemeHTTPS, opts
	}
	s.apply()
	for _, tt := range []struct {
		host   string
		status int
		name   string
	}{
		{"plain.example", 502, "plain.example"}, // the certificate is of nobody we know
		{"named.example", 502, "inner.example"},
		{"skip.example", 200, "skip.example"},
	} {
		names = nil
		if res := s.get(tt.host, "/"); res.StatusCode != tt.status || len(names) == 0 || names[0] != tt.name {
			t.Errorf("%s: status %d, asked for %v", tt.host, res.StatusCode, names)
		}
	}
}

// TestNoProxyFromEnvironment: the environment of the process diverts nothing.
func TestNoProxyFromEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://"+deadAddress(t))
	t.Setenv("http_proxy", "http://"+deadAddress(t))
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	if res := s.get("a.example", "/"); res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
}

// TestSticky: a client stays with its endpoint, until that drains.
func TestSticky(t *testing.T) {
	var addrs []string
	for i := range 3 {
		addrs = append(addrs, newApp(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) }).addr())
	}
	s := newSite(t, Options{})
	s.serve("a.example", addrs...)
	s.backends["a.example"].Sticky = "stay"
	s.apply()
	first := s.get("a.example", "/")
	set := first.Cookies()
	if len(set) != 1 || set[0].Name != "stay" || !set[0].HttpOnly || strings.Contains(set[0].Value, "127") {
		t.Fatalf("cookies %v", set)
	}
	again := func() *response {
		return s.raw("GET / HTTP/1.1\r\nHost: a.example\r\nCookie: x=y; stay=" + set[0].Value + "\r\n\r\n")
	}
	for range 5 {
		if res := again(); res.body != first.body || len(res.Cookies()) != 0 {
			t.Errorf("answer of %s, want %s; cookies %v", res.body, first.body, res.Cookies())
		}
	}
	s.backend("a.example", func(b *route.Backend) {
		b.Sticky = "stay"
		b.Endpoints[first.body[0]-'0'].State = route.EndpointDraining
	}, addrs...)
	s.apply()
	if res := again(); res.body == first.body || len(res.Cookies()) != 1 {
		t.Errorf("answer of %s, which drains; cookies %v", res.body, res.Cookies())
	}
}

// TestHash: the key that the backend names decides.
func TestHash(t *testing.T) {
	var addrs []string
	for i := range 5 {
		addrs = append(addrs, newApp(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) }).addr())
	}
	for _, tt := range []struct {
		on             route.HashOn
		name, a, other string
	}{
		{route.HashPath, "", "/%d", ""},
		{route.HashQuery, "k", "/?k=%d", ""},
		{route.HashHeader, "X-Key", "/", "X-Key: %d\r\n"},
		{route.HashCookie, "k", "/", "Cookie: k=%d\r\n"},
	} {
		s := newSite(t, Options{})
		s.serve("a.example", addrs...)
		s.backends["a.example"].Balance = route.Balance{Policy: route.BalanceHash, On: tt.on, Name: tt.name}
		s.apply()
		answers := map[string]bool{}
		for key := range 20 {
			path, header := tt.a, tt.other
			if strings.Contains(path, "%d") {
				path = fmt.Sprintf(path, key)
			}
			if header != "" {
				header = fmt.Sprintf(header, key)
			}
			one := s.raw("GET " + path + " HTTP/1.1\r\nHost: a.example\r\n" + header + "\r\n")
			two := s.raw("GET " + path + " HTTP/1.1\r\nHost: a.example\r\n" + header + "\r\n")
			if one.body != two.body {
				t.Errorf("%s: key %d went to %s and to %s", tt.on, key, one.body, two.body)
			}
			answers[one.body] = true
		}
		if len(answers) < 3 {
			t.Errorf("%s: 20 keys went to %d of 5 endpoints", tt.on, len(answers))
		}
	}
}

// TestHTTP2NeedsTLS: HTTP/2 with prior knowledge is not spoken in clear.
func TestHTTP2NeedsTLS(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	c := s.dial("http")
	c.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	if line, err := c.r.ReadString('\n'); err == nil && !strings.Contains(line, " 400 ") && !strings.Contains(line, " 505 ") {
		t.Errorf("HTTP/2 without TLS: %q", line)
	}
}
