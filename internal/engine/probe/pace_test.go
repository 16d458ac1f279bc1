package probe

import (
	"testing"
	"time"

	"fairway/internal/route"
)

// TestPace: checks spread out by a tenth, a failed one is soon repeated, and one that
// goes on failing is not.
func TestPace(t *testing.T) {
	set, unset := &route.Health{Interval: 30 * time.Second, Timeout: time.Second}, &route.Health{}
	for name, tt := range map[string]struct {
		draw          func() time.Duration
		least, beyond time.Duration
	}{
		"first":               {func() time.Duration { return First(set) }, 0, firstWithin + 1},
		"first, short":        {func() time.Duration { return First(&route.Health{Interval: time.Second}) }, 0, 100*time.Millisecond + 1},
		"next":                {func() time.Duration { return Next(set, 0) }, 27 * time.Second, 33*time.Second + 1},
		"next, default":       {func() time.Duration { return Next(unset, 0) }, 9 * time.Second, 11*time.Second + 1},
		"after a failure":     {func() time.Duration { return Next(set, 1) }, 900 * time.Millisecond, 1100*time.Millisecond + 1},
		"after many failures": {func() time.Duration { return Next(set, soonFailures) }, 27 * time.Second, 33*time.Second + 1},
		"timeout":             {func() time.Duration { return Timeout(set) }, time.Second, time.Second + 1},
		"timeout, default":    {func() time.Duration { return Timeout(unset) }, defaultTimeout, defaultTimeout + 1},
	} {
		for range 100 {
			if d := tt.draw(); d < tt.least || d >= tt.beyond {
				t.Fatalf("%s: %v", name, d)
			}
		}
	}
}
