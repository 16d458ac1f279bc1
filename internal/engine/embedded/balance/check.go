package balance

import (
	"context"
	"math/rand/v2"
	"time"

	"fairway/internal/route"
)

// The measures of active checks.
const (
	failuresToLeave = 2                      // successes to enter: one
	firstWithin     = 200 * time.Millisecond // of the first check, at random
	soon            = time.Second            // between checks while the outcome is not settled
	soonFailures    = 20                     // failures in a row settle it
	defaultInterval = 10 * time.Second       // for a route.Health without one
	defaultTimeout  = 5 * time.Second        // likewise
)

// check is the active check of one endpoint: a timer, and a goroutine only
// while a probe is under way. It is guarded by the backend's lock.
type check struct {
	health  route.Health // what it was started for
	ctx     context.Context
	cancel  context.CancelFunc
	timer   *time.Timer
	stopped bool

	failures int // in a row
	last     CheckResult
}

// arrangeCheck starts, restarts or ends the active check of e as the table now
// wants it. The caller holds the lock.
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
	first := min(firstWithin, c.interval()/10)
	c.timer = time.AfterFunc(rand.N(first+1), func() { b.probe(e, c) })
}

// stopCheck ends the endpoint's check. The caller holds the lock.
func (e *Endpoint) stopCheck() {
	if e.check == nil {
		return
	}
	e.check.stopped = true
	e.check.timer.Stop()
	e.check.cancel()
	e.check = nil
}

// probe makes one check and sets the time of the next.
func (b *Backend) probe(e *Endpoint, c *check) {
	b.mu.Lock()
	if c.stopped {
		b.mu.Unlock()
		return
	}
	b.set.checks.Add(1) // under the lock: Close stops every check before it waits
	defer b.set.checks.Done()
	def := b.def.Load()
	b.mu.Unlock()

	ctx, cancel := context.WithTimeout(c.ctx, c.timeout())
	err := b.set.opts.Probe(ctx, def, e.Address())
	cancel()

	b.mu.Lock()
	if c.stopped {
		b.mu.Unlock()
		return
	}
	now := b.set.opts.Now()
	first := c.last.At.IsZero()
	c.last = CheckResult{At: now, Err: err}
	was := e.passed
	if err == nil {
		c.failures, e.passed = 0, true
	} else if c.failures++; c.failures >= failuresToLeave {
		e.passed = false
	}
	if e.passed != was {
		b.rotate(now)
	}
	passes := e.passed
	c.timer.Reset(c.delay())
	b.mu.Unlock()

	log := b.set.opts.Logger.With("backend", def.ID, "endpoint", e.ID(), "address", e.Address())
	switch {
	case passes && !was:
		log.Info("endpoint passes its check")
	case was && !passes, first && !passes:
		log.Warn("endpoint fails its check", "error", err)
	}
}

// delay is the time to the next check. After a failure it comes soon: the
// endpoint may be starting, or a second failure has to confirm the first.
func (c *check) delay() time.Duration {
	d := c.interval()
	if c.failures > 0 && c.failures < soonFailures {
		d = min(d, soon)
	}
	return d*9/10 + rand.N(d/5+1) // ±10 %, so that checks spread out
}

func (c *check) interval() time.Duration {
	if c.health.Interval <= 0 {
		return defaultInterval
	}
	return c.health.Interval
}

func (c *check) timeout() time.Duration {
	if c.health.Timeout <= 0 {
		return defaultTimeout
	}
	return c.health.Timeout
}
