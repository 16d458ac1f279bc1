package admin

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/api"
)

// Every operation, and a path that is none, against everybody who may ask.
func TestEveryOperationAgainstEverybody(t *testing.T) {
	o := options(newWorld(t))
	o.Token = goodToken
	o.AllowedHosts = []string{"fairway.example.com"}
	s := newServer(t, o)
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { bearer(goodToken)(r); r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) {
		return func(r *http.Request) { bearer(goodToken)(r); r.Host = name }
	}
	port := strings.TrimPrefix(s.Addr().String(), "127.0.0.1:")
	const ok, asPublic = 0, -1 // the operation's own answer; that for public ones, 401 for the others
	tests := []struct {
		name   string
		method string
		edit   func(*http.Request)
		want   int
	}{
		{"a client with the token", "GET", bearer(goodToken), ok},
		{"a HEAD with the token", "HEAD", bearer(goodToken), ok},
		{"a page of its own", "GET", header("Sec-Fetch-Site", "same-origin"), ok},
		{"an address that was typed", "GET", header("Sec-Fetch-Site", "none"), ok},
		{"its own origin", "GET", header("Origin", "http://"+s.Addr().String()), ok},
		{"localhost", "GET", host("localhost:" + port), ok},
		{"LOCALHOST", "GET", host("LocalHost:" + port), ok},
		{"IPv6 loopback", "GET", host("[::1]:" + port), ok},
		{"an allowed host", "GET", host("fairway.example.com"), ok},
		{"an allowed host with a port", "GET", host("Fairway.Example.com:8443"), ok},

		{"nobody", "GET", nil, asPublic},
		{"the wrong token", "GET", bearer("0123456789abcdef-wrong"), asPublic},
		{"a part of the token", "GET", bearer(goodToken[:16]), asPublic},
		{"an empty token", "GET", bearer(""), asPublic},
		{"the token by another scheme", "GET", header("Authorization", "Basic "+goodToken), asPublic},
		{"the token without scheme", "GET", header("Authorization", goodToken), asPublic},
		{"the token in a cookie", "GET", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "token", Value: goodToken}) }, asPublic},

		{"another site", "GET", header("Sec-Fetch-Site", "cross-site"), 403},
		{"another page of the site", "GET", header("Sec-Fetch-Site", "same-site"), 403},
		{"a value that is not known", "GET", header("Sec-Fetch-Site", "future"), 403},
		{"another origin in an old browser", "GET", header("Origin", "http://evil.example"), 403},
		{"a sandboxed page", "GET", header("Origin", "null"), 403},
		{"an origin with another port", "GET", header("Origin", "http://127.0.0.1:1"), 403},
		{"a rebound name", "GET", host("evil.example:" + port), 403},
		{"a name that ends like an allowed one", "GET", host("evil-fairway.example.com"), 403},
		{"a name below localhost", "GET", host("evil.localhost:" + port), 403},
		{"0.0.0.0", "GET", host("0.0.0.0:" + port), 403},
		{"localhost of another port", "GET", host("localhost:1"), 403},
		{"localhost without port", "GET", host("localhost"), 403},
		{"no host", "GET", host(""), 403},
		{"a host with a tail", "GET", host("localhost:" + port + ":80"), 403},
		{"a forwarded host", "GET", func(r *http.Request) {
			host("evil.example")(r)
			r.Header.Set("X-Forwarded-Host", s.Addr().String())
		}, 403},
		{"another site that posts", "POST", header("Sec-Fetch-Site", "cross-site"), 403},

		{"POST", "POST", bearer(goodToken), 405},
		{"PUT", "PUT", bearer(goodToken), 405},
		{"DELETE", "DELETE", bearer(goodToken), 405},
		{"a preflight", "OPTIONS", bearer(goodToken), 405},
		{"TRACE", "TRACE", bearer(goodToken), 405},
		{"a method made up", "BREW", bearer(goodToken), 405},
	}
	paths := everyPath(s)
	ops := append(s.operations(), operation{path: "unknown"})
	paths["unknown"] = "/v1/unknown"
	for _, op := range ops {
		for _, tt := range tests {
			t.Run(op.path+" by "+tt.name, func(t *testing.T) {
				rec := ask(t, s, tt.method, paths[op.path], tt.edit)
				want := tt.want
				switch {
				case want == asPublic && !op.public:
					want = 401
				case op.path == "unknown" && want != 403:
					want = 404
				case want == ok, want == asPublic:
					want = 200
				}
				if rec.Code != want {
					t.Fatalf("%s %s = %d, want %d: %s", tt.method, paths[op.path], rec.Code, want, rec.Body)
				}
				checkAnswer(t, rec)
			})
		}
	}
}

// checkAnswer checks what holds for every answer, good or bad.
func checkAnswer(t *testing.T, rec *httptest.ResponseRecorder) {
	t.Helper()
	h := rec.Result().Header
	for name, want := range map[string]string{
		"Content-Security-Policy":      "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":       "nosniff",
		"Cache-Control":                "no-store",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s is set: there is no CORS here", name)
		}
	}
	if rec.Code >= 400 && h.Get("Content-Type") != api.ProblemContentType {
		t.Errorf("%d with content type %q", rec.Code, h.Get("Content-Type"))
	}
	if got := h.Get("Allow"); (got != "") != (rec.Code == 405) {
		t.Errorf("%d with Allow %q", rec.Code, got)
	}
	if got := h.Get("WWW-Authenticate"); (got != "") != (rec.Code == 401) {
		t.Errorf("%d with WWW-Authenticate %q", rec.Code, got)
	}
	if rec.Code == 401 && strings.Contains(rec.Body.String(), "shop") {
		t.Error("a stranger learns what is served")
	}
}

func TestWithoutTokenEverybodyHereMayRead(t *testing.T) {
	s := newServer(t, options(newWorld(t)))
	for _, path := range everyPath(s) {
		if rec := ask(t, s, "GET", path, nil); rec.Code != 200 {
			t.Errorf("GET %s = %d", path, rec.Code)
		}
	}
}

// A client that dials one address of a listener for all may name just this one.
func TestTheAddressThatWasDialledIsAllowed(t *testing.T) {
	o := options(newWorld(t))
	o.Listen, o.Token = "0.0.0.0:0", goodToken
	s := newServer(t, o)
	port := s.Addr().(*net.TCPAddr).Port
	for host, want := range map[string]int{
		fmt.Sprintf("10.1.2.3:%d", port): 200,
		fmt.Sprintf("10.1.2.4:%d", port): 403,
		"10.1.2.3":                       403,
		fmt.Sprintf("0.0.0.0:%d", port):  403,
	} {
		rec := ask(t, s, "GET", "/healthz", func(r *http.Request) {
			r.Host = host
			dialled := &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: port}
			*r = *r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, dialled))
		})
		if rec.Code != want {
			t.Errorf("Host %s = %d, want %d", host, rec.Code, want)
		}
	}
}

func TestPathsThatAreNotClean(t *testing.T) {
	o := options(newWorld(t))
	o.Token = goodToken
	s := newServer(t, o)
	for _, path := range []string{"//v1/routes", "/v1/../v1/routes", "/healthz/../v1/routes", "/v1//routes", "/healthz/", "/healthz/x", "/V1/routes", "/v1/routes/", "/v1%2froutes", "/v1/%72outes"} {
		rec := ask(t, s, "GET", path, nil)
		if rec.Code == 200 || strings.Contains(rec.Body.String(), "shop") {
			t.Errorf("GET %s without the token = %d: %s", path, rec.Code, rec.Body)
		}
		if location := rec.Header().Get("Location"); strings.HasPrefix(location, "//") || strings.Contains(location, "://") {
			t.Errorf("GET %s leads away: %s", path, location)
		}
	}
}

func TestPanicIsAnsweredAndLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t)
	w.doctor = func(string) []api.Diagnosis { panic("the doctor is out") }
	o := options(w)
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s := newServer(t, o)
	rec := ask(t, s, "GET", "/v1/doctor/a", nil)
	if rec.Code != 500 || strings.Contains(rec.Body.String(), "doctor is") {
		t.Errorf("%d: %s", rec.Code, rec.Body)
	}
	checkAnswer(t, rec)
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), "the doctor is out") {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
	if body := ask(t, s, "GET", "/metrics", nil).Body.String(); !strings.Contains(body, `fairway_admin_requests_total{code="500",path="/v1/doctor/{name...}"} 1`) {
		t.Errorf("not counted:\n%s", body)
	}
}

func TestOnlyOneServerPerRegisterer(t *testing.T) {
	o := options(newWorld(t))
	newServer(t, o)
	if _, err := New(o); err == nil {
		t.Error("two servers count into the same metric")
	}
	o.Registerer = prometheus.NewRegistry()
	newServer(t, o)
}
