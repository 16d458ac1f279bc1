package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"fairway/internal/fleet/driver"
	"fairway/internal/history"
)

// Checked is what HAProxy on one host says of a configuration.
type Checked struct {
	Host string
	// Err is nil when it takes it, a *driver.RefusedError when not; else it did not answer.
	Err error
}

// Check asks HAProxy on hosts, all for none, whether it takes a configuration. Nothing is
// changed.
func (f *Fleet) Check(ctx context.Context, document string, content []byte, hosts []string) ([]Checked, error) {
	m := f.current()
	targets, err := m.chooseSome(document, hosts)
	if err != nil {
		return nil, err
	}
	list := make([]Checked, len(targets))
	errs := f.forEach(ctx, targets, func(ctx context.Context, _ int, t *target) error {
		rendered, err := m.render(content, t.Target)
		if err != nil {
			return &driver.RefusedError{Err: err}
		}
		return t.driver.Check(ctx, rendered)
	})
	for i, err := range errs {
		list[i] = Checked{targets[i].Host, err}
	}
	return list, nil
}

// Difference is how the configuration of one host differs from another one.
type Difference struct {
	Host string
	// Condition is Current, Other or Edited; Unreachable with Err.
	Condition Condition
	// Revision is the revision that the host has; zero for none.
	Revision uint64
	// Same means that there is no difference; else Diff is a unified diff.
	Same bool
	Diff string
	Err  error
}

// Plan says what a rollout of a revision, the newest for zero, would change on hosts.
func (f *Fleet) Plan(ctx context.Context, document string, number uint64, hosts []string) (history.Revision, []Difference, error) {
	revision, err := f.Revision(document, number)
	if err != nil {
		return revision, nil, err
	}
	list, err := f.compare(ctx, document, hosts, revision, false)
	return revision, list, err
}

// Drift shows what was edited on each host: what was added by hand has a plus.
func (f *Fleet) Drift(ctx context.Context, document string, hosts []string) ([]Difference, error) {
	revision, err := f.released(document)
	if err != nil {
		return nil, err
	}
	return f.compare(ctx, document, hosts, revision, true)
}

// compare compares what hosts have with a revision: as the old side, or as the new one.
func (f *Fleet) compare(ctx context.Context, document string, hosts []string, revision history.Revision, hostIsNew bool) ([]Difference, error) {
	targets, err := f.current().choose(document, hosts)
	if err != nil {
		return nil, err
	}
	released, err := f.store.released(document)
	if err != nil {
		return nil, err
	}
	list, name := make([]Difference, len(targets)), revisionName(document, revision.Number)
	errs := f.forEach(ctx, targets, func(ctx context.Context, i int, t *target) error {
		d := &list[i]
		seen, err := t.observe(ctx, true)
		if err != nil {
			return err
		}
		if d.Revision, err = f.recognise(t, seen.Digest, released); err != nil {
			return err
		}
		d.Condition = Compare(Known{Seen: true, Mixed: !seen.Runs(), Revision: d.Revision, Released: released})
		var content []byte
		if revision.Number > 0 {
			if content, err = f.content(t.Target, revision); err != nil {
				return err
			}
		}
		d.Same = bytes.Equal(content, seen.Content)
		if hostIsNew {
			d.Diff = unified(name, t.Host, content, seen.Content)
		} else {
			d.Diff = unified(t.Host, name, seen.Content, content)
		}
		return nil
	})
	for i, err := range errs {
		list[i].Host = targets[i].Host
		if err != nil {
			list[i].Err, list[i].Condition = err, Unreachable
		}
	}
	return list, nil
}

// Adopt makes what a host has a new revision after expect, which is not rolled out. For a
// template it is not known which parts were values.
func (f *Fleet) Adopt(ctx context.Context, host, document string, expect uint64, author, message string) (history.Revision, error) {
	if f.current().Templates[document] {
		return history.Revision{}, fmt.Errorf("%w: document %s is a template; put the change into it by hand", ErrInvalid, document)
	}
	targets, err := f.current().choose(document, []string{host})
	if err != nil {
		return history.Revision{}, err
	}
	var seen driver.Observation
	if err := f.forEach(ctx, targets, func(ctx context.Context, _ int, t *target) error {
		seen, err = t.observe(ctx, true)
		return err
	})[0]; err != nil {
		return history.Revision{}, err
	}
	if message == "" {
		message = "adopted from host " + host
	}
	return f.Put(history.Draft{Document: document, Expect: expect, Author: author, Message: message, Content: seen.Content})
}

// Restore gives a host the revision that is out, and keeps what it had. When the error is
// a *driver.RefusedError, the host is as it was.
func (f *Fleet) Restore(ctx context.Context, host, document string) error {
	if _, err := f.current().choose(document, []string{host}); err != nil {
		return err
	}
	revision, err := f.released(document)
	if err != nil {
		return err
	}
	if revision.Number == 0 {
		return fmt.Errorf("%w: nothing of document %s is out yet", ErrInvalid, document)
	}
	if err := f.free(document); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.limits.host)
	defer cancel()
	t, err := f.locked(ctx, host, document)
	if err != nil {
		return err
	}
	defer t.release()
	content, err := f.content(t.Target, revision)
	if err != nil {
		return err
	}
	seen, err := f.observe(ctx, t, true)
	if err != nil {
		return err
	}
	before := f.store.step(host, document)
	step := before
	step.Host, step.Had, step.Want, step.Touched = host, seen.Digest, driver.Digest(content), true
	step.Pending, step.State, step.Began = step.Want, Unknown, time.Now().UTC()
	if err := f.intend(t, seen, step); err != nil {
		return err
	}
	// After any other error the watch tries again.
	err = f.applyPending(ctx, t, seen, step)
	if refused := (*driver.RefusedError)(nil); errors.As(err, &refused) {
		return errors.Join(err, f.store.putStep(document, before))
	}
	return err
}
