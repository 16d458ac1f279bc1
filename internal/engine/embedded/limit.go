package embedded

import (
	"context"
	"math"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"fairway/internal/route"
)

// limiterSize is how many clients of each age a limiter remembers; it has some 10 MiB then.
const limiterSize = 1 << 15

// limiter is a rate limit with a bucket for each client. It lives on from table
// to table for as long as the filter says the same.
type limiter struct {
	def    route.RateLimit
	limit  rate.Limit
	burst  int
	refill time.Duration // from empty to full

	mu sync.Mutex
	// Clients in two ages. When the young one is full, or older than a bucket needs to
	// fill up, it becomes the old one, which is forgotten.
	young, old map[netip.Addr]*rate.Limiter
	since      time.Time
}

func newLimiter(def route.RateLimit) *limiter {
	burst := max(def.Burst, 1)
	per := max(def.Per, time.Millisecond)
	limit := rate.Limit(float64(def.Requests) / per.Seconds())
	refill := time.Hour
	if limit > 0 {
		refill = min(time.Duration(float64(burst)/float64(limit)*float64(time.Second)), 24*time.Hour)
	}
	return &limiter{def: def, limit: limit, burst: burst, refill: max(refill, time.Second)}
}

// limiterFor returns the limiter that the route, if any, had for the same limit, or a new one.
func (lr *liveRoute) limiterFor(def route.RateLimit) *limiter {
	if lr != nil {
		for _, l := range lr.limiters {
			if l.def == def {
				return l
			}
		}
	}
	return newLimiter(def)
}

func (l *limiter) check(_ context.Context, q *request) *answer {
	if slices.Contains(q.charged, l) {
		return nil
	}
	wait := l.take(q.Client, time.Now())
	if wait <= 0 {
		q.charged = append(q.charged, l)
		return nil
	}
	seconds := min(int(math.Ceil(wait.Seconds())), 3600)
	return &answer{status: http.StatusTooManyRequests, code: "rate-limited", text: "too many requests", retryAfter: seconds}
}

// take counts a request; it returns how long the client must wait, or zero.
func (l *limiter) take(client netip.Addr, now time.Time) time.Duration {
	client = sourceOf(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.young == nil || len(l.young) >= limiterSize || now.Sub(l.since) > l.refill {
		l.old, l.young, l.since = l.young, map[netip.Addr]*rate.Limiter{}, now
	}
	bucket := l.young[client]
	if bucket == nil {
		if bucket = l.old[client]; bucket == nil {
			bucket = rate.NewLimiter(l.limit, l.burst)
		}
		l.young[client] = bucket
	}
	r := bucket.ReserveN(now, 1)
	if !r.OK() {
		return time.Hour
	}
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// sourceOf is what counts as one client: an IPv4 address, or the /64 of an IPv6 address.
func sourceOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	prefix, _ := addr.Prefix(64) // of an address without zone, it cannot fail
	return prefix.Addr()
}
