package route

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// explained is a small table with a loser for every reason.
func explained(t testing.TB) *Matcher {
	exact, root := Host{HostExact, "shop.example.com"}, Path{PathPrefix, "/"}
	api := Path{PathPrefix, "/api"}
	with := func(c ...Condition) []Match { return []Match{{exact, Path{PathExact, "/api/v1"}, c}} }
	return mustMatcher(t,
		&Route{ID: "winner", Claim: 2, Matches: []Match{{exact, root, nil}, {exact, api, nil}}},
		&Route{ID: "late", Claim: 3, Matches: []Match{{exact, api, nil}}},
		&Route{ID: "short", Matches: []Match{{exact, root, nil}}},
		&Route{ID: "wild", Matches: []Match{{Host{HostWildcard, "example.com"}, api, nil}}},
		&Route{ID: "other-host", Matches: []Match{{Host{HostExact, "b.example.com"}, api, nil}}},
		&Route{ID: "other-path", Matches: []Match{{exact, Path{PathPrefix, "/ap"}, nil}, {Host{HostExact, "c.example"}, root, nil}}},
		&Route{ID: "method", Matches: with(Condition{Kind: ConditionMethod, Values: []string{"GET", "HEAD"}})},
		&Route{ID: "not-method", Matches: with(Condition{Kind: ConditionMethod, Values: []string{"POST"}, Not: true})},
		&Route{ID: "header", Matches: with(Condition{Kind: ConditionHeader, Name: "X-Env", Values: []string{"canary"}})},
		&Route{ID: "no-header", Matches: with(Condition{Kind: ConditionHeader, Name: "X-Key"})},
		&Route{ID: "header-expr", Matches: with(Condition{Kind: ConditionHeaderRegexp, Name: "X-Env", Values: []string{"^c"}})},
		&Route{ID: "query", Matches: with(Condition{Kind: ConditionQuery, Name: "q", Values: []string{"1"}})},
		&Route{ID: "client", Matches: with(Condition{Kind: ConditionClientIP, Values: []string{"10.0.0.0/8"}})},
		&Route{ID: "not-host", Matches: with(Condition{Kind: ConditionHost, Values: []string{"*.example.com"}, Not: true})},
		&Route{ID: "not-path", Matches: with(Condition{Kind: ConditionPathPrefix, Values: []string{"/api"}, Not: true})},
		&Route{ID: "listener", Matches: with(Condition{Kind: ConditionListener, Values: []string{"https"}})},
		&Route{ID: "second", Matches: with(
			Condition{Kind: ConditionMethod, Values: []string{"POST"}},
			Condition{Kind: ConditionHeader, Name: "X-Env", Values: []string{"canary"}},
		)},
		&Route{ID: "urgent", Priority: 10, Matches: []Match{{Host{HostExact, "b.example.com"}, api, nil}}},
	)
}

func TestExplain(t *testing.T) {
	m := explained(t)
	request := func(host string) *Request {
		return &Request{
			Listener: "http", Method: "POST", Host: host, Path: "/api/v1", Query: "q=2&q=3%0a", Client: netip.MustParseAddr("::ffff:192.0.2.1"),
			Header: http.Header{"X-Env": {"stable\x1b[31m"}},
		}
	}
	golden(t, "explain",
		txtar.File{Name: "hit", Data: []byte(asText(m.Explain(request("shop.example.com"))))},
		txtar.File{Name: "miss", Data: []byte(asText(m.Explain(request("nobody.example"))))},
		txtar.File{Name: "bare", Data: []byte(asText(m.Explain(&Request{Host: "shop.example.com", Path: "/api/v1"})))},
	)
}

func ExampleMatcher_Explain() {
	m, err := NewMatcher([]*Route{
		{ID: "shop@docker", Matches: []Match{{Host: Host{HostExact, "shop.example.com"}, Path: Path{PathPrefix, "/"}}}},
		{ID: "shop@docker/api", Matches: []Match{{Host: Host{HostExact, "shop.example.com"}, Path: Path{PathPrefix, "/api"}}}},
		{ID: "blog@docker", Matches: []Match{{Host: Host{HostExact, "blog.example.com"}, Path: Path{PathPrefix, "/"}}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(asText(m.Explain(&Request{Method: "GET", Host: "shop.example.com", Path: "/api/v1"})))
	// Output:
	// shop@docker/api takes the request: host shop.example.com, path /api
	// blog@docker wants host blog.example.com; the request has shop.example.com
	// shop@docker would match, but shop@docker/api goes first: longer path (/api, not /)
}

// TestExplainNamesTheNearestMatch: of a route's matches the one that gets furthest
// is told of, the better one when they get equally far.
func TestExplainNamesTheNearestMatch(t *testing.T) {
	host := func(s string) Host { return Host{HostExact, s} }
	m := mustMatcher(t, &Route{ID: "r", Matches: []Match{
		{host("a.example"), Path{PathPrefix, "/long/path"}, nil},
		{host("b.example"), Path{PathPrefix, "/x"}, nil},
		{host("b.example"), Path{PathPrefix, "/"}, []Condition{{Kind: ConditionMethod, Values: []string{"PUT"}}}},
	}})
	for host, want := range map[string]string{
		"a.example": "host a.example, path /long/path",
		"b.example": "host b.example, path /, method PUT",
		"c.example": "host a.example, path /long/path",
	} {
		x := m.Explain(&Request{Method: "GET", Host: host, Path: "/y"})
		if len(x.Losers) != 1 || x.Losers[0].Match != want {
			t.Errorf("%s: %+v does not name %q", host, x.Losers, want)
		}
	}
}

// TestExplainNilHeader: a request without headers has no header, also for
// conditions that are turned round.
func TestExplainNilHeader(t *testing.T) {
	m := mustMatcher(t, &Route{ID: "r", Matches: []Match{{
		Host{Kind: HostAny}, Path{PathPrefix, "/"}, []Condition{{Kind: ConditionHeader, Name: "A", Not: true}},
	}}})
	r := &Request{Path: "/"}
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
		fmt.Fprintf(&b, "%s takes the request: %s\n", token(x.Winner), x.Match)
	}
	for _, l := range x.Losers {
		b.WriteString(loserText(l) + "\n")
	}
	return b.String()
}

func loserText(l Loser) string {
	switch {
	case l.Part == "":
		return fmt.Sprintf("%s would match, but %s goes first: %s", token(l.Route), token(l.Behind), l.Because)
	case l.Actual == "":
		return fmt.Sprintf("%s wants %s; the request has none", token(l.Route), l.Expected)
	}
	return fmt.Sprintf("%s wants %s; the request has %s", token(l.Route), l.Expected, l.Actual)
}
