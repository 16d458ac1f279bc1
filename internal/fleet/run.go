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

// run is a rollout that is under way. One goroutine decides; others work on the
// hosts and report the results.
type run struct {
	f        *Fleet
	revision history.Revision
	document string
	settings Settings
	end      time.Time   // when it must be over
	stop     chan string // why it is to end; one place

	mu      sync.Mutex
	rollout Rollout
	steps   []Step
	note    string // what the gate sees, for people
	settled time.Time
	seen    time.Time // when all hosts of the wave last answered the gate
	worse   string
	failing map[string]int // failures of the gate in a row, by host
}

// Order asks for a rollout.
type Order struct {
	Document string
	// Revision is what to put out; zero means the newest.
	Revision uint64
	// Expect is the revision that is out as far as the author knows. When it is
	// another, the rollout does not begin. Nil does not ask.
	Expect *uint64
	// Hosts chooses hosts by name; none means all that have the document.
	Hosts           []string
	Author, Message string
	Settings        Settings
}

// Start begins a rollout and returns its record. The error wraps ErrBusy when one
// of the document is under way, ErrDrift when a host was edited by hand, and
// ErrMoved when another revision is out than was expected. Before it begins, every
// host is observed, which takes as long as the slowest, at most 15 s.
func (f *Fleet) Start(ctx context.Context, o Order) (Rollout, error) {
	revision, err := f.Revision(o.Document, o.Revision)
	if err != nil {
		return Rollout{}, err
	}
	targets, err := f.current().choose(o.Document, o.Hosts)
	if err != nil {
		return Rollout{}, err
	}
	if len(targets) == 0 {
		return Rollout{}, fmt.Errorf("%w: no host has document %s", ErrInvalid, o.Document)
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
	}
	for _, t := range targets {
		r.Hosts = append(r.Hosts, t.Host)
	}
	r.Partial = len(targets) < len(f.current().of(o.Document))
	return f.enlist(r, revision, o.Expect)
}

// enlist makes the rollout durable and launches it.
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
	now := r.record()
	return fmt.Errorf("%w: rollout %d of %s, revision %d, by %s since %s", ErrBusy, now.Number, document, now.Revision, now.Author, now.Began.Format(time.TimeOnly))
}

// readyLocked fails as long as it is not known what the last run has left, and
// when this one ends.
func (f *Fleet) readyLocked() error {
	if !f.ready || f.life.Err() != nil {
		return fmt.Errorf("fleet: %w", history.ErrUnavailable)
	}
	return nil
}

// launchLocked sets a rollout going, from the newest steps of its hosts, of this
// rollout or of earlier ones.
func (f *Fleet) launchLocked(r Rollout, revision history.Revision) {
	n := &run{
		f: f, revision: revision, document: r.Document, settings: r.Settings, rollout: r,
		stop: make(chan string, 1), settled: time.Now(), failing: map[string]int{},
	}
	// One that is taken up again has time left, however long Fairway was away.
	n.end = r.Began.Add(f.limits.rollout)
	if half := time.Now().Add(f.limits.rollout / 2); half.After(n.end) {
		n.end = half
	}
	for _, host := range r.Hosts {
		old := f.store.step(host, r.Document)
		step := Step{
			Rollout: r.Number, Host: host, State: Waiting, Pending: old.Pending,
			Touched: old.Touched || old.State == Unknown || old.State == Lost,
		}
		if old.Rollout == r.Number {
			step = old.resumed()
		}
		n.steps = append(n.steps, step)
	}
	f.runs[r.Document] = n
	life := f.life
	f.running.Go(func() {
		n.loop(life)
		f.mu.Lock()
		delete(f.runs, r.Document)
		f.mu.Unlock()
	})
}

// resume takes up what the last run has left.
func (f *Fleet) resume() error {
	if err := f.store.load(); err != nil {
		return err
	}
	all, err := f.store.rollouts()
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.Phase.Ended() || f.isRunning(r.Document) { // an earlier attempt came so far
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

// runOf returns the rollout of a document that is under way; nil for none.
func (f *Fleet) runOf(document string) *run {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.runs[document]
}

func (f *Fleet) isRunning(document string) bool { return f.runOf(document) != nil }

// Stop ends a rollout that is under way: the hosts get back what they had. who is the
// name of the operator.
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

func (r *run) record() Rollout {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rollout
}

// step returns the step of a host.
func (r *run) step(host string) (Step, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.steps {
		if r.steps[i].Host == host {
			return r.steps[i], true
		}
	}
	return Step{}, false
}

// moment is what the next decision is made from.
func (r *run) moment(stop string) Moment {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Moment{
		Rollout: r.rollout, Steps: slices.Clone(r.steps), Now: time.Now(),
		Stop: stop, Worse: r.worse, Settled: r.settled, Seen: r.seen, End: r.end, limits: r.f.limits,
	}
}

// loop decides and acts until the rollout has ended, or until ctx ends, which
// leaves it to the next run.
func (r *run) loop(ctx context.Context) {
	results := make(chan struct{}, 1)
	var working sync.WaitGroup
	defer working.Wait() // what is being done to a host is finished
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
			r.begin(ctx, &working, results, i, Applying, r.give)
		}
		for _, i := range d.Return {
			r.begin(ctx, &working, results, i, Returning, r.giveBack)
		}
		for _, i := range d.GiveUp {
			r.settle(i, r.givenUp(i))
		}
		if len(d.GiveUp) > 0 || d.Watch && r.gate(ctx) {
			continue
		}
		timer := time.NewTimer(patience(d))
		select {
		case <-results:
		case <-timer.C:
		case stop = <-r.stop:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// gateEvery is how often the gate asks the hosts of a wave.
const gateEvery = time.Second

// patience is how long the loop waits for something to happen.
func patience(d Decision) time.Duration {
	wait := time.Minute
	if !d.Until.IsZero() {
		wait = min(wait, max(time.Until(d.Until), 20*time.Millisecond))
	}
	if d.Watch {
		wait = min(wait, gateEvery)
	}
	return wait
}

// begin works on a host in a goroutine of its own.
func (r *run) begin(ctx context.Context, working *sync.WaitGroup, results chan<- struct{}, i int, state StepState, work func(context.Context, *target, Step) Step) {
	r.mu.Lock()
	step := r.steps[i]
	r.steps[i].State = state
	if state == Applying {
		r.steps[i].Wave, step.Wave = r.rollout.Wave, r.rollout.Wave
		r.steps[i].Began, step.Began = time.Now().UTC(), time.Now().UTC()
	}
	r.mu.Unlock()
	working.Go(func() {
		bounded, cancel := finishing(ctx, min(r.f.limits.host, max(time.Until(r.end), time.Second)))
		defer cancel()
		step = r.attempt(bounded, step, work)
		if ctx.Err() != nil && bounded.Err() != nil {
			return // cut off: the next run finds the host as being worked on
		}
		r.settle(i, step)
		select {
		case results <- struct{}{}:
		default: // one is waiting already, and the loop looks at everything
		}
	})
}

// finishGrace is how long something that has begun may go on when Fairway is asked
// to end.
const finishGrace = 8 * time.Second

// finishing is a context for something that is better finished than left: it ends
// after its own time, or a while after ctx does.
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

// errRemoved: the fleet file was changed.
var errRemoved = errors.New("the host is not in the fleet file any more")

// attempt works on one host with its lock held.
func (r *run) attempt(ctx context.Context, step Step, work func(context.Context, *target, Step) Step) Step {
	t := r.f.target(step.Host, r.document)
	if t != nil && step.Want == "" {
		// It is set before anything can go wrong: an absent host gets it later.
		want, err := r.f.digest(t, r.revision)
		if err != nil {
			step.State, step.Error = Refused, err.Error()
			return step
		}
		step.Want = want
	}
	untouched := step
	switch {
	case step.State != Waiting:
		untouched.State = Lost
	case step.Had != "":
		untouched.State = Unknown
	default:
		untouched.State = Absent
	}
	if t == nil {
		untouched.Error = errRemoved.Error()
		return untouched
	}
	if t.acquire(ctx) != nil {
		untouched.Error = errLocked.Error()
		return untouched
	}
	defer t.release()
	return work(ctx, t, step)
}

// givenUp is the step of a host for whose way back there is no time.
func (r *run) givenUp(i int) Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	step := r.steps[i]
	step.State, step.Error = Lost, joined(step.Error, "no time was left to give back what it had")
	return step
}

// settle records the result of a host.
func (r *run) settle(i int, step Step) {
	step.Ended = time.Now().UTC()
	for {
		err := r.f.store.putStep(r.document, step)
		if err == nil {
			break
		}
		r.f.log.Error("the result of a host cannot be recorded", "document", r.document, "host", step.Host, "error", err)
		if clock.Sleep(r.f.life, time.Second) != nil {
			return // the next run finds the host as being worked on
		}
	}
	r.mu.Lock()
	r.steps[i], r.settled = step, step.Ended
	r.mu.Unlock()
	level := slog.LevelInfo
	if step.Error != "" {
		level = slog.LevelWarn
	}
	r.f.log.Log(context.Background(), level, "a host in a rollout", "document", r.document, "rollout", step.Rollout, "host", step.Host, "state", step.State, "error", step.Error)
	r.f.meters.step(step.State)
	r.f.changed()
}

// advance makes a decision about the rollout as a whole durable.
func (r *run) advance(d Decision) error {
	before := r.record()
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
	r.rollout, r.note = after, ""
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

// conclude does what belongs to the end of a rollout, before the record says that
// it has ended: it decides what is pending on hosts, and which revision is out. Each
// part may be done twice.
func (r *run) conclude(after Rollout) error {
	r.mu.Lock()
	steps := slices.Clone(r.steps)
	r.mu.Unlock()
	states := map[StepState]int{}
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
	r.f.meters.ended(after.Phase)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = steps
	return nil
}
