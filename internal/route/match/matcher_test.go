package match

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// TestFindAgreesWithReference compares the matcher with the linear one on random
// tables, sealed or not, and the explanation with both.
func TestFindAgreesWithReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		routes := genRoutes().Draw(t, "routes")
		if rapid.Bool().Draw(t, "sealed") {
			if _, err := route.New(1, nil, routes, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		m, err := New(routes)
		if err != nil {
			t.Fatal(err)
		}
		list := newReference(routes)
		for range 5 {
			r := genRequest().Draw(t, "request")
			got, want := m.Find(r), list.find(r)
			if got != want {
				t.Fatalf("got %v, want %v for %+v", got, want, r)
			}
			checkExplanation(t, m.Explain(r), routes, want)
		}
	})
}

// checkExplanation fails unless x names the winner and says of every other route
// either what fails or why it comes second.
func checkExplanation(t *rapid.T, x Explanation, routes []*route.Route, winner *route.Route) {
	want := ""
	if winner != nil {
		want = winner.ID
	}
	others := len(routes)
	if winner != nil {
		others--
	}
	if x.Winner != want || len(x.Losers) != others {
		t.Fatalf("winner %q among %d routes, but %v", want, len(routes), x)
	}
	for _, l := range x.Losers {
		switch {
		case l.Route == want:
			t.Fatalf("the winner loses: %v", x)
		case l.Part != "" && (l.Expected == "" || l.Behind != ""),
			l.Part == "" && (l.Behind != want || want == "" || l.Reason == "" || l.Because == ""):
			t.Fatalf("no reason: %+v", l)
		}
	}
}

// TestFindManyHosts has as many names as made other proxies change their way of
// looking them up, and asks for them the way clients write them.
func TestFindManyHosts(t *testing.T) {
	for _, n := range []int{1, 101, 10_001} {
		routes := manyHosts(n)
		table, err := route.New(1, nil, routes, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := New(table.Routes)
		if err != nil {
			t.Fatal(err)
		}
		list := newReference(table.Routes)
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			hits := 0
			rapid.Check(t, func(t *rapid.T) {
				for range 5 {
					name := nameIn(rapid.IntRange(0, n+n/10).Draw(t, "name"))
					name = rapid.SampledFrom([]string{"", "x.", "x.y.", "x"}).Draw(t, "front") + name
					raw := disguise(t, name)
					host, err := canonical.Host(raw)
					if err != nil {
						t.Fatal(err)
					}
					r := &route.Request{Method: "GET", Host: host, Path: genPath().Draw(t, "path")}
					want := list.find(r)
					if got := m.Find(r); got != want {
						t.Fatalf("%q: got %v, want %v", raw, got, want)
					}
					if want != nil {
						hits++
					}
				}
			})
			least := 10
			if testing.Short() {
				least = 1 // a fifth of the requests: ten would be a matter of luck
			}
			if n > 1 && hits < least {
				t.Errorf("only %d of the requests met a route", hits)
			}
		})
	}
}

// nameIn is the name of a host among many; some are international.
func nameIn(i int) string {
	if i%7 == 3 {
		return fmt.Sprintf("bücher%d.example", i)
	}
	return fmt.Sprintf("h%d.example", i)
}

// manyHosts has a route for each of n names: exact, wildcard or deep, on several
// paths.
func manyHosts(n int) []*route.Route {
	routes := make([]*route.Route, n)
	for i := range routes {
		front := []string{"", "", "", "*.", "**."}[i%5]
		host, err := route.ParseHost(front + nameIn(i))
		if err != nil {
			panic(err)
		}
		routes[i] = &route.Route{
			ID: fmt.Sprintf("r%05d", i),
			Matches: []route.Match{{
				Host: host,
				Path: route.Path{Kind: route.PathPrefix, Value: []string{"/", "/a", "/a/b"}[i%3]},
			}, {
				Host: host,
				Path: route.Path{Kind: route.PathExact, Value: "/b/"},
			}},
		}
	}
	return routes
}

// disguise writes a name in another way that means the same.
func disguise(t *rapid.T, name string) string {
	upper := rapid.Uint64().Draw(t, "upper")
	i := 0
	name = strings.Map(func(r rune) rune {
		i++
		if upper>>(i%64)&1 == 1 {
			return unicode.ToUpper(r)
		}
		return r
	}, name)
	if rapid.Bool().Draw(t, "encoded") {
		if ascii, err := canonical.Host(name); err == nil {
			name = ascii
		}
	}
	return name + rapid.SampledFrom([]string{"", "."}).Draw(t, "dot") + rapid.SampledFrom([]string{"", ":", ":80", ":65535"}).Draw(t, "port")
}

func TestFindPrecedence(t *testing.T) {
	host := func(s string) route.Host {
		h, err := route.ParseHost(s)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	prefix := func(s string) route.Path { return route.Path{Kind: route.PathPrefix, Value: s} }
	one := func(h route.Host, p route.Path, c ...route.Condition) []route.Match {
		return []route.Match{{Host: h, Path: p, Conditions: c}}
	}
	get := route.Condition{Kind: route.ConditionMethod, Values: []string{"GET"}}
	request := &route.Request{Method: "GET", Host: "x.a.example", Path: "/a/b"}

	// Each pair goes before the next; all of them take the request.
	steps := []struct {
		name   string
		better *route.Route
		worse  *route.Route
		reason Reason
	}{
		{"priority", &route.Route{Priority: 1, Matches: one(host("*"), prefix("/"))}, &route.Route{Matches: one(host("x.a.example"), route.Path{Kind: route.PathExact, Value: "/a/b"})}, ReasonPriority},
		{"exact before wildcard", &route.Route{Matches: one(host("x.a.example"), prefix("/"))}, &route.Route{Matches: one(host("*.a.example"), prefix("/a"))}, ReasonHost},
		{"wildcard before deep", &route.Route{Matches: one(host("*.a.example"), prefix("/"))}, &route.Route{Matches: one(host("**.a.example"), prefix("/a"))}, ReasonHost},
		{"longer deep", &route.Route{Matches: one(host("**.a.example"), prefix("/"))}, &route.Route{Matches: one(host("**.example"), prefix("/a"))}, ReasonHost},
		{"deep before expression", &route.Route{Matches: one(host("**.example"), prefix("/"))}, &route.Route{Matches: one(route.Host{Kind: route.HostRegexp, Value: `x\.a\.example`}, prefix("/a"))}, ReasonHost},
		{"expression before any", &route.Route{Matches: one(route.Host{Kind: route.HostRegexp, Value: `.*`}, prefix("/"))}, &route.Route{Matches: one(host("*"), prefix("/a"))}, ReasonHost},
		{"longer path", &route.Route{Matches: one(host("*"), prefix("/a/b"))}, &route.Route{Matches: one(host("*"), prefix("/a"), get)}, ReasonPath},
		{"literal of expression", &route.Route{Matches: one(host("*"), route.Path{Kind: route.PathRegexp, Value: "/a/.*"})}, &route.Route{Matches: one(host("*"), prefix("/a"))}, ReasonPath},
		{"exact before expression", &route.Route{Matches: one(host("*"), route.Path{Kind: route.PathExact, Value: "/a/b"})}, &route.Route{Matches: one(host("*"), route.Path{Kind: route.PathRegexp, Value: "/a/b"})}, ReasonPathKind},
		{"expression before prefix", &route.Route{Matches: one(host("*"), route.Path{Kind: route.PathRegexp, Value: "/a/b"})}, &route.Route{Matches: one(host("*"), prefix("/a/b"))}, ReasonPathKind},
		{"prefix before start", &route.Route{Matches: one(host("*"), prefix("/a/b"))}, &route.Route{Matches: one(host("*"), route.Path{Kind: route.PathStart, Value: "/a/b"})}, ReasonPathKind},
		{"longer start", &route.Route{Matches: one(host("*"), route.Path{Kind: route.PathStart, Value: "/a/b"})}, &route.Route{Matches: one(host("*"), prefix("/a"))}, ReasonPath},
		{"more conditions", &route.Route{Claim: 9, Matches: one(host("*"), prefix("/"), get)}, &route.Route{Matches: one(host("*"), prefix("/"))}, ReasonConditions},
		{"earlier claim", &route.Route{ID: "z", Claim: 1, Matches: one(host("*"), prefix("/"))}, &route.Route{ID: "y", Claim: 2, Matches: one(host("*"), prefix("/"))}, ReasonClaim},
		{"lower ID", &route.Route{ID: "a", Matches: one(host("*"), prefix("/"))}, &route.Route{ID: "b", Matches: one(host("*"), prefix("/"))}, ReasonID},
	}
	for _, s := range steps {
		if s.better.ID == "" {
			s.better.ID, s.worse.ID = "z-better", "a-worse"
		}
		m, err := New([]*route.Route{s.worse, s.better})
		if err != nil {
			t.Fatal(err)
		}
		if got := m.Find(request); got != s.better {
			t.Errorf("%s: the other route wins", s.name)
		}
		x := m.Explain(request)
		if len(x.Losers) != 1 || x.Losers[0].Reason != s.reason || x.Losers[0].Route != s.worse.ID {
			t.Errorf("%s: reason is not %s: %v", s.name, s.reason, x)
		}
	}
}

// TestFindFallsThrough has routes on a better host that do not take the request:
// the next host is tried.
func TestFindFallsThrough(t *testing.T) {
	m := mustMatcher(t,
		&route.Route{ID: "exact", Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "x.a.example"}, Path: route.Path{Kind: route.PathPrefix, Value: "/only"}}}},
		&route.Route{ID: "wildcard", Matches: []route.Match{{Host: route.Host{Kind: route.HostWildcard, Value: "a.example"}, Path: route.Path{Kind: route.PathPrefix, Value: "/w"}}}},
		&route.Route{ID: "any", Matches: []route.Match{{Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}}},
	)
	for path, want := range map[string]string{"/only/x": "exact", "/w": "wildcard", "/onlyx": "any", "/": "any"} {
		if got := m.Find(&route.Request{Host: "x.a.example", Path: path}); got == nil || got.ID != want {
			t.Errorf("%s: got %v, want %s", path, got, want)
		}
	}
	if got := m.Find(&route.Request{Host: "x.a.example", Path: "*"}); got != nil {
		t.Errorf("a request without a path met %s", got.ID)
	}
}

// TestFindByStart has paths that end where no segment does.
func TestFindByStart(t *testing.T) {
	any := route.Host{Kind: route.HostAny}
	m := mustMatcher(t,
		&route.Route{ID: "start", Matches: []route.Match{{Host: any, Path: route.Path{Kind: route.PathStart, Value: "/demo"}}}},
		&route.Route{ID: "longer", Matches: []route.Match{{Host: any, Path: route.Path{Kind: route.PathStart, Value: "/demon/"}}}},
		&route.Route{ID: "prefix", Matches: []route.Match{{Host: any, Path: route.Path{Kind: route.PathPrefix, Value: "/demo"}}}},
		&route.Route{ID: "not", Matches: []route.Match{{Host: any, Path: route.Path{Kind: route.PathPrefix, Value: "/"}, Conditions: []route.Condition{
			{Kind: route.ConditionPathStart, Values: []string{"/priv"}, Not: true},
		}}}},
	)
	for path, want := range map[string]string{
		"/demo": "prefix", "/demo/": "prefix", "/demonstration": "start", "/demon/x": "longer", "/demon": "start",
		"/dem": "not", "/private": "", "/priv": "", "/pri": "not",
	} {
		id := ""
		if found := m.Find(&route.Request{Host: "a", Path: path}); found != nil {
			id = found.ID
		}
		if id != want {
			t.Errorf("%s: got %q, want %q", path, id, want)
		}
	}
}

// TestQueryIsSeenWhole has what a rule forbids behind more parameters than
// parsers read.
func TestQueryIsSeenWhole(t *testing.T) {
	m := mustMatcher(t, &route.Route{ID: "r", Matches: []route.Match{{
		Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"},
		Conditions: []route.Condition{{Kind: route.ConditionQuery, Name: "admin", Not: true}},
	}}})
	many := strings.Repeat("a=1&", 20_000)
	for query, want := range map[string]bool{
		"":                 true,
		many:               true,
		"x=admin":          true,
		"xadmin=1":         true,
		"admin":            false,
		"admin=":           false,
		many + "admin=1":   false,
		"&&admin=1":        false,
		"%61dmin=1":        false,
		"a=%zz&admin=1":    false,
		"a;admin=1":        true, // ";" separates nothing; the backend gets it as it is
		"%zzadmin=1":       true,
		"admin%00=1":       true,
		"a=b=c&adm%69n=%z": false,
	} {
		got := m.Find(&route.Request{Path: "/", Query: query}) != nil
		if got != want {
			t.Errorf("query %.30q: taken is %v, want %v", query, got, want)
		}
	}
}

func TestClientIPUnmapped(t *testing.T) {
	m := mustMatcher(t, &route.Route{ID: "r", Matches: []route.Match{{
		Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"},
		Conditions: []route.Condition{{Kind: route.ConditionClientIP, Values: []string{"10.0.0.0/8", "192.0.2.1", "::ffff:198.51.100.0/120", "fd00::/8"}}},
	}}})
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false,
		"192.0.2.1": true, "192.0.2.2": false, "198.51.100.9": true,
		"fd00::1": true, "fd00::1%eth0": true, "fe80::1": false,
	} {
		if got := m.Find(&route.Request{Path: "/", Client: netip.MustParseAddr(addr)}) != nil; got != want {
			t.Errorf("%s: taken is %v, want %v", addr, got, want)
		}
	}
	if m.Find(&route.Request{Path: "/"}) != nil {
		t.Error("a client without address is taken")
	}
}

func TestNewMatcherRefuses(t *testing.T) {
	any, root := route.Host{Kind: route.HostAny}, route.Path{Kind: route.PathPrefix, Value: "/"}
	with := func(c route.Condition) []route.Match {
		return []route.Match{{Host: any, Path: root, Conditions: []route.Condition{c}}}
	}
	for _, tt := range []struct {
		matches []route.Match
		want    string
	}{
		{nil, "no matches"},
		{[]route.Match{{Host: route.Host{Kind: route.HostExact, Value: "A.example"}, Path: root}}, "canonical form"},
		{[]route.Match{{Host: route.Host{Kind: route.HostExact, Value: ""}, Path: root}}, "empty"},
		{[]route.Match{{Host: route.Host{Kind: route.HostAny, Value: "a"}, Path: root}}, "has a value"},
		{[]route.Match{{Host: route.Host{Kind: "suffix", Value: "a"}, Path: root}}, "no such kind"},
		{[]route.Match{{Host: route.Host{Kind: route.HostRegexp, Value: "("}, Path: root}}, "missing closing"},
		{[]route.Match{{Host: any, Path: route.Path{Kind: route.PathPrefix, Value: "/a/"}}}, "canonical form"},
		{[]route.Match{{Host: any, Path: route.Path{Kind: route.PathExact, Value: "/a/../b"}}}, "canonical form"},
		{[]route.Match{{Host: any, Path: route.Path{Kind: route.PathPrefix, Value: ""}}}, "slash"},
		{[]route.Match{{Host: any, Path: route.Path{Kind: route.PathRegexp, Value: "["}}}, "missing closing"},
		{[]route.Match{{Host: any, Path: route.Path{Kind: "suffix", Value: "/"}}}, "no such kind"},
		{with(route.Condition{Kind: "weather"}), "no such kind"},
		{with(route.Condition{Kind: route.ConditionMethod}), "no values"},
		{with(route.Condition{Kind: route.ConditionMethod, Name: "x", Values: []string{"GET"}}), "has a name"},
		{with(route.Condition{Kind: route.ConditionHeader}), "no name"},
		{with(route.Condition{Kind: route.ConditionHeaderRegexp, Name: "A"}), "no values"},
		{with(route.Condition{Kind: route.ConditionQueryRegexp, Name: "A", Values: []string{"*"}}), "missing argument"},
		{with(route.Condition{Kind: route.ConditionClientIP, Values: []string{"10.0.0.0/33"}}), "not an address"},
		{with(route.Condition{Kind: route.ConditionClientIP, Values: []string{"fe80::1%eth0"}}), "not an address"},
		{with(route.Condition{Kind: route.ConditionHost, Values: []string{"a:80"}}), "no port"},
		{with(route.Condition{Kind: route.ConditionHostRegexp, Values: []string{"("}}), "missing closing"},
		{with(route.Condition{Kind: route.ConditionPathPrefix, Values: []string{"/a/"}}), "canonical form"},
		{with(route.Condition{Kind: route.ConditionPathStart, Values: []string{"/a//"}}), "canonical form"},
		{with(route.Condition{Kind: route.ConditionListener}), "no values"},
		{[]route.Match{{Host: any, Path: route.Path{Kind: route.PathStart, Value: "a"}}}, "slash"},
	} {
		_, err := New([]*route.Route{{ID: "r", Matches: tt.matches}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v does not speak of %q", tt.matches, err, tt.want)
		}
	}
}

// TestFindAllocatesNothing covers every kind of condition but those on queries.
func TestFindAllocatesNothing(t *testing.T) {
	any, root := route.Host{Kind: route.HostAny}, route.Path{Kind: route.PathPrefix, Value: "/"}
	m := mustMatcher(t,
		&route.Route{ID: "exact", Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "a.example"}, Path: route.Path{Kind: route.PathExact, Value: "/a/b"}}}},
		&route.Route{ID: "wild", Matches: []route.Match{{Host: route.Host{Kind: route.HostWildcard, Value: "example"}, Path: route.Path{Kind: route.PathPrefix, Value: "/a"}}}},
		&route.Route{ID: "deep", Matches: []route.Match{{Host: route.Host{Kind: route.HostDeep, Value: "b.example"}, Path: route.Path{Kind: route.PathRegexp, Value: "/d.*"}}}},
		&route.Route{ID: "expr", Matches: []route.Match{{Host: route.Host{Kind: route.HostRegexp, Value: "e[0-9]+"}, Path: root}}},
		&route.Route{ID: "start", Matches: []route.Match{{Host: any, Path: route.Path{Kind: route.PathStart, Value: "/sta"}}}},
		&route.Route{ID: "listener", Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "l"}, Path: root, Conditions: []route.Condition{{Kind: route.ConditionListener, Values: []string{"http"}}}}}},
		&route.Route{ID: "conditions", Matches: []route.Match{{Host: any, Path: root, Conditions: []route.Condition{
			{Kind: route.ConditionMethod, Values: []string{"GET"}},
			{Kind: route.ConditionHeader, Name: "X-A", Values: []string{"1"}},
			{Kind: route.ConditionHeaderRegexp, Name: "X-A", Values: []string{"^[0-9]$"}},
			{Kind: route.ConditionClientIP, Values: []string{"10.0.0.0/8"}},
			{Kind: route.ConditionHost, Values: []string{"**.com"}, Not: true},
			{Kind: route.ConditionPathPrefix, Values: []string{"/private"}, Not: true},
		}}}},
	)
	client := netip.MustParseAddr("10.0.0.1")
	header := http.Header{"X-A": {"1"}}
	for _, tt := range []struct{ host, path, want string }{
		{"a.example", "/a/b", "exact"},
		{"a.example", "/a/c", "wild"},
		{"x.y.b.example", "/d/e", "deep"},
		{"e17", "/", "expr"},
		{"other", "/x", "conditions"},
		{"other", "/private", ""},
		{"other", "/start/x", "start"},
		{"l", "/", "listener"},
	} {
		r := &route.Request{Method: "GET", Host: tt.host, Path: tt.path, Query: "q=1&%71=2", Client: client, Header: header, Listener: "http"}
		id := ""
		allocs := testing.AllocsPerRun(100, func() {
			id = ""
			if found := m.Find(r); found != nil {
				id = found.ID
			}
		})
		if id != tt.want || allocs != 0 {
			t.Errorf("%s%s: route %q with %v allocations, want %q with none", tt.host, tt.path, id, allocs, tt.want)
		}
	}
}

func mustMatcher(t testing.TB, routes ...*route.Route) *Matcher {
	t.Helper()
	m, err := New(routes)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// BenchmarkFind asks tables of several sizes for some of their hosts, each with
// three paths in turn, and for hosts that are not there. The case "all" asks for
// all hosts in random order, which adds what the processor's caches cost.
func BenchmarkFind(b *testing.B) {
	name := func(i int) string { return fmt.Sprintf("app-%05d.example.com", i) }
	for _, n := range []int{1, 100, 10_000} {
		var routes []*route.Route
		for i := range n {
			host := route.Host{Kind: route.HostExact, Value: name(i)}
			routes = append(routes, &route.Route{ID: host.Value, Matches: []route.Match{
				{Host: host, Path: route.Path{Kind: route.PathPrefix, Value: "/"}},
				{Host: host, Path: route.Path{Kind: route.PathPrefix, Value: "/demo"}},
				{Host: host, Path: route.Path{Kind: route.PathExact, Value: "/demo/health"}},
			}})
		}
		m := mustMatcher(b, routes...)
		random := rand.New(rand.NewPCG(1, 2))
		ask := func(what string, requests int, hit bool, host func(i int) string) {
			list := make([]route.Request, requests)
			for i := range list {
				list[i] = route.Request{Method: "GET", Host: host(i), Path: []string{"/", "/demo/a/b", "/demo/health"}[i%3]}
			}
			b.Run(fmt.Sprintf("%s/routes=%d", what, n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if (m.Find(&list[i]) != nil) != hit {
						b.Fatal("wrong answer")
					}
					if i++; i == len(list) {
						i = 0
					}
				}
			})
		}
		ask("hit", 16, true, func(int) string { return name(random.IntN(n)) })
		ask("miss", 16, false, func(i int) string { return name(i) + ".net" })
		ask("all", 10_000, true, func(int) string { return name(random.IntN(n)) })
	}
}

// BenchmarkNewMatcher makes the matcher for a table of which every route was in a
// table before, as after a change of one label.
func BenchmarkNewMatcher(b *testing.B) {
	routes := manyHosts(5000)
	if _, err := route.New(1, nil, routes, nil, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(routes); err != nil {
			b.Fatal(err)
		}
	}
}

func TestNamesHost(t *testing.T) {
	named := func(hosts ...string) *Matcher {
		r := &route.Route{ID: "r"}
		for _, h := range hosts {
			host, err := route.ParseHost(h)
			if err != nil {
				t.Fatal(err)
			}
			r.Matches = append(r.Matches, route.Match{Host: host, Path: route.Path{Kind: route.PathPrefix, Value: "/"}})
		}
		m, err := New([]*route.Route{r})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := named("a.example", "*.wild.example", "**.deep.example")
	for host, want := range map[string]bool{
		"a.example": true, "x.wild.example": true, "x.deep.example": true, "y.x.deep.example": true,
		"b.example": false, "wild.example": false, "y.x.wild.example": false, "deep.example": false, "example": false, "": false,
	} {
		if m.NamesHost(host) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
	if !named("*").NamesHost("b.example") {
		t.Error("a route for every host names every host")
	}
}
