package render

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/route"
)

// plainRoute is a service with a host, a path and one endpoint.
func plainRoute(id string) (*route.Route, *route.Backend) {
	b := &route.Backend{
		ID: id, Service: id, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin},
		Endpoints: []route.Endpoint{{ID: id + "-1", Address: "10.0.0.1:80", Weight: 1, State: route.EndpointReady}},
	}
	r := &route.Route{
		ID: id, Service: id, Backend: id, Origin: route.Origin{Source: "test"},
		Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: id + ".example.com"}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
	}
	return r, b
}

// services is a table of plain services, each changed by change.
func services(t testing.TB, n int, change func(i int, r *route.Route, b *route.Backend)) *route.Table {
	t.Helper()
	var routes []*route.Route
	var backends []*route.Backend
	for i := range n {
		r, b := plainRoute(fmt.Sprintf("s%d", i))
		if change != nil {
			change(i, r, b)
		}
		routes, backends = append(routes, r), append(backends, b)
	}
	table, err := route.New(1, []route.Listener{{Name: "http", Address: ":80"}}, routes, backends, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func mustRender(t testing.TB, table *route.Table, previous *Config, o Options) *Config {
	t.Helper()
	o.Dir = "/haproxy"
	c, err := Render(table, previous, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// sectionOf is the section that serves a backend.
func sectionOf(c *Config, backend string) string {
	for _, s := range c.Sections {
		if s.Backend == backend {
			return s.Name
		}
	}
	return ""
}

// TestNoReload: what happens to services all day changes nothing of the structure.
func TestNoReload(t *testing.T) {
	base := services(t, 5, nil)
	running := mustRender(t, base, nil, Options{})
	for name, change := range map[string]func(i int, r *route.Route, b *route.Backend){
		"scale": func(_ int, _ *route.Route, b *route.Backend) {
			b.Endpoints = append(b.Endpoints, route.Endpoint{ID: "x-2", Address: "10.0.0.2:80", Weight: 3, State: route.EndpointReady})
		},
		"weight":  func(_ int, _ *route.Route, b *route.Backend) { b.Endpoints[0].Weight = 7 },
		"drain":   func(_ int, _ *route.Route, b *route.Backend) { b.Endpoints[0].State = route.EndpointDraining },
		"path":    func(_ int, r *route.Route, _ *route.Backend) { r.Matches[0].Path.Value = "/other" },
		"host":    func(_ int, r *route.Route, _ *route.Backend) { r.Matches[0].Host.Value = "other." + r.ID },
		"kind":    func(_ int, r *route.Route, _ *route.Backend) { r.Matches[0].Host.Kind = route.HostWildcard },
		"timeout": func(_ int, r *route.Route, _ *route.Backend) { r.Timeout, r.Hold = time.Second, time.Second },
		"refused": func(_ int, r *route.Route, _ *route.Backend) { r.Refused = "not today" },
		"https": func(_ int, r *route.Route, _ *route.Backend) {
			r.Filters = []route.Filter{{RedirectHTTPS: &route.RedirectHTTPS{}}}
		},
		"strip": func(_ int, r *route.Route, _ *route.Backend) {
			r.Matches[0].Path.Value = "/a/b/c"
			r.Filters = []route.Filter{{StripPrefix: &route.StripPrefix{Prefix: "/a/b"}}}
		},
		"tls":  func(_ int, _ *route.Route, b *route.Backend) { b.Scheme = route.SchemeHTTPS },
		"slow": func(_ int, _ *route.Route, b *route.Backend) { b.SlowStart, b.MaxFails = time.Second, 3 },
	} {
		t.Run(name, func(t *testing.T) {
			next := mustRender(t, services(t, 5, change), running, Options{})
			if changes := next.Structure.Changes(running.Structure); len(changes) > 0 {
				t.Errorf("a reload is needed: %v", changes)
			}
			if name != "refused" && sectionOf(next, "s3") != sectionOf(running, "s3") {
				t.Error("the service has moved to another section")
			}
		})
	}
	more := mustRender(t, services(t, 40, nil), running, Options{})
	if changes := more.Structure.Changes(running.Structure); len(changes) > 0 {
		t.Errorf("new services need a reload: %v", changes)
	}
	fewer := mustRender(t, services(t, 1, nil), more, Options{})
	if changes := fewer.Structure.Changes(running.Structure); len(changes) > 0 {
		t.Errorf("services that go need a reload: %v", changes)
	}
}

// TestReload: what cannot be changed while HAProxy runs is said in words.
func TestReload(t *testing.T) {
	running := mustRender(t, services(t, 2, nil), nil, Options{})
	for want, change := range map[string]func(i int, r *route.Route, b *route.Backend){
		"rules of route s0 is new": func(i int, r *route.Route, _ *route.Backend) {
			if i == 0 {
				r.Filters = []route.Filter{{MaxBody: &route.MaxBody{Bytes: 5}}}
			}
		},
		"profile http-": func(_ int, _ *route.Route, b *route.Backend) {
			b.Balance.Policy = route.BalanceLeastConn
		},
		"rules for requests has changed": func(_ int, r *route.Route, _ *route.Backend) {
			r.Matches[0].Conditions = []route.Condition{{Kind: route.ConditionMethod, Values: []string{"GET"}}}
		},
	} {
		next := mustRender(t, services(t, 2, change), running, Options{})
		changes := next.Structure.Changes(running.Structure)
		if !slices.ContainsFunc(changes, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("the changes are %q, %q is not among them", changes, want)
		}
		// What went away stays until the next reload.
		back := mustRender(t, services(t, 2, nil), next, Options{})
		if changes := back.Structure.Changes(next.Structure); len(changes) > 0 && !strings.Contains(want, "requests") {
			t.Errorf("going back from %q needs a reload: %v", want, changes)
		}
	}
}

// TestNoSpares: with a number below zero no section is kept for services to come.
func TestNoSpares(t *testing.T) {
	for _, n := range []int{-1, 1} {
		spare := 0
		for _, s := range mustRender(t, services(t, 1, nil), nil, Options{Spares: n}).Sections {
			if s.Backend == "" && s.Profile != "" {
				spare++
			}
		}
		if (spare == 0) != (n < 0) {
			t.Errorf("with %d: %d sections are spare", n, spare)
		}
	}
}

// TestSpares: a profile that runs out of sections is refilled with the reload it
// needs, and one that has too many gives them up with the next.
func TestSpares(t *testing.T) {
	running := mustRender(t, services(t, 1, nil), nil, Options{Spares: 3})
	if n := len(running.Sections); n != 4 {
		t.Errorf("there are %d sections, want 4", n)
	}
	next := mustRender(t, services(t, 5, nil), running, Options{Spares: 3})
	if changes := next.Structure.Changes(running.Structure); len(changes) != 1 || !strings.Contains(changes[0], "sections of profile plain") {
		t.Errorf("the changes are %v", changes)
	}
	if n := len(next.Sections); n != 8 {
		t.Errorf("there are %d sections, want 8", n)
	}
	few := mustRender(t, services(t, 1, nil), next, Options{Spares: 3})
	if few.Structure.Hash() != next.Structure.Hash() {
		t.Error("fewer services need a reload")
	}
	guarded := func(_ int, r *route.Route, _ *route.Backend) {
		r.Matches[0].Path = route.Path{Kind: route.PathRegexp, Value: "/a+"}
	}
	tidied := mustRender(t, services(t, 1, guarded), few, Options{Spares: 3})
	if n := len(tidied.Sections); n > 5 {
		t.Errorf("a reload has left %d sections", n)
	}
	if sectionOf(tidied, "s0") != sectionOf(running, "s0") {
		t.Error("the service has moved")
	}
}

// TestPreviousAsJSON: a configuration that was written and read back keeps sections
// where they are and needs no reload.
func TestPreviousAsJSON(t *testing.T) {
	table := services(t, 3, func(i int, r *route.Route, b *route.Backend) {
		b.Sticky = "stay"
		if i == 1 {
			r.Filters = []route.Filter{{MaxBody: &route.MaxBody{Bytes: 5}}}
		}
	})
	running := mustRender(t, table, nil, Options{})
	data, err := json.Marshal(running)
	if err != nil {
		t.Fatal(err)
	}
	var read Config
	if err := json.Unmarshal(data, &read); err != nil {
		t.Fatal(err)
	}
	next := mustRender(t, services(t, 3, nil), &read, Options{})
	if changes := next.Structure.Changes(running.Structure); len(changes) > 0 {
		t.Errorf("a reload is needed: %v", changes)
	}
	same := mustRender(t, table, &read, Options{})
	if same.Marker != running.Marker || string(same.Text) != string(running.Text) {
		t.Error("the same table is another configuration")
	}
}

// TestRandomChanges: whatever follows whatever, the sections of backends are their
// own, names are used once, and the configuration is the same as often as it is
// rendered.
func TestRandomChanges(t *testing.T) {
	var running *Config
	for step := range 60 {
		n := (step*7)%23 + 1
		table := services(t, n, func(i int, r *route.Route, b *route.Backend) {
			switch (i + step) % 7 {
			case 1:
				b.Balance.Policy = route.BalanceLeastConn
			case 2:
				r.Filters = []route.Filter{{MaxBody: &route.MaxBody{Bytes: int64(step)}}}
			case 3:
				b.Sticky = "c" + fmt.Sprint(step%3)
			}
		})
		next := mustRender(t, table, running, Options{Spares: 2})
		again := mustRender(t, table, running, Options{Spares: 2})
		if next.Marker != again.Marker {
			t.Fatalf("step %d: two renderings differ", step)
		}
		names := map[string]bool{}
		for _, s := range next.Sections {
			if names[s.Name] {
				t.Fatalf("step %d: section %s is there twice", step, s.Name)
			}
			names[s.Name] = true
			if s.Profile != "" && !strings.Contains(string(next.Text), "defaults profile-"+s.Profile+" ") {
				t.Fatalf("step %d: section %s has no profile", step, s.Name)
			}
		}
		for _, b := range table.Backends {
			if sectionOf(next, b.ID) == "" {
				t.Fatalf("step %d: backend %s has no section", step, b.ID)
			}
		}
		if text := string(next.Text); strings.Count(text, "\nbackend ") != len(names)+strings.Count(text, "\nbackend answers ") {
			t.Fatalf("step %d: %d sections in the text, %d in the list", step, strings.Count(text, "\nbackend "), len(names))
		}
		running = next
	}
}

func BenchmarkRender(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		table := services(b, n, nil)
		b.Run(fmt.Sprintf("first/%d", n), func(b *testing.B) {
			for b.Loop() {
				mustRender(b, table, nil, Options{})
			}
		})
		running := mustRender(b, table, nil, Options{})
		b.Run(fmt.Sprintf("change/%d", n), func(b *testing.B) {
			for b.Loop() {
				mustRender(b, table, running, Options{})
			}
		})
	}
}
