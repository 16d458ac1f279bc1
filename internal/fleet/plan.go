package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"fairway/internal/history"
)

// Checked is what HAProxy on one host says of a configuration.
type Checked struct {
	Host string
	// Err is nil when it takes it; a *RefusedError says why not, any other error
	// that it could not be asked.
	Err error
}

// Check asks HAProxy on hosts, all of the document's when none is named, whether
// it takes a configuration and whether its addresses are free. Nothing is
// changed.
func (f *Fleet) Check(ctx context.Context, document string, content []byte, hosts []string) ([]Checked, error) {
	places, err := f.current().choose(document, hosts)
	if err != nil {
		return nil, err
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("%w: no host has document %s, so that nobody can be asked", ErrInvalid, document)
	}
	m := f.current()
	errs := f.everywhere(ctx, places, func(ctx context.Context, s *spot) error {
		rendered, err := m.render(content, s.place)
		if err != nil {
			return &RefusedError{Err: err}
		}
		return s.hand.check(ctx, rendered)
	})
	list := make([]Checked, len(places))
	for i, p := range places {
		list[i] = Checked{p.Host, errs[i]}
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
	// Same is true when there is no difference, and Diff is the difference as a
	// unified diff otherwise.
	Same bool
	Diff string
	Err  error
}

// Plan says what a rollout of a revision would change on each host; the newest
// for number zero. Nothing is changed.
func (f *Fleet) Plan(ctx context.Context, document string, number uint64, hosts []string) (history.Revision, []Difference, error) {
	revision, err := f.Revision(document, number)
	if err != nil {
		return revision, nil, err
	}
	list, err := f.compare(ctx, document, hosts, revision, fmt.Sprintf("%s@%d", document, revision.Number), false)
	return revision, list, err
}

// Drift compares each host with the revision that is out, and shows what was
// edited there: what was added by hand has a plus.
func (f *Fleet) Drift(ctx context.Context, document string, hosts []string) ([]Difference, error) {
	revision, err := f.released(document)
	if err != nil {
		return nil, err
	}
	return f.compare(ctx, document, hosts, revision, fmt.Sprintf("%s@%d", document, revision.Number), true)
}

// compare looks at hosts and compares them with a revision: what a host has is
// the old side of the difference, or the new one.
func (f *Fleet) compare(ctx context.Context, document string, hosts []string, revision history.Revision, name string, hostIsNew bool) ([]Difference, error) {
	places, err := f.current().choose(document, hosts)
	if err != nil {
		return nil, err
	}
	released, err := f.ledger.released(document)
	if err != nil {
		return nil, err
	}
	list := make([]Difference, len(places))
	at := map[string]int{}
	for i, p := range places {
		at[p.Host], list[i].Host = i, p.Host
	}
	errs := f.everywhere(ctx, places, func(ctx context.Context, s *spot) error {
		d := &list[at[s.place.Host]]
		sight, err := s.look(ctx, true)
		if err != nil {
			return err
		}
		if d.Revision, err = f.match(s, sight.Digest, released); err != nil {
			return err
		}
		d.Condition = Compare(Known{Seen: true, Digest: sight.Digest, Mixed: !sight.runs(), Revision: d.Revision, Released: released})
		var content []byte
		if revision.Number > 0 {
			if content, err = f.content(s.place, revision); err != nil {
				return err
			}
		}
		d.Same = bytes.Equal(content, sight.Content)
		if hostIsNew {
			d.Diff = Unified(name, s.place.Host, content, sight.Content)
		} else {
			d.Diff = Unified(s.place.Host, name, sight.Content, content)
		}
		return nil
	})
	for i, err := range errs {
		if err != nil {
			list[i].Err, list[i].Condition = err, Unreachable
		}
	}
	return list, nil
}

// Adopt makes what a host has a new revision of its document, which is not put
// out: a rollout does that. expect is the newest revision as the author knows it.
// A template cannot be adopted, because nobody knows which parts of a
// configuration were values.
func (f *Fleet) Adopt(ctx context.Context, host, document string, expect uint64, author, message string) (history.Revision, error) {
	if f.current().Templates[document] {
		return history.Revision{}, fmt.Errorf("%w: document %s is a template; put the change into it by hand", ErrInvalid, document)
	}
	places, err := f.current().choose(document, []string{host})
	if err != nil {
		return history.Revision{}, err
	}
	var sight Sight
	if err := f.everywhere(ctx, places, func(ctx context.Context, s *spot) error {
		sight, err = s.look(ctx, true)
		return err
	})[0]; err != nil {
		return history.Revision{}, err
	}
	if message == "" {
		message = "adopted from host " + host
	}
	return f.Put(history.Draft{Document: document, Expect: expect, Author: author, Message: message, Content: sight.Content})
}

// PutBack gives a host the revision that is out, in place of what was edited
// there by hand. What the host had is kept. When the error is a *RefusedError,
// the host is as it was.
func (f *Fleet) PutBack(ctx context.Context, host, document string) error {
	places, err := f.current().choose(document, []string{host})
	if err != nil {
		return err
	}
	revision, err := f.released(document)
	if err != nil {
		return err
	}
	if revision.Number == 0 {
		return fmt.Errorf("%w: nothing of document %s is out yet", ErrInvalid, document)
	}
	f.mu.Lock()
	err = f.readyLocked()
	f.mu.Unlock()
	if err == nil {
		err = f.busy(document)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.limits.host)
	defer cancel()
	p := places[0]
	s := f.spotOf(p.Host, p.Document)
	if s == nil {
		return unknown("host %s has no document %s", host, document)
	}
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.leave()
	content, err := f.content(s.place, revision)
	if err != nil {
		return err
	}
	sight, err := f.look(ctx, s)
	if err != nil {
		return err
	}
	before := f.ledger.step(host, document)
	step := before
	step.Host, step.Had, step.Want, step.Touched = host, sight.Digest, digestOf(content), true
	step.Pending, step.State, step.Began = step.Want, Unknown, time.Now().UTC()
	if err := f.intend(s, sight, step); err != nil {
		return err
	}
	err = s.hand.apply(ctx, content, false)
	if refused := (*RefusedError)(nil); errors.As(err, &refused) {
		return errors.Join(err, f.ledger.putStep(document, before))
	}
	if err != nil {
		return err // the watch tries again
	}
	s.saw(content)
	step.Pending, step.State, step.Touched, step.Error, step.Ended = "", Applied, false, "", time.Now().UTC()
	return f.ledger.putStep(document, step)
}
