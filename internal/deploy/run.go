package deploy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// RunOptions say what a run may do.
type RunOptions struct {
	// NoBack leaves a deploy that failed as it is.
	NoBack bool
	// TakeOver ends the deploy of another.
	TakeOver bool
	// Revert goes on with any deploy that was broken off; otherwise only with one that
	// wanted the same.
	Revert bool
	// IsGone reports whether the process that holds a lock is known to be gone.
	IsGone func(Lock) bool
	// Took gets the lock of another run that this one takes the place of, and why.
	Took func(l Lock, why string)
}

// FailedError says that a deploy did not end as wanted.
type FailedError struct {
	Name Name
	Err  error
	// Back is true where everything is as it was before; BackErr is why it is not.
	Back    bool
	BackErr error
}

// Error says what happened and what there is now.
func (e *FailedError) Error() string {
	text := fmt.Sprintf("%s: %v", e.Name, e.Err)
	switch {
	case e.Back:
		return text + "; everything is as it was before"
	case errors.Is(e.Err, errGone):
		return text
	case errors.Is(e.BackErr, errGone):
		return fmt.Sprintf("%s; it was taken back, but %v", text, e.BackErr)
	case e.BackErr != nil:
		return fmt.Sprintf("%s; and the way back failed: %v; try fairway service revert %s", text, e.BackErr, e.Name)
	}
	return fmt.Sprintf("%s; it is left as it is: run it again, or take it back with fairway service revert %s", text, e.Name)
}

// Unwrap returns why.
func (e *FailedError) Unwrap() error { return e.Err }

// Admitted decides whether a run may begin beside what is there. It returns what is wanted with
// the lock that it takes over, or a HeldError.
func Admitted(want Want, o Observation, opts RunOptions) (Want, error) {
	l := o.Lock
	if l == nil || l.Run == want.Run {
		return want, nil
	}
	gone := opts.IsGone != nil && opts.IsGone(*l)
	why := ""
	switch {
	case time.Now().After(l.Until):
		why = "its time was over"
	case opts.TakeOver:
		why = "as asked"
	case gone && (opts.Revert || l.Digest == want.Digest()):
		why = "it was broken off"
	default:
		return want, &HeldError{Name: want.Name, Lock: *l, Broken: gone}
	}
	want.TakeFrom = l.ID
	if opts.Took != nil {
		opts.Took(*l, why)
	}
	return want, nil
}

// Run walks to what is wanted and, when that fails, back. When ctx ends it walks back, too; when
// hard ends it stops at once.
func (w *Walker) Run(ctx, hard context.Context, want Want, opts RunOptions) error {
	o, err := w.Orchestrator.Observe(ctx)
	if err != nil {
		return err
	}
	if want, err = Admitted(want, o, opts); err != nil {
		return err
	}
	w.unwell(want, o)
	if err = w.Walk(ctx, want, false); err == nil && !want.Create {
		if err = w.back(hard, want); err != nil {
			return &FailedError{Name: want.Name, Err: err}
		}
	}
	if err == nil {
		return nil
	}
	if _, lost := err.(*LostError); lost { //nolint:errorlint // Walk returns it as it is
		return err
	}
	failed := &FailedError{Name: want.Name, Err: err}
	if o, err = w.observe(hard); err != nil {
		failed.BackErr = err
		return failed
	}
	if o.Lock == nil || o.Lock.Run != want.Run {
		return failed.Err // nothing was touched
	}
	if opts.NoBack {
		return failed
	}
	back := o.Lock.Back(want)
	if failed.BackErr = w.Walk(hard, back, true); failed.BackErr == nil {
		failed.BackErr = w.back(hard, back)
	}
	failed.Back = failed.BackErr == nil
	return failed
}

// errGone is the error when what was there is not any more.
var errGone = errors.New("not everything is as it was")

// back reports whether all that is there had to be, after a walk that made nothing.
func (w *Walker) back(ctx context.Context, want Want) error {
	o, err := w.observe(ctx)
	if err != nil {
		return err
	}
	p := planner{want, o}
	for _, slot := range slices.Sorted(maps.Keys(want.Slots)) {
		if t := p.pick(slot); t == nil || !t.runs() && !p.mayRest(t) {
			return fmt.Errorf("%w: the instance that slot %d had is gone", errGone, slot)
		}
	}
	return nil
}

// unwell says which instances stay as they are although they are not well.
func (w *Walker) unwell(want Want, o Observation) {
	if len(Next(want, o)) > 0 {
		return
	}
	for slot := range want.Slots {
		if t := (planner{want, o}).pick(slot); t != nil && t.Health == "unhealthy" {
			w.report(Step{Kind: Ready, Slot: slot, Instance: t.ID, Name: t.Name}, "done", "it is unhealthy, and nothing has changed: "+t.Detail)
		}
	}
}
