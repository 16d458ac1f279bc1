package condition_test

import (
	"testing"
	"time"

	"fairway/internal/condition"
	"fairway/internal/engine/traffic"
)

// TestRates: what came within the window counts, a counter begun anew from its start, and
// what was read a moment ago is given out again.
func TestRates(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var totals traffic.Totals
	r := condition.NewRates(func() []traffic.Totals { return []traffic.Totals{totals, {Route: "idle"}} })
	for i, tt := range []struct {
		after      time.Duration
		ok, failed uint64
		want       condition.Rate
	}{
		{0, 100, 50, condition.Rate{}}, // the first reading knows no rate
		{time.Second, 200, 50, condition.Rate{}},
		{4 * time.Second, 300, 90, condition.Rate{Requests: 48, Errors: 8}},
		{time.Second, 500, 500, condition.Rate{Requests: 48, Errors: 8}},
		{14 * time.Second, 500, 150, condition.Rate{Requests: 25, Errors: 5}},
		{20 * time.Second, 600, 200, condition.Rate{Requests: 410. / 35, Errors: 110. / 35}}, // since the third
		{30 * time.Second, 20, 10, condition.Rate{Requests: 1, Errors: 10. / 30}},
		{30 * time.Second, 20, 10, condition.Rate{}},
	} {
		now = now.Add(tt.after)
		totals = traffic.Totals{Route: "shop"}
		totals.Classes[2], totals.Classes[5] = tt.ok, tt.failed
		if got := r.At(now); got["shop"] != tt.want || len(got) > 1 {
			t.Errorf("step %d: %+v, want %+v", i, got, tt.want)
		}
	}
}
