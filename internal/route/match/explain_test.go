package match

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"fairway/internal/route"
)

// explained is a small table with a loser for every reason.
func explained(t testing.TB) *Matcher {
	exact, root := route.Host{Kind: route.HostExact, Value: "shop.example.com"}, route.Path{Kind: route.PathPrefix, Value: "/"}
	api := route.Path{Kind: route.PathPrefix, Value: "/api"}
	with := func(c ...route.Condition) []route.Match {
		return []route.Match{{Host: exact, Path: route.Path{Kind: route.PathExact, Value: "/api/v1"}, Conditions: c}}
	}
	return mustMatcher(t,
		&route.Route{ID: "winner", Claim: 2, Matches: []route.Match{{Host: exact, Path: root}, {Host: exact, Path: api}}},
		&route.Route{ID: "late", Claim: 3, Matches: []route.Match{{Host: exact, Path: api}}},
		&route.Route{ID: "short", Matches: []route.Match{{Host: exact, Path: root}}},
		&route.Route{ID: "wild", Matches: []route.Match{{Host: route.Host{Kind: route.HostWildcard, Value: "example.com"}, Path: api}}},
		&route.Route{ID: "other-host", Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "b.example.com"}, Path: api}}},
		&route.Route{ID: "other-path", Matches: []route.Match{{Host: exact, Path: route.Path{Kind: route.PathPrefix, Value: "/ap"}}, {Host: route.Host{Kind: route.HostExact, Value: "c.example"}, Path: root}}},
		&route.Route{ID: "method", Matches: with(route.Condition{Kind: route.ConditionMethod, Values: []string{"GET", "HEAD"}})},
		&route.Route{ID: "not-method", Matches: with(route.Condition{Kind: route.ConditionMethod, Values: []string{"POST"}, Not: true})},
		&route.Route{ID: "header", Matches: with(route.Condition{Kind: route.ConditionHeader, Name: "X-Env", Values: []string{"canary"}})},
		&route.Route{ID: "no-header", Matches: with(route.Condition{Kind: route.ConditionHeader, Name: "X-Key"})},
		&route.Route{ID: "header-expr", Matches: with(route.Condition{Kind: route.ConditionHeaderRegexp, Name: "X-Env", Values: []string{"^c"}})},
		&route.Route{ID: "query", Matches: with(route.Condition{Kind: route.ConditionQuery, Name: "q", Values: []string{"1"}})},
		&route.Route{ID: "client", Matches: with(route.Condition{Kind: route.ConditionClientIP, Values: []string{"10.0.0.0/8"}})},
		&route.Route{ID: "not-host", Matches: with(route.Condition{Kind: route.ConditionHost, Values: []string{"*.example.com"}, Not: true})},
		&route.Route{ID: "not-path", Matches: with(route.Condition{Kind: route.ConditionPathPrefix, Values: []string{"/api"}, Not: true})},
		&route.Route{ID: "listener", Matches: with(route.Condition{Kind: route.ConditionListener, Values: []string{"https"}})},
		&route.Route{ID: "second", Matches: with(
			route.Condition{Kind: route.ConditionMethod, Values: []string{"POST"}},
			route.Condition{Kind: route.ConditionHeader, Name: "X-Env", Values: []string{"canary"}},
		)},
		&route.Route{ID: "urgent", Priority: 10, Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "b.example.com"}, Path: api}}},
	)
}

// golden compares texts with the files of an archive, by name.
func golden(t *testing.T, path string, files ...txtar.File) {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range archive.Files {
		if i >= len(files) || f.Name != files[i].Name || string(f.Data) != string(files[i].Data) {
			t.Errorf("%s: %s: got another text:\n%s", path, f.Name, files[min(i, len(files)-1)].Data)
		}
	}
	if len(archive.Files) != len(files) {
		t.Errorf("%s has %d files, want %d", path, len(archive.Files), len(files))
	}
}

func TestExplain(t *testing.T) {
	m := explained(t)
	request := func(host string) *route.Request {
		return &route.Request{
			Listener: "http", Method: "POST", Host: host, Path: "/api/v1", Query: "q=2&q=3%0a", Client: netip.MustParseAddr("::ffff:192.0.2.1"),
			Header: http.Header{"X-Env": {"stable\x1b[31m"}},
		}
	}
	golden(t, "testdata/explain.txtar",
		txtar.File{Name: "hit", Data: []byte(asText(m.Explain(request("shop.example.com"))))},
		txtar.File{Name: "miss", Data: []byte(asText(m.Explain(request("nobody.example"))))},
		txtar.File{Name: "bare", Data: []byte(asText(m.Explain(&route.Request{Host: "shop.example.com", Path: "/api/v1"})))},
	)
}

func ExampleMatcher_Explain() {
	m, err := New([]*route.Route{
		{ID: "shop@docker", Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "shop.example.com"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}}},
		{ID: "shop@docker/api", Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "shop.example.com"}, Path: route.Path{Kind: route.PathPrefix, Value: "/api"}}}},
		{ID: "blog@docker", Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "blog.example.com"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(asText(m.Explain(&route.Request{Method: "GET", Host: "shop.example.com", Path: "/api/v1"})))
	// Output:
	// shop@docker/api takes the request: host shop.example.com, path /api
	// blog@docker wants host blog.example.com; the request has shop.example.com
	// shop@docker would match, but shop@docker/api goes first: longer path (/api, not /)
}

// TestExplainNamesTheNearestMatch: of a route's matches the one that gets furthest
// is told of, the better one when they get equally far.
func TestExplainNamesTheNearestMatch(t *testing.T) {
	host := func(s string) route.Host { return route.Host{Kind: route.HostExact, Value: s} }
	m := mustMatcher(t, &route.Route{ID: "r", Matches: []route.Match{
		{Host: host("a.example"), Path: route.Path{Kind: route.PathPrefix, Value: "/long/path"}},
		{Host: host("b.example"), Path: route.Path{Kind: route.PathPrefix, Value: "/x"}},
		{Host: host("b.example"), Path: route.Path{Kind: route.PathPrefix, Value: "/"}, Conditions: []route.Condition{{Kind: route.ConditionMethod, Values: []string{"PUT"}}}},
	}})
	for host, want := range map[string]string{
		"a.example": "host a.example, path /long/path",
		"b.example": "host b.example, path /, method PUT",
		"c.example": "host a.example, path /long/path",
	} {
		x := m.Explain(&route.Request{Method: "GET", Host: host, Path: "/y"})
		if len(x.Losers) != 1 || x.Losers[0].Match != want {
			t.Errorf("%s: %+v does not name %q", host, x.Losers, want)
		}
	}
}

// TestExplainNilHeader: a request without headers has no header, also for
// conditions that are turned round.
func TestExplainNilHeader(t *testing.T) {
	m := mustMatcher(t, &route.Route{ID: "r", Matches: []route.Match{{
		Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}, Conditions: []route.Condition{{Kind: route.ConditionHeader, Name: "A", Not: true}},
	}}})
	r := &route.Request{Path: "/"}
	if m.Find(r) == nil || !strings.HasPrefix(asText(m.Explain(r)), "r takes the request") {
		t.Error("the request is not taken")
	}
}

// asText prints an explanation: the winner in the first line, then a line for each loser.
func asText(x Explanation) string {
	var b strings.Builder
	if x.Winner == "" {
		b.WriteString("no route takes the request\n")
	} else {
		fmt.Fprintf(&b, "%s takes the request: %s\n", x.Winner, x.Match)
	}
	for _, l := range x.Losers {
		b.WriteString(loserText(l) + "\n")
	}
	return b.String()
}

func loserText(l Loser) string {
	switch {
	case l.Part == "":
		return fmt.Sprintf("%s would match, but %s goes first: %s", l.Route, l.Behind, l.Because)
	case l.Actual == "":
		return fmt.Sprintf("%s wants %s; the request has none", l.Route, l.Expected)
	}
	return fmt.Sprintf("%s wants %s; the request has %s", l.Route, l.Expected, l.Actual)
}
