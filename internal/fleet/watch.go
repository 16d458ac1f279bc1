package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"fairway/internal/clock"
	"fairway/internal/fleet/driver"
)

const (
	defaultWatch = 30 * time.Second
	// watchSoon is for hosts that are unreachable or have a pending revision.
	watchSoon      = 5 * time.Second
	watchTick      = time.Second
	observedAtOnce = 16
)

// watch observes every host again and again, and applies what is pending.
func (f *Fleet) watch(ctx context.Context) {
	var observing errgroup.Group
	observing.SetLimit(observedAtOnce)
	defer func() { _ = observing.Wait() }()
	for clock.Sleep(ctx, watchTick) == nil {
		f.mu.Lock()
		targets := slices.Collect(maps.Values(f.targets))
		f.mu.Unlock()
		pending := f.pending()
		now := time.Now()
		for _, t := range targets {
			step, isPending := pending[targetKey{t.Host, t.Document}]
			every := f.o.Watch
			if isPending || t.failing() {
				every = min(every, watchSoon)
			}
			if now.Sub(t.visited) < every {
				continue
			}
			t.visited = now
			observing.Go(func() error {
				f.visit(ctx, t, step)
				return nil
			})
		}
	}
}

// pending returns the steps with a pending revision. A rollout under way decides itself.
func (f *Fleet) pending() map[targetKey]Step {
	steps := f.store.allSteps()
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(steps, func(key targetKey, step Step) bool { return step.Pending == "" || f.runs[key.document] != nil })
	return steps
}

// visit reconciles one host and takes a reading. It leaves a host alone that is locked.
func (f *Fleet) visit(ctx context.Context, t *target, step Step) {
	select {
	case t.lock <- struct{}{}:
	default:
		return
	}
	reached := f.reconcile(ctx, t, step)
	t.release() // a reading needs no lock
	if reached {
		_, _ = t.read(ctx) // Status has the error
	}
}

// reconcile observes one host and applies its pending revision. It reports false if the
// host is unreachable. The caller holds the lock.
func (f *Fleet) reconcile(ctx context.Context, t *target, step Step) (reached bool) {
	seen, err := f.observe(ctx, t, false)
	if err != nil {
		return false
	}
	// A rollout of this document may have begun since.
	if step.Pending == "" || ctx.Err() != nil || f.runOf(t.Document) != nil || time.Now().Before(t.notBefore()) {
		return true
	}
	err = f.applyPending(ctx, t, seen, step)
	t.retried(err)
	if err != nil {
		f.log.Warn("the pending revision of a host that is back cannot be applied", "host", t.Host, "document", t.Document, "error", err)
		return true
	}
	f.log.Info("a host that is back has its pending revision", "host", t.Host, "document", t.Document)
	f.changed()
	return true
}

// observe observes a host within the time for that. The caller holds the lock.
func (f *Fleet) observe(ctx context.Context, t *target, content bool) (driver.Observation, error) {
	ctx, cancel := context.WithTimeout(ctx, f.limits.look)
	defer cancel()
	return t.observe(ctx, content)
}

// applyPending applies the pending revision of a host. The caller holds the lock.
func (f *Fleet) applyPending(ctx context.Context, t *target, seen driver.Observation, step Step) error {
	// A host left in the middle of a change may run another configuration than its file
	// has: the change is made again.
	if step.doubtful() || seen.Digest != step.Pending || !seen.Runs() {
		if known := seen.Digest == step.Had || seen.Digest == step.Want || seen.Digest == step.Pending; !known {
			if err := f.mayOverwrite(t, seen, Step{}); err != nil {
				return err
			}
		}
		content, err := f.byDigest(t, step.Pending)
		if err != nil {
			return err
		}
		ctx, cancel := finishing(ctx, f.limits.host)
		defer cancel()
		if !step.Touched {
			step.Touched = true
			if err := f.store.putStep(t.Document, step); err != nil {
				return err
			}
		}
		if err := t.driver.Apply(ctx, content, false); err != nil {
			return err
		}
		t.applied(content)
	}
	switch step.Pending {
	case step.Want:
		step.State = Applied
	case step.Had:
		step.State = Returned
	}
	step.Pending, step.Error, step.Touched, step.Ended = "", "", false, time.Now().UTC()
	return f.store.putStep(t.Document, step)
}

// drifted fails when a host that can be reached was edited by hand.
func (f *Fleet) drifted(ctx context.Context, targets []driver.Target) error {
	errs := f.forEach(ctx, targets, func(ctx context.Context, _ int, t *target) error {
		seen, err := t.observe(ctx, false)
		if err != nil {
			return nil //nolint:nilerr // the rollout reports it
		}
		step := f.store.step(t.Host, t.Document)
		if step.Touched && (seen.Digest == step.Had || seen.Digest == step.Want) {
			return nil
		}
		return f.mayOverwrite(t, seen, Step{Pending: step.Pending})
	})
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("host %s: %w", targets[i].Host, err)
		}
	}
	return errors.Join(errs...)
}

// errLocked: another operation on the host does not end.
var errLocked = &driver.AbsentError{Err: errors.New("another operation on the host does not end")}

// forEach runs do for each target, observedAtOnce at a time, with its lock held and the
// time for an observation. errs[i] belongs to targets[i].
func (f *Fleet) forEach(ctx context.Context, targets []driver.Target, do func(ctx context.Context, i int, t *target) error) []error {
	errs := make([]error, len(targets))
	var all errgroup.Group
	all.SetLimit(observedAtOnce)
	for i, p := range targets {
		all.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, f.limits.look)
			defer cancel()
			t, err := f.locked(ctx, p.Host, p.Document)
			if err == nil {
				defer t.release()
				err = do(ctx, i, t)
			}
			errs[i] = err
			return nil
		})
	}
	_ = all.Wait()
	return errs
}

func (f *Fleet) locked(ctx context.Context, host, document string) (*target, error) {
	t := f.target(host, document)
	if t == nil {
		return nil, unknown("host %s has no document %s", host, document)
	}
	if t.acquire(ctx) != nil {
		return nil, errLocked
	}
	return t, nil
}
