package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/admin/oidc/oidctest"
	"fairway/internal/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const callback = "http://fairway.example/sign-in/callback"

func roles() []Role {
	return []Role{{Role: "viewer", Claim: "email", Value: "*@example.com"}, {Role: "operator", Claim: "groups", Value: "ops"}, {Role: "admin", Claim: "realm_access.roles", Value: "root"}}
}

// newIssuer is an issuer of the test with what asks it; edit may be nil.
func newIssuer(t *testing.T, edit func(*Options)) (*oidctest.Issuer, *Issuer) {
	t.Helper()
	at := oidctest.New(t)
	at.Claims = map[string]any{"email": "Ann@example.com", "email_verified": true}
	o := Options{Issuer: at.URL, ClientID: oidctest.ClientID, Secret: func() (string, error) { return oidctest.Secret, nil }, Roles: roles()}
	if edit != nil {
		edit(&o)
	}
	i, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return at, i
}

// visit follows the browser to the issuer, and returns the query that it comes back with.
func visit(t *testing.T, location string) url.Values {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Get(location)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	back, err := answer.Location()
	if err != nil || !strings.HasPrefix(back.String(), callback+"?") {
		t.Fatalf("%d to %v, %v", answer.StatusCode, back, err)
	}
	return back.Query()
}

// TestSignIn: who signs in is who the issuer says, with the highest role that holds; and
// what does not hold is refused with what to do, and no secret.
func TestSignIn(t *testing.T) {
	past := time.Now().Add(-time.Hour).Unix()
	for name, tt := range map[string]struct {
		claims, info map[string]any
		edit         func(at *oidctest.Issuer)
		options      func(*Options)
		back         func(q url.Values, kept *string)
		name, role   string
		failure      string // a part of it
	}{
		"a verified address of mail":   {name: "Ann@example.com", role: "viewer"},
		"of another domain":            {claims: map[string]any{"email": "ann@evil.example", "email_verified": true}, failure: "Not allowed: ann@evil.example has no role here"},
		"an address like the domain":   {claims: map[string]any{"email": "ann@example.com.evil", "email_verified": true}, failure: "Not allowed"},
		"an address not verified":      {claims: map[string]any{"email": "ann@example.com"}, failure: "Not allowed: 1234 has no role here"},
		"a group":                      {claims: map[string]any{"groups": []string{"staff", "ops"}, "email": "ann@example.com", "email_verified": true}, name: "ann@example.com", role: "operator"},
		"one group as a text":          {claims: map[string]any{"groups": "ops"}, name: "1234", role: "operator"},
		"a part of the group's name":   {claims: map[string]any{"groups": []string{"ops-2"}}, failure: "Not allowed"},
		"a role within a claim":        {claims: map[string]any{"realm_access": map[string]any{"roles": []string{"root"}}, "groups": []string{"ops"}}, name: "1234", role: "admin"},
		"the highest of several":       {claims: map[string]any{"groups": []string{"ops"}, "email": "ann@example.com", "email_verified": true}, name: "ann@example.com", role: "operator"},
		"another name":                 {claims: map[string]any{"groups": []string{"ops"}, "preferred_username": "ann"}, options: func(o *Options) { o.NameClaim = "preferred_username" }, name: "ann", role: "operator"},
		"a group of the userinfo":      {claims: map[string]any{}, info: map[string]any{"sub": "1234", "groups": []string{"ops"}}, name: "1234", role: "operator"},
		"userinfo of another person":   {claims: map[string]any{}, info: map[string]any{"sub": "other", "groups": []string{"ops"}}, failure: "Not allowed"},
		"a number of many digits":      {claims: map[string]any{"groups": []int64{9007199254740993}}, options: func(o *Options) { o.Roles[0] = Role{"viewer", "groups", "9007199254740993"} }, name: "1234", role: "viewer"},
		"a name without end":           {claims: map[string]any{"groups": "ops", "nick": strings.Repeat("a", 5000)}, options: func(o *Options) { o.NameClaim = "nick" }, name: strings.Repeat("a", 100) + "… (5000 bytes)", role: "operator"},
		"userinfo that fails":          {claims: map[string]any{}, edit: func(at *oidctest.Issuer) { at.UserInfoStatus = 500 }, failure: "its userinfo endpoint: 500 Internal Server Error"},
		"no claim at all":              {claims: map[string]any{}, failure: "the claims that"},
		"wrong state":                  {back: func(q url.Values, _ *string) { q.Set("state", "other") }, failure: "Sign in again"},
		"no state":                     {back: func(q url.Values, _ *string) { q.Del("state") }, failure: "Sign in again"},
		"another browser":              {back: func(_ url.Values, kept *string) { *kept = "" }, failure: "Sign in again"},
		"a changed cookie":             {back: func(_ url.Values, kept *string) { *kept = "A" + (*kept)[1:] + "A" }, failure: "Sign in again"},
		"another issuer's answer":      {back: func(q url.Values, _ *string) { q.Set("iss", "https://evil.example") }, failure: "Another issuer"},
		"no code":                      {back: func(q url.Values, _ *string) { q.Del("code") }, failure: "no code"},
		"a wrong code":                 {back: func(q url.Values, _ *string) { q.Set("code", "x") }, failure: "does not take the code"},
		"the person says no":           {edit: func(at *oidctest.Issuer) { at.Deny = "access_denied" }, failure: "The issuer says no: 127.0.0.1"},
		"wrong nonce":                  {edit: func(at *oidctest.Issuer) { at.Edit = func(c map[string]any) { c["nonce"] = "other" } }, failure: "nonce"},
		"no nonce":                     {edit: func(at *oidctest.Issuer) { at.Edit = func(c map[string]any) { delete(c, "nonce") } }, failure: "nonce"},
		"expired":                      {edit: func(at *oidctest.Issuer) { at.Edit = func(c map[string]any) { c["exp"] = past } }, failure: "expired"},
		"wrong audience":               {edit: func(at *oidctest.Issuer) { at.Edit = func(c map[string]any) { c["aud"] = "other" } }, failure: "audience"},
		"for another client":           {edit: func(at *oidctest.Issuer) { at.Edit = func(c map[string]any) { c["azp"] = "other" } }, failure: "another client"},
		"of another issuer":            {edit: func(at *oidctest.Issuer) { at.Edit = func(c map[string]any) { c["iss"] = "https://evil.example" } }, failure: "different provider"},
		"a forged signature":           {edit: func(at *oidctest.Issuer) { at.Forge = true }, failure: "signature"},
		"a wrong secret":               {options: func(o *Options) { o.Secret = func() (string, error) { return "hunter2-wrong", nil } }, failure: "admin.oidc.client-secret-file"},
		"a secret that is not there":   {options: func(o *Options) { o.Secret = func() (string, error) { return "", errors.New("gone") } }, failure: "cannot be read"},
		"it took longer than a moment": {options: func(o *Options) { late(o) }, failure: "Sign in again"},
	} {
		t.Run(name, func(t *testing.T) {
			at, i := newIssuer(t, tt.options)
			if tt.claims != nil {
				at.Claims = tt.claims
			}
			if at.UserInfo = tt.info; tt.edit != nil {
				tt.edit(at)
			}
			location, kept, err := i.Begin(t.Context(), callback, "/routes?q=a")
			if err != nil {
				t.Fatal(err)
			}
			q := visit(t, location)
			if tt.back != nil {
				tt.back(q, &kept)
			}
			who, to, err := i.End(t.Context(), kept, q)
			if tt.failure != "" {
				shown, ok := errors.AsType[*api.Error](err)
				if !ok || !strings.Contains(shown.Title+": "+shown.Detail, tt.failure) || strings.Contains(shown.Detail, "hunter2") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || who.Name != tt.name || who.Role != tt.role || who.By != api.ByOIDC || to != "/routes?q=a" {
				t.Errorf("%+v to %s, %v", who, to, err)
			}
			if left := time.Until(who.Expires); left < Lasts-time.Minute || left > Lasts {
				t.Errorf("it holds for %v", left)
			}
			if _, _, err = i.End(t.Context(), kept, q); err == nil || !strings.Contains(err.Error(), "it was used") {
				t.Errorf("the same code again: %v", err)
			}
		})
	}
}

// late lets eleven minutes pass between the halves of a sign-in.
func late(o *Options) {
	asked := 0
	o.Now = func() time.Time {
		if asked++; asked > 3 { // discovery twice, and the beginning
			return time.Now().Add(11 * time.Minute)
		}
		return time.Now()
	}
}

// TestWhereTheSecretGoes: the issuer is asked once where it takes the secret in one place, or
// has taken it before; a code that it does not take is said to be one.
func TestWhereTheSecretGoes(t *testing.T) {
	for _, tt := range []struct {
		methods []string
		asked   int // for two sign-ins
	}{
		{[]string{"client_secret_post"}, 2},
		{[]string{"client_secret_basic"}, 2},
		{[]string{"client_secret_basic", "client_secret_post"}, 2},
		{[]string{"client_secret_post", "client_secret_basic"}, 3},
		{nil, 2},
	} {
		at, i := newIssuer(t, nil)
		at.Methods = tt.methods
		signIn := func(edit func(url.Values)) error {
			location, kept, err := i.Begin(t.Context(), callback, "/")
			if err != nil {
				t.Fatal(err)
			}
			q := visit(t, location)
			edit(q)
			_, _, err = i.End(t.Context(), kept, q)
			return err
		}
		for range 2 {
			if err := signIn(func(url.Values) {}); err != nil {
				t.Errorf("%v: %v", tt.methods, err)
			}
		}
		if err := signIn(func(q url.Values) { q.Set("code", "x") }); err == nil || !strings.Contains(err.Error(), "does not take the code") || at.Redeemed() != tt.asked+1 {
			t.Errorf("%v: asked %d times, want one more than %d; a wrong code: %v", tt.methods, at.Redeemed(), tt.asked, err)
		}
	}
}

// TestBrowserGone: a browser that has gone does not keep others from signing in.
func TestBrowserGone(t *testing.T) {
	_, i := newIssuer(t, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := i.Begin(gone, callback, "/"); err == nil {
		t.Error("a browser that has gone signs in")
	}
	if _, _, err := i.Begin(t.Context(), callback, "/"); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// TestIssuerAway: an issuer that does not answer is named in words, is not asked again at
// once, and is asked again later.
func TestIssuerAway(t *testing.T) {
	now := time.Now()
	at, i := newIssuer(t, func(o *Options) { o.Now = func() time.Time { return now } })
	at.Close()
	for range 2 {
		_, _, err := i.Begin(t.Context(), callback, "/")
		shown, ok := errors.AsType[*api.Error](err)
		if !ok || shown.Status != http.StatusBadGateway || !strings.Contains(shown.Detail, "connection refused") || !strings.Contains(shown.Detail, "sign in with a token") {
			t.Errorf("%v", err)
		}
	}
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
	}))
	defer server.Close()
	i.o.Issuer = server.URL
	if _, _, err := i.Begin(t.Context(), callback, "/"); err == nil || asked != 0 {
		t.Errorf("%v, asked %d times", err, asked)
	}
	now = now.Add(again)
	if _, _, err := i.Begin(t.Context(), callback, "/"); err == nil || !strings.Contains(err.Error(), "302") || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// TestCheck refuses issuers and roles that cannot be meant.
func TestCheck(t *testing.T) {
	for text, good := range map[string]bool{
		"https://id.example.com/realms/main": true, "https://accounts.google.com": true, "http://127.0.0.1:8081/realms/x": true, "http://localhost:8081": true,
		"http://id.example.com": false, "id.example.com": false, "https://u:p@id.example.com": false, "https://id.example.com?x=1": false, "https://id.example.com/.well-known/openid-configuration": false, "": false,
	} {
		if err := CheckIssuer(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	for r, good := range map[Role]bool{
		{"viewer", "email", "*@example.com"}: true, {"admin", "email", "ann@example.com"}: true, {"viewer", "sub", "*"}: true,
		{"root", "email", "a"}: false, {"viewer", "", "a"}: false, {"viewer", "email", ""}: false, {"viewer", "email", "*example.com"}: false, {"viewer", "groups", "a*b"}: false,
	} {
		if err := r.Check(); (err == nil) != good {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if _, err := New(Options{Issuer: "https://id.example.com", ClientID: "x"}); err == nil {
		t.Error("an issuer without roles")
	}
}
