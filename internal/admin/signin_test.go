package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"fairway/internal/admin/oidc"
	"fairway/internal/admin/oidc/oidctest"
	"fairway/internal/admin/ui"
	"fairway/internal/admin/way"
	"fairway/internal/api"
)

// signInServer is a server with pages that lets people in whom an issuer knows.
func signInServer(t *testing.T, edit func(*Options)) (*oidctest.Issuer, *Server) {
	t.Helper()
	at := oidctest.New(t)
	at.Claims = map[string]any{"email": "ann@example.com", "email_verified": true, "groups": []string{"ops"}}
	issuer, err := oidc.New(oidc.Options{
		Issuer: at.URL, ClientID: oidctest.ClientID, Secret: func() (string, error) { return oidctest.Secret, nil },
		Roles: []oidc.Role{{Role: api.RoleOperator, Claim: "groups", Value: "ops"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(issuer.Close)
	o := options(t, newWorld(t))
	pages, err := ui.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	o.Pages, pages.Issuer = pages, issuer.Host()
	o.SignIn, o.Token = issuer, goodToken
	if edit != nil {
		edit(&o)
	}
	return at, newServer(t, o)
}

// begun goes to the issuer and back: it returns the path that the browser comes back by, and
// the cookies that it has.
func begun(t *testing.T, s *Server, to string) (back string, cookies []*http.Cookie) {
	t.Helper()
	rec := ask(t, s, "GET", way.Start+"?"+url.Values{"to": {to}}.Encode(), nil)
	if rec.Code != http.StatusSeeOther {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get(rec.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	at, err := answer.Location()
	if err != nil || at.Host != s.Addr().String() || at.Path != way.Callback {
		t.Fatalf("%d to %v, %v", answer.StatusCode, at, err)
	}
	return at.RequestURI(), rec.Result().Cookies()
}

// fromIssuer is a request of a browser that another site sent here.
func fromIssuer(cookies []*http.Cookie) func(*http.Request) {
	return func(r *http.Request) {
		for _, c := range cookies {
			r.AddCookie(c)
		}
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
	}
}

var signedIn = regexp.MustCompile(`data-signed-in="([^"]*)" data-key="([^"]+)"`)

// TestSignInAtAnIssuer: a browser that the issuer sends back gets a session as the person
// whom it names, whose name is in the audit log and whose code is not; the session can act,
// ends at sign-out, and ends by itself.
func TestSignInAtAnIssuer(t *testing.T) {
	now := time.Now()
	_, s := signInServer(t, func(o *Options) { o.now = func() time.Time { return now } })
	if body := ask(t, s, "GET", "/sign-in?to=/routes", nil).Body.String(); !strings.Contains(body, `href="/sign-in/start?to=%2froutes"`) && !strings.Contains(body, `href="/sign-in/start?to=%2Froutes"`) {
		t.Errorf("no link to sign in: %s", body)
	}
	back, cookies := begun(t, s, "/routes?q=a")
	if c := cookies[0]; len(cookies) != 1 || c.SameSite != http.SameSiteLaxMode || !c.HttpOnly || c.MaxAge > 600 {
		t.Errorf("cookies %v", cookies)
	}
	rec := ask(t, s, "GET", back, fromIssuer(cookies))
	found := signedIn.FindStringSubmatch(rec.Body.String())
	if rec.Code != 200 || found == nil || found[1] != "/routes?q=a" || rec.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s", rec.Code, rec.Body)
	}
	var session *http.Cookie
	for _, c := range rec.Result().Cookies() {
		switch c.Name {
		case "fairway":
			session = c
		case "fairway-sign-in":
			if c.MaxAge >= 0 {
				t.Error("the cookie of the sign-in stays")
			}
		}
	}
	if session == nil || session.SameSite != http.SameSiteStrictMode || !session.HttpOnly {
		t.Fatalf("the session is %v", session)
	}
	with := func(key string) func(*http.Request) {
		return func(r *http.Request) {
			r.AddCookie(session)
			if key != "" {
				r.Header.Set(api.SessionKeyHeader, key)
			}
		}
	}
	var who api.Identity
	if err := json.Unmarshal(ask(t, s, "GET", "/v1/identity", with("")).Body.Bytes(), &who); err != nil || who.Name != "ann@example.com" || who.Role != api.RoleOperator || who.By != api.ByOIDC {
		t.Errorf("%+v, %v", who, err)
	}
	if body := ask(t, s, "GET", "/", with("")).Body.String(); !strings.Contains(body, "data-sign-out") || !strings.Contains(body, "ann@example.com") {
		t.Error("the pages offer no end of the session")
	}
	if rec := ask(t, s, "POST", "/v1/tokens", with(found[2])); rec.Code != http.StatusForbidden {
		t.Errorf("an operator makes a token: %d", rec.Code)
	}
	entry := s.access.Audit.Newest(2)[1]
	if entry.Operation != "GET "+way.Callback || entry.Status != 200 || !strings.HasPrefix(entry.Text, "ann@example.com signed in as operator at 127.0.0.1") {
		t.Errorf("audit %+v", entry)
	}
	if last := s.access.Audit.Newest(1)[0]; last.Who != "ann@example.com" || last.By != api.ByOIDC || last.Status != http.StatusForbidden {
		t.Errorf("audit %+v", last)
	}
	if rec := ask(t, s, "DELETE", "/v1/session", with("")); rec.Code != http.StatusForbidden {
		t.Errorf("without the key: %d", rec.Code)
	}
	role := func() int { return ask(t, s, "GET", "/v1/routes", with("")).Code }
	now = now.Add(oidc.Lasts - time.Minute)
	if role() != 200 {
		t.Error("the session has ended")
	}
	now = now.Add(2 * time.Minute)
	if role() != http.StatusUnauthorized {
		t.Error("the session goes on")
	}
	now = now.Add(-2 * time.Minute)
	if rec := ask(t, s, "DELETE", "/v1/session", with(found[2])); rec.Code != 200 || role() != http.StatusUnauthorized {
		t.Errorf("after signing out: %d", rec.Code)
	}
}

// TestSignInRefused: what does not hold gets a page that says so, an entry of the audit log,
// and no session.
func TestSignInRefused(t *testing.T) {
	at, s := signInServer(t, nil)
	back, cookies := begun(t, s, "/")
	for name, tt := range map[string]struct {
		path string
		edit func(*http.Request)
		code int
		want string
	}{
		"without the cookie":         {back, fromIssuer(nil), http.StatusBadRequest, "Sign in again"},
		"with another state":         {strings.Replace(back, "&state=", "&state=x", 1), fromIssuer(cookies), http.StatusBadRequest, "Sign in again"},
		"by a script of another":     {back, func(r *http.Request) { fromIssuer(cookies)(r); r.Header.Set("Sec-Fetch-Mode", "cors") }, http.StatusForbidden, "another origin"},
		"under a foreign name":       {back, func(r *http.Request) { fromIssuer(cookies)(r); r.Host = "evil.example" }, http.StatusForbidden, "not called"},
		"begun by another's page":    {way.Start, fromIssuer(nil), http.StatusForbidden, "another site"},
		"with a way to another site": {way.Start + "?to=//evil.example", nil, http.StatusSeeOther, ""},
	} {
		rec := ask(t, s, "GET", tt.path, tt.edit)
		if rec.Code != tt.code || !strings.Contains(rec.Body.String(), tt.want) || strings.Contains(rec.Header().Get("Set-Cookie"), "fairway=") {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
	}
	at.Claims["groups"] = []string{"<b>guests</b>"}
	back, cookies = begun(t, s, "/")
	rec := ask(t, s, "GET", back, fromIssuer(cookies))
	if rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), "Not allowed") || !strings.Contains(rec.Body.String(), "admin.oidc.roles") || signedIn.MatchString(rec.Body.String()) {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if e := s.access.Audit.Newest(1)[0]; e.Status != http.StatusForbidden || e.Operation != "GET "+way.Callback || !strings.HasPrefix(e.Text, "Not allowed: ann@example.com") {
		t.Errorf("audit %+v", e)
	}
	for _, e := range s.access.Audit.Newest(100) {
		if strings.Contains(e.Operation+e.Text, "code=") || strings.Contains(e.Text, oidctest.Secret) {
			t.Errorf("audit %+v", e)
		}
	}
	at.Claims["groups"] = []string{"ops"}
	for _, to := range []string{"//evil.example", `/\evil.example`, "https://evil.example", "/a\nb", "javascript:alert(1)", "/" + strings.Repeat("a", 4000)} {
		back, cookies = begun(t, s, to)
		if found := signedIn.FindStringSubmatch(ask(t, s, "GET", back, fromIssuer(cookies)).Body.String()); found == nil || found[1] != "/" {
			t.Errorf("after a sign-in with %q one is sent to %q", to, found)
		}
	}
}

// TestSignInIsASignIn: who has set an issuer lets no one in who shows nothing, also without a
// token, unless they say so.
func TestSignInIsASignIn(t *testing.T) {
	for anonymous, want := range map[string]int{"": http.StatusUnauthorized, api.RoleNone: http.StatusUnauthorized, api.RoleViewer: http.StatusOK} {
		_, s := signInServer(t, func(o *Options) { o.Token, o.Anonymous = "", anonymous })
		if code := ask(t, s, "GET", "/v1/routes", nil).Code; code != want {
			t.Errorf("%q: %d, want %d", anonymous, code, want)
		}
	}
}

// TestIssuerAwayTokensWork: without the issuer the page says so, and a token signs in.
func TestIssuerAwayTokensWork(t *testing.T) {
	at, s := signInServer(t, nil)
	at.Close()
	rec := ask(t, s, "GET", way.Start, nil)
	for range 10 { // more would be too many, if they counted
		rec = ask(t, s, "GET", way.Start, nil)
	}
	if rec.Code != http.StatusBadGateway || !strings.Contains(rec.Body.String(), "The issuer does not answer") || !strings.Contains(rec.Body.String(), "sign in with a token") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	r := httptest.NewRequest("POST", "/v1/session", strings.NewReader(`{"token": "`+goodToken+`"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Host = s.Addr().String()
	signed := httptest.NewRecorder()
	s.handler.ServeHTTP(signed, r)
	if signed.Code != 200 {
		t.Errorf("%d %s", signed.Code, signed.Body)
	}
}

// TestRedirectURL: behind a proxy the issuer sends browsers to the name that is configured.
func TestRedirectURL(t *testing.T) {
	_, s := signInServer(t, func(o *Options) { o.RedirectURL = "https://fairway.example" + way.Callback })
	rec := ask(t, s, "GET", way.Start, nil)
	to, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || to.Query().Get("redirect_uri") != "https://fairway.example/sign-in/callback" {
		t.Errorf("%v, %v", to, err)
	}
}
