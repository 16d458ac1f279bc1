package compile

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fairway/internal/catalog"
	"fairway/internal/route"
	"fairway/internal/route/match"
)

// wall is a definition of a middleware of Traefik, by the labels behind its name, and what a
// route that names it must have; nil where it may not be served at all.
type wall struct {
	labels map[string]string
	holds  func(route.Filter) bool
}

var (
	asksUser  = func(f route.Filter) bool { return f.BasicAuth != nil }
	asksWhere = func(f route.Filter) bool { return f.IPAllow != nil }
	limits    = func(f route.Filter) bool { return f.RateLimit != nil }
	walls     = []wall{
		{map[string]string{"basicauth.users": "u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="}, asksUser},
		{map[string]string{"basicauth.users": ""}, asksUser},
		{map[string]string{"basicauth.users": "u:plain"}, nil},
		{map[string]string{"basicauth.user": "u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="}, nil},
		{map[string]string{"basicauth.usersfile": "relative"}, nil},
		{map[string]string{"ipallowlist.sourcerange": "10.0.0.0/8"}, asksWhere},
		{map[string]string{"ipwhitelist.sourcerange": "192.0.2.1"}, asksWhere},
		{map[string]string{"ipallowlist.sourcerange": "10.0.0.0/99"}, nil},
		{map[string]string{"ipallowlist.sourcerange": "10.0.0.0/8", "ipallowlist.ipstrategy.depth": "1"}, nil},
		{map[string]string{"ratelimit.average": "1"}, limits},
		{map[string]string{"ratelimit.average": "many"}, nil},
		{map[string]string{"forwardauth.address": "http://auth/"}, nil},
		{map[string]string{"digestauth.users": "u:r:x"}, nil},
		{map[string]string{"plugin.bouncer.key": "x"}, nil},
		{map[string]string{"inflightreq.amount": "1"}, nil},
		{map[string]string{"never.heard": "1"}, nil},
		{map[string]string{"compress": "true", "basicauth.users": "u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="}, nil},
		{map[string]string{"chain.middlewares": "nowhere"}, nil},
		{map[string]string{"headers.isdevelopment": "true", "headers.allowedhosts": "x"}, nil},
		{nil, nil}, // defined by no service
		{map[string]string{"compress": "true"}, func(f route.Filter) bool { return f.Compress != nil }},
	}
)

// TestNothingProtectedIsOpen: no combination of known, unknown and broken protecting keys of
// Traefik makes a route that answers without the protection, no other router takes what the
// protected one has in Traefik, and a neighbour is the same in each case.
func TestNothingProtectedIsOpen(t *testing.T) {
	neighbour := func() *catalog.Service {
		return proxied("neighbour", map[string]string{"traefik.enable": "true", "traefik.http.routers.n.rule": "Host(`n.example`)"}, nil)
	}
	settings := Settings{Listeners: []route.Listener{{Name: "http", Address: ":80"}, {Name: "https", Address: ":443", TLS: true}}, Dialects: DialectNames()}
	alone := textOf(New(settings).Compile(&catalog.Snapshot{Revision: 1, Services: []*catalog.Service{neighbour()}}, nil), "neighbour")
	rapid.Check(t, func(t *rapid.T) {
		own := map[string]string{"traefik.enable": "true", "traefik.http.routers.r.rule": "Host(`a.example`)"}
		others := map[string]string{"traefik.enable": "true"}
		var names []string
		var asked []wall
		for i := range rapid.IntRange(1, 3).Draw(t, "middlewares") {
			w := walls[rapid.IntRange(0, len(walls)-1).Draw(t, "wall")]
			name, into := fmt.Sprintf("m%d", i), own
			if rapid.Bool().Draw(t, "elsewhere") {
				into = others
			}
			for key, value := range w.labels {
				into["traefik.http.middlewares."+name+"."+key] = value
			}
			names, asked = append(names, name+rapid.SampledFrom([]string{"", "@docker"}).Draw(t, "provider")), append(asked, w)
		}
		label := "traefik.http.routers.r.middlewares"
		if rapid.Bool().Draw(t, "nested") {
			own["traefik.http.middlewares.outer.chain.middlewares"] = strings.Join(names, ",")
			own[label] = "outer"
		} else {
			own[label] = strings.Join(names, ", ")
		}
		second := secondRouter(t, own, others)
		services := []*catalog.Service{neighbour(), proxied("other", others, nil), proxied("own", own, nil)}
		table := New(settings).Compile(&catalog.Snapshot{Revision: 1, Services: services}, nil)
		if got := textOf(table, "neighbour"); got != alone {
			t.Fatalf("the neighbour is another one:\n%s\nwant\n%s", got, alone)
		}
		m, err := match.New(table.Routes)
		if err != nil {
			t.Fatal(err)
		}
		if r := m.Find(&route.Request{Listener: "http", Host: "a.example", Path: "/x", Method: "GET"}); !second && (r == nil || r.ID != "own/traefik.r") {
			t.Fatalf("another route takes what is protected:\n%s", table.Text())
		}
		for _, r := range table.Routes {
			if r.ID != "own/traefik.r" || r.Refused != "" {
				continue
			}
			for i, w := range asked {
				if w.holds == nil || !slices.ContainsFunc(r.Filters, w.holds) {
					t.Fatalf("%s is served without %s, %v:\n%s", r.ID, names[i], w.labels, r.Text())
				}
			}
		}
	})
}

// secondRouter adds an open router beside the protected one, and says whether it may take a
// request that both take: in Traefik it has the higher number, or the same one.
func secondRouter(t *rapid.T, own, others map[string]string) bool {
	into, rules := own, []string{"Host(`a.example`)", "Host(`a.example`) || Host(`b.example`)", "Host(`a.example`) && PathPrefix(`/x`)", "HostRegexp(`.+`)", "PathPrefix(`/x`)"}
	if rapid.Bool().Draw(t, "second elsewhere") { // there the incumbent has the very same requests
		into, rules = others, rules[2:]
	}
	number := func(labels map[string]string, name string) int {
		n := len(labels["traefik.http.routers."+name+".rule"])
		if said := rapid.SampledFrom([]int{0, 1, 20, 200, -1, -2, 2_000_000}).Draw(t, "priority of "+name); said != 0 {
			labels["traefik.http.routers."+name+".priority"], n = fmt.Sprint(said), said
		}
		return n
	}
	name := rapid.SampledFrom([]string{"a", "z"}).Draw(t, "second")
	into["traefik.http.routers."+name+".rule"] = rapid.SampledFrom(rules).Draw(t, "rule")
	return number(into, name) >= number(own, "r")
}

// TestNothingInternalIsOpen is the same for nginx-proxy.
func TestNothingInternalIsOpen(t *testing.T) {
	settings := Settings{Listeners: []route.Listener{{Name: "http", Address: ":80"}, {Name: "https", Address: ":443", TLS: true}}, Dialects: DialectNames()}
	rapid.Check(t, func(t *rapid.T) {
		env := map[string]string{"VIRTUAL_HOST": "a.example", "NETWORK_ACCESS": rapid.SampledFrom([]string{"internal", "Internal", "intern", " internal ", "none"}).Draw(t, "access")}
		for _, name := range []string{"HTTPS_METHOD", "VIRTUAL_PATH", "VIRTUAL_PROTO", "VIRTUAL_DEST", "HSTS", "VIRTUAL_HOST_MULTIPORTS"} {
			if rapid.Bool().Draw(t, name) {
				env[name] = rapid.SampledFrom([]string{"", "nohttp", "nohttps", "/x/", "~ ^/x", "https", "off", "{a.example: {/: {port: 1}}}", "\x01"}).Draw(t, name+" is")
			}
		}
		table := New(settings).Compile(&catalog.Snapshot{Revision: 1, Services: []*catalog.Service{proxied("own", nil, env)}}, nil)
		for _, r := range table.Routes {
			if r.Refused == "" && !slices.ContainsFunc(r.Filters, asksWhere) {
				t.Fatalf("%v: %s is open:\n%s", env, r.ID, r.Text())
			}
		}
	})
}

// proxied is a service with one instance that has labels and variables.
func proxied(id string, labels, env map[string]string) *catalog.Service {
	return &catalog.Service{ID: id, Name: id, Source: "docker", Instances: []*catalog.Instance{{
		ID: id + "-1", Name: id + "-1", Source: "docker", State: catalog.StateReady, Labels: labels, Env: env,
		Ports:     []catalog.Port{{Number: 80, Protocol: "tcp"}},
		Addresses: []catalog.Address{{Host: "172.17.0.2", Network: "bridge", Reach: catalog.ReachBridge}},
	}}}
}

// textOf is everything of one service in a table.
func textOf(table *route.Table, service string) string {
	var b strings.Builder
	for _, r := range table.Routes {
		if r.Service == service {
			b.WriteString(strings.ReplaceAll(r.Text(), fmt.Sprintf("claim %d\n", r.Claim), ""))
		}
	}
	for _, p := range table.Remarks() {
		if p.Service == service {
			b.WriteString(p.String())
		}
	}
	return b.String()
}
