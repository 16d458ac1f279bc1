// Package swarm is the source that sees the services, tasks and nodes of a
// Docker Swarm.
//
// Tasks have no events, so they are listed: every second while anything converges and every
// ten seconds while all is quiet. An answer that equals the one before, byte for byte, is not
// decoded. Services and networks are listed after their events and every 30 seconds. Events of
// services and nodes come from the managers, those of containers from every engine of the
// source; a task whose container gets a signal to stop counts as leaving at once.
//
// Lists are asked of one manager at a time. When it does not answer within three
// seconds, is no manager or has no leader, the next one is asked; the source has
// failed when none answers.
//
// A task is ready when it is meant to run, does run, and its node is not dead: the tasks of
// a dead node go on saying that they run. A node that is "unknown" or "disconnected", as every
// node is for some seconds after an election, is not taken for dead, unless it is a manager
// that the leader does not reach. With short heartbeats a new leader gives every node up, its
// own included; until that one is back, "down" is no more than "unknown".
//
// A service has the ID "<name>@<source>", the labels of Docker's service, and as instances the
// tasks that are meant to run, or still do.
//
// A manager, or a proxy in front of its socket, is asked for nothing but
//
//	HEAD or GET /_ping
//	GET /events
//	GET /services
//	GET /tasks
//	GET /nodes
//	GET /networks
//
// and the engine that Fairway's own container runs on for
//
//	GET /containers/<that container>/json
package swarm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
)

const (
	pollFast    = time.Second      // while anything converges
	pollSlow    = 10 * time.Second // while all is quiet
	relistAfter = 20 * time.Second // then the next refresh lists everything, with or without events
	answerAfter = 15 * time.Second // then the next refresh is answered, whether it brought news or not
	patience    = 5 * time.Minute  // how long what converges is watched without seeing progress
	settled     = 5 * time.Second  // how long everything is watched after a change

	// Between two refreshes at least: the time, or so many times what the last one took.
	gapLeast  = 200 * time.Millisecond
	gapFactor = 4

	callDeadline = 3 * time.Second
	nextDelay    = 100 * time.Millisecond // before the next manager is asked
	backoffFirst = 250 * time.Millisecond // after none of them answered
	backoffMost  = 2 * time.Second
)

// Options are what New needs. Name and Clients are required.
type Options struct {
	Name string // of the source
	// Clients reach the managers of one Swarm, in order of preference, and perhaps other
	// engines: their containers are heard of sooner.
	Clients []*dockerapi.Client
	// SelfID is the ID of the container Fairway runs in; empty outside any container.
	SelfID string
	// Self reaches the engine of that container; nil means the first of Clients that is local.
	Self   *dockerapi.Client
	Logger *slog.Logger
}

// Source sees one Swarm.
type Source struct {
	o     Options
	world *world // what is known; outlives Run
}

// New returns a source that does nothing until Run.
func New(o Options) (*Source, error) {
	if o.Name == "" || len(o.Clients) == 0 {
		return nil, errors.New("swarm source: name and clients are required")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if slices.Contains(o.Clients, nil) {
		return nil, errors.New("swarm source: a client is missing")
	}
	local := slices.IndexFunc(o.Clients, func(c *dockerapi.Client) bool { return c.Host().Local })
	if o.Self == nil && local >= 0 {
		o.Self = o.Clients[local]
	}
	if o.SelfID == "" {
		o.Self = nil
	}
	o.Logger = o.Logger.With("source", o.Name)
	return &Source{o: o, world: newWorld(place{source: o.Name, onHost: local >= 0 && o.SelfID == ""})}, nil
}

// Name returns the source's name.
func (s *Source) Name() string { return s.o.Name }

// Run follows the Swarm until ctx ends. Each new reason why no manager answers is an answer.
func (s *Source) Run(ctx context.Context, out chan<- catalog.Answer) {
	ctx, cancel := context.WithCancel(ctx)
	var jobs sync.WaitGroup
	defer jobs.Wait() // after cancel
	defer cancel()
	f := &follower{
		Source:  s,
		out:     out,
		notices: make(chan notice, 64),
		results: make(chan result),
		reader:  &reader{self: s.o.Self, selfID: s.o.SelfID},
		open:    make([]bool, len(s.o.Clients)),
		faults:  make([]error, len(s.o.Clients)),
		backoff: backoffFirst,
		due:     true,
		dirty:   everything(),
		jobs:    &jobs,
	}
	for i, c := range s.o.Clients {
		jobs.Go(func() { listen(ctx, i, c, f.notices) })
	}
	f.follow(ctx)
}

// fault makes the error of a round in which no manager answered.
func (f *follower) fault() error {
	if len(f.faults) == 1 {
		return fmt.Errorf("swarm: %w", f.faults[0])
	}
	var lines []string
	for i, err := range f.faults {
		if err != nil {
			lines = append(lines, f.o.Clients[i].URL()+": "+err.Error())
		}
	}
	return fmt.Errorf("swarm: no manager answers: %s", strings.Join(lines, "; "))
}
