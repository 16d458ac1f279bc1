package render

import (
	"fmt"
	"strings"
	"testing"

	"fairway/internal/route"
)

func TestUnsupported(t *testing.T) {
	match := func(m route.Match) (*route.Route, *route.Backend) {
		if m.Host.Kind == "" {
			m.Host.Kind = route.HostAny
		}
		if m.Path.Kind == "" {
			m.Path = route.Path{Kind: route.PathPrefix, Value: "/"}
		}
		return &route.Route{ID: "shop", Matches: []route.Match{m}}, nil
	}
	condition := func(kind route.ConditionKind, name string, values ...string) (*route.Route, *route.Backend) {
		return match(route.Match{Conditions: []route.Condition{{Kind: kind, Name: name, Values: values}}})
	}
	backend := func(b route.Backend) (*route.Route, *route.Backend) {
		r, _ := match(route.Match{})
		return r, &b
	}
	many := func(n int) []string { return strings.Split(strings.Repeat("GET,", n-1)+"PUT", ",") }
	for name, tt := range map[string]struct {
		make func() (*route.Route, *route.Backend)
		want string
	}{
		"plain": {func() (*route.Route, *route.Backend) { return match(route.Match{}) }, ""},
		"expression": {func() (*route.Route, *route.Backend) {
			return match(route.Match{Path: route.Path{Kind: route.PathRegexp, Value: "/v[0-9]+/.*"}})
		}, ""},
		"letters of others": {func() (*route.Route, *route.Backend) {
			return match(route.Match{Path: route.Path{Kind: route.PathRegexp, Value: "/ü+"}})
		}, "ASCII"},
		"nested repetitions": {func() (*route.Route, *route.Backend) {
			return match(route.Match{Host: route.Host{Kind: route.HostRegexp, Value: "(a+)+"}})
		}, "repetition"},
		"header by name":      {func() (*route.Route, *route.Backend) { return condition(route.ConditionHeader, "X-A") }, ""},
		"header of no letter": {func() (*route.Route, *route.Backend) { return condition(route.ConditionHeader, "X'#-A", "b") }, "header"},
		"header expression":   {func() (*route.Route, *route.Backend) { return condition(route.ConditionHeaderRegexp, "X-A", "ü") }, "ASCII"},
		"query expression":    {func() (*route.Route, *route.Backend) { return condition(route.ConditionQueryRegexp, "x", "^(a*)*$") }, "repetition"},
		"some methods":        {func() (*route.Route, *route.Backend) { return condition(route.ConditionMethod, "", many(30)...) }, ""},
		"too many methods":    {func() (*route.Route, *route.Backend) { return condition(route.ConditionMethod, "", many(60)...) }, "more conditions"},
		"rewriting": {func() (*route.Route, *route.Backend) {
			r, _ := match(route.Match{})
			r.Filters = []route.Filter{{RewritePath: &route.RewritePath{Search: "(a)(b)(c)(d)(e)(f)(g)", Replace: `\1`}}}
			return r, nil
		}, "groups"},
		"address": {func() (*route.Route, *route.Backend) {
			return backend(route.Backend{Endpoints: []route.Endpoint{{Address: "10.0.0.1:80"}, {Address: "[fd00::1]:80"}}})
		}, ""},
		"name": {func() (*route.Route, *route.Backend) {
			return backend(route.Backend{Endpoints: []route.Endpoint{{Address: "tasks.my_shop:80"}}})
		}, ""},
		"zone": {func() (*route.Route, *route.Backend) {
			return backend(route.Backend{Endpoints: []route.Endpoint{{Address: "[fe80::1%eth0]:80"}}})
		}, "not an address"},
		"socket": {func() (*route.Route, *route.Backend) {
			return backend(route.Backend{Endpoints: []route.Endpoint{{Address: "/var/run/docker.sock"}}})
		}, "not an address"},
		"cookie": {func() (*route.Route, *route.Backend) { return backend(route.Backend{Sticky: "a)b"}) }, "cookie"},
		"hash": {func() (*route.Route, *route.Backend) {
			return backend(route.Backend{Balance: route.Balance{Policy: route.BalanceHash, On: route.HashQuery, Name: "a b"}})
		}, "query"},
	} {
		r, b := tt.make()
		if got := Unsupported(r, b, Capabilities{}); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestTheLongestMatchFits: what Unsupported lets pass at its bound is a configuration.
func TestTheLongestMatchFits(t *testing.T) {
	r := &route.Route{
		ID: "r", Service: "r", Filters: []route.Filter{{Redirect: &route.Redirect{Status: 302, Scheme: "https"}}},
		Matches: []route.Match{{
			Host: route.Host{Kind: route.HostRegexp, Value: "a.*"}, Path: route.Path{Kind: route.PathRegexp, Value: "/a.*"},
			Conditions: []route.Condition{{Kind: route.ConditionHeader, Name: "X-A"}},
		}},
	}
	values := &r.Matches[0].Conditions[0].Values
	for Unsupported(r, nil, Capabilities{}) == "" {
		*values = append(*values, fmt.Sprint("v", len(*values)))
	}
	*values = (*values)[1:]
	table, err := route.New(1, []route.Listener{{Name: "http", Address: ":0"}}, []*route.Route{r}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, table, testOptions(t, table))
}
