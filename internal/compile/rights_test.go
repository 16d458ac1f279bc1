package compile

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fairway/internal/catalog"
	"fairway/internal/owners"
	"fairway/internal/route"
	"fairway/internal/route/match"
)

// twoOwners are settings in which the owner of the label team=good may claim what
// ownedNeighbour asks for, and everybody else other names and ports.
func twoOwners() Settings {
	s := both()
	s.DockerFlow.Snippets = []string{"*"}

	s.Owners = owners.New([]owners.Record{
		{Name: "good", Labels: []string{"team=good"}, Hosts: []string{"good.example", "*.good.example"}, TCPPorts: []string{"6379"}, Priorities: "0-10"},
		{Name: "others", Hosts: []string{"b.example", "*.b.example", "x", "foo", "**.example.com"}, TCPPorts: []string{"6000-6378", "6380-6999"}, Priorities: "1000000", Snippets: true},
	})
	return s
}

func ownedNeighbour(created int) *catalog.Service {
	s := neighbour(created)
	labels := s.Instances[0].Labels
	labels["team"], labels["com.df.serviceDomain.1"] = "good", "good.example"
	return s
}

var claimLine = regexp.MustCompile(`(?m)^  claim \d+\n`)

// answersTo says which route takes each of many requests for the names of the neighbour.
func answersTo(t *rapid.T, table *route.Table) string {
	m, err := match.New(table.Routes)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, host := range []string{"good.example", "a.good.example", "admin.good.example"} {
		for _, path := range []string{"/", "/admin", "/admin/x", "/good", "/good/a/b/c", "/other"} {
			for _, method := range []string{"GET", "PUT"} {
				for _, listener := range []string{"http", "https"} {
					id := "none"
					if r := m.Find(&route.Request{Method: method, Host: host, Path: path, Listener: listener, TLS: listener == "https"}); r != nil {
						id = r.ID
					}
					fmt.Fprintf(&b, "%s %s %s%s: %s\n", method, listener, host, path, id)
				}
			}
		}
	}
	for _, name := range []string{"", "good.example", "b.example"} {
		if r := m.Find(&route.Request{Host: name, Path: "/", Listener: "tcp-6379"}); r != nil {
			fmt.Fprintf(&b, "6379 %s: %s\n", name, r.ID)
		}
	}
	return b.String()
}

// TestRightsKeepOwnersApart: with any labels that an owner has, be it older, first or of a higher
// priority, all that another one serves is the same, byte by byte, as if it were alone, and
// so is every answer to requests for its names.
func TestRightsKeepOwnersApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		good := ownedNeighbour(rapid.IntRange(0, 3).Draw(t, "good created"))
		alone := New(twoOwners()).Compile(snapshotOf(good), nil)
		part := func(table *route.Table) string { return claimLine.ReplaceAllString(partOf(table, good.ID), "") }
		want, answers := part(alone), answersTo(t, alone)
		if len(alone.Problems) > 0 || strings.Contains(answers, "none\n") && !strings.Contains(answers, "good@docker") {
			t.Fatalf("the neighbour is not as it must be:\n%s", alone.Text())
		}
		bad := &catalog.Service{
			ID:     rapid.SampledFrom([]string{"bad@docker", "a@docker", "zzz"}).Draw(t, "id"),
			Source: "docker", Created: seconds(rapid.IntRange(0, 3).Draw(t, "created")),
		}
		for i := range rapid.IntRange(1, 3).Draw(t, "instances") {
			labels := hostileLabels().Draw(t, "instance labels")
			for _, name := range []string{"", "x."} {
				if rapid.Bool().Draw(t, "high") {
					labels["fairway."+name+"priority"] = rapid.SampledFrom([]string{"1000000", "5", "-5"}).Draw(t, "priority")
				}
			}
			bad.Instances = append(bad.Instances, instanceWith(fmt.Sprintf("bad-%d", i), labels))
		}
		settings := twoOwners()
		onlyBad := New(settings).Compile(snapshotOf(bad), nil)
		c := New(settings)
		for name, previous := range map[string]*route.Table{"a newcomer": alone, "who is first": onlyBad, "one who starts with it": nil} {
			table := c.Compile(snapshotOf(good, bad), previous)
			if diff := cmp.Diff(want, part(table)); diff != "" {
				t.Fatalf("%s changed the other:\n%s", name, diff)
			}
			if diff := cmp.Diff(answers, answersTo(t, table)); diff != "" {
				t.Fatalf("%s took requests of the other:\n%s\n%s", name, diff, table.Text())
			}
			if kept, err := settings.Allowed(table, snapshotOf(good, bad)); err != nil || kept != table {
				t.Fatalf("what may not be claimed is in the table: %v\n%s", err, table.Text())
			}
			if again := c.Compile(snapshotOf(good, bad), table); again.Text() != table.Text() {
				t.Fatalf("compiling again changes the table:\n%s\n%s", table.Text(), again.Text())
			}
		}
	})
}

// TestManyForeignNames: one owner asks for 10,000 names that are not its own, or none at
// all, by one service and by 10,000: nothing of it is served, few problems are kept, and
// the others do not change.
func TestManyForeignNames(t *testing.T) {
	const many = 10_000
	bad := func(i int) string {
		return []string{"%d.good.example", "good.example", "*.good.example", "x..%d", "%d.foreign.example", "*", "\xff%d", "h%d.example/x"}[i%8]
	}
	one := map[string]string{}
	services := []*catalog.Service{ownedNeighbour(1), {
		ID: "second@docker", Name: "second", Source: "docker", Created: seconds(2),
		Instances: []*catalog.Instance{instanceWith("second-1", map[string]string{"team": "good", "fairway.host": "second.good.example", "fairway.port": "none"})},
	}}
	alone := New(twoOwners()).Compile(snapshotOf(slices.Clone(services)...), nil)
	for i := range many {
		host := strings.ReplaceAll(bad(i), "%d", fmt.Sprint(i))
		one[fmt.Sprintf("fairway.r%d.host", i)] = host
		one[fmt.Sprintf("fairway.r%d.priority", i)] = "1000000"
		labels := map[string]string{"fairway.host": host, "fairway.path": fmt.Sprintf("/admin/%d", i), "fairway.priority": "7"}
		services = append(services, &catalog.Service{ID: fmt.Sprintf("bad-%d@docker", i), Source: "docker", Created: seconds(1), Instances: []*catalog.Instance{instanceWith(fmt.Sprintf("bad-%d-1", i), labels)}})
	}
	services = append(services, &catalog.Service{ID: "many@docker", Source: "docker", Created: seconds(1), Instances: []*catalog.Instance{instanceWith("many-1", one)}})
	c := New(twoOwners())
	snapshot := snapshotOf(services...)
	table := c.Compile(snapshot, nil)
	for _, id := range []string{"good@docker", "second@docker"} {
		if diff := cmp.Diff(partOf(alone, id), partOf(table, id)); diff != "" {
			t.Errorf("%s has changed:\n%s", id, diff)
		}
	}
	for _, r := range table.Routes {
		if r.Service != "good@docker" && r.Service != "second@docker" {
			t.Fatalf("a route of the other owner is there: %s", r.Text())
		}
	}
	if n := len(table.Problems) - len(alone.Problems); n != maxRecordProblems+1 {
		t.Errorf("%d problems, want %d and one more", n, maxRecordProblems)
	}
	last := slices.IndexFunc(table.Problems, func(p route.Problem) bool {
		return p.Text == "9101 more problems of what the record others of owners is for are not listed"
	})
	if last < 0 {
		t.Fatalf("the last problem does not count the others:\n%v", table.Problems[len(table.Problems)-3:])
	}
	// The doctor says it all the same.
	found := c.Diagnose(snapshot, table, "bad-9994-1")
	if len(found) != 1 || !slices.ContainsFunc(found[0].Checks, func(c Check) bool { return strings.Contains(c.Text, "does not allow the host *.good.example") }) {
		t.Errorf("the doctor says %+v", found)
	}
	// So it does of the one whose problem counts those that are not listed.
	name, _, _ := strings.Cut(table.Problems[last].Service, "@")
	found = c.Diagnose(snapshot, table, name+"-1")
	if len(found) != 1 || !slices.ContainsFunc(found[0].Checks, func(c Check) bool { return strings.Contains(c.Text, "does not allow the host") }) {
		t.Errorf("the doctor says of %s %+v", name, found)
	}
}

// A table of the last run is served without what owners of today may not claim.
func TestAllowed(t *testing.T) {
	service := func(name, host string) *catalog.Service {
		return &catalog.Service{ID: name, Name: name, Source: "docker", Instances: []*catalog.Instance{instanceWith(name+"-1", map[string]string{"fairway.host": host})}}
	}
	snapshot := snapshotOf(service("a", "a.example"), service("b", "good.example"), service("c", "b.example"))
	before := New(both()).Compile(snapshot, nil)
	after, err := twoOwners().Allowed(before, snapshot)
	if err != nil || len(after.Routes) != 1 || after.Route("c") != before.Route("c") || len(after.Backends) != 1 {
		t.Errorf("%v\n%s", err, after.Text())
	}
	if same, err := both().Allowed(before, snapshot); err != nil || same != before {
		t.Error("without records it is another table", err)
	}
	// Certificates that the record does not allow any more are not ordered.
	strict := both()
	strict.Owners = owners.New([]owners.Record{{Name: "all", Hosts: []string{"*"}, Certificates: []string{owners.CertFile}}})
	after, err = strict.Allowed(before, snapshot)
	if err != nil || len(after.Routes) != len(before.Routes) || len(after.Backends) != len(before.Backends) || slices.ContainsFunc(after.Routes, func(r *route.Route) bool { return r.TLS != route.TLSOff }) {
		t.Errorf("%v\n%s", err, after.Text())
	}
	if same, err := strict.Allowed(after, snapshot); err != nil || same != after {
		t.Error("what is allowed is another table", err)
	}
	if before.Route("c").TLS != route.TLSAuto {
		t.Error("the table of before has changed")
	}
	// A last good form goes by the owners of today, too.
	labels := snapshot.Services[1].Instances[0].Labels
	broken := maps.Clone(labels)
	broken["fairway.timeout"] = "never"
	table := New(twoOwners()).Compile(snapshotOf(&catalog.Service{ID: "b", Name: "b", Source: "docker", Instances: []*catalog.Instance{instanceWith("b-1", broken)}}), before)
	if len(table.Routes) != 0 {
		t.Errorf("the last good form is served:\n%s", table.Text())
	}
}
