package render

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/route/userhash"
)

// hostileRoute has the value wherever a table can have text of its own. nil when no
// table takes it.
func hostileRoute(t *testing.T, i int, v string) (*route.Route, *route.Backend) {
	t.Helper()
	id := fmt.Sprint("hostile", i, v)
	r := &route.Route{
		ID: id, Service: "service " + v, Backend: id, Claim: 2, Timeout: time.Second, Hold: time.Second,
		Matches: []route.Match{{
			Host: route.Host{Kind: route.HostExact, Value: fmt.Sprintf("h%d.example", i)}, Path: route.Path{Kind: route.PathPrefix, Value: "/"},
			Conditions: []route.Condition{
				{Kind: route.ConditionHeader, Name: "X-A", Values: []string{v}},
				{Kind: route.ConditionQuery, Name: "q" + v, Values: []string{v}},
				{Kind: route.ConditionMethod, Values: []string{v}, Not: true},
				{Kind: route.ConditionListener, Values: []string{v}, Not: true},
			},
		}},
		Filters: []route.Filter{
			{Methods: &route.Methods{Deny: []string{v}}},
			{BasicAuth: &route.BasicAuth{Realm: v, Users: []route.User{
				{Name: v, Hash: userhash.Of(v, v)}, {Name: "sha" + v, Hash: "{SHA}" + v}, {Name: "crypt" + v, Hash: "$5$" + v}, {Name: "none" + v, Hash: v},
			}}},
			{RewritePath: &route.RewritePath{Search: "^/a", Replace: strings.ReplaceAll(v, `\`, `\\`)}},
			{AddPrefix: &route.AddPrefix{Prefix: "/" + v}},
			{RequestHeaders: &route.HeaderOperation{Remove: []string{"X-B"}, Set: []route.HeaderValue{{Name: "X-C", Value: v}}}},
			{ResponseHeaders: &route.HeaderOperation{Add: []route.HeaderValue{{Name: "X-D", Value: v}}}},
		},
		Origin: route.Origin{Source: "test"},
	}
	b := &route.Backend{
		ID: id, Service: "service " + v, Scheme: route.SchemeHTTPS, TLS: &route.TLS{ServerName: "inside.example"},
		Balance: route.Balance{Policy: route.BalanceRoundRobin}, Health: &route.Health{Path: "/" + v, Interval: time.Second, Timeout: time.Second},
		Endpoints: []route.Endpoint{{ID: "e" + v, Address: "127.0.0.1:9", Weight: 1, State: route.EndpointReady, Instance: v}},
	}
	if _, err := route.New(1, nil, []*route.Route{r}, []*route.Backend{b}, nil); err != nil {
		return nil, nil
	}
	return r, b
}

// TestHostile: whatever is in a route, HAProxy takes the configuration, and that of
// a neighbour is what it is alone. What the compiler refuses for HAProxy is left out.
func TestHostile(t *testing.T) {
	neighbour := &route.Route{
		ID: "neighbour", Service: "neighbour", Backend: "neighbour", Claim: 1,
		Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "n.example"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
		Filters: []route.Filter{{IPAllow: &route.IPAllow{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}},
	}
	beside := &route.Backend{ID: "neighbour", Service: "neighbour", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
	routes, backends := []*route.Route{neighbour}, []*route.Backend{beside}
	alone := renderAll(t, routes, backends)
	used := 0
	for i, v := range nasty() {
		r, b := hostileRoute(t, i, v)
		if r == nil || Unsupported(r, b, Capabilities{}) != "" {
			continue
		}
		used++
		routes, backends = append(routes, r), append(backends, b)
	}
	if used < 50 {
		t.Errorf("only %d values could be used", used)
	}
	c := renderAll(t, routes, backends)
	name := dedicatedName("neighbour")
	if got, want := blockOf(c, name), blockOf(alone, name); got != want || got == "" {
		t.Errorf("the neighbour has changed from\n%s\nto\n%s", want, got)
	}
	sections := 0
	for line := range strings.Lines(string(c.Text)) {
		if line != "\n" && line[0] != ' ' && line[0] != '#' {
			sections++
		}
		if strings.ContainsAny(strings.TrimSuffix(line, "\n"), "\r\x00\n") {
			t.Errorf("the line %q", line)
		}
	}
	if want := strings.Count(string(alone.Text), "\n\n") + 1; sections < want {
		t.Errorf("there are %d sections, %d without the hostile routes", sections, want)
	}
	for _, m := range c.Maps {
		for _, e := range m.Entries {
			if strings.ContainsAny(e.Key+e.Value, " \t\r\n\x00") || strings.HasPrefix(e.Key, "#") || e.Key == "" {
				t.Errorf("map %s has %q %q", m.Name, e.Key, e.Value)
			}
		}
	}
}

// renderAll renders a table, which HAProxy must take.
func renderAll(t *testing.T, routes []*route.Route, backends []*route.Backend) *Config {
	t.Helper()
	table, err := route.New(1, []route.Listener{{Name: "http", Address: ":0"}}, routes, backends, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions(t, table)
	c, err := Render(table, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, o.Dir, c)
	check(t, o.Dir)
	for i := range c.Blocks { // directories differ
		c.Blocks[i].Text = strings.ReplaceAll(c.Blocks[i].Text, o.Dir, "DIR")
	}
	return c
}

func blockOf(c *Config, kept string) string {
	for _, b := range c.Blocks {
		if b.Kept == kept {
			return b.Text
		}
	}
	return ""
}
