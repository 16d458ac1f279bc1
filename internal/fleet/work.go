package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fairway/internal/clock"
	"fairway/internal/fleet/driver"
)

// give applies the revision to one host. The caller holds the lock.
func (r *run) give(ctx context.Context, t *target, step Step) Step {
	content, err := r.f.content(t.Target, r.revision)
	if err != nil {
		step.State, step.Error = Refused, err.Error()
		return step
	}
	seen, err := r.f.observe(ctx, t, true)
	if err != nil {
		step.State, step.Error = Absent, err.Error()
		if step.Had != "" { // an earlier attempt may have changed it
			step.State = Unknown
		}
		return step
	}
	if step.Had == "" {
		if seen.Digest == step.Want && seen.Runs() && !step.Touched {
			step.State, step.Pending = Already, ""
			return step
		}
		if !r.settings.AllowDrift {
			err = r.f.mayOverwrite(t, seen, step)
		}
		if err != nil {
			step.State, step.Error = Refused, err.Error()
			return step
		}
		step.Had = seen.Digest
		step.Baseline = t.baseline(ctx)
	}
	step.State = Applying
	if err := r.f.intend(t, seen, step); err != nil {
		step.State, step.Error, step.Had = Absent, "nothing was done: "+err.Error(), ""
		return step
	}
	err = t.driver.Apply(ctx, content, false)
	step.State, step.Error = outcome(err, step.Touched && step.Had != step.Want)
	if step.State == Applied {
		step.Touched, step.Pending = false, ""
		t.applied(content)
	}
	return step
}

// intend makes durable what a host had and that it is about to be changed. The
// content of a revision is not kept a second time, except of a template, which may
// be rendered otherwise once the host has other values.
func (f *Fleet) intend(t *target, seen driver.Observation, step Step) error {
	number, err := f.recognise(t, seen.Digest, 0)
	if err != nil {
		return err
	}
	var content []byte
	if step.Had == seen.Digest && (number == 0 || f.current().Templates[t.Document]) {
		content = seen.Content
	}
	return f.store.intend(t.Document, step, content)
}

// mayOverwrite refuses to overwrite what was edited by hand.
func (f *Fleet) mayOverwrite(t *target, seen driver.Observation, step Step) error {
	if step.Touched || seen.Digest == step.Pending {
		return nil
	}
	number, err := f.recognise(t, seen.Digest, 0)
	if err != nil || number > 0 {
		return err
	}
	return fmt.Errorf("%w: %s is no revision of %s; fairway fleet drift shows the difference", ErrDrift, t.File, t.Document)
}

// outcome is the state of a host after an attempt. doubt is true when an earlier
// attempt may have left it changed.
func outcome(err error, doubt bool) (StepState, string) {
	if err == nil {
		return Applied, ""
	}
	if absent := (*driver.AbsentError)(nil); errors.As(err, &absent) && !doubt {
		return Absent, err.Error()
	}
	if refused := (*driver.RefusedError)(nil); errors.As(err, &refused) && !doubt {
		return Refused, err.Error()
	}
	return Unknown, err.Error()
}

// giveBack gives one host back what it had. The caller holds the lock.
func (r *run) giveBack(ctx context.Context, t *target, step Step) Step {
	content, err := r.f.byDigest(t, step.Had)
	if err != nil {
		step.State, step.Error = Lost, fmt.Sprintf("%s; what it had before cannot be found: %v", step.Error, err)
		return step
	}
	step.State = Returning
	if err := r.f.store.putStep(r.document, step); err != nil {
		step.State = Unknown // and tried again
		_ = clock.Sleep(ctx, time.Second)
		return step
	}
	if err := t.driver.Apply(ctx, content, true); err != nil {
		step.State = Lost
		step.Error = joined(step.Error, "giving back what it had failed: "+err.Error())
		return step
	}
	step.State, step.Touched = Returned, false
	t.applied(content)
	return step
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

const (
	// gateTime is how long the gate observes a host of which it has no reading.
	gateTime = 5 * time.Second
	// lostAfter is how many times in a row it must fail to reach a host.
	lostAfter = 3
)

// gate asks the hosts of the wave what they count, and remembers what is worse. It
// reports whether that was the last time in the pause, so that the next decision
// waits for nothing.
func (r *run) gate(ctx context.Context) (last bool) {
	r.mu.Lock()
	began := time.Now()
	var members []Step
	for _, s := range r.steps {
		if s.State == Applied && s.Wave == r.rollout.Wave {
			members = append(members, s)
		}
	}
	r.mu.Unlock()

	var asking sync.WaitGroup
	room := make(chan struct{}, r.f.limits.concurrency)
	answers := make([]answer, len(members))
	for i, step := range members {
		room <- struct{}{}
		asking.Go(func() {
			defer func() { <-room }()
			answers[i] = r.ask(ctx, step)
		})
	}
	asking.Wait()
	if ctx.Err() != nil {
		return false // Fairway ends
	}
	return r.judge(members, answers, began)
}

// answer is what the gate has learned of one host.
type answer struct {
	reading driver.Reading
	worse   string
	blind   bool // HAProxy cannot be asked
	err     error
}

func (r *run) ask(ctx context.Context, step Step) answer {
	t := r.f.target(step.Host, r.document)
	if t == nil {
		return answer{err: errRemoved}
	}
	reading, err := t.read(ctx)
	if errors.Is(err, driver.ErrNoReading) || err != nil && step.Baseline == nil {
		// Without statistics, before the change as after it, that it still runs with
		// this file must do.
		ctx, cancel := context.WithTimeout(ctx, gateTime)
		defer cancel()
		if err := t.acquire(ctx); err != nil {
			return answer{err: err}
		}
		defer t.release()
		seen, err := t.observe(ctx, false)
		if err == nil && seen.Digest != step.Want {
			return answer{blind: true, worse: "the configuration was changed from outside"}
		}
		return answer{blind: true, err: err}
	}
	if err != nil {
		return answer{err: err}
	}
	var before driver.Reading
	if step.Baseline != nil {
		before = *step.Baseline
	}
	return answer{reading: reading, worse: Worse(before, reading, r.settings.AllowDown)}
}

// judge sums up what the hosts have answered to questions asked from began on. It
// reports whether all of them answered after the pause.
func (r *run) judge(members []Step, answers []answer, began time.Time) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var requests, failed int64
	blind, silent := 0, 0
	for i, a := range answers {
		host := members[i].Host
		requests, failed = requests+a.reading.Requests, failed+a.reading.Failed
		if a.blind {
			blind++
		}
		if a.err != nil {
			silent++
			if r.failing[host]++; r.failing[host] >= lostAfter && r.worse == "" {
				r.worse = fmt.Sprintf("%s: contact is lost since the change: %v", host, a.err)
			}
			continue
		}
		r.failing[host] = 0
		if a.worse != "" && r.worse == "" {
			r.worse = host + ": " + a.worse
		}
	}
	r.note = fmt.Sprintf("requests since the change: %d, of which failed: %d", requests, failed)
	if blind > 0 {
		r.note += fmt.Sprintf("; %d of %d hosts have no statistics to judge by", blind, len(members))
	}
	if silent == 0 {
		r.seen = began
	}
	return !r.seen.Before(r.settled.Add(r.settings.Pause))
}
