package balance

import (
	"context"
	"time"

	"fairway/internal/engine/probe"
	"fairway/internal/route"
)

// check is the active check of one endpoint: a timer, and a goroutine only
// while a probe is under way. It is guarded by the backend's lock.
type check struct {
	health route.Health    // what it was started for
	ctx    context.Context // ends when the check is stopped
	cancel context.CancelFunc
	timer  *time.Timer

	made     bool // at least once
	failures int  // in a row
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
		c.failures, e.passed = 0, true
	} else if c.failures++; c.failures >= probe.FailuresToLeave {
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
