package route

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"fairway/internal/route/canonical"
)

// TestFindAgreesWithReference compares the matcher with the linear one on random
// tables, sealed or not, and the explanation with both.
func TestFindAgreesWithReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		routes := genRoutes().Draw(t, "routes")
		if rapid.Bool().Draw(t, "sealed") {
			if _, err := New(1, nil, routes, nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		m, err := NewMatcher(routes)
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
func checkExplanation(t *rapid.T, x Explanation, routes []*Route, winner *Route) {
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
		table, err := New(1, nil, routes, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := NewMatcher(table.Routes)
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
					r := &Request{Method: "GET", Host: host, Path: genPath().Draw(t, "path")}
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
func manyHosts(n int) []*Route {
	routes := make([]*Route, n)
	for i := range routes {
		front := []string{"", "", "", "*.", "**."}[i%5]
		host, err := ParseHost(front + nameIn(i))
		if err != nil {
			panic(err)
		}
		routes[i] = &Route{
			ID: fmt.Sprintf("r%05d", i),
			Matches: []Match{{
				Host: host,
				Path: Path{PathPrefix, []string{"/", "/a", "/a/b"}[i%3]},
			}, {
				Host: host,
				Path: Path{PathExact, "/b/"},
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
	host := func(s string) Host {
		h, err := ParseHost(s)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	prefix := func(s string) Path { return Path{PathPrefix, s} }
	one := func(h Host, p Path, c ...Condition) []Match { return []Match{{h, p, c}} }
	get := Condition{Kind: ConditionMethod, Values: []string{"GET"}}
	request := &Request{Method: "GET", Host: "x.a.example", Path: "/a/b"}

	// Each pair goes before the next; all of them take the request.
	steps := []struct {
		name   string
		better *Route
		worse  *Route
		reason Reason
	}{
		{"priority", &Route{Priority: 1, Matches: one(host("*"), prefix("/"))}, &Route{Matches: one(host("x.a.example"), Path{PathExact, "/a/b"})}, ReasonPriority},
		{"exact before wildcard", &Route{Matches: one(host("x.a.example"), prefix("/"))}, &Route{Matches: one(host("*.a.example"), prefix("/a"))}, ReasonHost},
		{"wildcard before deep", &Route{Matches: one(host("*.a.example"), prefix("/"))}, &Route{Matches: one(host("**.a.example"), prefix("/a"))}, ReasonHost},
		{"longer deep", &Route{Matches: one(host("**.a.example"), prefix("/"))}, &Route{Matches: one(host("**.example"), prefix("/a"))}, ReasonHost},
		{"deep before expression", &Route{Matches: one(host("**.example"), prefix("/"))}, &Route{Matches: one(Host{HostRegexp, `x\.a\.example`}, prefix("/a"))}, ReasonHost},
		{"expression before any", &Route{Matches: one(Host{HostRegexp, `.*`}, prefix("/"))}, &Route{Matches: one(host("*"), prefix("/a"))}, ReasonHost},
		{"longer path", &Route{Matches: one(host("*"), prefix("/a/b"))}, &Route{Matches: one(host("*"), prefix("/a"), get)}, ReasonPath},
		{"literal of expression", &Route{Matches: one(host("*"), Path{PathRegexp, "/a/.*"})}, &Route{Matches: one(host("*"), prefix("/a"))}, ReasonPath},
		{"exact before expression", &Route{Matches: one(host("*"), Path{PathExact, "/a/b"})}, &Route{Matches: one(host("*"), Path{PathRegexp, "/a/b"})}, ReasonPathKind},
		{"expression before prefix", &Route{Matches: one(host("*"), Path{PathRegexp, "/a/b"})}, &Route{Matches: one(host("*"), prefix("/a/b"))}, ReasonPathKind},
		{"prefix before start", &Route{Matches: one(host("*"), prefix("/a/b"))}, &Route{Matches: one(host("*"), Path{PathStart, "/a/b"})}, ReasonPathKind},
		{"longer start", &Route{Matches: one(host("*"), Path{PathStart, "/a/b"})}, &Route{Matches: one(host("*"), prefix("/a"))}, ReasonPath},
		{"more conditions", &Route{Claim: 9, Matches: one(host("*"), prefix("/"), get)}, &Route{Matches: one(host("*"), prefix("/"))}, ReasonConditions},
		{"earlier claim", &Route{ID: "z", Claim: 1, Matches: one(host("*"), prefix("/"))}, &Route{ID: "y", Claim: 2, Matches: one(host("*"), prefix("/"))}, ReasonClaim},
		{"lower ID", &Route{ID: "a", Matches: one(host("*"), prefix("/"))}, &Route{ID: "b", Matches: one(host("*"), prefix("/"))}, ReasonID},
	}
	for _, s := range steps {
		if s.better.ID == "" {
			s.better.ID, s.worse.ID = "z-better", "a-worse"
		}
		m, err := NewMatcher([]*Route{s.worse, s.better})
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
		&Route{ID: "exact", Matches: []Match{{Host: Host{HostExact, "x.a.example"}, Path: Path{PathPrefix, "/only"}}}},
		&Route{ID: "wildcard", Matches: []Match{{Host: Host{HostWildcard, "a.example"}, Path: Path{PathPrefix, "/w"}}}},
		&Route{ID: "any", Matches: []Match{{Host: Host{Kind: HostAny}, Path: Path{PathPrefix, "/"}}}},
	)
	for path, want := range map[string]string{"/only/x": "exact", "/w": "wildcard", "/onlyx": "any", "/": "any"} {
		if got := m.Find(&Request{Host: "x.a.example", Path: path}); got == nil || got.ID != want {
			t.Errorf("%s: got %v, want %s", path, got, want)
		}
	}
	if got := m.Find(&Request{Host: "x.a.example", Path: "*"}); got != nil {
		t.Errorf("a request without a path met %s", got.ID)
	}
}

// TestFindByStart has paths that end where no segment does.
func TestFindByStart(t *testing.T) {
	any := Host{Kind: HostAny}
	m := mustMatcher(t,
		&Route{ID: "start", Matches: []Match{{Host: any, Path: Path{PathStart, "/demo"}}}},
		&Route{ID: "longer", Matches: []Match{{Host: any, Path: Path{PathStart, "/demon/"}}}},
		&Route{ID: "prefix", Matches: []Match{{Host: any, Path: Path{PathPrefix, "/demo"}}}},
		&Route{ID: "not", Matches: []Match{{Host: any, Path: Path{PathPrefix, "/"}, Conditions: []Condition{
			{Kind: ConditionPathStart, Values: []string{"/priv"}, Not: true},
		}}}},
	)
	for path, want := range map[string]string{
		"/demo": "prefix", "/demo/": "prefix", "/demonstration": "start", "/demon/x": "longer", "/demon": "start",
		"/dem": "not", "/private": "", "/priv": "", "/pri": "not",
	} {
		id := ""
		if found := m.Find(&Request{Host: "a", Path: path}); found != nil {
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
	m := mustMatcher(t, &Route{ID: "r", Matches: []Match{{
		Host: Host{Kind: HostAny}, Path: Path{PathPrefix, "/"},
		Conditions: []Condition{{Kind: ConditionQuery, Name: "admin", Not: true}},
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
		got := m.Find(&Request{Path: "/", Query: query}) != nil
		if got != want {
			t.Errorf("query %.30q: taken is %v, want %v", query, got, want)
		}
	}
}

func TestClientIPUnmapped(t *testing.T) {
	m := mustMatcher(t, &Route{ID: "r", Matches: []Match{{
		Host: Host{Kind: HostAny}, Path: Path{PathPrefix, "/"},
		Conditions: []Condition{{Kind: ConditionClientIP, Values: []string{"10.0.0.0/8", "192.0.2.1", "::ffff:198.51.100.0/120", "fd00::/8"}}},
	}}})
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false,
		"192.0.2.1": true, "192.0.2.2": false, "198.51.100.9": true,
		"fd00::1": true, "fd00::1%eth0": true, "fe80::1": false,
	} {
		if got := m.Find(&Request{Path: "/", Client: netip.MustParseAddr(addr)}) != nil; got != want {
			t.Errorf("%s: taken is %v, want %v", addr, got, want)
		}
	}
	if m.Find(&Request{Path: "/"}) != nil {
		t.Error("a client without address is taken")
	}
}

func TestNewMatcherRefuses(t *testing.T) {
	any, root := Host{Kind: HostAny}, Path{PathPrefix, "/"}
	with := func(c Condition) []Match { return []Match{{any, root, []Condition{c}}} }
	for _, tt := range []struct {
		matches []Match
		want    string
	}{
		{nil, "no matches"},
		{[]Match{{Host: Host{HostExact, "A.example"}, Path: root}}, "canonical form"},
		{[]Match{{Host: Host{HostExact, ""}, Path: root}}, "empty"},
		{[]Match{{Host: Host{HostAny, "a"}, Path: root}}, "has a value"},
		{[]Match{{Host: Host{"suffix", "a"}, Path: root}}, "no such kind"},
		{[]Match{{Host: Host{HostRegexp, "("}, Path: root}}, "missing closing"},
		{[]Match{{Host: any, Path: Path{PathPrefix, "/a/"}}}, "canonical form"},
		{[]Match{{Host: any, Path: Path{PathExact, "/a/../b"}}}, "canonical form"},
		{[]Match{{Host: any, Path: Path{PathPrefix, ""}}}, "slash"},
		{[]Match{{Host: any, Path: Path{PathRegexp, "["}}}, "missing closing"},
		{[]Match{{Host: any, Path: Path{"suffix", "/"}}}, "no such kind"},
		{with(Condition{Kind: "weather"}), "no such kind"},
		{with(Condition{Kind: ConditionMethod}), "no values"},
		{with(Condition{Kind: ConditionMethod, Name: "x", Values: []string{"GET"}}), "has a name"},
		{with(Condition{Kind: ConditionHeader}), "no name"},
		{with(Condition{Kind: ConditionHeaderRegexp, Name: "A"}), "no values"},
		{with(Condition{Kind: ConditionQueryRegexp, Name: "A", Values: []string{"*"}}), "missing argument"},
		{with(Condition{Kind: ConditionClientIP, Values: []string{"10.0.0.0/33"}}), "not an address"},
		{with(Condition{Kind: ConditionClientIP, Values: []string{"fe80::1%eth0"}}), "not an address"},
		{with(Condition{Kind: ConditionHost, Values: []string{"a:80"}}), "no port"},
		{with(Condition{Kind: ConditionHostRegexp, Values: []string{"("}}), "missing closing"},
		{with(Condition{Kind: ConditionPathPrefix, Values: []string{"/a/"}}), "canonical form"},
		{with(Condition{Kind: ConditionPathStart, Values: []string{"/a//"}}), "canonical form"},
		{with(Condition{Kind: ConditionListener}), "no values"},
		{[]Match{{Host: any, Path: Path{PathStart, "a"}}}, "slash"},
	} {
		_, err := NewMatcher([]*Route{{ID: "r", Matches: tt.matches}})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: error %v does not speak of %q", tt.matches, err, tt.want)
		}
	}
}

// TestFindAllocatesNothing covers every kind of condition but those on queries.
func TestFindAllocatesNothing(t *testing.T) {
	any, root := Host{Kind: HostAny}, Path{PathPrefix, "/"}
	m := mustMatcher(t,
		&Route{ID: "exact", Matches: []Match{{Host: Host{HostExact, "a.example"}, Path: Path{PathExact, "/a/b"}}}},
		&Route{ID: "wild", Matches: []Match{{Host: Host{HostWildcard, "example"}, Path: Path{PathPrefix, "/a"}}}},
		&Route{ID: "deep", Matches: []Match{{Host: Host{HostDeep, "b.example"}, Path: Path{PathRegexp, "/d.*"}}}},
		&Route{ID: "expr", Matches: []Match{{Host: Host{HostRegexp, "e[0-9]+"}, Path: root}}},
		&Route{ID: "start", Matches: []Match{{Host: any, Path: Path{PathStart, "/sta"}}}},
		&Route{ID: "listener", Matches: []Match{{Host: Host{HostExact, "l"}, Path: root, Conditions: []Condition{{Kind: ConditionListener, Values: []string{"http"}}}}}},
		&Route{ID: "conditions", Matches: []Match{{Host: any, Path: root, Conditions: []Condition{
			{Kind: ConditionMethod, Values: []string{"GET"}},
			{Kind: ConditionHeader, Name: "X-A", Values: []string{"1"}},
			{Kind: ConditionHeaderRegexp, Name: "X-A", Values: []string{"^[0-9]$"}},
			{Kind: ConditionClientIP, Values: []string{"10.0.0.0/8"}},
			{Kind: ConditionHost, Values: []string{"**.com"}, Not: true},
			{Kind: ConditionPathPrefix, Values: []string{"/private"}, Not: true},
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
		r := &Request{Method: "GET", Host: tt.host, Path: tt.path, Query: "q=1&%71=2", Client: client, Header: header, Listener: "http"}
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

func mustMatcher(t testing.TB, routes ...*Route) *Matcher {
	t.Helper()
	m, err := NewMatcher(routes)
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
		var routes []*Route
		for i := range n {
			host := Host{HostExact, name(i)}
			routes = append(routes, &Route{ID: host.Value, Matches: []Match{
				{Host: host, Path: Path{PathPrefix, "/"}},
				{Host: host, Path: Path{PathPrefix, "/demo"}},
				{Host: host, Path: Path{PathExact, "/demo/health"}},
			}})
		}
		m := mustMatcher(b, routes...)
		random := rand.New(rand.NewPCG(1, 2))
		ask := func(what string, requests int, hit bool, host func(i int) string) {
			list := make([]Request, requests)
			for i := range list {
				list[i] = Request{Method: "GET", Host: host(i), Path: []string{"/", "/demo/a/b", "/demo/health"}[i%3]}
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
	if _, err := New(1, nil, routes, nil, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewMatcher(routes); err != nil {
			b.Fatal(err)
		}
	}
}

func TestNamesHost(t *testing.T) {
	named := func(hosts ...string) *Matcher {
		r := &Route{ID: "r"}
		for _, h := range hosts {
			host, err := ParseHost(h)
			if err != nil {
				t.Fatal(err)
			}
			r.Matches = append(r.Matches, Match{Host: host, Path: Path{PathPrefix, "/"}})
		}
		m, err := NewMatcher([]*Route{r})
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
