package match

import (
	"testing"

	"pgregory.net/rapid"

	"fairway/internal/route"
)

// Compare is the order in which a matcher keeps its entries.
func TestCompare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		routes := genRoutes().Draw(t, "routes")
		table, err := route.New(1, nil, routes, nil, nil)
		if err != nil {
			t.Skip(err)
		}
		m, err := New(table.Routes)
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range m.entries {
			for j, b := range m.entries {
				n := Compare(a.route, int(a.index), b.route, int(b.index))
				if (n < 0) != (i < j) || (n == 0) != (i == j) {
					t.Fatalf("Compare of entries %d and %d is %d", i, j, n)
				}
			}
		}
	})
}
