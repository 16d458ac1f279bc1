package compare

import (
	"fmt"
	"testing"

	"fairway/internal/api"
)

// A difference of thousands is counted, and the first of it shown.
func TestLongDiff(t *testing.T) {
	d := api.Diff{}
	for i := range 150 {
		d.Routes = append(d.Routes, api.DiffChange{Kind: "added", ID: fmt.Sprint(i)})
		d.Backends = append(d.Backends, api.DiffChange{Kind: "removed", ID: fmt.Sprint(i)})
		d.Problems = append(d.Problems, api.DiffChange{Kind: "changed", ID: fmt.Sprint(i)})
	}
	v := New(d)
	if v.Open || v.More != 250 || v.Counts != (api.Counts{Added: 150, Removed: 150, Changed: 150}) || len(v.Parts) != 2 || len(v.Parts[1].Changes) != 50 {
		t.Errorf("open %v, %d more, %+v, %d parts", v.Open, v.More, v.Counts, len(v.Parts))
	}
	d = api.Diff{Routes: d.Routes[:MaxOpen]}
	if v := New(d); !v.Open || v.More != 0 {
		t.Errorf("of %d changes: open %v, %d more", MaxOpen, v.Open, v.More)
	}
}
