package docker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/discovery/daemon"
	"fairway/internal/discovery/poll"
	"fairway/internal/dockerapi"
)

// follower is the loop of one session. Calls run beside it and hand their results back.
type follower struct {
	*Source
	out      chan<- catalog.Answer
	jobs     sync.WaitGroup
	results  chan func()     // what to do with the result of a call, run by the loop
	inflight map[string]bool // containers being inspected
	listing  bool

	failed    error     // of a list: ends the session
	answered  bool      // in this session
	listed    int       // lists applied in this session
	relistAt  time.Time // when to list next
	listBegan time.Time
	vanished  time.Time // when an answer last lacked a service without an event; zero when confirmed
	due       bool      // an answer is due even if it says nothing new
}

// follow runs until the stream ends, the engine goes silent, or a list fails.
func (f *follower) follow(ctx context.Context, stream *dockerapi.Stream, silent <-chan error) error {
	for {
		f.startJobs(ctx)
		var admit <-chan time.Time // none while every container may get requests
		if at := f.world.nextAdmitted(); !at.IsZero() {
			admit = time.After(time.Until(at))
		}
		f.answer(ctx)
		var timer <-chan time.Time // none while a list is under way
		if !f.listing {
			timer = time.After(time.Until(f.relistAt))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-silent:
			return err
		case e, open := <-stream.C:
			if !open {
				return stream.Err()
			}
			if f.world.stopsBefore(e) {
				f.answer(ctx) // while its absence waits for confirmation, it must not look alive
			}
			if f.world.event(e, time.Now()) {
				f.relist(0) // it is about something unknown
			}
		case apply := <-f.results:
			if apply(); f.failed != nil {
				return f.failed
			}
		case <-timer:
			f.relistAt = time.Now()
		case <-admit:
		}
	}
}

// relist asks for a list after d at the latest; lists keep a distance.
func (f *follower) relist(d time.Duration) {
	at := time.Now().Add(max(d, time.Until(f.listBegan.Add(relistSoon))))
	if at.Before(f.relistAt) {
		f.relistAt = at
	}
}

func (f *follower) startJobs(ctx context.Context) {
	if !f.listing && !time.Now().Before(f.relistAt) {
		f.startList(ctx)
	}
	for len(f.inflight) < inspectAtOnce {
		id, ok := f.world.nextDoubt(f.inflight, f.listed > 0)
		if !ok {
			return
		}
		f.startInspect(ctx, id)
	}
}

// job runs call beside the loop; what it returns is run by the loop.
func (f *follower) job(ctx context.Context, call func() func()) {
	f.jobs.Go(func() {
		poll.Send(ctx, f.results, call())
	})
}

// startList lists networks and containers and, once in a session, asks about the machine.
func (f *follower) startList(ctx context.Context) {
	f.listing = true
	f.listBegan = time.Now()
	f.relistAt = f.listBegan.Add(poll.Jitter(relistEvery))
	mark := f.world.mark(f.listBegan)
	first, known := f.listed == 0, f.world.known()
	f.job(ctx, func() func() {
		l, err := list(ctx, f.o.Client, first, known)
		return func() {
			f.listing = false
			if err != nil {
				f.failed = err
				return
			}
			f.world.list(l, mark)
			f.listed++
			f.due = true
			if f.listed == 1 {
				f.relist(relistFirst)
			}
			if !f.vanished.IsZero() {
				f.confirm()
			}
		}
	})
}

// confirm plans the list that confirms that what vanished is gone.
func (f *follower) confirm() {
	if wait := time.Until(f.vanished.Add(daemon.ConfirmAfter)); wait > 0 {
		f.relist(wait)
	} else {
		f.vanished = time.Time{}
	}
}

type listing struct {
	info       *dockerapi.Info // nil when it was not asked for
	networks   []dockerapi.Network
	containers []*dockerapi.Container // never written
}

// list asks for everything. known are the containers as they are known, by ID: what says
// nothing new of one is the same pointer.
func list(ctx context.Context, c *dockerapi.Client, info bool, known map[string]*dockerapi.Container) (l listing, err error) {
	defer daemon.Recover(&err)
	if info {
		i, err := c.Info(ctx)
		if err != nil {
			return l, err
		}
		l.info = &i
	}
	if l.networks, err = c.NetworkList(ctx); err != nil {
		return l, err
	}
	l.containers, err = dockerapi.Containers(ctx, c, true, newIntake(known).container)
	return l, err
}

// startInspect reads one container. One that cannot be read is left as the list has it until
// the next list, which comes soon.
func (f *follower) startInspect(ctx context.Context, id string) {
	f.inflight[id] = true
	mark := f.world.mark(time.Now())
	f.job(ctx, func() func() {
		c, err := inspect(ctx, f.o.Client, id)
		return func() {
			delete(f.inflight, id)
			switch {
			case dockerapi.IsNotFound(err):
				f.world.missing(id, mark)
			case err != nil:
				f.o.Logger.Debug("inspection failed", "container", id, "error", err)
				f.world.unreadable(id, mark)
				f.relist(unreadableAgain)
			case f.world.inspected(c, mark):
				f.relist(0) // it is on a network that is not known yet
			}
		}
	})
}

func inspect(ctx context.Context, c *dockerapi.Client, id string) (container dockerapi.Container, err error) {
	defer daemon.Recover(&err)
	ctx, cancel := context.WithTimeout(ctx, inspectDeadline)
	defer cancel()
	if container, err = c.ContainerInspect(ctx, id); err == nil && container.ID != id {
		err = fmt.Errorf("docker inspect: asked for %s, got %s", id, container.ID)
	}
	return container, err
}

// answer sends what is due or new, after a session's first list and urgent inspections.
func (f *follower) answer(ctx context.Context) {
	if f.listed == 0 || !f.answered && len(f.world.urgent) > 0 {
		return
	}
	if changed := f.world.changed(len(f.inflight) == 0); !changed && !f.due {
		return
	}
	services, doubtful := f.world.services()
	// What was missed without a connection, or before this run, is doubtful, too.
	doubtful = doubtful || !f.answered
	if doubtful {
		f.vanished = time.Now()
	}
	poll.Send(ctx, f.out, catalog.Answer{Services: services, Nodes: slices.Clone(f.world.nodes), Certain: f.vanished.IsZero()})
	f.answered, f.due = true, false
	if doubtful {
		f.confirm()
	}
}
