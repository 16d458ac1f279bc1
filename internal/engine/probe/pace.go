package probe

import (
	"cmp"
	"math/rand/v2"
	"time"

	"fairway/internal/route"
)

// The pace of active checks. Their times are drawn at random within bounds, so that
// the checks of many endpoints spread out.
const (
	// FailuresToLeave is how many failures in a row take an endpoint out of rotation.
	// One success brings it back.
	FailuresToLeave = 2

	firstWithin     = 200 * time.Millisecond
	soon            = time.Second      // between checks while the outcome is not settled
	soonFailures    = 20               // failures in a row settle it
	defaultInterval = 10 * time.Second // for a route.Health without one
	defaultTimeout  = 5 * time.Second  // likewise
)

// First returns the wait before the first check.
func First(h *route.Health) time.Duration { return rand.N(min(firstWithin, interval(h)/10) + 1) }

// Next returns the wait before the next check, after failures in a row. A failed check
// is soon repeated: the endpoint may be starting, or a second failure has to confirm
// the first.
func Next(h *route.Health, failures int) time.Duration {
	d := interval(h)
	if failures > 0 && failures < soonFailures {
		d = min(d, soon)
	}
	return d*9/10 + rand.N(d/5+1)
}

// Timeout returns how long one check may take.
func Timeout(h *route.Health) time.Duration { return cmp.Or(max(h.Timeout, 0), defaultTimeout) }

func interval(h *route.Health) time.Duration { return cmp.Or(max(h.Interval, 0), defaultInterval) }
