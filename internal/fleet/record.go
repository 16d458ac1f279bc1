package fleet

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/fleet/driver"
)

// Phase is how far a rollout is.
type Phase string

const (
	// Running: hosts get the new revision, wave by wave.
	Running Phase = "running"
	// Reverting: something was wrong, and the hosts get back what they had.
	Reverting Phase = "reverting"
	// Done: the revision is out, pending on hosts that could not be reached.
	Done Phase = "done"
	// Reverted: every host that was reached has what it had before. Reason says why.
	Reverted Phase = "reverted"
)

// Ended reports whether nothing more happens in this phase.
func (p Phase) Ended() bool { return p == Done || p == Reverted }

// Settings say how a rollout goes. The zero value of each means its default.
type Settings struct {
	// Canary is how many hosts make the first wave; default 1, below zero for no canary.
	Canary int `json:"canary"`
	// Wave is how many hosts make each further wave; default 25 %.
	Wave Share `json:"wave"`
	// Pause is how long a wave is watched before the next begins; default 10 s.
	Pause time.Duration `json:"pause"`
	// AllowDrift overwrites what was edited by hand; else no rollout begins.
	AllowDrift bool `json:"allowDrift,omitempty"`
	// AllowDown lets backends be without any server up that were not before.
	AllowDown bool `json:"allowDown,omitempty"`
}

// Share is a number of hosts or a part of all: "3" or "25%"; all for the zero value.
type Share struct {
	// Count is a number; Percent, from 1 to 100, a part. At most one is set.
	Count, Percent int
}

// ParseShare reads "3" or "25%".
func ParseShare(text string) (s Share, err error) {
	err = s.UnmarshalText([]byte(text))
	return s, err
}

// MarshalText writes the text that ParseShare reads; "100%" for the zero value.
func (s Share) MarshalText() ([]byte, error) {
	if s.Count > 0 {
		return []byte(strconv.Itoa(s.Count)), nil
	}
	return fmt.Appendf(nil, "%d%%", cmp.Or(s.Percent, 100)), nil
}

// UnmarshalText reads what ParseShare reads.
func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	n, err := strconv.Atoi(number)
	switch {
	case err != nil || n < 1:
		return errors.New("write a number of hosts from 1, or a part of them as 25%")
	case percent && n > 100:
		return errors.New("more than 100%")
	case percent:
		*s = Share{Percent: n}
	default:
		*s = Share{Count: n}
	}
	return nil
}

func (s Share) of(all int) int {
	if s.Count > 0 {
		return s.Count
	}
	return max(1, (all*cmp.Or(s.Percent, 100)+99)/100)
}

// limits bound what is done to hosts. Only tests have others than defaultLimits.
type limits struct {
	look        time.Duration // one observation of a host
	host        time.Duration // one change of a host, restoring what it had included
	rollout     time.Duration // a rollout as a whole, the way back included
	lost        time.Duration // without an answer to the gate, after which a host's contact is lost
	concurrency int           // hosts that a rollout changes at the same moment
}

func defaultLimits() limits {
	return limits{look: 15 * time.Second, host: 60 * time.Second, rollout: 30 * time.Minute, lost: 30 * time.Second, concurrency: 16}
}

func (s Settings) withDefaults() Settings {
	s.Canary, s.Wave, s.Pause = cmp.Or(s.Canary, 1), cmp.Or(s.Wave, Share{Percent: 25}), cmp.Or(s.Pause, 10*time.Second)
	return s
}

// Rollout is the durable record of a rollout, but for its steps.
type Rollout struct {
	// Number counts the rollouts of a document, from 1.
	Number   uint64 `json:"number"`
	Document string `json:"document"`
	// Revision is rolled out; Before was out until then, zero for none.
	Revision uint64   `json:"revision"`
	Before   uint64   `json:"before,omitempty"`
	Author   string   `json:"author"`
	Message  string   `json:"message,omitempty"`
	Settings Settings `json:"settings"`
	// Hosts are the names of the hosts that take part, in their order.
	Hosts []string `json:"hosts"`
	// Partial means that other hosts have the document, too: it is not released then.
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
	// Rollout is its number. Of an earlier one only what is pending counts.
	Rollout uint64    `json:"rollout"`
	Host    string    `json:"host"`
	Wave    int       `json:"wave"`
	State   StepState `json:"state"`
	// Had is the digest of what the host had before, empty for no file; Want that of
	// what it is to have.
	Had  string `json:"had,omitempty"`
	Want string `json:"want,omitempty"`
	// Baseline is what the host's HAProxy had counted before the change.
	Baseline *driver.Reading `json:"baseline,omitempty"`
	// Error says what went wrong, in HAProxy's words where it has some.
	Error string    `json:"error,omitempty"`
	Began time.Time `json:"began,omitzero"`
	Ended time.Time `json:"ended,omitzero"`
	// Touched means that an attempt may have changed the host, and its end is not known:
	// the file says nothing about what runs.
	Touched bool `json:"touched,omitempty"`
	// Pending is the digest of what it gets when it can be reached; empty for nothing.
	Pending string `json:"pending,omitempty"`
}

func (s *Step) busy() bool { return s.State == Applying || s.State == Returning }

func (s *Step) failed() bool { return s.State == Refused || s.State == Unknown }

// changed reports whether the host has, or may have, the revision of this rollout.
func (s *Step) changed() bool {
	return s.State == Applied || s.State == Unknown || s.State == Waiting && s.Touched && s.Had != ""
}

// doubtful reports whether the file of the host says nothing about what runs.
func (s *Step) doubtful() bool { return s.Touched || s.State == Unknown || s.State == Lost }

func (s Step) ended(state StepState, err error) Step {
	s.State, s.Error = state, err.Error()
	return s
}

func (s Step) lost(why string) Step {
	if s.Error != "" {
		why = s.Error + "; " + why
	}
	s.State, s.Error = Lost, why
	return s
}

// resumed is the step as the next run takes it up: what was under way is done again.
func (s Step) resumed() Step {
	switch s.State {
	case Applying:
		s.State, s.Touched = Waiting, true
	case Returning:
		s.State, s.Touched = Unknown, true
	}
	return s
}

// Moment is what a rollout is decided from: the record, and what only the process knows.
type Moment struct {
	Rollout Rollout
	// Steps is parallel to Rollout.Hosts.
	Steps []Step
	Now   time.Time
	// Stop is why an operator has stopped it; empty otherwise.
	Stop string
	// Worse is what the gate has found worse; empty for nothing.
	Worse string
	// Settled is when the last host of the wave was ready, for the pause.
	Settled time.Time
	// Seen is when all hosts of the wave last answered the gate.
	Seen time.Time
	// End is when the rollout must be over, the way back included.
	End time.Time

	limits limits
}

// Decision is what to do next. Everything in it may be done at once.
type Decision struct {
	// Apply and Return are indices of steps to work on, GiveUp those of hosts for whose
	// way back there is no time left.
	Apply, Return, GiveUp []int
	// Phase is the phase from now on, Reason why, when it is Reverting.
	Phase  Phase
	Reason string
	// Wave is the wave from now on.
	Wave int
	// Watch means that the pause after a wave runs: the gate is to be asked. The next
	// decision is taken no later than Until.
	Watch bool
	Until time.Time
}

// Next decides what a rollout does next. It is pure, so that a rollout goes on after a crash
// where the record says it was. Steps that are Applying or Returning are being worked on.
func Next(m Moment) Decision {
	d := Decision{Phase: m.Rollout.Phase, Reason: m.Rollout.Reason, Wave: m.Rollout.Wave}
	if d.Phase == Running {
		if reason := m.trouble(); reason != "" {
			d.Phase, d.Reason = Reverting, reason
		}
	}
	switch d.Phase {
	case Running:
		m.forward(&d)
	case Reverting:
		m.back(&d)
	}
	return d
}

func (m Moment) trouble() string {
	if m.Stop != "" {
		return m.Stop
	}
	failed, first := 0, -1
	for i := range m.Steps {
		if m.Steps[i].failed() {
			failed++
			if first < 0 || m.Steps[i].Ended.Before(m.Steps[first].Ended) {
				first = i
			}
		}
	}
	switch {
	case failed > 1:
		return fmt.Sprintf("%s: %s (and %d more hosts failed)", m.Steps[first].Host, m.Steps[first].Error, failed-1)
	case failed > 0:
		return m.Steps[first].Host + ": " + m.Steps[first].Error
	case m.Worse != "":
		return m.Worse
	case !m.Now.Before(m.turnBack()):
		return fmt.Sprintf("not done in time: a rollout has %s, of which going back takes its part", m.limits.rollout)
	}
	return ""
}

// turnBack is the latest moment at which there is time for the way back.
func (m Moment) turnBack() time.Time {
	changed := m.count(func(s *Step) bool { return s.changed() || s.busy() })
	turns := (changed + m.limits.concurrency - 1) / m.limits.concurrency
	// A host mostly takes far less than it may. More than half of the time is never kept,
	// or a small deadline would end every rollout.
	reserve := min(time.Duration(turns)*m.limits.host, m.limits.rollout/2)
	return m.End.Add(-reserve)
}

func (m Moment) count(so func(*Step) bool) (n int) {
	for i := range m.Steps {
		if so(&m.Steps[i]) {
			n++
		}
	}
	return n
}

func (m Moment) size(wave int) int {
	s, all := m.Rollout.Settings, len(m.Steps)
	if wave == 0 && s.Canary > 0 {
		return min(s.Canary, all)
	}
	return s.Wave.of(all)
}

// forward goes on with the wave, the pause after it, or the next. Hosts that have the
// revision already, or are absent, do not count: a canary is a host that was changed.
func (m Moment) forward(d *Decision) {
	s := m.Rollout.Settings
	busy, members, waiting := 0, 0, 0
	for i := range m.Steps {
		switch step := &m.Steps[i]; {
		case step.State == Waiting:
			waiting++
		case step.busy():
			busy++
			members++
		case step.Wave == d.Wave && step.State != Already && step.State != Absent:
			members++
		}
	}
	size := m.size(d.Wave)
	for i := range m.Steps {
		if members >= size || busy >= m.limits.concurrency {
			break
		}
		if m.Steps[i].State == Waiting {
			d.Apply = append(d.Apply, i)
			members, busy, waiting = members+1, busy+1, waiting-1
		}
	}
	if busy > 0 {
		d.Until = m.turnBack()
		return
	}
	if members > 0 {
		// Also after the last wave, as a revision is only out when it was seen to work; and
		// the last look is at the end of the pause, however slow the machine.
		if end := m.Settled.Add(s.Pause); m.Seen.Before(end) {
			if !m.Now.Before(end) {
				end = m.Now.Add(gateEvery)
			}
			d.Watch, d.Until = true, slices.MinFunc([]time.Time{end, m.turnBack()}, time.Time.Compare)
			return
		}
	}
	if waiting > 0 {
		d.Wave++
		m.forward(d)
		return
	}
	m.end(d)
}

func (m Moment) end(d *Decision) {
	d.Phase, d.Reason = Reverted, "no host could be reached; "+m.Steps[0].Host+": "+m.Steps[0].Error
	if slices.ContainsFunc(m.Steps, func(s Step) bool { return s.State == Applied || s.State == Already }) {
		d.Phase, d.Reason = Done, ""
	}
}

// back restores what the hosts had. Those still being changed are waited for.
func (m Moment) back(d *Decision) {
	busy := m.count((*Step).busy)
	for i := range m.Steps {
		switch {
		case !m.Steps[i].changed():
		case !m.Now.Before(m.End):
			d.GiveUp = append(d.GiveUp, i)
		case busy < m.limits.concurrency:
			d.Return = append(d.Return, i)
			busy++
		}
	}
	if busy == 0 && len(d.GiveUp) == 0 {
		d.Phase = Reverted
	}
	d.Until = m.End
}
