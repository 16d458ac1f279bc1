package discovery

import (
	"slices"
	"testing"

	"fairway/internal/catalog"
)

// TestMergedOnce: answers that say nothing new are not merged again; one that differs in a service,
// or in nothing but its order, is.
func TestMergedOnce(t *testing.T) {
	a, b := &catalog.Service{ID: "a@x", Name: "a", Source: "x"}, &catalog.Service{ID: "b@x", Name: "b", Source: "x"}
	var m merger
	merge := func(services ...*catalog.Service) []*catalog.Service {
		return m.services([]*state{{services: services}, {}})
	}
	first := merge(a, b)
	if again := merge(a, b); &again[0] != &first[0] {
		t.Error("the same answers are merged again")
	}
	other := &catalog.Service{ID: "b@x", Name: "b", Source: "x", Posted: true}
	for _, services := range [][]*catalog.Service{{a}, {a, other}, {other, a}, {b, a}, nil} {
		want := slices.Clone(services)
		slices.SortFunc(want, func(a, b *catalog.Service) int { return int(a.ID[0]) - int(b.ID[0]) })
		if got := merge(services...); !slices.Equal(got, want) {
			t.Errorf("%d services are merged to %d others", len(services), len(got))
		}
	}
}
