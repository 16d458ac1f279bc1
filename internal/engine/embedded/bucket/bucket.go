// Package bucket limits the rate of each client with a bucket of its own.
package bucket

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"fairway/internal/route"
)

// limiterSize is how many clients of each age a limiter remembers; it has some 10 MiB then.
const limiterSize = 1 << 15

// Limiter is a rate limit with a bucket for each client. It lives on from table
// to table for as long as the filter says the same.
type Limiter struct {
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

// New makes a limiter whose buckets are full.
func New(def route.RateLimit) *Limiter {
	burst := max(def.Burst, 1)
	per := max(def.Per, time.Millisecond)
	limit := rate.Limit(float64(def.Requests) / per.Seconds())
	refill := time.Hour
	if limit > 0 {
		refill = min(time.Duration(float64(burst)/float64(limit)*float64(time.Second)), 24*time.Hour)
	}
	return &Limiter{def: def, limit: limit, burst: burst, refill: max(refill, time.Second)}
}

// Def is the limit in the table.
func (l *Limiter) Def() route.RateLimit { return l.def }

// Take counts a request; it returns how long the client must wait, or zero.
func (l *Limiter) Take(client netip.Addr, now time.Time) time.Duration {
	client = SourceOf(client)
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

// SourceOf is what counts as one client: an IPv4 address, or the /64 of an IPv6 address.
func SourceOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if !addr.Is6() {
		return addr
	}
	prefix, _ := addr.Prefix(64) // of an address without zone, it cannot fail
	return prefix.Addr()
}
