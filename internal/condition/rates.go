package condition

import (
	"sync"
	"time"

	"fairway/internal/engine/traffic"
)

// Requests are counted over rateWindow, or since the start: in less time a route that is
// seldom asked would be well and ill in turn. Counters are read at most every rateGap.
const (
	rateWindow = 30 * time.Second
	rateGap    = 3 * time.Second
)

// Rates says how many requests go through each route and fail, by the engine's counters.
// Its methods may be called from any goroutine.
type Rates struct {
	read func() []traffic.Totals

	mu       sync.Mutex
	readings []reading // the oldest first: one at least rateWindow old, where there is any, and those since
	newest   map[string]Rate
}

// NewRates makes rates of what read returns, the counters since the start by route. read
// has to end soon.
func NewRates(read func() []traffic.Totals) *Rates { return &Rates{read: read} }

// reading has the counters of routes that were asked, at one moment.
type reading struct {
	at     time.Time
	counts map[string]counts
}

type counts struct{ requests, errors uint64 }

// At returns the rates at now, by route; routes without a request are left out. The map is
// not written to again.
func (r *Rates) At(now time.Time) map[string]Rate {
	if newest, fresh := r.fresh(now); fresh {
		return newest
	}
	next := reading{now, map[string]counts{}}
	totals := r.read()
	for i := range totals {
		if n := totals[i].Requests(); n > 0 {
			next.counts[totals[i].Route] = counts{n, totals[i].Errors()}
		}
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.readings); n > 0 && !next.at.After(r.readings[n-1].at) {
		return r.newest // another has read meanwhile
	}
	r.readings = append(r.readings, next)
	for len(r.readings) > 2 && now.Sub(r.readings[1].at) >= rateWindow {
		r.readings = r.readings[1:]
	}
	r.newest = between(r.readings[0], next)
	return r.newest
}

// fresh returns the newest rates, and whether they are of this moment.
func (r *Rates) fresh(now time.Time) (map[string]Rate, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.readings)
	return r.newest, n > 0 && now.Sub(r.readings[n-1].at) < rateGap
}

// between returns the rates between two readings; none between one and itself.
func between(first, last reading) map[string]Rate {
	found, seconds := map[string]Rate{}, last.at.Sub(first.at).Seconds()
	for route, c := range last.counts {
		b := first.counts[route]
		if b.requests > c.requests || b.errors > c.errors {
			b = counts{} // begun anew since
		}
		if came := c.requests - b.requests; came > 0 && seconds > 0 {
			found[route] = Rate{Requests: float64(came) / seconds, Errors: float64(c.errors-b.errors) / seconds}
		}
	}
	return found
}
