package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fairway/internal/clock"
	"fairway/internal/deploy/marks"
)

// Limits bound how long a Walker waits.
type Limits struct {
	// Ready is for each instance to get ready, and again for it to take requests.
	Ready time.Duration
	// Up is how long one without a health check must run to be ready.
	Up time.Duration
	// Settle is how long all must run on at the end.
	Settle time.Duration
	// Drain is for requests to end; then the instance is stopped although some run.
	Drain time.Duration
	// Delay is between two slots.
	Delay time.Duration
}

// Progress is how far a step is.
type Progress struct {
	Step Step
	// State is "doing", "waiting" with a new detail, "done" or "failed".
	State  string
	Detail string
	// Way is "back" on the way back.
	Way string
}

// Walker does the steps of a plan. Its fields are not changed while it walks.
type Walker struct {
	Orchestrator Orchestrator
	Traffic      Traffic
	Limits       Limits
	// Report gets what happens; it is called by several goroutines, one at a time.
	Report func(Progress)
	// Cut counts requests that ran on when their instance was stopped.
	Cut int

	mu        sync.Mutex
	confirmed map[string]bool
	slots     map[int]bool    // that were begun
	started   map[string]bool // instances
	way       string
}

// How often something is looked at again, and how often a plan is made anew because of
// changes of others.
const (
	lookAgain = 200 * time.Millisecond
	mostAnew  = 3
	// mostBatches is more than any deploy takes.
	mostBatches = 100_000
	quietTwice  = 2 // times in a row that an instance must have no requests
	// patience is how long nothing but errors are answers before one ends a deploy: a Fairway
	// that is started anew, an engine that is busy.
	patience = 30 * time.Second
)

// LostError says that the lock of a deploy is no longer its own.
type LostError struct{ Lock *Lock }

// Error says whose it is.
func (e *LostError) Error() string {
	if e.Lock == nil {
		return "the lock of this deploy is gone: something else has ended it"
	}
	return fmt.Sprintf("the lock of this deploy is that of %s on %s now", e.Lock.Who, e.Lock.Host)
}

// Walk does what is left until everything is as it must be. back says that it is the way back.
func (w *Walker) Walk(ctx context.Context, want Want, back bool) error {
	w.mu.Lock()
	w.confirmed, w.slots, w.started, w.way = map[string]bool{}, map[int]bool{}, map[string]bool{}, ""
	if back {
		w.way = "back"
	}
	w.mu.Unlock()
	anew, locked := 0, back
	for range mostBatches {
		o, err := w.observe(ctx)
		if err != nil {
			return err
		}
		if o.Lock != nil && o.Lock.Run == want.Run {
			locked = true
		} else if locked {
			return &LostError{o.Lock}
		}
		next := Next(want, o)
		if len(next) == 0 {
			return nil
		}
		err = w.batch(ctx, want, o, next)
		if len(next) > 0 && next[len(next)-1].Kind == Release && err == nil {
			return nil
		}
		switch {
		case errors.Is(err, ErrChanged) && anew < mostAnew && ctx.Err() == nil:
			if anew++; clock.Sleep(ctx, lookAgain) != nil {
				return ctx.Err()
			}
		case err != nil:
			return err
		}
	}
	return errEndless
}

// observe reads everything, with what this run knows itself.
func (w *Walker) observe(ctx context.Context) (Observation, error) {
	var o Observation
	if err := patiently(ctx, func() (err error) { o, err = w.Orchestrator.Observe(ctx); return err }); err != nil {
		return o, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range o.Instances {
		in := &o.Instances[i]
		in.confirmed = in.runs() && w.confirmed[in.ID+in.Started.String()]
	}
	return o, nil
}

// batch does steps: those of one slot in order, of several slots at once.
func (w *Walker) batch(ctx context.Context, want Want, o Observation, steps []Step) error {
	bySlot := map[int][]Step{}
	var order []int
	for _, s := range steps {
		if !slices.Contains(order, s.Slot) {
			order = append(order, s.Slot)
		}
		bySlot[s.Slot] = append(bySlot[s.Slot], s)
	}
	if last := steps[len(steps)-1]; last.Kind == Release || len(order) == 1 { // the end is in order
		for _, s := range steps {
			if err := w.step(ctx, want, o, s); err != nil {
				return err
			}
		}
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, slot := range order {
		group.Go(func() error {
			for _, s := range bySlot[slot] {
				if err := w.step(ctx, want, o, s); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func (w *Walker) report(s Step, state, detail string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Report != nil {
		w.Report(Progress{Step: s, State: state, Detail: detail, Way: w.way})
	}
}

func (w *Walker) step(ctx context.Context, want Want, o Observation, s Step) (err error) {
	if err := w.delay(ctx, s); err != nil {
		return err
	}
	w.report(s, "doing", s.Why)
	detail := ""
	switch s.Kind {
	case Ready:
		err = w.ready(ctx, s)
	case Routed:
		err = w.routed(ctx, s)
	case Drained:
		detail, err = w.drained(ctx, s)
	case Settle:
		err = w.settle(ctx, want)
	case Start:
		err = w.start(ctx, want, s)
	default:
		err = w.write(ctx, want, s)
	}
	if err != nil {
		w.report(s, "failed", err.Error())
		return err
	}
	w.report(s, "done", detail)
	return nil
}

// start starts an instance, once: one that has ended since does not get well.
func (w *Walker) start(ctx context.Context, want Want, s Step) error {
	w.mu.Lock()
	again := w.started[s.Instance]
	w.started[s.Instance] = true
	w.mu.Unlock()
	if again {
		if _, err := w.judge(ctx, s.Instance); err != nil {
			return err
		}
	}
	return w.write(ctx, want, s)
}

// write does a step, unless another run has taken the lock since the plan was made.
func (w *Walker) write(ctx context.Context, want Want, s Step) error {
	if s.Kind == Pull || s.Kind == TakeOn {
		return w.Orchestrator.Do(ctx, want, s)
	}
	var held *Lock
	if err := patiently(ctx, func() (err error) { held, err = w.Orchestrator.Held(ctx); return err }); err != nil {
		return err
	}
	if held == nil || held.Run != want.Run {
		return &LostError{held}
	}
	return w.Orchestrator.Do(ctx, want, s)
}

// delay waits between two slots.
func (w *Walker) delay(ctx context.Context, s Step) error {
	w.mu.Lock()
	first := s.Slot == 0 || w.slots[s.Slot] || len(w.slots) == 0
	w.slots[s.Slot] = w.slots[s.Slot] || s.Slot != 0
	w.mu.Unlock()
	if first || w.Limits.Delay <= 0 {
		return nil
	}
	return clock.Sleep(ctx, w.Limits.Delay)
}

// patiently asks again while the answer is an error, for a while.
func patiently(ctx context.Context, ask func() error) error {
	for ends := time.Now().Add(patience); ; {
		if err := ask(); err == nil || time.Now().After(ends) || clock.Sleep(ctx, lookAgain) != nil {
			return err
		}
	}
}

// until calls look again and again until it returns true or an error, at most for a time;
// then late is the error.
func until(ctx context.Context, most time.Duration, look func(context.Context) (bool, error), late func() error) error {
	limited, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	for {
		ok, err := look(limited)
		switch {
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil && limited.Err() != nil:
			return late()
		case err != nil || ok:
			return err
		case clock.Sleep(limited, lookAgain) != nil:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return late()
		}
	}
}

// judge looks at an instance that is to be ready.
func (w *Walker) judge(ctx context.Context, id string) (Instance, error) {
	o, err := w.observe(ctx)
	if err != nil {
		return Instance{}, err
	}
	in := o.Find(id)
	switch {
	case in == nil:
		return Instance{}, fmt.Errorf("%w: %s is gone", ErrChanged, short(id))
	case in.State == Stopped:
		return *in, w.notReady(ctx, *in, "has stopped: "+in.Detail)
	case in.Health == "unhealthy":
		return *in, w.notReady(ctx, *in, "is unhealthy: "+in.Detail)
	}
	return *in, nil
}

func short(id string) string { return id[:min(12, len(id))] }

const logLines = 20 // of an instance that does not get ready

func (w *Walker) notReady(ctx context.Context, in Instance, why string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	lines, err := w.Orchestrator.Log(ctx, in.ID, logLines)
	if err != nil {
		lines = []string{"(its log cannot be read: " + err.Error() + ")"}
	}
	return &NotReadyError{Instance: in, Why: why, Log: lines}
}

// ready waits until an instance is healthy or, without a health check, has run for a while.
func (w *Walker) ready(ctx context.Context, s Step) error {
	var seen time.Time // running, with this start
	var last Instance
	return until(ctx, w.Limits.Ready, func(ctx context.Context) (bool, error) {
		in, err := w.judge(ctx, s.Instance)
		if err != nil {
			if lacks, ok := errors.AsType[*NotReadyError](err); ok && w.way != "" && lacks.Instance.runs() {
				return true, nil // what was there before is no worse than it was
			}
			return false, err
		}
		if !in.runs() || !in.Started.Equal(last.Started) {
			seen = time.Now()
		}
		last = in
		if in.Health != "" {
			return in.Health == "healthy", nil
		}
		const skew = time.Minute // of clocks
		up := time.Since(seen) >= w.Limits.Up || time.Since(in.Started) > w.Limits.Up+skew
		return in.runs() && up, nil
	}, func() error {
		if w.way != "" && last.runs() {
			return nil
		}
		why := "did not get ready within " + w.Limits.Ready.String()
		if last.Health != "" {
			why += ", its health check is " + last.Health
		}
		if last.Detail != "" {
			why += ": " + last.Detail
		}
		return w.notReady(ctx, last, why)
	})
}

// routed waits until an instance takes requests.
func (w *Walker) routed(ctx context.Context, s Step) error {
	var last Instance
	why := ""
	err := until(ctx, w.Limits.Ready, func(ctx context.Context) (bool, error) {
		in, err := w.judge(ctx, s.Instance)
		if err != nil {
			if lacks, ok := errors.AsType[*NotReadyError](err); ok && w.way != "" && lacks.Instance.runs() {
				in = lacks.Instance
			} else {
				return false, err
			}
		}
		last = in
		if !in.Routed || in.Health == "unhealthy" {
			return true, nil
		}
		ok, waits := false, ""
		err = patiently(ctx, func() (err error) { ok, waits, err = w.Traffic.Routed(ctx, in); return err })
		if err == nil && waits != why && !ok {
			why = waits
			w.report(s, "waiting", why)
		}
		return ok, err
	}, func() error {
		text := "takes no requests after " + w.Limits.Ready.String()
		if why != "" {
			text += ": " + why
		}
		return w.notReady(ctx, last, text)
	})
	if err == nil {
		w.mu.Lock()
		w.confirmed[last.ID+last.Started.String()] = true
		w.mu.Unlock()
	}
	return err
}

// drained waits until an instance has no requests any more.
func (w *Walker) drained(ctx context.Context, s Step) (detail string, err error) {
	o, err := w.observe(ctx)
	if err != nil {
		return "", err
	}
	in := o.Find(s.Instance)
	if in == nil || !in.runs() || !in.Routed {
		return "", nil
	}
	began, first, last, quiet := time.Now(), -1, 0, 0
	late, unsure := false, "" // why it is not known that it has none
	err = until(ctx, w.Limits.Drain, func(ctx context.Context) (bool, error) {
		n, none, err := w.Traffic.Drained(ctx, *in)
		if err != nil { // what it was last stands until the time is over
			if quiet = 0; ctx.Err() == nil {
				unsure = ": " + err.Error()
			}
			return false, nil
		}
		if first < 0 && n > 0 {
			first = n
		}
		if n != last && n > 0 {
			w.report(s, "waiting", fmt.Sprintf("%d requests run", n))
		}
		last, unsure = n, ""
		if quiet++; !none {
			quiet = 0
		}
		return quiet >= quietTwice, nil
	}, func() error { late = true; return nil })
	if err != nil {
		return "", err
	}
	switch {
	case last > 0:
		w.mu.Lock()
		w.Cut += last
		w.mu.Unlock()
		return fmt.Sprintf("%d cut after %s", last, w.Limits.Drain), nil
	case late:
		return fmt.Sprintf("no Fairway confirmed within %s%s", w.Limits.Drain, unsure), nil
	case first > 0:
		return fmt.Sprintf("drained %d in %s", first, time.Since(began).Round(100*time.Millisecond)), nil
	}
	return "", nil
}

// settle waits for a while in which every instance runs on.
func (w *Walker) settle(ctx context.Context, want Want) error {
	seen := map[int]Instance{}
	ends := time.Now().Add(w.Limits.Settle)
	for {
		o, err := w.observe(ctx)
		if err != nil {
			return err
		}
		waits := false
		for slot := range want.Slots {
			t := planner{want, o}.pick(slot)
			was, known := seen[slot]
			switch {
			case known && (t == nil || t.ID != was.ID):
				return fmt.Errorf("%w: %s is gone", ErrChanged, short(was.ID))
			case t == nil || t.Mark != marks.None || planner{want, o}.mayRest(t):
				continue
			case !known:
				seen[slot] = *t
				continue
			}
			switch {
			case t.State == Stopped || !t.Started.Equal(was.Started):
				return w.notReady(ctx, *t, "did not run on: "+t.Detail)
			case t.Health == "unhealthy" && w.way == "":
				return w.notReady(ctx, *t, "got unhealthy: "+t.Detail)
			case t.Health == "starting":
				waits = true
			}
		}
		if left := time.Until(ends); left <= 0 && (!waits || left < -w.Limits.Ready) {
			return nil
		}
		if err := clock.Sleep(ctx, lookAgain); err != nil {
			return err
		}
	}
}
