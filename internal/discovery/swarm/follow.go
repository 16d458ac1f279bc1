package swarm

import (
	"context"
	"strings"
	"sync"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/discovery/daemon"
	"fairway/internal/discovery/poll"
	"fairway/internal/dockerapi"
)

// follower is the loop of one Run. It never waits for an engine: refreshes run beside it.
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

type result struct {
	facts facts
	want  kinds
	err   error
}

func (f *follower) follow(ctx context.Context) {
	f.changed = time.Now()
	f.world.known = false // until it has been asked in this Run
	for {
		var timer <-chan time.Time
		if !f.reading {
			timer = time.After(time.Until(f.next))
		}
		select {
		case <-ctx.Done():
			return
		case n := <-f.notices:
			f.notice(n)
			f.answer(ctx)
		case r := <-f.results:
			f.reading = false
			if r.err != nil {
				f.fail(ctx, r)
			} else {
				f.take(r)
				f.answer(ctx)
			}
		case <-timer:
			f.refresh(ctx)
		}
	}
}

func (f *follower) refresh(ctx context.Context) {
	f.reading, f.began = true, time.Now()
	if f.failed%len(f.o.Clients) == 0 {
		f.round = f.began
	}
	want := f.dirty
	if f.began.Sub(f.full) >= relistAfter || f.confirming() {
		want = everything()
	}
	f.dirty = kinds{}
	client, before := f.o.Clients[f.at], f.world.facts
	f.jobs.Go(func() {
		r := result{want: want}
		r.facts, r.err = f.reader.read(ctx, client, before, want)
		poll.Send(ctx, f.results, r)
	})
}

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
		f.o.Logger.Debug("manager answers", "manager", f.o.Clients[f.at].URL())
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
	if !f.vanished.IsZero() {
		f.sooner(f.vanished.Add(daemon.ConfirmAfter))
	}
	if f.dirty != (kinds{}) {
		f.hurry(now)
	}
}

// confirming reports whether the newest refresh confirms that what vanished is gone.
func (f *follower) confirming() bool {
	return !f.vanished.IsZero() && f.began.Sub(f.vanished) >= daemon.ConfirmAfter
}

// gap is the distance between the beginnings of two refreshes at least.
func (f *follower) gap() time.Duration { return min(max(gapLeast, gapFactor*f.took), pollSlow) }

// sooner plans the next refresh for at, unless it is planned sooner or no manager answers.
func (f *follower) sooner(at time.Time) {
	if f.failed == 0 && at.Before(f.next) {
		f.next = at
	}
}

// hurry plans the next refresh as soon as the distance to the last one allows.
func (f *follower) hurry(now time.Time) {
	f.sooner(now.Add(max(0, f.began.Add(f.gap()).Sub(now))))
}

// fail takes a refresh that failed: the next manager is asked soon; none is the answer.
func (f *follower) fail(ctx context.Context, r result) {
	if ctx.Err() != nil {
		return
	}
	f.dirty = everything()
	f.faults[f.at] = r.err
	f.o.Clients[f.at].Reset()
	f.o.Logger.Debug("manager does not answer", "manager", f.o.Clients[f.at].URL(), "error", r.err)
	f.at = (f.at + 1) % len(f.o.Clients)
	f.failed++
	f.next = time.Now().Add(nextDelay)
	if f.failed%len(f.o.Clients) != 0 {
		return
	}
	// From the beginning of the round: silent managers have made a pause already.
	if at := f.round.Add(poll.Jitter(f.backoff)); at.After(f.next) {
		f.next = at
	}
	f.backoff = min(2*f.backoff, backoffMost)
	err := f.fault()
	clear(f.faults)
	if err.Error() == f.reported {
		return
	}
	f.reported = err.Error()
	poll.Send(ctx, f.out, catalog.Answer{Err: err})
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
		if f.o.SelfID == "" || !strings.HasPrefix(e.Attributes["container"], f.o.SelfID) {
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

// answer sends what is due or new, after the first refresh and unless the source has failed.
func (f *follower) answer(ctx context.Context) {
	if !f.world.known || f.reported != "" {
		return
	}
	if f.world.build(); !f.world.fresh && !f.due {
		return
	}
	services, nodes, vanished := f.world.answer()
	f.due, f.answered = false, time.Now()
	if vanished {
		f.vanished = f.answered
		f.sooner(f.vanished.Add(daemon.ConfirmAfter))
	}
	poll.Send(ctx, f.out, catalog.Answer{Services: services, Nodes: nodes})
}

const (
	provenAfter = 250 * time.Millisecond // a stream that ends before was refused
	listenFirst = time.Second
	listenMost  = 10 * time.Second
)

// notice is an event of one of the engines, or the state of its stream.
type notice struct {
	from int // index of the client
	// stream means that the event stream was opened or ended, as open says.
	stream, open bool
	event        dockerapi.Event
}

// listen keeps the event stream of one engine open until ctx ends.
func listen(ctx context.Context, from int, client *dockerapi.Client, notices chan<- notice) {
	for backoff := listenFirst; ctx.Err() == nil; backoff = min(2*backoff, listenMost) {
		if hear(ctx, from, client, notices) {
			backoff = listenFirst
		}
		_ = clock.Sleep(ctx, poll.Jitter(backoff))
	}
}

// hear lives as long as one stream, and returns whether there was one.
func hear(outer context.Context, from int, client *dockerapi.Client, notices chan<- notice) (open bool) {
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	stream, err := client.Events(ctx, time.Time{}, eventFilters())
	if err != nil {
		return false
	}
	silent := make(chan struct{})
	go func() {
		defer close(silent)
		_ = daemon.Watch(ctx, client)
	}()
	defer func() {
		cancel()
		<-silent
		for range stream.C { // its goroutine ends with ctx
		}
		if open {
			poll.Send(outer, notices, notice{from: from, stream: true})
		}
	}()
	proven := time.After(provenAfter)
	for {
		select {
		case e, ok := <-stream.C:
			if !ok || !poll.Send(ctx, notices, notice{from: from, event: e}) {
				return open
			}
		case <-proven:
			if open = poll.Send(ctx, notices, notice{from: from, stream: true, open: true}); !open {
				return false
			}
		case <-silent:
			return open
		}
	}
}

// eventFilters leaves out what nothing depends on, above all the execs of health checks.
func eventFilters() map[string][]string {
	return map[string][]string{
		"type": {"service", "node", "network", "container"},
		"event": {
			"create", "update", "remove", "start", "kill", "die", "health_status", "connect", "disconnect",
		},
	}
}
