package balance

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/traffic"
	"fairway/internal/route"
)

// Backend is the runtime side of one route.Backend, for any goroutine.
type Backend struct {
	set *Set
	def atomic.Pointer[route.Backend] // written under mu

	mu        sync.Mutex
	endpoints []*Endpoint // sorted by ID, as in the table
	rotation  []*Endpoint // the ones that may be picked
	// unsettled: an endpoint may be avoided or in slow start, so a pick looks at the clock.
	unsettled bool
	scratch   []*Endpoint   // of Pick, kept to save the allocation
	changed   chan struct{} // closed when rotation changes; nil until it is waited for
}

// Pick chooses an endpoint for a request and counts the request as in flight
// there until Done. tried holds the endpoints that this request has been to;
// none of them is picked again. The error is ErrNoEndpoint or nil.
func (b *Backend) Pick(k Key, tried []*Endpoint) (*Endpoint, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unsettled {
		b.settle(b.set.opts.Now())
	}
	var e *Endpoint
	if k.Sticky != "" {
		e = b.sticky(k.Sticky, tried)
	}
	if e == nil {
		e = choose(b.def.Load().Balance.Policy, b.candidates(tried), k)
	}
	if e == nil {
		return nil, ErrNoEndpoint
	}
	e.inFlight.Add(1)
	e.requests.Add(1)
	return e, nil
}

// Wait blocks until there is something to pick or enough is closed, and returns nil
// then, or ctx's error once ctx is done. A nil enough is never closed.
func (b *Backend) Wait(ctx context.Context, enough <-chan struct{}) error {
	for {
		b.mu.Lock()
		if len(b.rotation) > 0 {
			b.mu.Unlock()
			return nil
		}
		if b.changed == nil {
			b.changed = make(chan struct{})
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-enough:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sticky returns the endpoint a client is tied to, if it may be used.
func (b *Backend) sticky(value string, tried []*Endpoint) *Endpoint {
	for _, e := range b.endpoints {
		if e.sticky == value {
			if e.up() && !e.avoided && !slices.Contains(tried, e) {
				return e
			}
			return nil
		}
	}
	return nil
}

// candidates are the endpoints the policy may choose among: those of the
// rotation that are neither avoided nor tried; else those not tried.
func (b *Backend) candidates(tried []*Endpoint) []*Endpoint {
	if !b.unsettled && len(tried) == 0 {
		return b.rotation
	}
	b.scratch = b.scratch[:0]
	for _, e := range b.rotation {
		if !e.avoided && !slices.Contains(tried, e) {
			b.scratch = append(b.scratch, e)
		}
	}
	if len(b.scratch) > 0 {
		return b.scratch
	}
	for _, e := range b.rotation {
		if !slices.Contains(tried, e) {
			b.scratch = append(b.scratch, e)
		}
	}
	return b.scratch
}

// settle brings everything that depends on the clock up to date.
func (b *Backend) settle(now time.Time) {
	ejected := 0
	for _, e := range b.rotation {
		if now.Before(e.ejectedUntil) {
			ejected++
		}
	}
	panicking := 2*(len(b.rotation)-ejected) < len(b.rotation)
	b.unsettled = ejected > 0
	slowStart := b.def.Load().SlowStart
	for _, e := range b.endpoints {
		e.share = shareOf(e.def.Load().Weight, now.Sub(e.since), slowStart, e.ramping)
		e.ramping = e.ramping && now.Sub(e.since) < slowStart
		ejected, backingOff := now.Before(e.ejectedUntil), now.Before(e.backOffUntil)
		e.avoided = backingOff || ejected && !panicking
		b.unsettled = b.unsettled || e.ramping || ejected || backingOff
	}
}

func (b *Backend) update(def *route.Backend) {
	old := b.def.Load()
	if old == def {
		return
	}
	now := b.set.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.def.Store(def)
	if old != nil && old.Health == nil {
		// A check that is new to the backend must first fail to take an
		// endpoint out that has been in use without.
		for _, e := range b.endpoints {
			e.passed = e.def.Load().State == route.EndpointReady
		}
	}
	var gone []*Endpoint
	b.endpoints, gone = b.merge(def)
	for _, e := range gone {
		e.leave()
	}
	for _, e := range b.endpoints {
		d := e.def.Load()
		if def.Sticky != "" && e.sticky == "" {
			e.sticky = route.StickyValue(def.ID, d.ID)
		}
		if d.State == route.EndpointDraining {
			e.leave()
		}
		b.arrangeCheck(e)
	}
	b.rotate(now)
}

// merge returns the endpoints of def, the known ones with the state they had, and those
// that are gone. Both lists are sorted by ID.
func (b *Backend) merge(def *route.Backend) (next, gone []*Endpoint) {
	next = make([]*Endpoint, 0, len(def.Endpoints))
	old := b.endpoints
	for i := range def.Endpoints {
		d := &def.Endpoints[i]
		for len(old) > 0 && cmp.Less(old[0].ID(), d.ID) {
			gone, old = append(gone, old[0]), old[1:]
		}
		var e *Endpoint
		if len(old) > 0 && old[0].ID() == d.ID {
			e, old = old[0], old[1:]
			// One that left for good does not come back: its Draining is closed.
			if e.Address() != d.Address || e.left && d.State != route.EndpointDraining {
				gone, e = append(gone, e), nil
			}
		}
		if e == nil {
			e = &Endpoint{backend: b, hash: hashString(d.ID)}
		}
		e.def.Store(d)
		next = append(next, e)
	}
	return next, append(gone, old...)
}

func (b *Backend) rotate(now time.Time) {
	stays := false
	for _, e := range b.endpoints {
		stays = stays || e.entered && e.eligible()
	}
	b.rotation = b.rotation[:0]
	for _, e := range b.endpoints {
		// Weights may have changed: start the round anew.
		e.current = 0
		entered := e.entered
		e.entered = e.eligible()
		if !e.entered {
			continue
		}
		if !entered {
			// The first ones have no others to leave the load to.
			e.since, e.ramping = now, stays
		}
		b.rotation = append(b.rotation, e)
	}
	b.settle(now)
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *Backend) failed(e *Endpoint, r Result) {
	now := b.set.opts.Now()
	b.mu.Lock()
	if r == ResultUnreachable {
		e.backOffUntil = now.Add(backOff)
		b.unsettled = true
	}
	fails := e.fails.Add(1)
	limit := b.def.Load().MaxFails
	eject := limit > 0 && fails >= int64(limit) && !now.Before(e.ejectedUntil)
	var d time.Duration
	if eject {
		if now.Sub(e.ejectedUntil) > maxEjection {
			e.ejections = 0
		}
		d = ejectionTime(e.ejections)
		e.ejections++
		e.ejectedUntil = now.Add(d)
		b.unsettled = true
	}
	b.mu.Unlock()
	if eject {
		b.set.opts.Logger.Warn("endpoint ejected", "backend", b.def.Load().ID, "endpoint", e.ID(),
			"address", e.Address(), "failures", fails, "for", d)
	}
}

// each calls do, with the lock held, for each endpoint.
func (b *Backend) each(do func(*Endpoint)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.endpoints {
		do(e)
	}
}

func (b *Backend) totals(list []traffic.EndpointTotals) []traffic.EndpointTotals {
	b.each(func(e *Endpoint) {
		if requests := e.requests.Load(); requests > 0 {
			list = append(list, traffic.EndpointTotals{
				Backend: b.def.Load().ID, Endpoint: e.ID(), InFlight: int(e.inFlight.Load()),
				Requests: requests, Failures: e.failures.Load(), Took: e.took.Read(),
			})
		}
	})
	return list
}

func (b *Backend) status(list []traffic.EndpointStatus) []traffic.EndpointStatus {
	now := b.set.opts.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.unsettled {
		b.settle(now)
	}
	for _, e := range b.endpoints {
		st := traffic.EndpointStatus{
			Backend: b.def.Load().ID, Endpoint: e.ID(), InFlight: int(e.inFlight.Load()),
			Ejected: now.Before(e.ejectedUntil), OutOfRotation: e.def.Load().State == route.EndpointReady && !e.entered,
			Requests: e.requests.Load(), Failures: e.failures.Load(), Weight: float64(e.share) / shareUnit,
		}
		if c := e.check; c != nil && c.made {
			if st.Health = traffic.Passing; c.failures > 0 {
				st.Health, st.Reason = traffic.Failing, c.reason
			}
		}
		list = append(list, st)
	}
	return list
}
