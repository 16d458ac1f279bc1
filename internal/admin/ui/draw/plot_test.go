package draw

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
)

// Without script a plot says the least, latest and greatest of each line; with it, what
// is under the pointer: each moment with its time and a text for each line.
func TestValuesOfPlots(t *testing.T) {
	to := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	s := api.Series{Fields: []api.SeriesField{{Name: "p50", Unit: "s"}, {Name: "p95", Unit: "s"}}, Step: "30s"}
	for i := range 120 {
		fast, slow := .004+.0001*float64(i%10), .0431
		point := api.SeriesPoint{At: to.Add(time.Duration(i-120) * 30 * time.Second), Means: []*float64{&fast, &slow}}
		if i%2 == 1 {
			point.Means[1] = nil
		}
		s.Points = append(s.Points, point)
	}
	s.Points = append(s.Points, api.SeriesPoint{At: to, Means: []*float64{nil, nil}}) // nothing is known
	for small, rows := range map[bool]int{false: 120, true: 60} {
		p := NewPlot(s, Figure{Title: "Latency", Fields: []string{"p50", "p95", "p99"}, Small: small}, to.Add(-time.Hour), to)
		if want := "Latency, last 1 h: p50 least 4 ms, latest 4.9 ms, greatest 4.9 ms; p95 least 43 ms, latest 43 ms, greatest 43 ms"; p.Alt != want {
			t.Errorf("it says %q, want %q", p.Alt, want)
		}
		var found points
		if err := json.Unmarshal([]byte(p.Points), &found); err != nil || strings.Join(found.Names, " ") != "p50 p95" || len(found.Rows) != rows {
			t.Fatalf("%v: %d rows of %q", err, len(found.Rows), found.Names)
		}
		last := found.Rows[rows-1]
		if want := map[bool]string{false: "11:59:30", true: "11:59"}[small]; last[1] != want || last[2] != "4.9 ms" || last[3] != "–" || math.Abs(last[0].(float64)-float64(p.Width)) > 8 {
			t.Errorf("the last row is %v", last)
		}
	}
}

// The axis of latencies is in one unit.
func TestLevelsOfLatency(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for most, want := range map[float64]string{.0431: "0 ms 25 ms 50 ms", .0007: "0 ms 0.4 ms 0.8 ms", 1.7: "0 s 1 s 2 s"} {
		s := api.Series{Fields: []api.SeriesField{{Name: "p99", Unit: "s"}}, Points: []api.SeriesPoint{{At: now, Means: []*float64{&most}}}}
		var got []string
		for _, level := range NewPlot(s, Figure{Fields: []string{"p99"}}, now.Add(-time.Hour), now).Levels {
			got = append(got, level.Text)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%v: %q, want %q", most, got, want)
		}
	}
}
