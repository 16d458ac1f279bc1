package acme

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fairway/internal/route"
)

// TestWants: which hosts are to have a certificate, and of whom.
func TestWants(t *testing.T) {
	for name, c := range map[string]struct {
		hosts, covered     []string
		private, wildcards bool
		want               string
	}{
		"hosts":              {hosts: []string{"b.example.com", "a.example.com", "*", "**.example.com"}, want: "a.example.com b.example.com"},
		"wildcards by DNS":   {hosts: []string{"*.example.com", "a.example.com", "b.a.example.com"}, wildcards: true, want: "*.example.com b.a.example.com"},
		"no wildcards":       {hosts: []string{"*.example.com", "a.example.com"}, want: "a.example.com"},
		"covered":            {hosts: []string{"a.example.com", "b.example.org", "c.example.net"}, covered: []string{"a.example.com", "*.example.org"}, want: "c.example.net"},
		"for no one outside": {hosts: []string{"app.localhost", "localhost", "db.internal", "a.test", "10.0.0.1", "printer", "a.home.arpa", "shop.com"}, want: "10.0.0.1! a.home.arpa! a.test! app.localhost! db.internal! localhost! printer! shop.com"},
		"a private authority": {
			hosts: []string{"app.localhost", "db.internal", "a.test", "10.0.0.1", "printer"}, private: true, want: "10.0.0.1! a.test app.localhost! db.internal printer",
		},
	} {
		var got []string
		for _, w := range wants(table(t, c.hosts...), c.covered, c.private, c.wildcards) {
			if w.Internal {
				w.Name += "!"
			}
			got = append(got, w.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %s", name, got, c.want)
		}
	}
}

// TestWantsByLabel: what the label tls and the listeners of a route make of it.
func TestWantsByLabel(t *testing.T) {
	exact := func(host string, c ...route.Condition) []route.Match {
		return []route.Match{{Host: route.Host{Kind: route.HostExact, Value: host}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}, Conditions: c}}
	}
	only := route.Condition{Kind: route.ConditionListener, Values: []string{"http"}}
	made := &route.Table{
		Listeners: []route.Listener{{Name: "http"}, {Name: "https", TLS: true}, {Name: "db", TCP: true}},
		Routes: []*route.Route{
			{ID: "a", Matches: exact("auto.example.com")},
			{ID: "b", Matches: exact("off.example.com"), TLS: route.TLSOff},
			{ID: "c", Matches: exact("file.example.com"), TLS: "/run/secrets/x.pem"},
			{ID: "d", Matches: exact("internal.example.com"), TLS: route.TLSInternal},
			{ID: "e", Matches: exact("both.example.com"), TLS: route.TLSInternal},
			{ID: "f", Matches: exact("both.example.com")},
			{ID: "g", Matches: exact("plain.example.com", only)},
			{ID: "h", Matches: exact("refused.example.com"), Refused: "no"},
			{ID: "i", Certified: []string{"named.shops.dev"}, Matches: []route.Match{
				{Host: route.Host{Kind: route.HostDeep, Value: "shops.dev"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}, Conditions: []route.Condition{only}},
				{Host: route.Host{Kind: route.HostDeep, Value: "shops.dev"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}},
			}},
		},
	}
	var got []string
	for _, w := range wants(made, nil, false, false) {
		got = append(got, fmt.Sprint(w.Name, " ", w.Internal, " ", w.Route))
	}
	if text := strings.Join(got, "; "); text != "auto.example.com false a; both.example.com false f; internal.example.com true d; named.shops.dev false i" {
		t.Error(text)
	}
	r, b := challenges(made, nil, nil, false, "127.0.0.1:1")
	if r == nil || len(r.Matches) != 3 || len(r.Filters) != 0 || b.Endpoints[0].Address != "127.0.0.1:1" {
		t.Errorf("%+v, %+v", r, b)
	}
	if _, err := route.New(1, made.Listeners, []*route.Route{r}, []*route.Backend{b}, nil); err != nil {
		t.Error(err)
	}
	if r, _ := challenges(&route.Table{Listeners: made.Listeners[1:], Routes: made.Routes}, nil, nil, false, "127.0.0.1:1"); r != nil {
		t.Error("a route that no listener leads to")
	}
}

type answerer struct{}

func (answerer) Answer(_ context.Context, host, token string) (string, bool) {
	return "text", host == "a.example.com" && token == "good-token"
}

// TestHandler answers challenges and nothing else.
func TestHandler(t *testing.T) {
	for target, want := range map[string]int{
		"http://A.example.com:80/.well-known/acme-challenge/good-token": http.StatusOK,
		"http://b.example.com/.well-known/acme-challenge/good-token":    http.StatusNotFound,
		"http://a.example.com/.well-known/acme-challenge/other":         http.StatusNotFound,
		"http://a.example.com/.well-known/acme-challenge/":              http.StatusNotFound,
		"http://a.example.com/.well-known/acme-challenge/a%2fb":         http.StatusNotFound,
		"http://a.example.com/good-token":                               http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		Handler(answerer{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if w.Code != want || want == http.StatusOK && w.Body.String() != "text" {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}
