package fleet

import (
	"errors"
	"slices"

	"fairway/internal/fleet/driver"
	"fairway/internal/metrics"
)

// Condition is how a host compares with what is meant for it.
type Condition string

const (
	// Current: it has the revision that is out.
	Current Condition = "current"
	// Other: it has another revision.
	Other Condition = "other"
	// Edited: its configuration is no revision, or HAProxy runs another one than the file.
	Edited Condition = "edited"
	// Pending: it gets a revision when it can be reached.
	Pending Condition = "pending"
	// Unreachable: the newest observation has failed.
	Unreachable Condition = "unreachable"
	// Unseen: it has not been observed in this run, or nothing is out yet.
	Unseen Condition = "unseen"
	// Changing: a rollout is working on it.
	Changing Condition = "changing"
)

// Known is what Compare needs to know of a host.
type Known struct {
	// Seen is true when it has been observed in this run.
	Seen bool
	// Failed is true when the newest observation has failed.
	Failed bool
	// Mixed is true when HAProxy runs another configuration than its file has.
	Mixed bool
	// Busy is true while a rollout works on it, Pending when it has a pending revision.
	Busy, Pending bool
	// Revision was seen, Released is out; zero for none.
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

// HostStatus is what is known of one target.
type HostStatus struct {
	driver.Target
	Condition Condition
	// Revision is what it has, Released what is out; zero for none.
	Revision, Released uint64
	// Seen is the newest good observation; its Time is zero for none in this run.
	Seen driver.Observation
	// Error is what is wrong with the host, its pending revision or its statistics.
	Error string
	// Reading is the newest, Recent what was counted between the two newest.
	Reading, Recent *driver.Reading
	// Step is the newest rollout's record of it.
	Step Step
}

// Status returns the targets of a document, or all for "", as they were last seen.
func (f *Fleet) Status(document string) ([]HostStatus, error) {
	released := map[string]uint64{}
	var list []HostStatus
	for _, p := range f.current().Targets {
		if document != "" && p.Document != document {
			continue
		}
		number, ok := released[p.Document]
		if !ok {
			var err error
			if number, err = f.store.released(p.Document); err != nil {
				return nil, err
			}
			released[p.Document] = number
		}
		h, err := f.statusOf(p, number)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

func (f *Fleet) statusOf(p driver.Target, released uint64) (HostStatus, error) {
	h := HostStatus{Target: p, Step: f.store.step(p.Host, p.Document), Released: released, Condition: Unseen}
	t := f.target(p.Host, p.Document)
	if t == nil {
		return h, nil
	}
	t.mu.Lock()
	h.Seen, h.Reading, h.Recent = t.seen, t.reading, t.recent
	err, retry, unread := t.err, t.retry.err, t.unread
	t.mu.Unlock()
	k := Known{Seen: !h.Seen.Time.IsZero(), Failed: err != nil, Mixed: !h.Seen.Runs(), Pending: h.Step.Pending != "", Released: released}
	if k.Seen {
		var unknown error
		if h.Revision, unknown = f.recognise(t, h.Seen.Digest, released); unknown != nil {
			return h, unknown
		}
		k.Revision = h.Revision
	}
	if r := f.runOf(p.Document); r != nil {
		if live, ok := r.step(p.Host); ok {
			h.Step, k.Busy = live, live.busy()
		}
	}
	h.Condition = Compare(k)
	switch {
	case err != nil:
		h.Error = err.Error()
	case k.Pending && retry != nil:
		h.Error = retry.Error()
	case released == 0:
		h.Error = "nothing of document " + p.Document + " is out yet"
	case k.Mixed:
		h.Error = "HAProxy runs another configuration than its file has"
	case unread != nil && !errors.Is(unread, driver.ErrNoReading):
		h.Error = "no statistics: " + unread.Error()
	}
	return h, nil
}

// Progress is how far the newest rollout of a document is.
type Progress struct {
	Rollout Rollout
	Steps   []Step
	// Note is what the gate sees at the moment, for people.
	Note string
	// Waves is how many there are, at most.
	Waves int
}

// Progress returns the newest rollout of a document, under way or not.
func (f *Fleet) Progress(document string) (Progress, error) {
	if live := f.runOf(document); live != nil {
		live.mu.Lock()
		defer live.mu.Unlock()
		return newProgress(live.newest.Rollout, slices.Clone(live.newest.Steps), live.note), nil
	}
	r, err := f.store.rollout(document)
	if err != nil {
		return Progress{}, err
	}
	if r.Number == 0 {
		return Progress{}, unknown("document %s was never rolled out", document)
	}
	var steps []Step
	for _, host := range r.Hosts {
		step := f.store.step(host, document)
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
func (f *Fleet) Ended(document string) ([]Ended, error) { return f.store.ended(document) }

type meters struct {
	rollouts, steps *metrics.Vec[metrics.Counter]
}

func newMeters(m *metrics.Set, f *Fleet) *meters {
	hosts := m.Family(metrics.KindGauge, "fairway_fleet_hosts", "Hosts of the fleet by their condition.", "condition")
	m.Collect(func(scrape *metrics.Scrape) {
		counts, err := f.countHosts()
		if err != nil {
			f.log.Warn("the hosts of the fleet are missing in the metrics", "error", err)
		}
		for c, n := range counts {
			scrape.Put(hosts, n, string(c))
		}
	})
	return &meters{
		rollouts: m.CounterVec("fairway_fleet_rollouts_total", "Rollouts that have ended, by how: done or reverted.", "phase"),
		steps:    m.CounterVec("fairway_fleet_host_changes_total", "Hosts that rollouts have come to, by what came of it.", "state"),
	}
}

func (f *Fleet) countHosts() (map[Condition]float64, error) {
	hosts, err := f.Status("")
	if err != nil {
		return nil, err
	}
	counts := map[Condition]float64{Current: 0, Other: 0, Edited: 0, Pending: 0, Unreachable: 0, Unseen: 0, Changing: 0}
	for _, h := range hosts {
		counts[h.Condition]++
	}
	return counts, nil
}
