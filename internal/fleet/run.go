package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"fairway/internal/clock"
	"fairway/internal/history"
)

// run is a rollout under way. One goroutine decides; others work on the hosts.
type run struct {
	f        *Fleet
	revision history.Revision
	document string
	settings Settings
	stop     chan string    // why it is to end; one place
	results  chan struct{}  // a host is done; one place
	working  sync.WaitGroup // what is being done to hosts

	mu     sync.Mutex
	newest Moment               // but for what each decision adds
	note   string               // what the gate sees, for people
	silent map[string]time.Time // since when the gate cannot reach a host
}

// Order asks for a rollout.
type Order struct {
	Document string
	// Revision is what to put out; zero means the newest.
	Revision uint64
	// Expect is the revision that has to be out; nil does not ask.
	Expect *uint64
	// Hosts chooses hosts by name; none means all that have the document.
	Hosts           []string
	Author, Message string
	Settings        Settings
}

// Start observes every host, within 15 s, and begins a rollout. The error may wrap ErrBusy,
// ErrDrift or ErrMoved.
func (f *Fleet) Start(ctx context.Context, o Order) (Rollout, error) {
	revision, err := f.Revision(o.Document, o.Revision)
	if err != nil {
		return Rollout{}, err
	}
	targets, err := f.current().chooseSome(o.Document, o.Hosts)
	if err != nil {
		return Rollout{}, err
	}
	for _, t := range targets {
		// A template that lacks a value fails here, not halfway.
		if _, err := f.content(t, revision); err != nil {
			return Rollout{}, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	settings := o.Settings.withDefaults()
	if settings.Pause < 0 || settings.Pause >= f.limits.rollout {
		return Rollout{}, fmt.Errorf("%w: the pause must be shorter than %s, in which the rollout has to end", ErrInvalid, f.limits.rollout)
	}
	if err := f.free(o.Document); err != nil {
		return Rollout{}, err
	}
	if !settings.AllowDrift {
		if err := f.drifted(ctx, targets); err != nil {
			return Rollout{}, err
		}
	}
	r := Rollout{
		Document: o.Document, Revision: revision.Number, Author: o.Author, Message: o.Message,
		Settings: settings, Phase: Running, Began: time.Now().UTC(),
		Partial: len(targets) < len(f.current().of(o.Document)),
	}
	for _, t := range targets {
		r.Hosts = append(r.Hosts, t.Host)
	}
	return f.enlist(r, revision, o.Expect)
}

func (f *Fleet) enlist(r Rollout, revision history.Revision, expect *uint64) (Rollout, error) {
	f.enlisting.Lock()
	defer f.enlisting.Unlock()
	if err := f.free(r.Document); err != nil {
		return r, err
	}
	last, err := f.store.rollout(r.Document)
	if err != nil {
		return r, err
	}
	if r.Before, err = f.store.released(r.Document); err != nil {
		return r, err
	}
	if expect != nil && *expect != r.Before {
		return r, fmt.Errorf("%w: revision %d of %s, not %d, by rollout %d of %s", ErrMoved, r.Before, r.Document, *expect, last.Number, last.Author)
	}
	r.Number = last.Number + 1
	if err := f.store.putRollout(r); err != nil {
		return r, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.readyLocked() == nil { // else the next run takes it up
		f.launchLocked(r, revision)
	}
	return r, nil
}

// free fails when no rollout of a document can begin now.
func (f *Fleet) free(document string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.readyLocked(); err != nil {
		return err
	}
	r := f.runs[document]
	if r == nil {
		return nil
	}
	now := r.moment("").Rollout
	if now.Phase.Ended() {
		return nil // what is left of it is to take itself off the list
	}
	return fmt.Errorf("%w: rollout %d of %s, revision %d, by %s since %s", ErrBusy, now.Number, document, now.Revision, now.Author, now.Began.Format(time.TimeOnly))
}

// readyLocked fails before the fleet runs, and when it ends.
func (f *Fleet) readyLocked() error {
	if !f.ready || f.life.Err() != nil {
		return fmt.Errorf("fleet: %w", history.ErrUnavailable)
	}
	return nil
}

func (f *Fleet) launchLocked(r Rollout, revision history.Revision) {
	now := time.Now()
	n := &run{
		f: f, revision: revision, document: r.Document, settings: r.Settings,
		stop: make(chan string, 1), results: make(chan struct{}, 1), silent: map[string]time.Time{},
		newest: Moment{Rollout: r, Settled: now, End: r.Began.Add(f.limits.rollout), limits: f.limits},
	}
	// One that is taken up again has time left, however long Fairway was away.
	if half := now.Add(f.limits.rollout / 2); half.After(n.newest.End) {
		n.newest.End = half
	}
	for _, host := range r.Hosts {
		step := f.store.step(host, r.Document)
		if step.Rollout == r.Number {
			step = step.resumed()
		} else {
			step = Step{Rollout: r.Number, Host: host, State: Waiting, Pending: step.Pending, Touched: step.doubtful()}
		}
		n.newest.Steps = append(n.newest.Steps, step)
	}
	f.runs[r.Document] = n
	life := f.life
	f.running.Go(func() {
		n.loop(life)
		f.mu.Lock()
		if f.runs[r.Document] == n { // and not the next one
			delete(f.runs, r.Document)
		}
		f.mu.Unlock()
	})
}

func (f *Fleet) resume() error {
	if err := f.store.load(); err != nil {
		return err
	}
	all, err := list[Rollout](f.store, kindRollout)
	if err != nil {
		return err
	}
	for _, one := range all {
		r := one.value
		if r.Phase.Ended() || f.runOf(r.Document) != nil { // an earlier attempt came so far
			continue
		}
		revision, err := f.Revision(r.Document, r.Revision)
		switch {
		case errors.Is(err, history.ErrUnavailable):
			return err
		case err != nil:
			// No further host gets it, and those that have it get back what they had.
			f.log.Error("the revision of a rollout is lost", "document", r.Document, "revision", r.Revision, "error", err)
			revision = history.Revision{Document: r.Document, Number: r.Revision}
		}
		f.log.Info("going on with a rollout", "document", r.Document, "rollout", r.Number, "phase", r.Phase)
		f.mu.Lock()
		f.launchLocked(r, revision)
		f.mu.Unlock()
	}
	return nil
}

func (f *Fleet) runOf(document string) *run {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.runs[document]
}

// Stop ends a rollout for an operator: the hosts get back what they had.
func (f *Fleet) Stop(document, who string) error {
	r := f.runOf(document)
	if r == nil {
		return unknown("no rollout of document %s is under way", document)
	}
	select {
	case r.stop <- "stopped by " + who:
	default: // it stops already
	}
	return nil
}

func (r *run) step(host string) (Step, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.newest.Steps {
		if s.Host == host {
			return s, true
		}
	}
	return Step{}, false
}

func (r *run) moment(stop string) Moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.newest
	m.Steps, m.Now, m.Stop = slices.Clone(m.Steps), time.Now(), stop
	return m
}

// loop decides and acts until the rollout has ended, or ctx.
func (r *run) loop(ctx context.Context) {
	defer r.working.Wait() // what is being done to a host is finished
	stop := ""
	for {
		d := Next(r.moment(stop))
		if err := r.advance(d); err != nil {
			// Nothing is done that the record would not have.
			r.f.log.Error("a rollout waits for its record to be written", "document", r.document, "error", err)
			if clock.Sleep(ctx, time.Second) != nil {
				return
			}
			continue
		}
		if d.Phase.Ended() {
			return
		}
		for _, i := range d.Apply {
			r.begin(ctx, i, Applying, r.give)
		}
		for _, i := range d.Return {
			r.begin(ctx, i, Returning, r.giveBack)
		}
		for _, i := range d.GiveUp {
			r.settle(i, r.moment("").Steps[i].lost("no time was left to give back what it had"))
		}
		if len(d.GiveUp) > 0 || d.Watch && r.gate(ctx) {
			continue
		}
		timer := time.NewTimer(patience(d))
		select {
		case <-r.results:
		case <-timer.C:
		case stop = <-r.stop:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

const gateEvery = time.Second

func patience(d Decision) time.Duration {
	wait := time.Minute
	if d.Watch {
		wait = gateEvery
	}
	if !d.Until.IsZero() {
		wait = min(wait, max(time.Until(d.Until), 20*time.Millisecond))
	}
	return wait
}

func (r *run) begin(ctx context.Context, i int, state StepState, work func(context.Context, *target, Step) Step) {
	r.mu.Lock()
	shown, end := &r.newest.Steps[i], r.newest.End
	if state == Applying {
		shown.Wave, shown.Began = r.newest.Rollout.Wave, time.Now().UTC()
	}
	step := *shown
	shown.State = state
	r.mu.Unlock()
	r.working.Go(func() {
		bounded, cancel := finishing(ctx, min(r.f.limits.host, max(time.Until(end), time.Second)))
		defer cancel()
		step = r.attempt(bounded, step, work)
		if ctx.Err() != nil && bounded.Err() != nil {
			return // cut off: the next run finds the host as being worked on
		}
		r.settle(i, step)
		select {
		case r.results <- struct{}{}:
		default: // one is waiting already, and the loop looks at everything
		}
	})
}

// finishGrace is how long what has begun may go on when Fairway is to end.
const finishGrace = 8 * time.Second

// finishing ends after its own time, or a while after ctx: for what is better finished.
func finishing(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	working, cancel := context.WithTimeout(context.WithoutCancel(ctx), d)
	stop := context.AfterFunc(ctx, func() {
		_ = clock.Sleep(working, finishGrace)
		cancel()
	})
	return working, func() {
		stop()
		cancel()
	}
}

var errRemoved = errors.New("the host is not in the fleet file any more")

func (r *run) attempt(ctx context.Context, step Step, work func(context.Context, *target, Step) Step) Step {
	t := r.f.target(step.Host, r.document)
	if t != nil && step.Want == "" {
		// It is set before anything can go wrong: an absent host gets it later.
		want, err := r.f.digest(t, r.revision)
		if err != nil {
			return step.ended(Refused, err)
		}
		step.Want = want
	}
	untouched := Absent
	switch {
	case step.State != Waiting:
		untouched = Lost
	case step.Had != "":
		untouched = Unknown
	}
	if t == nil {
		return step.ended(untouched, errRemoved)
	}
	if t.acquire(ctx) != nil {
		return step.ended(untouched, errLocked)
	}
	defer t.release()
	return work(ctx, t, step)
}

func (r *run) settle(i int, step Step) {
	step.Ended = time.Now().UTC()
	for err := r.f.store.putStep(r.document, step); err != nil; err = r.f.store.putStep(r.document, step) {
		r.f.log.Error("the result of a host cannot be recorded", "document", r.document, "host", step.Host, "error", err)
		if clock.Sleep(r.f.life, time.Second) != nil {
			return // the next run finds the host as being worked on
		}
	}
	r.mu.Lock()
	r.newest.Steps[i], r.newest.Settled = step, step.Ended
	r.mu.Unlock()
	level := slog.LevelInfo
	if step.Error != "" {
		level = slog.LevelWarn
	}
	r.f.log.Log(context.Background(), level, "a host in a rollout", "document", r.document, "rollout", step.Rollout, "host", step.Host, "state", step.State, "error", step.Error)
	r.f.meters.steps.With(string(step.State)).Inc()
	r.f.changed()
}

// advance makes the phase and the wave of a decision durable.
func (r *run) advance(d Decision) error {
	before := r.moment("").Rollout
	if before.Phase == d.Phase && before.Wave == d.Wave {
		return nil
	}
	after := before
	after.Phase, after.Wave, after.Reason = d.Phase, d.Wave, d.Reason
	if d.Phase.Ended() {
		after.Ended = time.Now().UTC()
		if err := r.conclude(after); err != nil {
			return err
		}
	}
	if err := r.f.store.putRollout(after); err != nil {
		return err
	}
	r.mu.Lock()
	r.newest.Rollout, r.note = after, ""
	r.mu.Unlock()
	if before.Phase != after.Phase {
		r.f.log.Info("rollout", "document", after.Document, "rollout", after.Number, "phase", after.Phase, "reason", after.Reason)
		r.f.changed()
	}
	if after.Phase.Ended() && r.f.o.OnEnded != nil {
		r.f.o.OnEnded(after)
	}
	return nil
}

// conclude settles what is pending and which revision is out, before the record says that
// the rollout has ended. Each part may be done twice.
func (r *run) conclude(after Rollout) error {
	steps, states := r.moment("").Steps, map[StepState]int{}
	for i := range steps {
		s := &steps[i]
		states[s.State]++
		pending := s.Pending // of an earlier rollout
		switch {
		case s.State == Waiting:
		case after.Phase == Done && s.State == Absent:
			pending = s.Want
		case after.Phase == Reverted && s.State == Lost:
			pending = s.Had
		case s.State != Absent && s.State != Refused:
			pending = ""
		}
		if pending == s.Pending {
			continue
		}
		s.Pending = pending
		if err := r.f.store.putStep(after.Document, *s); err != nil {
			return err
		}
	}
	released := after.Revision
	if after.Phase == Reverted || after.Partial {
		released = after.Before
	}
	if err := r.f.store.release(after.Document, released); err != nil {
		return err
	}
	if err := r.f.store.putEnded(Ended{Rollout: after, States: states}); err != nil {
		return err
	}
	if err := r.f.store.sweep(); err != nil {
		r.f.log.Warn("what was kept for a way back is kept on", "error", err)
	}
	r.f.meters.rollouts.With(string(after.Phase)).Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest.Steps = steps
	return nil
}
