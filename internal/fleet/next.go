package fleet

import (
	"fmt"
	"slices"
	"time"
)

// Moment is what a rollout is decided from: the record, and what only the
// running process knows.
type Moment struct {
	Rollout Rollout
	// Steps is parallel to Rollout.Hosts.
	Steps []Step
	Now   time.Time
	// Stop is why an operator has stopped it; empty otherwise.
	Stop string
	// Worse is what the gate has against the hosts that have the new revision;
	// empty for nothing.
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
	// Apply and Return are indices of steps to work on, GiveUp those of hosts for
	// whose way back there is no time left.
	Apply, Return, GiveUp []int
	// Phase is the phase from now on, Reason why, when it is Reverting.
	Phase  Phase
	Reason string
	// Wave is the wave from now on.
	Wave int
	// Watch means that the pause after a wave runs: the gate is to be asked,
	// and the decision taken again no later than Until.
	Watch bool
	Until time.Time
}

// Next decides what a rollout does next. It is a pure function: the same moment
// gives the same decision, so that a rollout goes on after a crash where the
// record says it was. Steps that are Applying or Returning count as being worked
// on; see Step.resumed for those that are not worked on any more.
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

// trouble is why the rollout must not go on.
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

// turnBack is the latest moment at which there is still time to go back: the
// hosts that were changed take their turns once more.
func (m Moment) turnBack() time.Time {
	changed := 0
	for i := range m.Steps {
		if m.Steps[i].changed() || m.Steps[i].busy() {
			changed++
		}
	}
	turns := (changed + m.limits.concurrency - 1) / m.limits.concurrency
	// A host mostly takes far less than it may. Never is more than half of the
	// time kept for the way back, or a small deadline would end every rollout.
	reserve := min(time.Duration(turns)*m.limits.host, m.limits.rollout/2)
	return m.End.Add(-reserve)
}

// size is how many hosts a wave has.
func (m Moment) size(wave int) int {
	s, all := m.Rollout.Settings, len(m.Steps)
	if wave == 0 && s.Canary > 0 {
		return min(s.Canary, all)
	}
	return s.Wave.of(all)
}

// forward goes on with the wave, or with the pause after it, or with the next.
// Hosts that have the revision already, or cannot be reached, do not count for a
// wave: others take their place, so that a canary is always a host that was
// changed.
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
		// The pause is also for the last wave: a revision is only out when it
		// was seen to work. So the last look is at the end of the pause, however
		// short that is and however slow the machine.
		if end := m.Settled.Add(s.Pause); m.Seen.Before(end) {
			if !m.Now.Before(end) {
				end = m.Now.Add(gateEvery)
			}
			d.Watch, d.Until = true, earlier(end, m.turnBack())
			return
		}
	}
	if waiting > 0 {
		d.Wave++
		next := m
		next.Rollout.Wave = d.Wave
		next.forward(d)
		return
	}
	m.end(d)
}

// end closes a rollout that has come to every host, none of which has failed. It is
// done when one of them has the revision.
func (m Moment) end(d *Decision) {
	d.Phase, d.Reason = Reverted, "no host could be reached; "+m.Steps[0].Host+": "+m.Steps[0].Error
	if slices.ContainsFunc(m.Steps, func(s Step) bool { return s.State == Applied || s.State == Already }) {
		d.Phase, d.Reason = Done, ""
	}
}

// back gives the hosts back what they had. Hosts that are still being changed
// are waited for: each host is worked on by one hand at a time.
func (m Moment) back(d *Decision) {
	busy := 0
	for i := range m.Steps {
		if m.Steps[i].busy() {
			busy++
		}
	}
	waiting := 0
	for i := range m.Steps {
		if !m.Steps[i].changed() {
			continue
		}
		if !m.Now.Before(m.End) {
			d.GiveUp = append(d.GiveUp, i)
			continue
		}
		if busy >= m.limits.concurrency {
			waiting++
			continue
		}
		d.Return = append(d.Return, i)
		busy++
	}
	if busy == 0 && waiting == 0 && len(d.GiveUp) == 0 {
		d.Phase = Reverted
	}
	d.Until = m.End
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
