package app

import (
	"testing"
	"time"

	"fairway/internal/condition"
	"fairway/internal/engine/traffic"
)

// TestRates: what came between two readings counts, a counter begun anew from its start, and
// readings within the gap are given out again.
func TestRates(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var totals traffic.Totals
	r := &rates{read: func() []traffic.Totals { return []traffic.Totals{totals, {Route: "idle"}} }}
	for i, tt := range []struct {
		after      time.Duration
		ok, failed uint64
		want       condition.Rate
	}{
		{0, 100, 50, condition.Rate{}}, // the first reading knows no rate
		{time.Second, 200, 50, condition.Rate{}},
		{4 * time.Second, 300, 90, condition.Rate{Requests: 48, Errors: 8}},
		{time.Second, 500, 500, condition.Rate{Requests: 48, Errors: 8}},
		{3 * time.Second, 8, 4, condition.Rate{Requests: 3, Errors: 1}},
	} {
		now = now.Add(tt.after)
		totals = traffic.Totals{Route: "shop"}
		totals.Classes[2], totals.Classes[5] = tt.ok, tt.failed
		got := r.of(now)
		if got["shop"] != tt.want || len(got) > 1 {
			t.Errorf("step %d: %+v, want %+v", i, got, tt.want)
		}
	}
}
