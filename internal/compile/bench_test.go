package compile

import (
	"fmt"
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/owners"
	"fairway/internal/route/diff"
)

// largeSnapshot has n services of one instance and four labels each.
func largeSnapshot(n int) *catalog.Snapshot {
	list := make([]*catalog.Service, n)
	for i := range n {
		list[i] = largeService(i, "v1")
	}
	return snapshotOf(list...)
}

func largeService(i int, version string) *catalog.Service {
	in := instanceWith(fmt.Sprintf("app-%04d-1", i), map[string]string{
		"fairway.host":                  fmt.Sprintf("app-%04d.example.com", i),
		"fairway.path":                  "/demo",
		"fairway.health.path":           "/up",
		"fairway.headers.request.set.V": version,
	})
	return &catalog.Service{ID: fmt.Sprintf("app-%04d@docker", i), Source: "docker", Created: seconds(i + 1), Instances: []*catalog.Instance{in}}
}

// TestOneChangeCostsOneChange: all but what changed are the same pointers.
func TestOneChangeCostsOneChange(t *testing.T) {
	const n = 200
	c := New(Settings{})
	s := largeSnapshot(n)
	before := c.Compile(s, nil)
	s = snapshotOf(append([]*catalog.Service{}, s.Services...)...)
	s.Services[7] = largeService(7, "v2")
	after := c.Compile(s, before)
	changed := 0
	for i := range before.Routes {
		if before.Routes[i] != after.Routes[i] {
			changed++
		}
		if before.Backends[i] != after.Backends[i] {
			t.Errorf("backend %s is another pointer", before.Backends[i].ID)
		}
	}
	if changed != 1 || len(after.Routes) != n {
		t.Errorf("%d of %d routes changed, want 1 of %d", changed, len(after.Routes), n)
	}
	if d := diff.Tables(before, after); len(d.Routes) != 1 || len(d.Backends) != 0 {
		t.Errorf("changes:\n%s", d.String())
	}
}

// BenchmarkOneChange5000 is one label change among 5,000 services: compiling and
// making the table.
func BenchmarkOneChange5000(b *testing.B) {
	c := New(Settings{})
	s := largeSnapshot(5000)
	table := c.Compile(s, nil)
	versions := [2]*catalog.Service{largeService(2500, "v1"), largeService(2500, "v2")}
	i := 0
	for b.Loop() {
		next := *s
		next.Services = append([]*catalog.Service{}, s.Services...)
		changed := *versions[i%2]
		next.Services[2500] = &changed
		table = c.Compile(&next, table)
		i++
	}
	b.ReportMetric(float64(len(table.Routes)), "routes")
}

// BenchmarkFresh5000 is a compiler's first table of 5,000 services.
func BenchmarkFresh5000(b *testing.B) {
	s := largeSnapshot(5000)
	for b.Loop() {
		New(Settings{}).Compile(s, nil)
	}
}

// BenchmarkFreshOwners5000 is BenchmarkFresh5000 with fifty records of owners, of which the
// last one fits, and allows what the services ask for.
func BenchmarkFreshOwners5000(b *testing.B) {
	records := []owners.Record{}
	for i := range 49 {
		records = append(records, owners.Record{Name: fmt.Sprint(i), Projects: []string{fmt.Sprintf("team-%d-*", i)}, Hosts: []string{"*"}})
	}
	records = append(records, owners.Record{Name: "others", Hosts: []string{"a.example.com", "*.b.example.com", "**.example.com"}, Paths: []string{"/x", "/demo"}})
	s := largeSnapshot(5000)
	for b.Loop() {
		if t := New(Settings{Owners: owners.New(records)}).Compile(s, nil); len(t.Routes) != 5000 {
			b.Fatal(t.Problems[0])
		}
	}
}
