package haproxy

import (
	"context"
	"time"

	"fairway/internal/clock"
	"fairway/internal/engine/traffic"
	"fairway/internal/route"
)

// departure is an endpoint that leaves.
type departure struct {
	traffic.Drained
	at       time.Time
	asked    bool // Requests is known
	failures uint64
}

// leavingInterval is the time between two looks at what runs on endpoints that
// leave.
const leavingInterval = 250 * time.Millisecond

// depart notes the endpoints that were ready in the table before and are not in the
// next. The caller holds the mutex.
func (r *readings) depart(old, next *route.Table) {
	if r.OnDrained == nil {
		return
	}
	for _, b := range old.Backends {
		now := next.Backend(b.ID)
		if now == b {
			continue
		}
		stays := map[string]bool{}
		if now != nil {
			for _, e := range now.Endpoints {
				stays[e.ID] = e.State != route.EndpointDraining
			}
		}
		for _, e := range b.Endpoints {
			key := endpointKey{b.ID, e.ID}
			if e.State != route.EndpointReady || stays[e.ID] || r.leaving[key] != nil {
				continue
			}
			d := &departure{Drained: traffic.Drained{Backend: b.ID, Endpoint: e.ID, Service: b.Service, Instance: e.Instance}, at: time.Now()}
			if c := r.counts[key]; c != nil {
				d.failures = c.failures
			}
			r.leaving[key] = d
		}
		for id, ready := range stays {
			if ready {
				delete(r.leaving, endpointKey{b.ID, id}) // it has come back
			}
		}
	}
}

// watchLeaving reports endpoints that leave when nothing runs there any more.
// Connections that a replaced worker still has are not seen.
func (r *readings) watchLeaving(ctx context.Context) {
	for clock.Sleep(ctx, leavingInterval) == nil {
		r.mu.Lock()
		n := len(r.leaving)
		r.mu.Unlock()
		if n == 0 {
			continue
		}
		stats, err := r.newest()
		if err != nil {
			continue
		}
		busy := map[endpointKey]int64{}
		r.mu.Lock()
		for i := range stats.Len() {
			row := stats.Row(i)
			if key, ok := r.endpointOf(row.Proxy(), row.Server()); ok {
				busy[key] += row.Number("scur")
			}
		}
		var over []traffic.Drained
		for key, d := range r.leaving {
			if !d.asked {
				d.asked, d.Requests = true, busy[key]
			}
			if busy[key] > 0 {
				continue
			}
			d.Took = time.Since(d.at)
			delete(r.leaving, key)
			c := r.counts[key]
			if c == nil {
				continue // it was never asked for anything
			}
			d.Failed = c.failures - d.failures
			over = append(over, d.Drained)
		}
		r.mu.Unlock()
		for _, d := range over {
			r.OnDrained(d)
		}
	}
}
