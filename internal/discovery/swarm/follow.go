package swarm

import (
	"context"
	"strings"
	"sync"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/discovery/daemon"
	"fairway/internal/discovery/poll"
)

// follower is the loop of one Run. The loop itself never waits for an engine:
// refreshes run beside it, so that an event is acted upon at once even while a
// manager is silent.
type follower struct {
	*Source
	out     chan<- catalog.Answer
	jobs    *sync.WaitGroup
	notices chan notice
	results chan result
	reader  *reader

	at       int     // index of the client that is asked
	open     []bool  // whose event streams are open
	faults   []error // why each client did not answer, in this round
	failed   int     // calls on end that failed
	backoff  time.Duration
	reported string // the error last answered; empty when there is none

	reading  bool // a refresh is under way
	dirty    kinds
	next     time.Time // when to refresh
	began    time.Time // when the last refresh began
	round    time.Time // when the first of the clients was asked, in this round
	took     time.Duration
	full     time.Time // when everything was last listed
	changed  time.Time // when anything last changed
	answered time.Time
	vanished time.Time // when an answer last lacked a service; zero when confirmed
	due      bool      // an answer is due even if it says nothing new
}

// result is what a refresh brought.
type result struct {
	facts facts
	want  kinds
	err   error
}

// follow runs until ctx ends.
func (f *follower) follow(ctx context.Context) {
	f.changed = time.Now()
	f.world.known = false // until it has been asked in this Run
	for {
		var timer <-chan time.Time
		if !f.reading {
			timer = time.After(time.Until(f.next))
		}
		sent := true
		select {
		case <-ctx.Done():
			return
		case n := <-f.notices:
			f.notice(n)
			sent = f.answer(ctx)
		case r := <-f.results:
			f.reading = false
			if r.err != nil {
				sent = f.fail(ctx, r)
			} else {
				f.take(r)
				sent = f.answer(ctx)
			}
		case <-timer:
			f.refresh(ctx)
		}
		if !sent {
			return
		}
	}
}

// refresh starts a refresh.
func (f *follower) refresh(ctx context.Context) {
	f.reading, f.began = true, time.Now()
	if f.failed%len(f.clients) == 0 {
		f.round = f.began
	}
	want := f.dirty
	if f.began.Sub(f.full) >= relistAfter || f.confirming() {
		want = everything()
	}
	f.dirty = kinds{}
	client, before := f.clients[f.at], f.world.facts
	f.jobs.Go(func() {
		var r result
		r.want = want
		r.facts, r.err = f.reader.read(ctx, client, before, want)
		select {
		case f.results <- r:
		case <-ctx.Done():
		}
	})
}

// take takes the result of a refresh.
func (f *follower) take(r result) {
	now := time.Now()
	f.took = now.Sub(f.began)
	if r.want == everything() {
		f.full = f.began
	}
	if f.world.take(r.facts, now) {
		f.changed = now
	}
	if f.failed > 0 {
		f.log.Debug("manager answers", "manager", f.clients[f.at].URL())
	}
	f.failed, f.backoff = 0, backoffFirst
	clear(f.faults)
	if f.reported != "" {
		f.reported, f.due = "", true
	}
	if f.confirming() {
		f.vanished, f.due = time.Time{}, true
	}
	f.due = f.due || now.Sub(f.answered) >= answerAfter
	f.plan(now)
}

// plan decides when to refresh next.
func (f *follower) plan(now time.Time) {
	wait := poll.Jitter(pollSlow)
	quiet := now.Sub(f.changed)
	if !f.open[f.at] || quiet < settled || quiet < patience && f.world.converging() {
		wait = pollFast
	}
	f.next = f.began.Add(max(wait, f.gap()))
	f.planConfirmation()
	if f.dirty != (kinds{}) {
		f.hurry(now)
	}
}

// confirming reports whether the newest refresh began late enough to confirm that
// what vanished is gone.
func (f *follower) confirming() bool {
	return !f.vanished.IsZero() && f.began.Sub(f.vanished) >= daemon.ConfirmAfter
}

// planConfirmation plans the refresh that does.
func (f *follower) planConfirmation() {
	if at := f.vanished.Add(daemon.ConfirmAfter); !f.vanished.IsZero() && f.failed == 0 && at.Before(f.next) {
		f.next = at
	}
}

// gap is the distance between the beginnings of two refreshes at least.
func (f *follower) gap() time.Duration { return min(max(gapLeast, gapFactor*f.took), pollSlow) }

// hurry plans the next refresh for now, or as soon as the distance to the last
// one allows.
func (f *follower) hurry(now time.Time) {
	at := f.began.Add(f.gap())
	if at.Before(now) {
		at = now
	}
	if f.failed == 0 && at.Before(f.next) {
		f.next = at
	}
}

// fail takes a refresh that failed: the next manager is asked soon, and when none
// answers that is the answer.
func (f *follower) fail(ctx context.Context, r result) bool {
	if ctx.Err() != nil {
		return false
	}
	f.dirty = everything()
	f.faults[f.at] = r.err
	f.clients[f.at].Reset()
	f.log.Debug("manager does not answer", "manager", f.clients[f.at].URL(), "error", r.err)
	f.at = (f.at + 1) % len(f.clients)
	f.failed++
	f.next = time.Now().Add(nextDelay)
	if f.failed%len(f.clients) != 0 {
		return true
	}
	// From the beginning of the round: after managers that were silent until the
	// deadline there has been pause enough, and one may have been elected.
	if at := f.round.Add(poll.Jitter(f.backoff)); at.After(f.next) {
		f.next = at
	}
	f.backoff = min(2*f.backoff, backoffMost)
	err := f.fault()
	clear(f.faults)
	if err.Error() == f.reported {
		return true
	}
	f.reported = err.Error()
	return f.send(ctx, catalog.Answer{Err: err})
}

// notice acts on what an engine says.
func (f *follower) notice(n notice) {
	now := time.Now()
	e := n.event
	switch {
	case n.stream:
		f.open[n.from] = n.open
		if n.open {
			f.dirty = everything() // something may have been missed
		}
	case e.Type == "service":
		f.dirty.services = true
	case e.Type == "node":
	case e.Type == "network" && (e.Action == "connect" || e.Action == "disconnect"):
		if f.selfID == "" || !strings.HasPrefix(e.Attributes["container"], f.selfID) {
			return
		}
		f.dirty.own = true
	case e.Type == "network":
		f.dirty.networks = true
	case e.Type == "container":
		if !f.world.event(e, now) {
			return
		}
	default:
		return
	}
	if !n.stream {
		f.changed = now
	}
	f.hurry(now)
}

// answer sends what is known, if it is due or says something new, and returns
// false when ctx ended. Nothing is said before the first refresh, nor while the
// source is known to have failed.
func (f *follower) answer(ctx context.Context) bool {
	if !f.world.known || f.reported != "" {
		return true
	}
	if f.world.build(); !f.world.fresh && !f.due {
		return true
	}
	services, nodes, vanished := f.world.answer()
	f.due, f.answered = false, time.Now()
	if vanished {
		f.vanished = f.answered
		f.planConfirmation()
	}
	return f.send(ctx, catalog.Answer{Services: services, Nodes: nodes})
}

func (f *follower) send(ctx context.Context, a catalog.Answer) bool {
	select {
	case f.out <- a:
		return true
	case <-ctx.Done():
		return false
	}
}
