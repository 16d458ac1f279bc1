// Package rate is a rate limit in HAProxy's arithmetic.
package rate

import (
	"time"

	"fairway/internal/route"
)

// Bucket is a rate limit in HAProxy's arithmetic: the generic cell rate algorithm, a
// token bucket that keeps one number for each client, the time at which it is full again,
// modulo 2^32 in units long enough for half of it to hold a whole bucket.
type Bucket struct {
	Unit     int64 // microseconds
	Interval int64 // units for one request
	Burst    int64 // units by which the time of a client may be ahead
	Expire   time.Duration
}

// Wrap is where times begin anew at zero, in units.
const Wrap = 1 << 32

// Of is the bucket of a limit; expire is when a client that asks no more is forgotten.
func Of(f *route.RateLimit) Bucket {
	burst := int64(max(f.Burst, 1))
	per := max(f.Per, time.Millisecond)
	interval := 24 * time.Hour / time.Duration(burst)
	if f.Requests > 0 {
		interval = max(per/time.Duration(f.Requests), time.Microsecond)
	}
	// Not more than a day is kept, as with the embedded engine.
	whole := min(float64(interval)*float64(burst), float64(24*time.Hour))
	unit := max(int64(whole/float64(time.Microsecond))/(Wrap/4), 1)
	in := func(d float64) int64 { return int64(d / float64(time.Microsecond) / float64(unit)) }
	b := Bucket{Unit: unit, Interval: max(in(float64(interval)), 1), Expire: max(time.Duration(whole), time.Second)}
	b.Burst = min(b.Interval*(burst-1), Wrap/2-b.Interval)
	return b
}
