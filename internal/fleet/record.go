package fleet

import (
	"time"

	"fairway/internal/fleet/driver"
)

// Phase is how far a rollout is.
type Phase string

// The phases of a rollout.
const (
	// Running: hosts get the new revision, wave by wave.
	Running Phase = "running"
	// Reverting: something was wrong, and the hosts that have the new revision
	// get back what they had.
	Reverting Phase = "reverting"
	// Done: the revision is out. Hosts that could not be reached get it when
	// they are back.
	Done Phase = "done"
	// Reverted: every host that was reached has what it had before. Reason says
	// why. Hosts that could not be reached get it back when they are.
	Reverted Phase = "reverted"
)

// Ended reports whether nothing more happens in this phase.
func (p Phase) Ended() bool { return p == Done || p == Reverted }

// Settings say how a rollout goes. The zero value of each means its default.
type Settings struct {
	// Canary is how many hosts make the first wave; default 1, below zero for
	// no wave of its own.
	Canary int `json:"canary"`
	// Wave is how many hosts make each further wave; default 25 %.
	Wave Share `json:"wave"`
	// Pause is how long the hosts of a wave are watched after the last of them
	// is ready, before the next wave begins; default 10 s.
	Pause time.Duration `json:"pause"`
	// AllowDrift takes hosts along whose configuration was edited by hand. Without
	// it such a host stops the rollout before it begins.
	AllowDrift bool `json:"allowDrift,omitempty"`
	// AllowDown lets backends be without any server up that were not before.
	AllowDown bool `json:"allowDown,omitempty"`
}

// limits bound what is done to hosts. Only tests have others than defaultLimits.
type limits struct {
	look        time.Duration // one observation of a host
	host        time.Duration // one change of a host, restoring what it had included
	rollout     time.Duration // a rollout as a whole, the way back included
	concurrency int           // hosts that a rollout changes at the same moment
}

func defaultLimits() limits {
	return limits{look: 15 * time.Second, host: 30 * time.Second, rollout: 30 * time.Minute, concurrency: 16}
}

// withDefaults fills what is zero.
func (s Settings) withDefaults() Settings {
	if s.Canary == 0 {
		s.Canary = 1
	}
	if s.Wave == (Share{}) {
		s.Wave = Share{Percent: 25}
	}
	if s.Pause == 0 {
		s.Pause = 10 * time.Second
	}
	return s
}

// Rollout is the durable record of putting a revision on hosts, without the
// steps, which are stored one by one.
type Rollout struct {
	// Number counts the rollouts of a document, from 1.
	Number   uint64 `json:"number"`
	Document string `json:"document"`
	// Revision is what is put out; Before is what was out until then, zero for
	// nothing that Fairway knows of.
	Revision uint64   `json:"revision"`
	Before   uint64   `json:"before,omitempty"`
	Author   string   `json:"author"`
	Message  string   `json:"message,omitempty"`
	Settings Settings `json:"settings"`
	// Hosts are the names of the hosts that take part, in their order.
	Hosts []string `json:"hosts"`
	// Partial is true when other hosts have the document, too: the revision is
	// not out then.
	Partial bool      `json:"partial,omitempty"`
	Phase   Phase     `json:"phase"`
	Began   time.Time `json:"began"`
	Ended   time.Time `json:"ended,omitzero"`
	// Wave is the wave under way, from 0.
	Wave int `json:"wave"`
	// Reason says why it is reverted, in a sentence that names the host.
	Reason string `json:"reason,omitempty"`
}

// StepState is how far one host is in a rollout.
type StepState string

// The states of a host in a rollout.
const (
	// Waiting: nothing has been done to it.
	Waiting StepState = "waiting"
	// Applying: it is being changed; after a crash, it may have been.
	Applying StepState = "applying"
	// Applied: it has the new revision, and that is proven.
	Applied StepState = "applied"
	// Already: it had the new revision before the rollout came to it.
	Already StepState = "already"
	// Absent: it could not be reached, and nothing was done to it.
	Absent StepState = "absent"
	// Refused: the change was refused or has failed, and it is as it was.
	Refused StepState = "refused"
	// Unknown: contact was lost on the way, or the way back failed too.
	Unknown StepState = "unknown"
	// Returning: it is being given back what it had.
	Returning StepState = "returning"
	// Returned: it has what it had before.
	Returned StepState = "returned"
	// Lost: it could not be given back what it had.
	Lost StepState = "lost"
)

// Step is the durable record of one host in a rollout.
type Step struct {
	// Rollout is the number of the rollout. A step of an earlier one counts for
	// nothing but what is owed.
	Rollout uint64    `json:"rollout"`
	Host    string    `json:"host"`
	Wave    int       `json:"wave"`
	State   StepState `json:"state"`
	// Had is the digest of what the host had before; empty for no file, and
	// Want that of what is meant for it.
	Had  string `json:"had,omitempty"`
	Want string `json:"want,omitempty"`
	// Baseline is what the host's HAProxy had counted before the change.
	Baseline *driver.Reading `json:"baseline,omitempty"`
	// Error says what went wrong, in HAProxy's words where it has some.
	Error string    `json:"error,omitempty"`
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	// Touched is true when an earlier attempt may have changed the host and its
	// end is not known. What is there then says nothing about what runs.
	Touched bool `json:"touched,omitempty"`
	// Pending is the digest of what the host gets when it can be reached
	// again; empty when nothing is.
	Pending string `json:"pending,omitempty"`
}

// busy reports whether the host is being worked on.
func (s *Step) busy() bool { return s.State == Applying || s.State == Returning }

// failed reports whether the host stops the rollout.
func (s *Step) failed() bool { return s.State == Refused || s.State == Unknown }

// changed reports whether the host has, or may have, the new revision through
// this rollout.
func (s *Step) changed() bool {
	return s.State == Applied || s.State == Unknown || s.State == Waiting && s.Touched && s.Had != ""
}

// resumed is the step as the next run of Fairway takes it up: what was under way
// when the last one ended is to be done again, because it is not known how far it
// was.
func (s Step) resumed() Step {
	switch s.State {
	case Applying:
		s.State, s.Touched = Waiting, true
	case Returning:
		s.State, s.Touched = Unknown, true
	}
	return s
}
