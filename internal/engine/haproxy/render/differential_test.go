package render

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/route/canonical"
	"fairway/internal/route/match"
	"fairway/internal/testkit"
)

// rounds is n, or many times more in the long form.
func rounds(n int) int {
	if testkit.Soaking() {
		return 30 * n
	}
	return n
}

// ask sends a request over a connection of its own.
func ask(t *testing.T, address netip.AddrPort, head string) *http.Response {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address.String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte(head + "\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	_ = resp.Body.Close()
	return resp
}

// redirected is a table that answers every request with the canonical host and path.
func redirected(t *testing.T) (netip.AddrPort, *Config) {
	t.Helper()
	r := &route.Route{
		ID: "r", Service: "r", Filters: []route.Filter{{Redirect: &route.Redirect{Status: 302, Scheme: "https"}}},
		Matches: []route.Match{{Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
	}
	table, err := route.New(1, []route.Listener{{Name: "http", Address: ":0"}}, []*route.Route{r}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(t, table)
	return o.Bind["http"], serve(t, table, o)
}

// TestSentPath: HAProxy, as it is configured, brings paths into the form that
// canonical.ReadPath sends, and refuses what that refuses. One route takes everything, so
// that no path can belong to another; a redirect has one slash in front.
func TestSentPath(t *testing.T) {
	address, _ := redirected(t)
	pieces := []string{
		"/", "/", "/", "//", ".", "..", "../", "/..", "/./", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", ";x=y", "..;", "%3b", "%23", "%3f",
		"%00", "%0a", "%7f", "%", "%zz", "%25", "%252e", "%252f", "%253B", "%255c", "%2F", "%25", "%c0%ae", "%e0%80%af", "%ef%bc%8f", "+", "*", "a", "pub", "%61dmin", "Admin", "~", "'", "|", "{", "^", "`", "<", "\"",
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range rounds(300) {
		raw := "/"
		for range rng.IntN(9) {
			raw += pieces[rng.IntN(len(pieces))]
		}
		read, err := canonical.ReadPath(raw)
		want := canonical.OneFrontSlash(read.Sent)
		resp := ask(t, address, "GET "+raw+" HTTP/1.1\r\nHost: a.example")
		switch got := resp.Header.Get("Location"); {
		case err != nil && resp.StatusCode != http.StatusBadRequest:
			t.Errorf("%q is refused (%v), answered %d %s", raw, err, resp.StatusCode, got)
		case err == nil && got != "https://a.example"+want:
			// HAProxy itself refuses a few bytes that no client sends plainly.
			if resp.StatusCode != http.StatusBadRequest || !strings.ContainsAny(raw, "|{^`<\"") {
				t.Errorf("%q is %q, answered %d %q", raw, want, resp.StatusCode, got)
			}
		}
	}
}

// TestCanonicalHost is the same for hosts, but for names in other scripts.
func TestCanonicalHost(t *testing.T) {
	address, _ := redirected(t)
	pieces := []string{
		"a", "example", ".", ".", "..", "-", "_", "A", "EXAMPLE", "0", ":", ":80", ":080", ":0", ":99999", ":x", "[", "]", "::", "1", "ffff", "[::1]", "[::ffff:10.0.0.1]",
		"fe80", "%25eth0", "10.0.0.1", "/", "@", " ", ",", strings.Repeat("l", 63), strings.Repeat("l", 64), strings.Repeat("ab.", 90),
	}
	rng := rand.New(rand.NewPCG(2, 2))
	hosts := []string{"a/b", "a.example/public", "a/", "a/@", "a/b/", "a>", "a>/b", ">"} // what looks like host and path
	for range rounds(300) {
		raw := ""
		for range 1 + rng.IntN(5) {
			raw += pieces[rng.IntN(len(pieces))]
		}
		hosts = append(hosts, raw)
	}
	for _, raw := range hosts {
		if strings.TrimSpace(raw) != raw {
			continue
		}
		want, err := canonical.Host(raw)
		if strings.Contains(want, ":") {
			want = "[" + want + "]"
		}
		resp := ask(t, address, "GET / HTTP/1.1\r\nHost: "+raw)
		switch got := resp.Header.Get("Location"); {
		case err != nil && resp.StatusCode != http.StatusBadRequest:
			t.Errorf("%q is refused (%v), answered %d %s", raw, err, resp.StatusCode, got)
		case err == nil && got != "https://"+want+"/":
			t.Errorf("%q is %q, answered %d %q", raw, want, resp.StatusCode, got)
		}
	}
}

// TestRouting: for random tables and requests HAProxy finds the route that
// match.Matcher finds. No route has an endpoint: the answer names the service.
func TestRouting(t *testing.T) {
	for seed := range uint64(rounds(8)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 3))
			table := randomTable(t, rng)
			matcher, err := match.New(table.Routes)
			if err != nil {
				t.Fatal(err)
			}
			o := testOptions(t, table)
			serve(t, table, o)
			for range 120 {
				q, target := randomRequest(rng)
				want := "nobody"
				if r := matcher.Find(q); r != nil {
					want = r.ID
					if !matcher.TakesBoth(q, r) {
						want = "refused"
					}
				}
				if got := whoTakes(t, o.Bind["http"], q, target); got != want {
					text := ""
					for _, r := range table.Routes {
						text += r.Text()
					}
					t.Fatalf("%s, %+v goes to %s, want %s in\n%s", target, q, got, want, text)
				}
			}
		})
	}
}

// whoTakes is the service that HAProxy says has no endpoint.
func whoTakes(t *testing.T, address netip.AddrPort, q *route.Request, target string) string {
	t.Helper()
	if q.Query != "" {
		target += "?" + q.Query
	}
	head := q.Method + " " + target + " HTTP/1.1\r\nHost: " + q.Host + "\r\nX-Forwarded-For: " + q.Client.String()
	for name, values := range q.Header.(http.Header) {
		for _, v := range values {
			head += "\r\n" + name + ": " + v
		}
	}
	conn, err := net.DialTimeout("tcp", address.String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte(head + "\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	defer resp.Body.Close()
	line, _ := bufio.NewReader(resp.Body).ReadString('\n')
	switch resp.StatusCode {
	case http.StatusNotFound:
		return "nobody"
	case http.StatusBadRequest:
		return "refused"
	}
	rest, ok := strings.CutPrefix(line, "fairway: service ")
	service, _, found := strings.Cut(rest, " ")
	if resp.StatusCode != http.StatusServiceUnavailable || !ok || !found {
		t.Fatalf("%q: answered %d %q", head, resp.StatusCode, line)
	}
	return service
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

func randomHost(rng *rand.Rand) string {
	labels := []string{pick(rng, "com", "example")}
	for range rng.IntN(4) {
		labels = append(labels, pick(rng, "a", "b", "shop-1"))
	}
	slices.Reverse(labels)
	return strings.Join(labels, ".")
}

func randomPath(rng *rand.Rand) string {
	path := ""
	for range rng.IntN(4) {
		path += "/" + pick(rng, "a", "b", "ab", "%41%20", "x.y", "a", "b", "a;b", "b%2Fa", "%2561", "/b")
	}
	return pick(rng, path, path+"/")
}

func randomTable(t *testing.T, rng *rand.Rand) *route.Table {
	t.Helper()
	var routes []*route.Route
	var backends []*route.Backend
	mixed, guarded := rng.IntN(3) == 0, rng.IntN(3) > 0
	for i := range 1 + rng.IntN(25) {
		id := fmt.Sprint("r", i)
		r := &route.Route{ID: id, Service: id, Claim: uint64(rng.IntN(4)), Backend: id, Origin: route.Origin{Source: "test"}}
		if mixed {
			r.Priority = rng.IntN(3) - 1
		}
		for range 1 + rng.IntN(2) {
			r.Matches = append(r.Matches, randomMatch(rng, guarded))
		}
		routes = append(routes, r)
		backends = append(backends, &route.Backend{ID: id, Service: id, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}})
	}
	listener := route.Listener{Name: "http", Address: ":0", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	table, err := route.New(1, []route.Listener{listener}, routes, backends, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func randomMatch(rng *rand.Rand, guarded bool) route.Match {
	var m route.Match
	kinds := []route.HostKind{route.HostExact, route.HostExact, route.HostWildcard, route.HostDeep, route.HostAny}
	paths := []route.PathKind{route.PathPrefix, route.PathPrefix, route.PathExact, route.PathStart}
	if guarded {
		kinds, paths = append(kinds, route.HostRegexp), append(paths, route.PathRegexp)
	}
	m.Host.Kind = pick(rng, kinds...)
	switch m.Host.Kind {
	case route.HostRegexp:
		m.Host.Value = pick(rng, `[ab]\.example`, `shop-[0-9]+\..*`, `.+`)
	case route.HostAny:
	default:
		m.Host.Value = randomHost(rng)
	}
	m.Path.Kind = pick(rng, paths...)
	if m.Path.Kind == route.PathRegexp {
		m.Path.Value = pick(rng, `/a.*`, `/[ab]/?`, `.*\.y`)
	} else {
		p, err := route.ParsePath(m.Path.Kind, pick(rng, randomPath(rng), "/")+pick(rng, "", "/"))
		if err != nil {
			p = route.Path{Kind: m.Path.Kind, Value: "/"}
		}
		m.Path = p
	}
	for guarded && rng.IntN(3) == 0 {
		m.Conditions = append(m.Conditions, randomCondition(rng))
	}
	return m
}

func randomCondition(rng *rand.Rand) route.Condition {
	c := pick(rng,
		route.Condition{Kind: route.ConditionMethod, Values: []string{"POST", "PUT"}},
		route.Condition{Kind: route.ConditionHeader, Name: "X-A", Values: []string{"1", "2"}},
		route.Condition{Kind: route.ConditionHeader, Name: "X-B"},
		route.Condition{Kind: route.ConditionHeaderRegexp, Name: "X-A", Values: []string{`(?i)^ab`, `[0-9]{2}$`}},
		route.Condition{Kind: route.ConditionQuery, Name: "q", Values: []string{"1"}},
		route.Condition{Kind: route.ConditionQuery, Name: "q"},
		route.Condition{Kind: route.ConditionQueryRegexp, Name: "q", Values: []string{`^de`, `a b`}},
		route.Condition{Kind: route.ConditionClientIP, Values: []string{"10.0.0.0/8", "fd00::/8"}},
		route.Condition{Kind: route.ConditionHost, Values: []string{"*.example", "a.com"}},
		route.Condition{Kind: route.ConditionPathPrefix, Values: []string{"/a", "/b/a"}},
		route.Condition{Kind: route.ConditionPathStart, Values: []string{"/a"}},
		route.Condition{Kind: route.ConditionPath, Values: []string{"/", "/a/b"}},
		route.Condition{Kind: route.ConditionListener, Values: []string{"http", "other"}},
		route.Condition{Kind: route.ConditionPathRegexp, Values: []string{`/a/[^/]*`}},
	)
	c.Not = rng.IntN(3) == 0
	return c
}

func randomRequest(rng *rand.Rand) (q *route.Request, target string) {
	target = pick(rng, randomPath(rng), randomPath(rng), "/")
	if target == "" {
		target = "/"
	}
	path, err := canonical.ReadPath(target)
	if err != nil {
		target, path = "/", canonical.RequestPath{Canonical: "/"}
	}
	if path.Front {
		path.Other = "" // such a request is not refused
	}
	header := http.Header{}
	if rng.IntN(2) == 0 {
		header["X-A"] = pick(rng, []string{"1"}, []string{"3", "2"}, []string{"ABc"}, []string{"x12"})
	}
	if rng.IntN(3) == 0 {
		header["X-B"] = []string{"yes"}
	}
	return &route.Request{
		Method: pick(rng, "GET", "POST", "PUT"), Host: randomHost(rng), Path: path.Canonical, Other: path.Other, Listener: "http", Header: header,
		Query:  pick(rng, "", "", "q=1", "q=2&%71=1", "q=de", "q=a+b", "p=q", "q", "q=%64e%"),
		Client: netip.MustParseAddr(pick(rng, "10.1.2.3", "192.0.2.1", "fd00::1")),
	}, target
}
