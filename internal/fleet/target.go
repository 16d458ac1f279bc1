package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"fairway/internal/clock"
	"fairway/internal/fleet/driver"
	"fairway/internal/history"
)

// hostDriver works on the container of one target. *driver.Driver is one.
type hostDriver interface {
	Observe(ctx context.Context, content bool) (driver.Observation, error)
	Check(ctx context.Context, content []byte) error
	Apply(ctx context.Context, content []byte, trust bool) error
	Read(ctx context.Context) (driver.Reading, error)
}

// target is the state of one target in this process.
type target struct {
	driver.Target
	driver hostDriver
	lock   chan struct{} // holds one token while the container is worked on

	visited time.Time // of the watch, which alone knows it

	mu      sync.Mutex
	seen    driver.Observation // the newest good one; Time is zero while there is none
	reading *driver.Reading    // the newest
	recent  *driver.Reading    // what was counted between the two newest readings
	err     error              // of the newest observation
	unread  error              // why there is no reading
	retry   backoff            // of what is pending
	digests map[uint64]string  // of revisions as this target has them, for templates
}

func newTarget(t driver.Target, d hostDriver) *target {
	return &target{Target: t, driver: d, lock: make(chan struct{}, 1), digests: map[uint64]string{}}
}

func (t *target) acquire(ctx context.Context) error {
	select {
	case t.lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *target) release() { <-t.lock }

// observe reads the state of the host and remembers it. The caller holds the lock.
func (t *target) observe(ctx context.Context, content bool) (driver.Observation, error) {
	o, err := t.driver.Observe(ctx, content)
	if canceled(ctx, err) {
		return o, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err = err; err != nil {
		t.reading, t.recent = nil, nil // they are not those of now
		return o, err
	}
	o.Time = time.Now()
	t.seen = o
	t.seen.Content = nil // a thousand of them may be much
	return o, nil
}

func canceled(ctx context.Context, err error) bool {
	return err != nil && errors.Is(ctx.Err(), context.Canceled)
}

const readTime = 5 * time.Second

// read takes a reading and remembers it. It needs no lock.
func (t *target) read(ctx context.Context) (driver.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	r, err := t.driver.Read(ctx)
	if canceled(ctx, err) {
		return r, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unread = err; err != nil {
		t.reading, t.recent = nil, nil // they are not those of now
		return r, err
	}
	if t.reading != nil && r.Time.Sub(t.reading.Time) >= time.Second {
		between := r.Since(t.reading)
		t.recent = &between
	}
	t.reading = &r
	return r, nil
}

// enough requests show how a HAProxy usually does.
const enough = 200

// baseline is what HAProxy counted since the last reading, or since its worker began when
// little came in; nil when it cannot be asked.
func (t *target) baseline(ctx context.Context) *driver.Reading {
	t.mu.Lock()
	last := t.reading
	t.mu.Unlock()
	now, err := t.read(ctx)
	if err != nil {
		return nil
	}
	if last != nil {
		if of := now.Since(last); of.Requests >= enough {
			return &of
		}
	}
	return &now
}

// applied remembers what was just proven to be on the host.
func (t *target) applied(content []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen.Time.IsZero() {
		return
	}
	t.seen.Time = time.Now()
	t.seen.Digest, t.seen.Uptime = driver.Digest(content), 0
	if t.seen.Running != "" {
		t.seen.Running = t.seen.Digest
	}
	t.err = nil
}

func (t *target) failing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err != nil
}

// Pauses between attempts to apply what is pending.
const (
	firstWait = 5 * time.Second
	mostWait  = 10 * time.Minute
)

type backoff struct {
	err   error // of the newest attempt
	wait  time.Duration
	after time.Time // when it may be tried again
}

func (t *target) retried(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	wait := min(max(2*t.retry.wait, firstWait), mostWait)
	t.retry = backoff{err: err, wait: wait, after: time.Now().Add(wait)}
	if err == nil {
		t.retry = backoff{}
	}
}

func (t *target) notBefore() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.retry.after
}

func (f *Fleet) digest(t *target, r history.Revision) (string, error) {
	if !f.current().Templates[t.Document] {
		return r.Digest, nil
	}
	t.mu.Lock()
	digest, ok := t.digests[r.Number]
	t.mu.Unlock()
	if ok {
		return digest, nil
	}
	content, err := f.content(t.Target, r)
	if err != nil {
		return "", err
	}
	digest = driver.Digest(content)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.digests[r.Number] = digest
	return digest, nil
}

func (f *Fleet) content(t driver.Target, r history.Revision) ([]byte, error) {
	if r.Content == nil {
		var err error
		if r, err = f.Revision(r.Document, r.Number); err != nil {
			return nil, err
		}
	}
	return f.current().render(r.Content, t)
}

// maxRendered is how many revisions of a template are tried to recognise one.
const maxRendered = 50

// recognise returns the number of a revision with a digest, zero for none; preferred if it
// can be.
func (f *Fleet) recognise(t *target, digest string, preferred uint64) (uint64, error) {
	list, err := f.store.revisions(t.Document)
	if err != nil {
		return 0, err
	}
	found, rendered := uint64(0), f.current().Templates[t.Document]
	for i, r := range list {
		if r.Number != preferred && (found > 0 || rendered && i >= maxRendered) {
			continue
		}
		// An old revision may lack values that the template has now.
		if d, err := f.digest(t, r); err == nil && d == digest {
			if found = r.Number; found == preferred {
				break
			}
		}
	}
	return found, nil
}

func (f *Fleet) byDigest(t *target, digest string) ([]byte, error) {
	released, err := f.store.released(t.Document)
	if err != nil {
		return nil, err
	}
	number, err := f.recognise(t, digest, released)
	if err != nil {
		return nil, err
	}
	if number == 0 {
		return f.store.records.Record(kindContent, digest)
	}
	r, err := f.Revision(t.Document, number)
	if err != nil {
		return nil, err
	}
	return f.content(t.Target, r)
}

// give applies the revision to one host. The caller holds the lock.
func (r *run) give(ctx context.Context, t *target, step Step) Step {
	content, err := r.f.content(t.Target, r.revision)
	if err != nil {
		return step.ended(Refused, err)
	}
	seen, err := r.f.observe(ctx, t, true)
	if err != nil && step.Had != "" { // an earlier attempt may have changed it
		return step.ended(Unknown, err)
	}
	if err != nil {
		return step.ended(Absent, err)
	}
	if step.Had == "" {
		if seen.Digest == step.Want && seen.Runs() && !step.Touched {
			step.State, step.Pending = Already, ""
			return step
		}
		if !r.settings.AllowDrift {
			if err := r.f.mayOverwrite(t, seen, step); err != nil {
				return step.ended(Refused, err)
			}
		}
		step.Had = seen.Digest
		step.Baseline = t.baseline(ctx)
	}
	step.State = Applying
	if err := r.f.intend(t, seen, step); err != nil {
		step.Had = ""
		return step.ended(Absent, fmt.Errorf("nothing was done: %w", err))
	}
	if err := t.driver.Apply(ctx, content, false); err != nil {
		return step.ended(outcome(err, step.Touched && step.Had != step.Want), err)
	}
	t.applied(content)
	step.State, step.Error, step.Touched, step.Pending = Applied, "", false, ""
	return step
}

// intend makes durable what a host had and that it is about to be changed. A revision is
// kept a second time only of a template, whose values may change.
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

// outcome is the state of a host after a failure; with doubt it may be changed already.
func outcome(err error, doubt bool) StepState {
	if absent := (*driver.AbsentError)(nil); errors.As(err, &absent) && !doubt {
		return Absent
	}
	if refused := (*driver.RefusedError)(nil); errors.As(err, &refused) && !doubt {
		return Refused
	}
	return Unknown
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
		return step.lost("giving back what it had failed: " + err.Error())
	}
	step.State, step.Touched = Returned, false
	t.applied(content)
	return step
}
