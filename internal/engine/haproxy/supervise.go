package haproxy

import (
	"context"
	"errors"
	"time"

	"fairway/internal/clock"
	"fairway/internal/engine/haproxy/plan"
)

// retryState is the backoff after a failed round.
type retryState struct {
	text    string        // logged already
	backoff time.Duration // zero: all is well
	next    time.Time
}

// The times between tries after a failure, doubled each time.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 5 * time.Second
)

// lookInterval is the time between two looks at files and processes.
const lookInterval = time.Second

// supervise keeps HAProxy as it must be while no table comes: it starts it again, lets
// endpoints in, deletes drained servers, rereads files, and compares what HAProxy has.
func (e *Engine) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		gone, wait := e.nextWait()
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		case <-e.wake:
		case <-gone:
		}
		e.round(ctx)
	}
}

// nextWait says for what and for how long supervise waits.
func (e *Engine) nextWait() (gone <-chan struct{}, wait time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	const soonest = 10 * time.Millisecond
	wait = lookInterval
	if due := e.nextDeletion(); !due.IsZero() {
		wait = min(wait, max(time.Until(due), soonest))
	}
	for _, until := range e.cuts {
		wait = min(wait, max(time.Until(until), soonest))
	}
	switch {
	case e.retry.backoff > 0:
		wait = min(wait, max(time.Until(e.retry.next), soonest))
	case e.proc != nil:
		gone = e.proc.Gone()
	}
	return gone, wait
}

// round does what there is to do now.
func (e *Engine) round(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ctx.Err() != nil || e.stopped || e.table == nil || time.Now().Before(e.retry.next) {
		return
	}
	died := e.died()
	if time.Since(e.looked) >= lookInterval {
		e.looked = time.Now()
		e.checkWorker(ctx)
		if err := e.disk.trimOutput(); err != nil {
			e.log.Warn("what HAProxy says cannot be put aside", "error", err)
		}
		renewed, can := e.certs.Reload(), e.retryMissing()
		if renewed || can {
			e.stale.Store(true)
		}
	}
	var err error
	if e.stale.Swap(false) || died || e.worker == nil {
		if err = e.apply(ctx, e.table); err != nil {
			e.stale.Store(true)
		}
	}
	if err == nil {
		err = errors.Join(e.cut(ctx), e.deleteDrained(ctx))
	}
	e.noteRound(err)
}

// flush brings the files to the disk now and then, beside supervise.
func (e *Engine) flush(ctx context.Context) {
	for clock.Sleep(ctx, lookInterval) == nil {
		e.mu.Lock()
		paths := e.disk.unflushed
		e.disk.unflushed = map[string]bool{}
		e.mu.Unlock()
		if err := flush(paths); err != nil {
			e.log.Error("the configuration cannot be brought to the disk", "error", err)
		}
	}
}

// died says whether HAProxy that ran does not run any more.
func (e *Engine) died() bool {
	switch {
	case e.proc == nil:
		return true
	case !e.proc.Ended():
		return false
	}
	e.log.Error("HAProxy has ended", "error", e.proc.Err(), "started_again", !e.elsewhere)
	e.lost()
	return true
}

// noteRound notes how a round went and when the next may be.
func (e *Engine) noteRound(err error) {
	if err == nil {
		e.retry = retryState{}
		return
	}
	// The first failure passes in most cases: a worker that is just ending.
	if text := err.Error(); text != e.retry.text && e.retry.backoff > 0 {
		e.retry.text = text
		e.log.Error("HAProxy is not as it must be, it is tried again", "error", err)
	}
	e.retry.backoff = min(max(2*e.retry.backoff, retryFirst), retryLast)
	e.retry.next = time.Now().Add(e.retry.backoff)
}

// checkWorker compares all that HAProxy has with what it must have, when it is time to
// or something else has reloaded it.
func (e *Engine) checkWorker(ctx context.Context) {
	if e.proc == nil || e.worker == nil {
		return
	}
	serving, err := e.proc.Worker(ctx)
	if err != nil {
		return // it is just being replaced, or gone, which is heard of elsewhere
	}
	if serving.PID == e.workerPID && time.Since(e.verified) < e.opts.VerifyInterval {
		return
	}
	first := e.workerPID == 0
	if !first && serving.PID != e.workerPID && time.Since(e.lastReload) > 2*lookInterval {
		e.log.Warn("HAProxy was reloaded by something else", "pid", serving.PID)
	}
	e.workerPID, e.verified = serving.PID, time.Now()
	if err := e.verifyAll(ctx); err != nil {
		e.counters.unverified.Inc()
		e.log.Warn("HAProxy is not as it must be", "error", err)
	}
}

// verifyAll compares everything. After an error the next apply corrects it.
func (e *Engine) verifyAll(ctx context.Context) error {
	must := e.worker
	e.look(ctx)
	if e.worker == nil {
		e.worker = must // nothing newer is known
		return errors.New("it does not show what it has")
	}
	if diff := plan.Drift(must, e.worker); len(diff) > 0 {
		e.stale.Store(true)
		return errors.New(plan.Summarize(diff))
	}
	e.worker = must // it knows more: what leaves, and options
	return nil
}
