package render

import (
	"strings"
	"testing"

	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
	"fairway/internal/route/userhash"
)

// TestShownWithoutSecrets: what is secret by its place is in the text for HAProxy,
// and not in the one for people; nothing else is different.
func TestShownWithoutSecrets(t *testing.T) {
	const canary = "hunter2"
	set := func(name string) *route.HeaderOperation {
		return &route.HeaderOperation{Set: []route.HeaderValue{{Name: name, Value: canary + "1"}}, Add: []route.HeaderValue{{Name: name, Value: canary + " %2"}}}
	}
	secret := func(kind route.ConditionKind) route.Condition {
		return route.Condition{Kind: kind, Name: "Token", Values: []string{canary, canary + "3"}}
	}
	hash := userhash.Of("salt", canary)
	crypt := "$5$" + canary + "$" + strings.Repeat("x", 43)
	r := &route.Route{
		ID: "shop", Service: "shop", Backend: "shop",
		Matches: []route.Match{{
			Host: route.Host{Kind: route.HostExact, Value: "a.example"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"},
			Conditions: []route.Condition{
				secret(route.ConditionHeader), secret(route.ConditionHeaderRegexp), secret(route.ConditionQuery), secret(route.ConditionQueryRegexp),
				{Kind: route.ConditionHeader, Name: "X-Env", Values: []string{"staging"}},
			},
		}},
		Filters: []route.Filter{
			{BasicAuth: &route.BasicAuth{Realm: "shop", Users: []route.User{{Name: "ann", Hash: hash}, {Name: "bob", Hash: crypt}}}},
			{RequestHeaders: set("X-A")},
			{ResponseHeaders: &route.HeaderOperation{Set: []route.HeaderValue{{Name: "Set-Cookie", Value: canary}, {Name: "X-Frame-Options", Value: "DENY"}}}},
			{Snippet: &route.Snippet{Lines: []string{"http-request set-header X-B " + canary + "\x03" + canary}}},
		},
	}
	b := &route.Backend{
		ID: "shop", Service: "shop", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin},
		Health: &route.Health{Path: "/up?token=" + canary, Headers: []route.HeaderValue{{Name: "X-A", Value: canary}}},
	}
	table, err := route.New(1, []route.Listener{{Name: "http", Address: ":80"}}, []*route.Route{r}, []*route.Backend{b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: "/dir", Spares: 1, Extra: Extra{
		Global: []string{"setenv KEY " + canary}, Frontend: []string{"http-request set-header X-C " + canary},
		Statistics: &Statistics{URI: "/admin?stats", User: "ann", Password: canary},
	}}
	c, err := Render(table, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	text, shown := string(c.Text), c.Shown()
	if n := strings.Count(text, canary); n < 15 || strings.ContainsAny(text, quote.SecretBegin+quote.SecretEnd) {
		t.Errorf("%d secrets in what HAProxy gets, or marks:\n%s", n, text)
	}
	if strings.Contains(shown+c.ShownMaps(), canary) || strings.Contains(shown+c.ShownMaps(), hash) || strings.ContainsAny(shown, quote.SecretBegin+quote.SecretEnd) {
		t.Errorf("secrets are shown, or marks:\n%s", shown)
	}
	for _, want := range []string{
		`set-header "X-A" ***`, `"Set-Cookie" ***`, `"X-Frame-Options" "DENY"`, `"staging"`, `uri "/up?***"`, "user \"bob\" password ***", "stats auth ***", "http-request ***", "setenv ***",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("there is no %s in\n%s", want, shown)
		}
	}
	if got, want := strings.Count(shown, "\n"), strings.Count(text, "\n"); want-got != 2 { // the heading and the marker are two lines less one
		t.Errorf("%d lines are shown, HAProxy gets %d", got, want)
	}
}

// TestShownFile: the file for people has the lines of the file, and other text exactly
// where a line holds a secret.
func TestShownFile(t *testing.T) {
	table, err := route.New(1, []route.Listener{{Name: "http", Address: ":80"}}, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Render(table, nil, Options{Dir: "/dir", Spares: 1, Extra: Extra{Frontend: []string{"http-request set-header X-Key hidden"}}})
	if err != nil {
		t.Fatal(err)
	}
	lines, shown := strings.Split(string(c.Text), "\n"), strings.Split(c.ShownFile(), "\n")
	if len(lines) != len(shown) {
		t.Fatalf("%d lines are shown as %d", len(lines), len(shown))
	}
	for i := range lines {
		if differs := lines[i] != shown[i]; differs != strings.Contains(lines[i], "hidden") {
			t.Errorf("%q is shown as %q", lines[i], shown[i])
		}
	}
	for _, path := range c.Quotable() {
		if strings.Contains(path, mapUsers) {
			t.Error("hashes of passwords may be quoted")
		}
	}
}

// TestSecretLineWithTabs: HAProxy separates words at tabs as at blanks.
func TestSecretLineWithTabs(t *testing.T) {
	for _, line := range []string{"http-request set-header X-Key hidden", "http-request\tset-header\tX-Key\thidden"} {
		marked := quote.SecretLine(line)
		begin, end := strings.Index(marked, quote.SecretBegin), strings.Index(marked, quote.SecretEnd)
		if at := strings.Index(marked, "hidden"); begin < 0 || at < begin || at > end {
			t.Errorf("%q is shown as %q", line, marked)
		}
	}
}
