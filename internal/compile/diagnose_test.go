package compile

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"fairway/internal/catalog"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/route"
)

// TestDiagnose compiles the catalog of testdata/diagnose/*.txtar and asks for
// each name that has a section: "ask NAME".
func TestDiagnose(t *testing.T) {
	const file = "testdata/diagnose/cases.txtar"
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := parseCatalog(t, archive.Files[0].Data)
	table := New(Settings{}).Compile(snapshot, nil)
	got := &txtar.Archive{Comment: archive.Comment, Files: archive.Files[:1:1]}
	for _, section := range archive.Files[1:] {
		name, ok := strings.CutPrefix(section.Name, "ask ")
		if !ok {
			t.Fatalf("section %s", section.Name)
		}
		var b strings.Builder
		for _, d := range New(Settings{DockerFlow: &dockerflow.Options{}}).Diagnose(snapshot, table, name) {
			fmt.Fprintf(&b, "%s %s %s served %v\n", d.Service, d.Instance, d.Source, d.Served)
			for _, c := range d.Checks {
				fmt.Fprintf(&b, "  %-6s %-8s %s", c.Outcome, c.Name, c.Text)
				if c.Hint != "" {
					fmt.Fprintf(&b, " (%s)", c.Hint)
				}
				b.WriteString("\n")
			}
		}
		got.Files = append(got.Files, txtar.File{Name: section.Name, Data: []byte(b.String())})
	}
	text := txtar.Format(got)
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(txtar.Format(archive)), string(text)); diff != "" {
		t.Errorf("-want +got (run with -update to accept):\n%s", diff)
	}
}

// Defaults of the configuration are named, but for those that a label takes off.
func TestDiagnoseNamesDefaults(t *testing.T) {
	snapshot := parseCatalog(t, []byte("- {id: a@docker, one: {fairway.host: a.example, fairway.max-body: \"off\"}}"))
	defaults, faults := NewDefaults([]Default{{Key: "compress", Value: "true"}, {Key: "max-body", Value: "1MB"}, {Key: "headers.response.set.X-A", Value: "b"}}, nil, nil)
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	c := New(Settings{Defaults: defaults})
	table := c.Compile(snapshot, nil)
	const want = "its routes have defaults of the configuration: fairway.compress, fairway.headers.response.set.X-A"
	if checks := c.Diagnose(snapshot, table, "a@docker")[0].Checks; !slices.ContainsFunc(checks, func(c Check) bool { return c.Text == want }) {
		t.Errorf("%v", checks)
	}
	if changed := New(Settings{}).Compile(snapshot, table).Routes[0]; changed == table.Routes[0] || len(changed.Filters) > 0 || changed.Origin.Defaults != nil {
		t.Errorf("without the defaults: %v", changed)
	}
}

// TestDiagnoseAgreesWithTheTable: an instance is served when, and only when, a
// route of the table leads to a ready endpoint of it, or redirects.
func TestDiagnoseAgreesWithTheTable(t *testing.T) {
	for _, file := range goldenFiles(t) {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, section := range archive.Files {
			if section.Name != "catalog" {
				continue
			}
			snapshot := parseCatalog(t, section.Data)
			compiler := New(settingsOf(t, archive))
			table := compiler.Compile(snapshot, nil)
			for _, s := range snapshot.Services {
				for _, d := range compiler.Diagnose(snapshot, table, s.ID) {
					want := false
					for _, r := range table.Routes {
						if r.Service != d.Service || r.Refused != "" {
							continue
						}
						b := table.Backend(r.Backend)
						want = want || b == nil
						want = want || b != nil && strings.Contains(b.Text(), " ready weight ") && slices.ContainsFunc(strings.Split(b.Text(), "\n"), func(line string) bool {
							return strings.Contains(line, " ready weight ") &&
								(strings.Contains(line, " instance "+d.Instance+" ") || d.Instance != "" && strings.Contains(line, " id virtual:"))
						})
					}
					if d.Served != want {
						t.Errorf("%s: %s: served %v, the table says %v", file, d.Instance, d.Served, want)
					}
					if failed := slices.ContainsFunc(d.Checks, func(c Check) bool { return c.Outcome == OutcomeFailed }); !d.Served && !failed {
						t.Errorf("%s: %s is not served, and nothing says why: %+v", file, d.Instance, d.Checks)
					}
				}
			}
		}
	}
}

func TestDiagnoseNothing(t *testing.T) {
	if d := New(Settings{DockerFlow: &dockerflow.Options{}}).Diagnose(nil, nil, "a"); d != nil {
		t.Errorf("diagnoses of nothing: %v", d)
	}
	s := snapshotOf(neighbour(1))
	if d := New(Settings{DockerFlow: &dockerflow.Options{}}).Diagnose(s, nil, ""); d != nil {
		t.Errorf("diagnoses of no name: %v", d)
	}
	if d := New(Settings{DockerFlow: &dockerflow.Options{}}).Diagnose(s, nil, "good-1"); len(d) != 1 || d[0].Served {
		t.Errorf("without a table: %+v", d)
	}
}

// Whoever asks why an instance is not served learns which operator drained it.
func TestDiagnoseNamesTheOperator(t *testing.T) {
	snapshot := &catalog.Snapshot{Revision: 1, Services: []*catalog.Service{{
		ID: "a@file:x", Name: "a", Source: "file:x", Labels: map[string]string{"fairway.host": "a.example.com"},
		Instances: []*catalog.Instance{{
			ID: "a-1", Name: "a-1", Source: "file:x", State: catalog.StateReady,
			Addresses: []catalog.Address{{Host: "10.0.0.1", Port: 80, Reach: catalog.ReachFixed}},
		}},
	}}}
	compiler := New(Settings{})
	table := compiler.Compile(snapshot, nil)
	drained := *table.Backends[0]
	drained.Endpoints = slices.Clone(drained.Endpoints)
	drained.Endpoints[0].State, drained.Endpoints[0].By = route.EndpointDraining, "drain by ann: memory leak"
	steered, err := route.New(1, nil, table.Routes, []*route.Backend{&drained}, nil)
	if err != nil {
		t.Fatal(err)
	}
	found := compiler.Diagnose(snapshot, steered, "a-1")
	if len(found) != 1 || found[0].Served {
		t.Fatalf("%+v", found)
	}
	last := found[0].Checks[len(found[0].Checks)-1]
	if !strings.Contains(last.Text, "draining: drain by ann: memory leak") || last.Hint == "" {
		t.Errorf("%+v", last)
	}
}

// A service in maintenance serves nothing, though its endpoints are ready.
func TestDiagnoseNamesMaintenance(t *testing.T) {
	snapshot := parseCatalog(t, []byte("- {id: a@docker, one: {fairway.host: a.example}}"))
	c := New(Settings{})
	shut := *c.Compile(snapshot, nil).Routes[0]
	shut.Filters = []route.Filter{{Maintenance: &route.Maintenance{By: "maintenance by ann"}}}
	found := c.Diagnose(snapshot, &route.Table{Routes: []*route.Route{&shut}}, "a@docker")[0]
	if last := found.Checks[len(found.Checks)-1]; found.Served || !strings.HasSuffix(last.Text, "answers 503: maintenance by ann") {
		t.Errorf("served %v: %v", found.Served, last)
	}
}
