package app

import (
	"sync"
	"time"

	"fairway/internal/condition"
	"fairway/internal/engine/traffic"
)

// rateGap is the shortest time over which requests are counted.
const rateGap = 2 * time.Second

// rates says how many requests go through each route and fail, between two readings of the
// engine's counters. Its methods may be called from any goroutine.
type rates struct {
	read func() []traffic.Totals

	mu     sync.Mutex
	at     time.Time // of counts
	counts map[string]counts
	newest map[string]condition.Rate
}

type counts struct{ requests, errors uint64 }

// of returns the rates at now, by route; routes without a request are left out. The map is
// not written to again.
func (r *rates) of(now time.Time) map[string]condition.Rate {
	r.mu.Lock()
	fresh := now.Sub(r.at) < rateGap
	newest := r.newest
	r.mu.Unlock()
	if fresh {
		return newest
	}
	totals := r.read()

	r.mu.Lock()
	defer r.mu.Unlock()
	seconds := now.Sub(r.at).Seconds()
	if seconds < rateGap.Seconds() {
		return r.newest // another has read meanwhile
	}
	before, first := r.counts, r.counts == nil
	r.at, r.counts, r.newest = now, map[string]counts{}, map[string]condition.Rate{}
	for i := range totals {
		t := &totals[i]
		c := counts{t.Requests(), t.Errors()}
		if c.requests == 0 {
			continue
		}
		r.counts[t.Route] = c
		b := before[t.Route]
		if b.requests > c.requests || b.errors > c.errors {
			b = counts{} // begun anew since
		}
		if came := c.requests - b.requests; came > 0 && !first {
			r.newest[t.Route] = condition.Rate{Requests: float64(came) / seconds, Errors: float64(c.errors-b.errors) / seconds}
		}
	}
	return r.newest
}
