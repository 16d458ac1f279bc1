package fleet

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

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

// target is the state of one target in this process. What must outlive the process is
// in the store.
type target struct {
	driver.Target
	driver hostDriver
	lock   chan struct{} // holds one token while the container is worked on

	mu      sync.Mutex
	seen    driver.Observation // the newest good one; Time is zero while there is none
	reading *driver.Reading    // the newest
	recent  *driver.Reading    // what was counted between the two newest readings
	err     error              // of the newest observation
	unread  error              // why there is no reading
	tried   time.Time          // when the newest observation ended
	retry   backoff            // of what is pending
	digests map[uint64]string  // of revisions as this target has them, for templates
}

func newTarget(t driver.Target, d hostDriver) *target {
	return &target{Target: t, driver: d, lock: make(chan struct{}, 1), digests: map[uint64]string{}}
}

// acquire takes the lock of the container; release returns it.
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
	t.tried, t.err = time.Now(), err
	if err != nil {
		t.reading, t.recent = nil, nil // they are not those of now
		return o, err
	}
	o.Time = t.tried
	t.seen = o
	t.seen.Content = nil // a thousand of them may be much
	return o, nil
}

// canceled reports whether the caller has gone before there was an answer: that is no
// failure of the host.
func canceled(ctx context.Context, err error) bool {
	return err != nil && errors.Is(ctx.Err(), context.Canceled)
}

// readTime is how long a reading may take.
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

// baseline is what the host's HAProxy counted of late, to compare with after a
// change: since the last reading when enough came in, else since its worker
// began. Nil when it cannot be asked.
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

// applied remembers content that was just proven to be on the host.
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
	t.tried, t.err = t.seen.Time, nil
}

// failing reports whether the newest observation has failed.
func (t *target) failing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err != nil
}

// backoff makes each attempt that fails wait longer before the next one.
type backoff struct {
	err   error // of the newest attempt
	wait  time.Duration
	after time.Time // when it may be tried again
}

// Pauses between attempts to apply what is pending.
const (
	firstWait = 5 * time.Second
	mostWait  = 10 * time.Minute
)

// retried records how an attempt to apply what is pending went.
func (t *target) retried(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.retry = backoff{}
		return
	}
	wait := min(max(2*t.retry.wait, firstWait), mostWait)
	t.retry = backoff{err: err, wait: wait, after: time.Now().Add(wait)}
}

func (t *target) notBefore() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.retry.after
}

// digest is the digest of a revision as a target has it.
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

// content is a revision as a target has it.
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

// recognise returns the number of the revision that a digest is of, zero for none.
// preferred is tried first, as a document may have the same contents twice; zero for
// none.
func (f *Fleet) recognise(t *target, digest string, preferred uint64) (uint64, error) {
	list, err := f.revisions(t.Document)
	if err != nil {
		return 0, err
	}
	is := func(r history.Revision) bool {
		d, err := f.digest(t, r) // an old revision may lack values that the template has now
		return err == nil && d == digest
	}
	if i := slices.IndexFunc(list, func(r history.Revision) bool { return r.Number == preferred }); i >= 0 && is(list[i]) {
		return preferred, nil
	}
	if f.current().Templates[t.Document] {
		list = list[:min(len(list), maxRendered)]
	}
	if i := slices.IndexFunc(list, is); i >= 0 {
		return list[i].Number, nil
	}
	return 0, nil
}

// byDigest returns the content that has a digest: a revision as the target has it, or
// what was kept.
func (f *Fleet) byDigest(t *target, digest string) ([]byte, error) {
	number, err := f.recognise(t, digest, 0)
	if err != nil {
		return nil, err
	}
	if number == 0 {
		return f.store.kept(digest)
	}
	r, err := f.Revision(t.Document, number)
	if err != nil {
		return nil, err
	}
	return f.content(t.Target, r)
}
