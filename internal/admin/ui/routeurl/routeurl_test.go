package routeurl

import (
	"testing"

	"fairway/internal/api"
)

// The address of a route is what a browser opens, and nothing that is no address.
func TestOf(t *testing.T) {
	web := []api.Listener{{Name: "http", Address: ":80"}, {Name: "https", Address: ":8443", TLS: true}, {Name: "db", Address: ":5432", TCP: true}}
	exact := func(host, path string, conditions ...string) []api.Match {
		return []api.Match{{Host: host, HostKind: "exact", Path: path, PathKind: "prefix", Conditions: conditions}}
	}
	for name, c := range map[string]struct {
		route     api.Route
		listeners []api.Listener
		want      string
	}{
		"plain":             {api.Route{Matches: exact("a.example", "/")}, web, "http://a.example/"},
		"path":              {api.Route{Matches: exact("a.example", "/x y/'")}, web, "http://a.example/x%20y/%27"},
		"another port":      {api.Route{Matches: exact("a.example", "/")}, []api.Listener{{Name: "http", Address: "0.0.0.0:23000"}}, "http://a.example:23000/"},
		"any port":          {api.Route{Matches: exact("a.example", "/")}, []api.Listener{{Name: "http", Address: "127.0.0.1:0"}}, "http://a.example/"},
		"redirects":         {api.Route{Matches: exact("a.example", "/"), Filters: []string{"redirect-https"}}, web, "https://a.example:8443/"},
		"needs TLS":         {api.Route{Matches: exact("a.example", "/"), Filters: []string{"max-body 1", "require-tls"}}, web, "https://a.example:8443/"},
		"TLS alone":         {api.Route{Matches: exact("a.example", "/")}, web[1:], "https://a.example:8443/"},
		"no TLS there":      {api.Route{Matches: exact("a.example", "/"), Filters: []string{"require-tls"}}, web[:1], "http://a.example/"},
		"of a listener":     {api.Route{Matches: exact("a.example", "/", "listener https")}, web, "https://a.example:8443/"},
		"of another":        {api.Route{Matches: exact("a.example", "/", "listener elsewhere")}, web, ""},
		"connections":       {api.Route{Matches: exact("a.example", "/"), Backend: &api.Backend{Scheme: "tcp"}}, web, ""},
		"no listener":       {api.Route{Matches: exact("a.example", "/")}, nil, ""},
		"wildcard":          {api.Route{Matches: []api.Match{{Host: "*.a.example", HostKind: "wildcard", Path: "/", PathKind: "prefix"}}}, web, ""},
		"wildcard, then no": {api.Route{Matches: append([]api.Match{{Host: "*.a", HostKind: "wildcard", Path: "/"}}, exact("b.example", "/")...)}, web, "http://b.example/"},
		"expression":        {api.Route{Matches: []api.Match{{Host: "a.example", HostKind: "exact", Path: "/v[0-9]", PathKind: "regexp"}}}, web, ""},
		"no host":           {api.Route{Matches: exact("javascript:alert(1)", "/")}, web, ""},
		"user":              {api.Route{Matches: exact("a@b.example", "/")}, web, ""},
	} {
		if got := Of(c.route, c.listeners); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
