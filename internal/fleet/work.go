package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// give applies the revision to one host. The caller has the host's turn.
func (r *run) give(ctx context.Context, s *spot, step Step) Step {
	content, err := r.f.content(s.place, r.revision)
	if err != nil {
		step.State, step.Error = Refused, err.Error()
		return step
	}
	sight, err := r.f.look(ctx, s)
	if err != nil {
		step.State, step.Error = Absent, err.Error()
		if step.Had != "" { // an earlier attempt may have changed it
			step.State = Unknown
		}
		return step
	}
	if step.Had == "" {
		if sight.Digest == step.Want && sight.runs() && !step.Touched {
			step.State, step.Pending = Already, ""
			return step
		}
		if err := r.f.mayOverwrite(s, sight, step, r.settings.Overwrite); err != nil {
			step.State, step.Error = Refused, err.Error()
			return step
		}
		step.Had = sight.Digest
		step.Baseline = s.baseline(ctx)
	}
	step.State = Applying
	if err := r.f.intend(s, sight, step); err != nil {
		step.State, step.Error, step.Had = Absent, "nothing was done: "+err.Error(), ""
		return step
	}
	err = s.hand.apply(ctx, content, false)
	step.State, step.Error = outcome(err, step.Touched && step.Had != step.Want)
	if step.State == Applied {
		step.Touched, step.Pending = false, ""
		s.saw(content)
	}
	return step
}

// look looks at a host, no longer than a look may take. The caller has its turn.
func (f *Fleet) look(ctx context.Context, s *spot) (Sight, error) {
	ctx, cancel := context.WithTimeout(ctx, f.limits.look)
	defer cancel()
	return s.look(ctx, true)
}

// intend makes durable what a host had and that it is about to be changed. What
// a revision says is not kept a second time, except of a template, which may say
// something else once the host has other values.
func (f *Fleet) intend(s *spot, sight Sight, step Step) error {
	number, err := f.recognise(s, sight.Digest)
	if err != nil {
		return err
	}
	var content []byte
	if step.Had == sight.Digest && (number == 0 || f.current().Templates[s.place.Document]) {
		content = sight.Content
	}
	return f.ledger.intend(s.place.Document, step, content)
}

// mayOverwrite refuses to overwrite what somebody has edited by hand.
func (f *Fleet) mayOverwrite(s *spot, sight Sight, step Step, overwrite bool) error {
	if overwrite || step.Touched || sight.Digest == step.Pending {
		return nil
	}
	number, err := f.recognise(s, sight.Digest)
	if err != nil || number > 0 {
		return err
	}
	return fmt.Errorf("%w: %s is no revision of %s; fairway fleet drift shows the difference", ErrDrift, s.place.File, s.place.Document)
}

// outcome says what an attempt means for a host. doubt is true when an earlier
// attempt may have left it changed.
func outcome(err error, doubt bool) (StepState, string) {
	if err == nil {
		return Applied, ""
	}
	if absent := (*AbsentError)(nil); errors.As(err, &absent) && !doubt {
		return Absent, err.Error()
	}
	if refused := (*RefusedError)(nil); errors.As(err, &refused) && !doubt {
		return Refused, err.Error()
	}
	return Unknown, err.Error()
}

// giveBack gives one host back what it had.
func (r *run) giveBack(ctx context.Context, s *spot, step Step) Step {
	content, err := r.f.byDigest(s, step.Had)
	if err != nil {
		step.State, step.Error = Lost, fmt.Sprintf("%s; what it had before cannot be found: %v", step.Error, err)
		return step
	}
	step.State = Returning
	if err := r.f.ledger.putStep(r.document, step); err != nil {
		step.State = Unknown // and tried again
		_ = sleep(ctx, time.Second)
		return step
	}
	if err := s.hand.apply(ctx, content, true); err != nil {
		step.State = Lost
		step.Error = joined(step.Error, "giving back what it had failed: "+err.Error())
		return step
	}
	step.State, step.Touched = Returned, false
	s.saw(content)
	return step
}

func joined(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}

// saw remembers what was just proven to be on the host.
func (s *spot) saw(content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sight.Time.IsZero() {
		return
	}
	s.sight.Time = time.Now()
	s.sight.Digest, s.sight.Uptime = digestOf(content), 0
	if s.sight.Running != "" {
		s.sight.Running = s.sight.Digest
	}
	s.tried, s.err = s.sight.Time, nil
}

const (
	// gateTime is how long the gate looks at a host of which it has no reading.
	gateTime = 5 * time.Second
	// lostAfter is how many times in a row it must fail to reach a host.
	lostAfter = 3
)

// gate asks the hosts of the wave how they do, and remembers what is worse. It
// reports whether that was the last look of the pause, so that the next decision
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
			answers[i] = r.ask(ctx, step, r.settings.AllowDown)
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
	reading Reading
	worse   string
	blind   bool // HAProxy cannot be asked
	err     error
}

func (r *run) ask(ctx context.Context, step Step, allowDown bool) answer {
	s := r.f.spotOf(step.Host, r.document)
	if s == nil {
		return answer{err: errors.New("the host is not in the fleet file any more")}
	}
	reading, err := s.read(ctx)
	if errors.Is(err, ErrNoReading) || err != nil && step.Baseline == nil {
		// Without statistics, before the change as after it, that it still runs with
		// this file must do.
		ctx, cancel := context.WithTimeout(ctx, gateTime)
		defer cancel()
		if err := s.take(ctx); err != nil {
			return answer{err: err}
		}
		defer s.leave()
		sight, err := s.look(ctx, false)
		if err == nil && sight.Digest != step.Want {
			return answer{blind: true, worse: "the configuration was changed by somebody else"}
		}
		return answer{blind: true, err: err}
	}
	if err != nil {
		return answer{err: err}
	}
	before := Reading{}
	if step.Baseline != nil {
		before = *step.Baseline
	}
	return answer{reading: reading, worse: Worse(before, reading, allowDown)}
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
