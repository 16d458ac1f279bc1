package admin

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
)

// asker is somebody who asks, with the role that this gives.
type asker struct {
	name string
	role string // empty: none
	edit func(*http.Request)
	// readsOnly is true for those who may change nothing whatever their role is.
	readsOnly bool
}

// askers is everybody there is: each role by each way to show it, and those whose
// token, session or certificate does not hold.
func askers(t *testing.T, s *Server, shift *time.Duration) []asker {
	t.Helper()
	bearer := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	authorization := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	session := func(cookie, key string) func(*http.Request) {
		return func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "fairway", Value: cookie})
			if key != "" {
				r.Header.Set(api.SessionKeyHeader, key)
			}
		}
	}
	certificate := func(organisations ...string) func(*http.Request) {
		return func(r *http.Request) {
			leaf := &x509.Certificate{Subject: pkix.Name{CommonName: "someone", Organization: organisations}}
			r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}
		}
	}
	all := []asker{
		{name: "nobody"},
		{name: "the token of the file", role: api.RoleAdmin, edit: bearer(goodToken)},
		{name: "the token of the file, as a word in small letters", role: api.RoleAdmin, edit: authorization("bearer " + goodToken)},
		{name: "a wrong token", edit: bearer("0123456789abcdef-wrong")},
		{name: "a part of the token", edit: bearer(goodToken[:16])},
		{name: "an empty token", edit: bearer("")},
		{name: "the token by another scheme", edit: authorization("Basic " + goodToken)},
		{name: "the token without scheme", edit: authorization(goodToken)},
		{name: "the token in a cookie", edit: func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "fairway", Value: goodToken}) }},
		{name: "a session made up", edit: session("AAAA", "AAAA")},
		{name: "a certificate without role", edit: certificate("Example Ltd")},
		{name: "a certificate with role and more", role: api.RoleOperator, edit: certificate("Example Ltd", api.RoleOperator)},
		{name: "a certificate that was not verified", edit: func(r *http.Request) {
			certificate(api.RoleAdmin)(r)
			r.TLS.PeerCertificates, r.TLS.VerifiedChains = r.TLS.VerifiedChains[0], nil
		}},
		{name: "a wrong token with a good certificate", edit: func(r *http.Request) { certificate(api.RoleAdmin)(r); bearer("x")(r) }},
	}
	const past = -25 * time.Hour // a token for a day is over, a session is idle
	make := func(name, role string, token, session time.Duration) (secret, cookie, key string) {
		*shift = token
		made, err := s.access.Tokens.Create(api.NewToken{Name: name, Role: role, Days: 1}, "")
		if err != nil {
			t.Fatal(err)
		}
		*shift = session
		defer func() { *shift = 0 }()
		rec := httptest.NewRecorder()
		began, err := s.access.SignIn(rec, httptest.NewRequest("POST", "/v1/session", nil), made.Secret)
		if err != nil {
			t.Fatal(err)
		}
		return made.Secret, rec.Result().Cookies()[0].Value, began.Key
	}
	for _, role := range api.Roles() {
		secret, cookie, key := make(role, role, 0, 0)
		_, _, otherKey := make("other-"+role, role, 0, 0)
		revoked, revokedCookie, revokedKey := make("revoked-"+role, role, 0, 0)
		if err := s.access.Tokens.Revoke("revoked-" + role); err != nil {
			t.Fatal(err)
		}
		over, overCookie, overKey := make("over-"+role, role, past, past+24*time.Hour-time.Minute)
		_, idleCookie, idleKey := make("idle-"+role, role, 0, past)
		all = append(
			all,
			asker{name: role + " by token", role: role, edit: bearer(secret)},
			asker{name: role + " by session", role: role, edit: session(cookie, key)},
			asker{name: role + " by session without its key", role: role, edit: session(cookie, ""), readsOnly: true},
			asker{name: role + " by session with another's key", role: role, edit: session(cookie, otherKey), readsOnly: true},
			asker{name: role + " by certificate", role: role, edit: certificate(role)},
			asker{name: role + " by revoked token", edit: bearer(revoked)},
			asker{name: role + " by session of a revoked token", edit: session(revokedCookie, revokedKey)},
			asker{name: role + " by token whose time is over", edit: bearer(over)},
			asker{name: role + " by session of a token whose time is over", edit: session(overCookie, overKey)},
			asker{name: role + " by session that was idle", edit: session(idleCookie, idleKey)},
			asker{name: role + " by key alone", edit: func(r *http.Request) { r.Header.Set(api.SessionKeyHeader, key) }},
			asker{name: role + " by secure cookie without TLS", edit: func(r *http.Request) {
				r.AddCookie(&http.Cookie{Name: "__Host-fairway", Value: cookie})
				r.Header.Set(api.SessionKeyHeader, key)
			}},
		)
	}
	return all
}

// circumstance is how a request comes, and whether it may come so at all.
type circumstance struct {
	name string
	ok   bool
	edit func(*http.Request)
}

func circumstances(s *Server) []circumstance {
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	port := strings.TrimPrefix(s.Addr().String(), "127.0.0.1:")
	return []circumstance{
		{"a client", true, func(*http.Request) {}},
		{"a page of its own", true, header("Sec-Fetch-Site", "same-origin")},
		{"an address that was typed", true, header("Sec-Fetch-Site", "none")},
		{"its own origin", true, header("Origin", "http://"+s.Addr().String())},
		{"localhost", true, host("localhost:" + port)},
		{"LOCALHOST", true, host("LocalHost:" + port)},
		{"IPv6 loopback", true, host("[::1]:" + port)},
		{"localhost, published on another port", true, host("localhost:1")},
		{"localhost without port", true, host("localhost")},
		{"an allowed host", true, host("fairway.example.com")},
		{"an allowed host with a port", true, host("Fairway.Example.com:8443")},

		{"another site", false, header("Sec-Fetch-Site", "cross-site")},
		{"another page of the site", false, header("Sec-Fetch-Site", "same-site")},
		{"a value that is not known", false, header("Sec-Fetch-Site", "future")},
		{"another origin in an old browser", false, header("Origin", "http://evil.example")},
		{"a sandboxed page", false, header("Origin", "null")},
		{"an origin with another port", false, header("Origin", "http://127.0.0.1:1")},
		{"a rebound name", false, host("evil.example:" + port)},
		{"a rebound name that is its own origin", false, func(r *http.Request) {
			r.Host = "evil.example:" + port
			r.Header.Set("Origin", "http://evil.example:"+port)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}},
		{"a name that ends like an allowed one", false, host("evil-fairway.example.com")},
		{"a name below localhost", false, host("evil.localhost:" + port)},
		{"0.0.0.0", false, host("0.0.0.0:" + port)},
		{"no host", false, host("")},
		{"a host with a tail", false, host("localhost:" + port + ":80")},
		{"a forwarded host", false, func(r *http.Request) {
			r.Host = "evil.example"
			r.Header.Set("X-Forwarded-Host", s.Addr().String())
		}},
	}
}

// Every operation, and a path that is none, by every method, asked by everybody in
// every circumstance: only what is allowed is reached, and what is refused says so.
func TestEveryOperationAgainstEverybody(t *testing.T) {
	o := options(t, newWorld(t))
	o.Token = goodToken
	o.AllowedHosts = []string{"fairway.example.com"}
	shift := time.Duration(0) // of the clock
	o.now = func() time.Time { return time.Now().Add(shift) }
	s := newServer(t, o)
	reached := ""
	ops := s.operations()
	needs := map[string]string{} // by method and path
	asked := map[string][]string{}
	for i, op := range ops {
		name := op.method + " " + op.path
		needs[name] = op.needs()
		if op.public {
			needs[name] = "public"
		}
		if op.method == http.MethodGet {
			needs["HEAD "+op.path] = needs[name]
		}
		asked[op.path] = append(asked[op.path], needs[name])
		ops[i].serve = func(r *request) error {
			reached = name
			send(r.w, http.StatusOK, "application/json", api.Done{})
			return nil
		}
	}
	asked["/v1/unknown"], asked["/v2"] = []string{api.RoleViewer}, []string{api.RoleViewer}
	s.handler = s.newHandler(ops)
	everybody, everyhow := askers(t, s, &shift), circumstances(s)
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW"}
	tried, let := 0, 0
	for path, roles := range asked {
		url := regexp.MustCompile(`\{\$\}`).ReplaceAllString(path, "")
		url = regexp.MustCompile(`\{[a-z.]+\}`).ReplaceAllString(url, "x")
		for _, method := range methods {
			need := needs[method+" "+path]
			for _, who := range everybody {
				for i, how := range everyhow {
					if need == "" && i%5 != 0 {
						continue // no operation; some circumstances will do
					}
					reached = ""
					rec := ask(t, s, method, url, func(r *http.Request) {
						how.edit(r)
						if who.edit != nil {
							who.edit(r)
						}
					})
					may := how.ok && (need == "public" ||
						need != "" && api.MayAct(who.role, need) && (!who.readsOnly || method == "GET" || method == "HEAD"))
					tried++
					if may {
						let++
					}
					request := fmt.Sprintf("%s %s by %s as %s", method, path, who.name, how.name)
					if (reached != "") != may {
						t.Fatalf("%s: reached %q, may is %v: %d %s", request, reached, may, rec.Code, rec.Body)
					}
					if want := refusal(need, roles, who, how, method); !may && !slices.Contains(want, rec.Code) {
						t.Fatalf("%s: %d, want one of %d: %s", request, rec.Code, want, rec.Body)
					}
					if may && rec.Code != 200 {
						t.Fatalf("%s: %d: %s", request, rec.Code, rec.Body)
					}
					checkAnswer(t, rec)
				}
			}
		}
	}
	t.Logf("%d requests, %d let in", tried, let)
	if let == 0 || let == tried {
		t.Error("this tests nothing")
	}
}

// refusal is how a request that may not be answered is told so.
func refusal(need string, roles []string, who asker, how circumstance, method string) []int {
	if !how.ok {
		return []int{403}
	}
	none := 405 // no operation by this method
	if need == "" && slices.Equal(roles, []string{api.RoleViewer}) {
		none = 404 // or no such path
	}
	knows := need == "" && (slices.Contains(roles, "public") || slices.ContainsFunc(roles, func(role string) bool { return api.MayAct(who.role, role) }))
	switch {
	case knows && !who.readsOnly:
		return []int{none, 405}
	case knows:
		return []int{none, 405, 403}
	case who.role != "" || strings.Contains(who.name, "certificate without role"):
		return []int{403}
	}
	return []int{401}
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
	s := newServer(t, options(t, newWorld(t)))
	for _, op := range s.operations() {
		if op.method != http.MethodGet || op.events {
			continue
		}
		mayNot := op.needs() == api.RoleOperator || op.needs() == api.RoleAdmin
		if rec := ask(t, s, "GET", everyPath(s)[op.path], nil); (rec.Code == 401) != mayNot || rec.Code == 403 {
			t.Errorf("GET %s = %d: %s", op.path, rec.Code, rec.Body)
		}
	}
}

// A client that dials one address of a listener for all may name just this one.
func TestTheAddressThatWasDialledIsAllowed(t *testing.T) {
	o := options(t, newWorld(t))
	o.Listen, o.Token, o.Insecure = "0.0.0.0:0", goodToken, true
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
	o := options(t, newWorld(t))
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
	o := options(t, w)
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
