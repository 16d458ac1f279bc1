package fleet

import (
	"errors"
	"time"

	"fairway/internal/history"
)

// Condition is how a host compares with what is meant for it.
type Condition string

// The conditions of a host.
const (
	// Current: it has the revision that is out.
	Current Condition = "current"
	// Other: it has another revision.
	Other Condition = "other"
	// Edited: what it has is no revision: somebody has edited it by hand. Or it
	// runs something else than what its file says.
	Edited Condition = "edited"
	// Pending: it is owed a revision that it gets when it can be reached.
	Pending Condition = "pending"
	// Unreachable: the newest look at it has failed.
	Unreachable Condition = "unreachable"
	// Unseen: it has not been looked at in this run, or nothing is out yet.
	Unseen Condition = "unseen"
	// Changing: a rollout is working on it.
	Changing Condition = "changing"
)

// Conditions lists all conditions.
func Conditions() []Condition {
	return []Condition{Current, Other, Edited, Pending, Unreachable, Unseen, Changing}
}

// Known is what Compare is told of a host.
type Known struct {
	// Seen is true when it has been looked at well, Digest what was seen then.
	Seen   bool
	Digest string
	// Failed is true when the newest look has failed.
	Failed bool
	// Mixed is true when HAProxy runs another configuration than the file has.
	Mixed bool
	// Busy is true while a rollout works on it, Pending when it is owed something.
	Busy, Pending bool
	// Revision is the revision that Digest is of, zero for none; Released is what
	// is out, zero for nothing.
	Revision, Released uint64
}

// Compare says how a host compares with what is meant for it. It is pure.
func Compare(k Known) Condition {
	switch {
	case k.Busy:
		return Changing
	case k.Failed:
		return Unreachable
	case !k.Seen:
		return Unseen
	case k.Pending:
		return Pending
	case k.Released == 0:
		return Unseen
	case k.Revision == 0 || k.Mixed:
		return Edited
	case k.Revision == k.Released:
		return Current
	default:
		return Other
	}
}

// HostStatus is what is known of one place.
type HostStatus struct {
	Place     Place
	Condition Condition
	// Revision is the revision it has, zero for none that is known, and Released
	// the one that is out.
	Revision, Released uint64
	Sight              Sight
	// Contact is when it was last looked at well; zero for not in this run. Error
	// is why the newest look has failed, why what it is owed cannot be given, or
	// why there are no statistics.
	Contact time.Time
	Error   string
	// Reading is the newest, Recent what was counted between the two newest.
	Reading, Recent *Reading
	// Step is the newest rollout's record of it.
	Step Step
}

// Status says how all places of a document are, from what was last seen; of all
// documents for an empty name.
func (f *Fleet) Status(document string) ([]HostStatus, error) {
	released := map[string]uint64{}
	var list []HostStatus
	for _, p := range f.current().Places {
		if document != "" && p.Document != document {
			continue
		}
		if _, ok := released[p.Document]; !ok {
			var err error
			if released[p.Document], err = f.ledger.released(p.Document); err != nil {
				return nil, err
			}
		}
		h, err := f.statusOf(p, f.ledger.step(p.Host, p.Document), released[p.Document])
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

func (f *Fleet) statusOf(p Place, step Step, released uint64) (HostStatus, error) {
	h := HostStatus{Place: p, Step: step, Released: released, Condition: Unseen}
	s := f.spotOf(p.Host, p.Document)
	if s == nil {
		return h, nil
	}
	s.mu.Lock()
	h.Sight, h.Reading, h.Recent = s.sight, s.reading, s.recent
	err, repair, unread := s.err, s.repair, s.unread
	s.mu.Unlock()
	h.Contact = h.Sight.Time
	k := Known{Seen: !h.Contact.IsZero(), Digest: h.Sight.Digest, Failed: err != nil, Mixed: !h.Sight.runs(), Pending: step.Pending != "", Released: released}
	if k.Seen {
		var unknown error
		if h.Revision, unknown = f.match(s, h.Sight.Digest, released); unknown != nil {
			return h, unknown
		}
		k.Revision = h.Revision
	}
	if live, ok := f.stepOf(p); ok {
		h.Step, k.Busy = live, live.busy()
	}
	h.Condition = Compare(k)
	switch {
	case err != nil:
		h.Error = err.Error()
	case k.Pending && repair != nil:
		h.Error = repair.Error()
	case released == 0:
		h.Error = "nothing of document " + p.Document + " is out yet"
	case k.Mixed:
		h.Error = "HAProxy runs another configuration than its file has"
	case unread != nil && !errors.Is(unread, ErrNoReading):
		h.Error = "no statistics: " + unread.Error()
	}
	return h, nil
}

// match finds the revision that a digest is of, the released one first: a
// document may have the same contents twice.
func (f *Fleet) match(s *spot, digest string, released uint64) (uint64, error) {
	if released > 0 {
		list, err := f.revisions(s.place.Document)
		if err != nil {
			return 0, err
		}
		for _, r := range list {
			if r.Number != released {
				continue
			}
			if d, err := f.digest(s, r); err == nil && d == digest {
				return released, nil
			}
		}
	}
	return f.recognise(s, digest)
}

// stepOf is the step of a place in the rollout that is under way.
func (f *Fleet) stepOf(p Place) (Step, bool) {
	f.mu.Lock()
	r := f.runs[p.Document]
	f.mu.Unlock()
	if r == nil {
		return Step{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.steps {
		if r.steps[i].Host == p.Host {
			return r.steps[i], true
		}
	}
	return Step{}, false
}

// Progress is how far the newest rollout of a document is.
type Progress struct {
	Rollout Rollout
	Steps   []Step
	// Note is what the gate sees at the moment, for people.
	Note string
	// Waves is how many waves there are, as far as can be told: hosts that cannot
	// be reached make fewer.
	Waves int
}

// Progress returns the newest rollout of a document, under way or not.
func (f *Fleet) Progress(document string) (Progress, error) {
	f.mu.Lock()
	live := f.runs[document]
	f.mu.Unlock()
	if live != nil {
		live.mu.Lock()
		defer live.mu.Unlock()
		return newProgress(live.rollout, append([]Step(nil), live.steps...), live.note), nil
	}
	r, err := f.ledger.rollout(document)
	if err != nil {
		return Progress{}, err
	}
	if r.Number == 0 {
		return Progress{}, unknown("document %s was never rolled out", document)
	}
	var steps []Step
	for _, host := range r.Hosts {
		step := f.ledger.step(host, document)
		if step.Rollout != r.Number {
			step = Step{Rollout: r.Number, Host: host, State: Waiting}
		}
		steps = append(steps, step)
	}
	return newProgress(r, steps, ""), nil
}

func newProgress(r Rollout, steps []Step, note string) Progress {
	p := Progress{Rollout: r, Steps: steps, Note: note}
	m := Moment{Rollout: r, Steps: steps}
	for left := len(steps); left > 0; p.Waves++ {
		left -= m.size(p.Waves)
	}
	return p
}

// Ended returns the rollouts of a document that have ended, the newest first.
func (f *Fleet) Ended(document string) ([]Ended, error) { return f.ledger.ended(document) }

// liveRevision is the revision that a rollout under way has given to a place, or
// is giving to it.
func (f *Fleet) liveRevision(p Place) (history.Revision, bool) {
	f.mu.Lock()
	r := f.runs[p.Document]
	f.mu.Unlock()
	step, ok := f.stepOf(p)
	if r == nil || !ok {
		return history.Revision{}, false
	}
	switch step.State {
	case Applying, Applied, Already:
		return r.revision, true
	}
	return history.Revision{}, false
}
