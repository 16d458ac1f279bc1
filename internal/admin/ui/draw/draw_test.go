package draw

import (
	"reflect"
	"testing"
	"time"

	"fairway/internal/api"
)

// Sources stand beside their services, so that lines do not cross; those of which
// nothing is drawn come last.
func TestSourcesStandBesideTheirServices(t *testing.T) {
	var all []Service
	for _, id := range []string{"a1", "a2", "z1", "z2"} {
		all = append(all, Service{ID: id, Name: id, Source: map[byte]string{'a': "z-file", 'z': "a-file"}[id[0]]})
	}
	p := NewFlow(all, []Source{{Name: "a-file"}, {Name: "docker"}, {Name: "z-file"}})
	var got []string
	for _, b := range p.Sources {
		got = append(got, b.Name)
	}
	if want := []string{"z-file", "a-file", "docker"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// The scale of a plot has different numbers, however little there is.
func TestLevels(t *testing.T) {
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	for _, unit := range []string{"percent", "1/s", "s", "bytes"} {
		for _, most := range []float64{0, 1e-6, 0.0004, 0.003, 0.01, 0.07, 0.4, 1, 3, 99, 1e6} {
			s := api.Series{Fields: []api.SeriesField{{Name: "x", Unit: unit}}, Points: []api.SeriesPoint{{At: now, Means: []*float64{&most}}}}
			levels := NewPlot(s, Figure{Fields: []string{"x"}}, now.Add(-time.Hour), now).Levels
			if levels[0].Text == levels[1].Text || levels[1].Text == levels[2].Text {
				t.Errorf("%g %s: %+v", most, unit, levels)
			}
		}
	}
}

// The layout of the picture: nothing lies on anything else, and what is drawn is
// bounded.
func FuzzLayout(f *testing.F) {
	f.Add(3, 2, 2, 1)
	f.Add(100, 3, 9, 4)
	f.Add(1, 80, 1, 1)
	f.Add(0, 0, 0, 0)
	f.Fuzz(func(t *testing.T, services, routes, ends, sources int) {
		services, routes, ends, sources = bound(services, 200), bound(routes, 60), bound(ends, 40), bound(sources, 12)
		var all []Service
		var names []Source
		for i := range sources {
			names = append(names, Source{Name: string(rune('a' + i))})
		}
		for i := range services {
			s := Service{ID: string(rune('a' + i)), Name: "s"}
			if sources > 0 {
				s.Source = names[i%sources].Name
			}
			for range (i * routes) % (routes + 1) {
				s.Routes = append(s.Routes, Route{Marks: make([]Mark, ends)})
			}
			all = append(all, s)
		}
		p := NewFlow(all, names)
		if len(p.Rows) > MaxRows || p.Left < 0 || p.Left+len(p.Services) != len(all) {
			t.Fatalf("%d rows, %d services drawn, %d left of %d", len(p.Rows), len(p.Services), p.Left, len(all))
		}
		for _, boxes := range [][]Box{p.Sources, p.Services} {
			for i, b := range boxes {
				if b.Y < 0 || b.Y+b.H > p.Height || i > 0 && b.Y < boxes[i-1].Y+boxes[i-1].H {
					t.Fatalf("box %d is at %d to %d of %d", i, b.Y, b.Y+b.H, p.Height)
				}
			}
		}
		for i, r := range p.Rows {
			if r.Y+r.H > p.Height || i > 0 && r.Y < p.Rows[i-1].Y+p.Rows[i-1].H || len(r.Marks) > maxMarks {
				t.Fatalf("row %d is at %d of %d", i, r.Y, p.Height)
			}
		}
	})
}

// bound takes a number into a range.
func bound(n, most int) int {
	if n < 0 {
		n = -(n + 1)
	}
	return n % (most + 1)
}
