package ui

import (
	"strings"
	"testing"

	"fairway/internal/api"
)

// The address of a route is what a browser opens, and nothing that is no address.
func TestAddressOf(t *testing.T) {
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
		if got := addressOf(c.route, c.listeners); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Hosts open in a tab of their own, which knows nothing of the page, and are copied as a
// line for the shell.
func TestHostsOpen(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/info"].(*api.Info).Listeners = []api.Listener{{Name: "http", Address: ":8000"}}
	routes := a["/v1/routes"].(*api.List[api.Route])
	routes.Items[0].Matches = []api.Match{{Host: "shop.example.com", HostKind: "exact", Path: "/", PathKind: "prefix"}}
	routes.Items[0].Backend.Scheme = "http"
	routes.Items[0].Service = a["/v1/services"].(*api.List[api.Service]).Items[0].ID
	for _, path := range []string{"/services", "/routes", link("services", routes.Items[0].Service)} {
		body := get(t, p, a, path).Body.String()
		if !strings.Contains(body, `href="http://shop.example.com:8000/" target="_blank" rel="noopener noreferrer">shop.example.com`) {
			t.Errorf("%s has no link to the host", path)
		}
		if path != "/services" && !strings.Contains(body, `data-copy="curl -i &#39;http://shop.example.com:8000/&#39;"`) {
			t.Errorf("%s has no line for curl", path)
		}
	}
}

// The page of sources says of each what is wrong, since when, and what to type.
func TestSources(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/sources"] = &api.List[api.Source]{Items: []api.Source{
		{Name: "docker", State: api.SourceStale, Error: "permission denied", Services: 3, LastSuccess: now(), Condition: api.Condition{
			State: api.StateDown, Reasons: []api.Reason{{Code: "stale", Text: "it does not answer", Hint: "sudo usermod -aG docker fairway", Since: now()}},
		}},
		{Name: "file:services.yml", State: api.SourceCurrent, Condition: api.Condition{State: api.StateHealthy}, Held: []string{"cart"}},
		{Name: "swarm", State: api.SourceNeverAnswered, Condition: api.Condition{State: api.StateDown}},
		{Name: "well", State: api.SourceCurrent, Condition: api.Condition{State: api.StateHealthy}},
	}}
	body := get(t, p, a, "/sources?sort=-state").Body.String()
	for _, want := range []string{"it does not answer", `data-copy="sudo usermod -aG docker fairway"`, "permission denied", ">never-answered<", "1 service held", "Not current <b>3</b>", ">never<"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if body := get(t, p, a, "/sources?only=trouble").Body.String(); strings.Count(body, "<tr id=") != 3 {
		t.Errorf("not current are %d", strings.Count(body, "<tr id="))
	}
	if !strings.Contains(get(t, p, a, "/").Body.String(), `href="/sources#o-`+key("docker")) {
		t.Error("the overview does not lead to a source")
	}
}
