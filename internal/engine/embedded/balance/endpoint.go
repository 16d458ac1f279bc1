package balance

import (
	"context"
	"sync/atomic"
	"time"

	"fairway/internal/engine/probe"
	"fairway/internal/engine/traffic"
	"fairway/internal/latency"
	"fairway/internal/route"
)

// Endpoint is the runtime side of one route.Endpoint, for any goroutine.
type Endpoint struct {
	backend *Backend
	def     atomic.Pointer[route.Endpoint] // ID and address never change
	hash    uint64                         // of the ID, for rendezvous hashing

	inFlight atomic.Int64
	requests atomic.Uint64
	failures atomic.Uint64
	took     latency.Counter
	fails    atomic.Int64              // failures in a row
	departed atomic.Pointer[departure] // nil once its end was reported

	// The rest is guarded by backend.mu.

	sticky  string // empty while the backend is not sticky
	entered bool   // is in the rotation
	since   time.Time
	ramping bool  // in slow start, since then
	share   int64 // effective weight in thousandths
	current int64 // of smooth weighted round-robin

	avoided      bool // by backing off or ejection, as of the last settle
	backOffUntil time.Time
	ejectedUntil time.Time
	ejections    int

	left  bool          // for good
	drain chan struct{} // closed when left is set; nil until it is asked for

	passed bool   // the active check passes
	check  *check // nil while none is made
}

// ID returns the endpoint's ID in the table.
func (e *Endpoint) ID() string { return e.def.Load().ID }

// Address returns the host:port to dial.
func (e *Endpoint) Address() string { return e.def.Load().Address }

// Def returns what the newest table says of the endpoint.
func (e *Endpoint) Def() *route.Endpoint { return e.def.Load() }

// Left reports whether the endpoint has left rotation for good; see Draining.
func (e *Endpoint) Left() bool {
	e.backend.mu.Lock()
	defer e.backend.mu.Unlock()
	return e.left
}

// StickyValue is route.StickyValue; empty when the backend is not sticky.
func (e *Endpoint) StickyValue() string {
	e.backend.mu.Lock()
	defer e.backend.mu.Unlock()
	return e.sticky
}

// Draining returns a channel that is closed when the endpoint leaves rotation
// for good: it drains, or it is no longer in the table. What runs may finish.
func (e *Endpoint) Draining() <-chan struct{} {
	e.backend.mu.Lock()
	defer e.backend.mu.Unlock()
	if e.drain == nil {
		e.drain = make(chan struct{})
		if e.left {
			close(e.drain)
		}
	}
	return e.drain
}

// Done reports how a request ended, exactly once for each Pick.
func (e *Endpoint) Done(r Result) {
	switch r {
	case ResultOK:
		if e.fails.Load() != 0 {
			e.fails.Store(0)
		}
	case ResultFailed, ResultUnreachable:
		e.failures.Add(1)
		e.backend.failed(e, r)
	}
	if e.inFlight.Add(-1) > 0 {
		return
	}
	e.drained()
}

// Took counts how long a request took that it was the last to be asked for.
func (e *Endpoint) Took(took time.Duration) { e.took.Add(1, took) }

func (e *Endpoint) up() bool {
	return e.def.Load().State == route.EndpointReady && (e.passed || e.backend.def.Load().Health == nil)
}

func (e *Endpoint) eligible() bool {
	return e.up() && e.def.Load().Weight > 0
}

func (e *Endpoint) leave() {
	e.stopCheck()
	if e.left {
		return
	}
	e.left = true
	if e.drain != nil {
		close(e.drain)
	}
	e.depart()
}

// departure is an endpoint that has left rotation for good and may still be busy.
type departure struct {
	traffic.Drained
	at       time.Time
	failures uint64 // that were counted before
}

// depart begins to watch for the end of what runs. The caller holds backend.mu.
func (e *Endpoint) depart() {
	if e.backend.set.opts.OnDrained == nil || e.requests.Load() == 0 {
		return
	}
	def := e.backend.def.Load()
	e.departed.Store(&departure{traffic.Drained{
		Backend: def.ID, Endpoint: e.ID(), Service: def.Service, Instance: e.Def().Instance, Requests: e.inFlight.Load(),
	}, e.backend.set.opts.Now(), e.failures.Load()})
	if e.inFlight.Load() == 0 {
		e.drained()
	}
}

// drained reports, once, that nothing runs any more on an endpoint that has left.
func (e *Endpoint) drained() {
	if e.departed.Load() == nil {
		return
	}
	if d := e.departed.Swap(nil); d != nil {
		d.Failed, d.Took = e.failures.Load()-d.failures, e.backend.set.opts.Now().Sub(d.at)
		e.backend.set.opts.OnDrained(d.Drained)
	}
}

// The measures of avoidance.
const (
	backOff      = time.Second // after a failure to connect
	minEjection  = 10 * time.Second
	maxEjection  = 60 * time.Second
	shareUnit    = 1000 // thousandths of a weight of 1
	slowStartMin = 0.1  // of the share at the beginning of slow start
)

// ejectionTime is how long an endpoint is ejected that was so n times lately.
func ejectionTime(n int) time.Duration {
	return min(minEjection<<min(n, 3), maxEjection)
}

// shareOf is the effective weight in thousandths: all of it, or a part that
// grows with age during slow start.
func shareOf(weight int, age, slowStart time.Duration, ramping bool) int64 {
	full := int64(weight) * shareUnit
	if !ramping || age >= slowStart {
		return full
	}
	return int64(float64(full) * (slowStartMin + (1-slowStartMin)*float64(max(age, 0))/float64(slowStart)))
}

// check is the active check of one endpoint: a timer, and a goroutine only
// while a probe is under way. It is guarded by the backend's lock.
type check struct {
	health route.Health    // what it was started for
	ctx    context.Context // ends when the check is stopped
	cancel context.CancelFunc
	timer  *time.Timer

	made     bool   // at least once
	failures int    // in a row
	reason   string // of the newest failure
}

// arrangeCheck has e checked as the table wants it. The caller holds the lock.
func (b *Backend) arrangeCheck(e *Endpoint) {
	health := b.def.Load().Health
	if health == nil || e.def.Load().State != route.EndpointReady {
		e.stopCheck()
		e.passed = false
		return
	}
	if e.check != nil && e.check.health.Equal(health) {
		return
	}
	e.stopCheck()
	c := &check{health: *health}
	c.ctx, c.cancel = context.WithCancel(b.set.ctx)
	e.check = c
	c.timer = time.AfterFunc(probe.First(health), func() { b.probe(e, c) })
}

// stopCheck ends the endpoint's check. The caller holds the lock.
func (e *Endpoint) stopCheck() {
	if e.check == nil {
		return
	}
	e.check.timer.Stop()
	e.check.cancel()
	e.check = nil
}

func (b *Backend) probe(e *Endpoint, c *check) {
	b.mu.Lock()
	if c.ctx.Err() != nil {
		b.mu.Unlock()
		return
	}
	b.set.checks.Add(1) // under the lock: Close stops every check before it waits
	defer b.set.checks.Done()
	def := b.def.Load()
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(c.ctx, probe.Timeout(&c.health))
	err := b.set.opts.Probe(ctx, def, e.Address())
	cancel()

	b.mu.Lock()
	if c.ctx.Err() != nil {
		b.mu.Unlock()
		return
	}
	now := b.set.opts.Now()
	first := !c.made
	c.made = true
	was := e.passed
	if err == nil {
		c.failures, c.reason, e.passed = 0, "", true
	} else if c.failures, c.reason = c.failures+1, err.Error(); c.failures >= probe.FailuresToLeave {
		e.passed = false
	}
	if e.passed != was {
		b.rotate(now)
	}
	passes := e.passed
	c.timer.Reset(probe.Next(&c.health, c.failures))
	b.mu.Unlock()

	log := b.set.opts.Logger.With("backend", def.ID, "endpoint", e.ID(), "address", e.Address())
	switch {
	case passes && !was:
		log.Info("endpoint passes its check")
	case was && !passes, first && !passes:
		log.Warn("endpoint fails its check", "error", err)
	}
}
