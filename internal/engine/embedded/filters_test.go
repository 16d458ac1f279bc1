package embedded

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairway/internal/route"
)

func TestFilters(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "secret/1.0")
		w.Header().Set("X-App", "1")
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		fmt.Fprintf(w, "%s %s prefix=%s key=%s/%s host=%s %d", r.Method, r.RequestURI, r.Header.Get("X-Forwarded-Prefix"),
			r.Header.Values("X-Key"), r.Header["X_key"], r.Host, len(body))
	})
	s := newSite(t, Options{})
	s.listeners[0].TrustedProxies = prefixesOf("127.0.0.1/32")
	s.backend("app", nil, a.addr())
	for host, filters := range map[string][]route.Filter{
		"strip.example":    {{StripPrefix: &route.StripPrefix{Prefix: "/demo"}}},
		"add.example":      {{AddPrefix: &route.AddPrefix{Prefix: "/v1"}}},
		"swap.example":     {{StripPrefix: &route.StripPrefix{Prefix: "/demo"}}, {AddPrefix: &route.AddPrefix{Prefix: "/v1"}}},
		"https.example":    {{RedirectHTTPS: &route.RedirectHTTPS{}}},
		"https2.example":   {{RedirectHTTPS: &route.RedirectHTTPS{Port: 8443}}},
		"moved.example":    {{Redirect: &route.Redirect{Status: 302, Host: "new.example"}}},
		"path.example":     {{Redirect: &route.Redirect{Status: 307, Scheme: "https", Path: "/landing"}}},
		"body.example":     {{MaxBody: &route.MaxBody{Bytes: 5}}},
		"request.example":  {{RequestHeaders: &route.HeaderOperation{Remove: []string{"X-Gone"}, Set: []route.HeaderValue{{Name: "X-Key", Value: "ours"}}, Add: []route.HeaderValue{{Name: "X-Key", Value: "more"}}}}},
		"sethost.example":  {{RequestHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "Host", Value: "inner.example"}}}}},
		"framing.example":  {{RequestHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "Transfer-Encoding", Value: "x"}, {Name: "Content-Length", Value: "99"}, {Name: "Connection", Value: "Upgrade"}}}}},
		"response.example": {{ResponseHeaders: &route.HeaderOperation{Remove: []string{"Server"}, Set: []route.HeaderValue{{Name: "X-App", Value: "2"}}, Add: []route.HeaderValue{{Name: "X-App", Value: "3"}}}}},
		"order.example":    {{IPAllow: &route.IPAllow{Prefixes: prefixesOf("10.0.0.0/8")}}, {Redirect: &route.Redirect{Status: 301, Host: "x"}}},
		"unknown.example":  {{StripPrefix: &route.StripPrefix{Prefix: "/"}}},
	} {
		s.route(host, host, func(r *route.Route) { r.Backend, r.Filters = "app", filters })
	}
	s.apply()
	for _, tt := range []struct {
		request, host, header string
		status                int
		body                  string
		location              string
	}{
		{"GET /demo/x?q", "strip.example", "", 200, "GET /x?q prefix=/demo key=[]/[] host=strip.example 0", ""},
		{"GET /demo", "strip.example", "", 200, "GET / prefix=/demo key=[]/[] host=strip.example 0", ""},
		{"GET /demonstration", "strip.example", "X-Forwarded-Prefix: /a\r\n", 200, "GET /demonstration prefix=/a key=[]/[] host=strip.example 0", ""},
		{"GET /x/%20", "add.example", "", 200, "GET /v1/x/%20 prefix= key=[]/[] host=add.example 0", ""},
		{"GET /demo/x", "swap.example", "", 200, "GET /v1/x prefix=/demo key=[]/[] host=swap.example 0", ""},
		{"GET /a?b=c", "https.example:8080", "", 301, "", "https://https.example/a?b=c"},
		{"POST /a?", "https.example", "", 308, "", "https://https.example/a?"},
		{"GET /a", "https.example", "X-Forwarded-Proto: https\r\n", 200, "GET /a prefix= key=[]/[] host=https.example 0", ""},
		{"GET /a", "https2.example", "", 301, "", "https://https2.example:8443/a"},
		{"GET //evil.example/..%09", "https.example", "", 400, "fairway: path has a control character\n", ""},
		{"GET //evil.example/", "https.example", "", 301, "", "https://https.example/evil.example/"},
		{"GET /a?b", "moved.example:81", "", 302, "", "http://new.example/a?b"},
		{"GET /a?b", "path.example:81", "", 307, "", "https://path.example/landing?b"},
		{"POST /", "body.example", "Content-Length: 5\r\n", 200, "POST / prefix= key=[]/[] host=body.example 5", ""},
		{"POST /", "body.example", "Content-Length: 6\r\n", 413, "fairway: the request body is too large\n", ""},
		{"POST /", "body.example", "Transfer-Encoding: chunked\r\n", 413, "fairway: the request body is too large\n", ""},
		{"GET /", "request.example", "X-Key: theirs\r\nX_Key: theirs\r\nX-Gone: 1\r\n", 200, "GET / prefix= key=[ours more]/[] host=request.example 0", ""},
		{"GET /", "sethost.example", "", 200, "GET / prefix= key=[]/[] host=inner.example 0", ""},
		{"POST /", "framing.example", "Content-Length: 3\r\n", 200, "POST / prefix= key=[]/[] host=framing.example 3", ""},
		{"GET /", "order.example", "", 403, "fairway: this address is not allowed here\n", ""},
		{"GET /x", "unknown.example", "", 200, "GET /x prefix= key=[]/[] host=unknown.example 0", ""},
	} {
		body := ""
		switch {
		case strings.Contains(tt.header, "chunked"):
			body = "4\r\n1234\r\n4\r\n5678\r\n0\r\n\r\n"
		case strings.HasPrefix(tt.header, "Content-Length: "):
			body = strings.Repeat("x", int(tt.header[len("Content-Length: ")]-'0'))
		}
		res := s.raw(tt.request + " HTTP/1.1\r\nHost: " + tt.host + "\r\n" + tt.header + "\r\n" + body)
		if res.StatusCode != tt.status || res.body != tt.body || res.Header.Get("Location") != tt.location {
			t.Errorf("%s on %s: %d %q %q", tt.request, tt.host, res.StatusCode, res.body, res.Header.Get("Location"))
		}
	}
	res := s.get("response.example", "/")
	if got := fmt.Sprint(res.Header["Server"], res.Header["X-App"]); got != "[] [2 3]" {
		t.Errorf("response headers: %s", got)
	}
}

func TestCompress(t *testing.T) {
	long := strings.Repeat("all work and no play ", 200)
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		w.Header().Set("Etag", `"x"`)
		switch r.URL.Path {
		case "/short":
			fmt.Fprint(w, "short")
		case "/coded":
			w.Header().Set("Content-Encoding", "br")
			fmt.Fprint(w, long)
		case "/range":
			w.Header().Set("Content-Range", "bytes 0-9/10")
			w.WriteHeader(http.StatusPartialContent)
			fmt.Fprint(w, long)
		case "/stream":
			fmt.Fprint(w, long[:1000])
			w.(http.Flusher).Flush()
			fmt.Fprint(w, long[1000:])
		default:
			w.Header().Set("Content-Length", fmt.Sprint(len(long)))
			fmt.Fprint(w, long)
		}
	})
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.routes["a.example"].Filters = []route.Filter{{Compress: &route.Compress{}}}
	s.apply()
	for _, tt := range []struct {
		target, accept string
		compressed     bool
	}{
		{"/long?type=text/html%3Bcharset=utf-8", "gzip", true},
		{"/stream?type=application/json", "br;q=1, gzip;q=0.5", true},
		{"/long?type=text/html", "gzip;q=0", false},
		{"/long?type=text/html", "br", false},
		{"/long?type=text/html", "", false},
		{"/long?type=image/png", "gzip", false},
		{"/long?type=application/grpc", "gzip", false},
		{"/long?type=text/event-stream", "gzip", false},
		{"/short?type=text/html", "gzip", false},
		{"/coded?type=text/html", "gzip", false},
		{"/range?type=text/html", "gzip", false},
	} {
		res := s.raw("GET " + tt.target + " HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: " + tt.accept + "\r\n\r\n")
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != tt.compressed {
			t.Errorf("%s for %q: compressed %v, want %v", tt.target, tt.accept, got, tt.compressed)
			continue
		}
		if !tt.compressed {
			if res.Header.Get("Etag") != `"x"` {
				t.Errorf("%s: Etag %s", tt.target, res.Header.Get("Etag"))
			}
			continue
		}
		r, err := gzip.NewReader(strings.NewReader(res.body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(r); string(body) != long || err != nil {
			t.Errorf("%s: %d bytes, %v", tt.target, len(body), err)
		}
		if res.Header.Get("Etag") != `W/"x"` || res.Header.Get("Vary") != "Accept-Encoding" || res.Header.Get("Content-Length") != "" {
			t.Errorf("%s: header %v", tt.target, res.Header)
		}
	}
	if res := s.raw("HEAD /long?type=text/html HTTP/1.1\r\nHost: a.example\r\nAccept-Encoding: gzip\r\n\r\n"); res.Header.Get("Content-Encoding") != "gzip" || res.Header.Get("Vary") == "" || res.Header.Get("Content-Length") != "" {
		t.Errorf("HEAD: %v", res.Header)
	}
}

func TestRateLimit(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{})
	limit := &route.RateLimit{Requests: 1, Per: time.Hour, Burst: 2}
	s.serve("a.example", a.addr())
	s.routes["a.example"].Filters = []route.Filter{{RateLimit: limit}}
	s.apply()
	status := func() int { return s.get("a.example", "/").StatusCode }
	if got := fmt.Sprint(status(), status(), status()); got != "200 200 429" {
		t.Errorf("statuses %s", got)
	}
	// The limit survives a change of the route that does not concern it, ...
	s.route("a.example", "a.example", func(r *route.Route) {
		r.Priority, r.Filters = 1, []route.Filter{{RateLimit: &route.RateLimit{Requests: 1, Per: time.Hour, Burst: 2}}}
	})
	s.apply()
	res := s.get("a.example", "/")
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "3600" {
		t.Errorf("after a change: %d %v", res.StatusCode, res.Header)
	}
	// ... and ends with one that does.
	s.route("a.example", "a.example", func(r *route.Route) {
		r.Filters = []route.Filter{{RateLimit: &route.RateLimit{Requests: 1, Per: time.Hour, Burst: 3}}}
	})
	s.apply()
	if got := status(); got != 200 {
		t.Errorf("after a new limit: %d", got)
	}
}
