package embedded

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/route"
)

// The tests of this file speak over raw sockets, since no client library sends
// what an attacker does. Each is named after the class of attack it stands for;
// SECURITY.md lists the classes.

// TestPathThatDecidesIsSent: the path that decides is the path that is sent.
func TestPathThatDecidesIsSent(t *testing.T) {
	public, admin := newApp(t, nil), newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", public.addr())
	s.route("admin", "a.example", func(r *route.Route) { r.Matches[0].Path.Value = "/admin" })
	s.backend("admin", nil, admin.addr())
	s.apply()

	for _, tt := range []struct {
		target string
		status int
		app    *app
		sent   string
	}{
		{"/pub", 200, public, "/pub"},
		{"/pub/../admin", 200, admin, "/admin"},
		{"/pub/%2e%2e/admin", 200, admin, "/admin"},
		{"/pub/%2E./admin", 200, admin, "/admin"},
		{"//admin", 200, admin, "/admin"},
		{"/./admin/", 200, admin, "/admin/"},
		{"/%61dmin", 200, admin, "/admin"},
		{"/a%252fb", 200, public, "/a%252fb"},
		{"/a%20b/%c3%a4?x=%2F..%2f;&y", 200, public, "/a%20b/%C3%A4?x=%2F..%2f;&y"},
		{"/pub?", 200, public, "/pub?"},
		{"/pub?q=100%", 200, public, "/pub?q=100%"},
		{"http://a.example/admin", 200, admin, "/admin"},
		{"http://a.example?x", 200, public, "/?x"},
		{"/admin#x", 400, nil, ""},
		{"/pub?x#/admin", 400, nil, ""},
		{"/pub%2fadmin", 200, public, "/pub%2fadmin"},
		{"/admin%2fx", 400, nil, ""},
		{"/pub/..%2fadmin", 400, nil, ""},
		{"/pub\\..\\admin", 400, nil, ""},
		{"/pub/%5c..%5cadmin", 400, nil, ""},
		{"/pub/..;/admin", 400, nil, ""},
		{"/../admin", 400, nil, ""},
		{"/%c0%ae%c0%ae/admin", 400, nil, ""},
		{"/admin%00", 400, nil, ""},
		{"*", 400, nil, ""},
		{"admin", 400, nil, ""},
	} {
		before := len(public.all()) + len(admin.all())
		res := s.get("a.example", tt.target)
		if res.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d", tt.target, res.StatusCode, tt.status)
			continue
		}
		if tt.app == nil {
			if n := len(public.all()) + len(admin.all()); n != before {
				t.Errorf("%s: refused, but an application saw it", tt.target)
			}
			continue
		}
		if got := tt.app.last().target; got != tt.sent || len(public.all())+len(admin.all()) != before+1 {
			t.Errorf("%s: sent as %q, want %q to the other application", tt.target, got, tt.sent)
		}
	}
}

// TestHostsInAnySpelling: every spelling of a host takes the same route, in a table of any
// size, and the application sees the one spelling.
func TestHostsInAnySpelling(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("app.example", a.addr())
	for i := range 101 {
		s.route(fmt.Sprint("other", i), fmt.Sprintf("h%d.example", i), func(r *route.Route) { r.Backend = "app.example" })
	}
	s.apply()
	for host, want := range map[string]string{
		"app.example":       "app.example",
		"APP.Example":       "app.example",
		"app.example.":      "app.example",
		"App.Example.:80":   "app.example:80",
		"app.example:08080": "app.example:8080",
	} {
		if res := s.get(host, "/"); res.StatusCode != 200 || a.last().host != want {
			t.Errorf("Host %q: status %d, application saw %q, want %q", host, res.StatusCode, a.last().host, want)
		}
	}
	for _, host := range []string{"", "app.example:x", "a b", "app..example", "[::1", "app.example/x", "app.example,app.example"} {
		if res := s.get(host, "/"); res.StatusCode != 400 {
			t.Errorf("Host %q: status %d, want 400", host, res.StatusCode)
		}
	}
	for name, request := range map[string]string{
		"no host":   "GET / HTTP/1.1\r\n\r\n",
		"two hosts": "GET / HTTP/1.1\r\nHost: app.example\r\nHost: other.example\r\n\r\n",
	} {
		if res := s.raw(request); res.StatusCode != 400 {
			t.Errorf("%s: status %d, want 400", name, res.StatusCode)
		}
	}
	// An absolute target names the host that the header names.
	if res := s.raw("GET http://app.example/ HTTP/1.1\r\nHost: app.example\r\n\r\n"); res.StatusCode != 200 || a.last().host != "app.example" {
		t.Errorf("absolute target: status %d, application saw %q", res.StatusCode, a.last().host)
	}
	if res := s.raw("GET http://app.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"); res.StatusCode != 400 {
		t.Errorf("absolute target to another host: status %d", res.StatusCode)
	}
}

// TestUnknownHost: an unknown host is nobody's.
func TestUnknownHost(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("app.example", a.addr())
	s.routes["app.example"].Matches[0].Path.Value = "/app"
	s.apply()
	for _, tt := range []struct{ host, path, code, body string }{
		{"b.example", "/app", "unknown-host", "fairway: no route for host b.example\n"},
		{"127.0.0.1", "/app", "unknown-host", "fairway: no route for host 127.0.0.1\n"},
		{"app.example", "/other", "no-route", "fairway: no route on host app.example takes this request\n"},
		{"app.example", "/application", "no-route", "fairway: no route on host app.example takes this request\n"},
	} {
		res := s.get(tt.host, tt.path)
		if res.StatusCode != 404 || res.body != tt.body || res.Header.Get("X-Fairway-Error") != tt.code || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s%s: %d %q %v", tt.host, tt.path, res.StatusCode, res.body, res.Header)
		}
	}
	res := s.raw("GET / HTTP/1.1\r\nHost: b.example\r\nAccept: application/json\r\n\r\n")
	if want := `{"code":"unknown-host","error":"no route for host b.example"}` + "\n"; res.body != want {
		t.Errorf("JSON body %q, want %q", res.body, want)
	}
	if res := s.raw("HEAD / HTTP/1.1\r\nHost: b.example\r\n\r\n"); res.StatusCode != 404 || res.body != "" {
		t.Errorf("HEAD: %d %q", res.StatusCode, res.body)
	}
	if n := len(a.all()); n != 0 {
		t.Errorf("the application saw %d requests", n)
	}
}

// TestIdentityIsNotTakenFromStrangers: nobody but a trusted peer says who a request is from.
func TestIdentityIsNotTakenFromStrangers(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	lies := []string{
		"X-Forwarded-For: 6.6.6.6", "x-forwarded-for: 6.6.6.7", "X_Forwarded_For: 6.6.6.6", "X-Forwarded_For: 6.6.6.6",
		"X-Forwarded-Proto: https", "X_Forwarded_Proto: https", "X-Forwarded-Host: evil.example", "X-Forwarded-Port: 6",
		"X-Real-IP: 6.6.6.6", "X_Real_IP: 6.6.6.6", "Forwarded: for=6.6.6.6;proto=https", "X-Forwarded-User: root",
		"X-Forwarded-Prefix: /evil", "X-Request-Id: evil", "X-Original-URL: /admin", "X-Rewrite-URL: /admin",
		"Connection: close, X-Real-IP, X-Forwarded-For, X-Forwarded-Proto, X-Request-Id, Forwarded",
	}
	rand.Shuffle(len(lies), func(i, j int) { lies[i], lies[j] = lies[j], lies[i] })
	s.raw("POST /x HTTP/1.1\r\nHost: a.example:81\r\nTransfer-Encoding: chunked\r\nTrailer: X-Forwarded-For, X-Real-Ip\r\n" +
		strings.Join(lies, "\r\n") + "\r\n\r\n2\r\nhi\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX-Real-Ip: 6.6.6.6\r\n\r\n")
	got := a.last()
	id := got.header.Get("X-Request-Id")
	if len(id) != 32 {
		t.Errorf("request ID %q", id)
	}
	got.header.Del("X-Request-Id")
	want := http.Header{
		"X-Forwarded-For":   {"127.0.0.1"},
		"X-Real-Ip":         {"127.0.0.1"},
		"X-Forwarded-Proto": {"http"},
		"X-Forwarded-Host":  {"a.example:81"},
		"X-Forwarded-Port":  {"81"},
	}
	if diff := cmp.Diff(want, got.header); diff != "" {
		t.Errorf("header at the application (-want +got):\n%s", diff)
	}
	if len(got.trailer) > 0 {
		t.Errorf("trailer at the application: %v", got.trailer)
	}
	if got.body != "hi" {
		t.Errorf("body %q", got.body)
	}
}

// TestFramingIsNotAmbiguous: what could be framed in two ways is refused, or framed in one
// way before it goes on.
func TestFramingIsNotAmbiguous(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
	for name, tt := range map[string]struct {
		head, body string
		status     int
	}{
		"two lengths":         {"Content-Length: 0\r\nContent-Length: 4", "", 400},
		"signed length":       {"Content-Length: +5", "", 400},
		"space before colon":  {"Content-Length : 5", "", 400},
		"NUL in a value":      {"X-A: a\x00b", "", 400},
		"CR in a value":       {"X-A: a\rb", "", 400},
		"two codings":         {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "", 501},
		"identity, chunked":   {"Transfer-Encoding: identity, chunked", "", 501},
		"length and chunks":   {"Content-Length: 40\r\nTransfer-Encoding: chunked", "2\r\nhi\r\n0\r\n\r\n", 400},
		"unknown coding":      {"Transfer-Encoding: xchunked", "", 501},
		"bad chunk size":      {"Transfer-Encoding: chunked", "xx\r\n", 400},
		"huge chunk size":     {"Transfer-Encoding: chunked", "fffffffffffffffff\r\n", 400},
		"bare LF in chunking": {"Transfer-Encoding: chunked", "2\nhi\r\n0\r\n\r\n", 400},
	} {
		before := len(a.all())
		res := s.raw("POST / HTTP/1.1\r\nHost: a.example\r\n" + tt.head + "\r\n\r\n" + tt.body + smuggled)
		if res.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d", name, res.StatusCode, tt.status)
		}
		for _, r := range a.all()[before:] {
			if r.target == "/smuggled" {
				t.Errorf("%s: the application saw the smuggled request", name)
			}
		}
	}
}

// TestRestOfABodyIsNoRequest: when an application answers before it has read the body, the
// rest of the body is never taken for a request.
func TestRestOfABodyIsNoRequest(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "early") })
	s := newSite(t, Options{BodyTimeout: time.Second})
	s.serve("a.example", a.addr())
	s.apply()
	smuggled := "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n"
	for name, tt := range map[string]struct{ host, framing, body string }{
		"late body":              {"a.example", fmt.Sprintf("Content-Length: %d", len(smuggled)), ""},
		"broken chunk":           {"a.example", "Transfer-Encoding: chunked", "zz\r\n"},
		"late chunk":             {"a.example", "Transfer-Encoding: chunked", fmt.Sprintf("%x\r\n", len(smuggled))},
		"late body, 404":         {"b.example", fmt.Sprintf("Content-Length: %d", len(smuggled)), ""},
		"broken chunk, 404":      {"b.example", "Transfer-Encoding: chunked", "zz\r\n"},
		"expects, sends it late": {"a.example", fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d", len(smuggled)), ""},
	} {
		c := s.dial("http")
		c.send("POST /one HTTP/1.1\r\nHost: " + tt.host + "\r\n" + tt.framing + "\r\n\r\n" + tt.body)
		if !strings.Contains(tt.framing, "chunked") {
			time.Sleep(300 * time.Millisecond)
		}
		_, _ = io.WriteString(c, smuggled)
		c.within(500 * time.Millisecond)
		_, _ = io.ReadAll(c.r)
		for _, r := range a.all() {
			if r.target == "/smuggled" {
				t.Errorf("%s: the rest of the body became a request", name)
			}
		}
	}
}

// TestNoTunnelPastTheChecks: no way leads past the checks to an application.
func TestNoTunnelPastTheChecks(t *testing.T) {
	var tunnels atomic.Int64
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			tunnels.Add(1)
		}
		fmt.Fprintf(w, "%s %s", r.Method, r.URL.Path)
	})
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()

	for _, request := range []string{
		"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n",
		"TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n",
	} {
		if res := s.raw(request); res.StatusCode != 405 {
			t.Errorf("%q: status %d, want 405", request, res.StatusCode)
		}
	}
	if res := s.raw("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n"); res.StatusCode != 400 {
		t.Errorf("OPTIONS *: status %d, want 400", res.StatusCode)
	}
	if n := len(a.all()); n != 0 {
		t.Fatalf("the application saw %d requests", n)
	}

	for _, upgrade := range []string{
		"GET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
		"GET / HTTP/1.1\r\nUpgrade: websocket, h2c\r\nConnection: Upgrade",
		"GET / HTTP/1.1\r\nUpgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade",
		"GET / HTTP/1.1\r\nUpgrade: TLS/1.0\r\nConnection: Upgrade",
		"POST / HTTP/1.1\r\nUpgrade: websocket\r\nContent-Length: 0\r\nConnection: Upgrade",
		"GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade",
		"GET / HTTP/1.1\r\nUpgrade: websocket", // Connection does not list it
	} {
		res := s.raw(upgrade + "\r\nHost: a.example\r\n\r\n")
		if res.StatusCode != 200 {
			t.Errorf("%q: status %d", upgrade, res.StatusCode)
		}
	}
	for _, r := range a.all() {
		if r.header.Get("Upgrade") != "" || r.header.Get("Http2-Settings") != "" || r.header.Get("Connection") != "" {
			t.Errorf("the application saw an upgrade: %v", r.header)
		}
	}

	// Bytes behind a request to upgrade that was not granted are a request of
	// their own, with all the checks.
	c := s.dial("http")
	c.send("GET /ws HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" +
		"GET /x HTTP/1.1\r\nHost: unknown.example\r\n\r\n")
	if res := c.answer("GET"); res.StatusCode != 200 || res.body != "GET /ws" {
		t.Errorf("ungranted upgrade: %d %q", res.StatusCode, res.body)
	}
	if res := c.answer("GET"); res.StatusCode != 404 {
		t.Errorf("bytes behind an ungranted upgrade: status %d, want 404", res.StatusCode)
	}
	if tunnels.Load() != 1 {
		t.Errorf("%d upgrades reached the application, want the one", tunnels.Load())
	}
}

// TestUnaskedSwitch: an application that switches protocols unasked gets no
// tunnel, with or without a name for the protocol.
func TestUnaskedSwitch(t *testing.T) {
	for _, header := range []string{"", "Upgrade: h2c\r\nConnection: Upgrade\r\n", "Upgrade: websocket\r\nConnection: Upgrade\r\n"} {
		addr := rawApp(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\n%s\r\n", header)
			_, _ = io.Copy(io.Discard, c)
		})
		s := newSite(t, Options{})
		s.serve("a.example", addr)
		s.apply()
		if res := s.get("a.example", "/"); res.StatusCode != 502 {
			t.Errorf("101 with %q: status %d, want 502", header, res.StatusCode)
		}
	}
}

// TestHeadersAreBounded: headers are bounded in number and size.
func TestHeadersAreBounded(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.apply()
	head := "GET / HTTP/1.1\r\nHost: a.example\r\n"
	for name, tt := range map[string]struct {
		headers string
		status  int
	}{
		"200 headers":          {strings.Repeat("a: b\r\n", 200), 200},
		"201 headers":          {strings.Repeat("a: b\r\n", 201), 431},
		"10,000 empty headers": {strings.Repeat("a:\r\n", 10_000), 431},
		"60 KiB":               {"a: " + strings.Repeat("x", 60<<10) + "\r\n", 200},
		"80 KiB":               {"a: " + strings.Repeat("x", 80<<10) + "\r\n", 431},
	} {
		before := len(a.all())
		res := s.raw(head + tt.headers + "\r\n")
		if res.StatusCode != tt.status || len(a.all())-before != map[int]int{200: 1, 431: 0}[tt.status] {
			t.Errorf("%s: status %d, %d reached the application", name, res.StatusCode, len(a.all())-before)
		}
	}
}

// TestQueryIsSeenAndSentWhole: all parameters are seen by the conditions, and all are sent, in
// the bytes the client used.
func TestQueryIsSeenAndSentWhole(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.routes["a.example"].Matches[0].Conditions = []route.Condition{
		{Kind: route.ConditionQuery, Name: "debug", Not: true},
	}
	s.apply()
	many := strings.Repeat("a=1&", 11_000)
	if res := s.get("a.example", "/?"+many+"debug=1"); res.StatusCode != 404 {
		t.Errorf("parameter behind 11,000 others was not seen: status %d", res.StatusCode)
	}
	if res := s.get("a.example", "/?"+many+"z=1"); res.StatusCode != 200 || a.last().target != "/?"+many+"z=1" {
		t.Errorf("status %d, query of %d bytes", res.StatusCode, len(a.last().target))
	}
}

// TestFailClosed: what protects a route and fails, closes it.
func TestFailClosed(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	s.serve("refused.example", a.addr())
	s.routes["refused.example"].Refused = "basic-auth: no such file"
	s.serve("auth.example", a.addr())
	s.routes["auth.example"].Filters = []route.Filter{{BasicAuth: &route.BasicAuth{File: t.TempDir() + "/missing"}}}
	s.apply()
	for _, host := range []string{"refused.example", "auth.example"} {
		res := s.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: Basic YTpi\r\n\r\n")
		if res.StatusCode != 503 || strings.Contains(res.body, "missing") || strings.Contains(res.body, "no such file") {
			t.Errorf("%s: %d %q", host, res.StatusCode, res.body)
		}
	}
	if n := len(a.all()); n != 0 {
		t.Errorf("the application saw %d requests", n)
	}
}

// TestAddressesInOneForm: addresses are compared in one form.
func TestAddressesInOneForm(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	for host, prefixes := range map[string][]string{
		"in.example": {"127.0.0.0/8"}, "mapped.example": {"::ffff:127.0.0.0/104"}, "out.example": {"10.0.0.0/8", "::/0"},
	} {
		s.serve(host, a.addr())
		s.routes[host].Filters = []route.Filter{{IPAllow: &route.IPAllow{Prefixes: prefixesOf(prefixes...)}}}
	}
	s.apply()
	for host, status := range map[string]int{"in.example": 200, "mapped.example": 200, "out.example": 403} {
		// The lie about the address does not help.
		if res := s.raw("GET / HTTP/1.1\r\nHost: " + host + "\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n"); res.StatusCode != status {
			t.Errorf("%s: status %d, want %d", host, res.StatusCode, status)
		}
	}
}

// TestAccessLogCannotBeForged: nothing a client sends can break a line of the access log.
func TestAccessLogCannotBeForged(t *testing.T) {
	var log lockedBuffer
	s := newSite(t, Options{AccessLog: &log})
	s.apply()
	s.get("a.example", "/%0a%1b[31m\"x")
	s.raw("GET /\x1b[31m HTTP/1.1\r\nHost: a.example\r\n\r\n")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := s.engine.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(log.String()) {
		for _, r := range strings.TrimSuffix(line, "\n") {
			if r < 0x20 || r >= 0x7f {
				t.Errorf("control character %q in %q", r, line)
			}
		}
	}
	if log.String() == "" {
		t.Error("the log is empty")
	}
}
