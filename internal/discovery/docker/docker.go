// Package docker is the source that sees the containers of one Docker Engine.
//
// It subscribes to the engine's events first and lists second, so that nothing
// falls in between; after that it follows the events, reads again what they
// touch, and lists everything every 30 seconds and whenever something does not
// add up. Docker's event stream has no heartbeat: a ping on a connection of its
// own, every five seconds, notices an engine that has gone silent.
//
// A container that gets a signal to stop counts as leaving at once, from the event
// alone, while it still runs and finishes what it has.
//
// Containers become services like this: by the label fairway.service, whose
// value is the service's whole ID, so that copies on several engines are one
// service; else by Compose's project and service, as "<project>-<service>@<source>";
// else each container is a service of its own, "<container name>@<source>". A
// one-off container of Compose (`docker compose run`) is on its own, too.
// Containers that belong to a Swarm service, by the label
// com.docker.swarm.service.id, are left out: the tasks of a Swarm are another
// source's business.
package docker

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/discovery/daemon"
	"fairway/internal/discovery/poll"
	"fairway/internal/dockerapi"
)

// The rhythm of the source.
const (
	relistEvery = 30 * time.Second
	relistFirst = time.Second            // after the first list, since a stream begins a moment late
	relistSoon  = 500 * time.Millisecond // between two lists at least

	// A broken connection is tried again so often that the answer is current
	// within two seconds after the engine is back.
	connectDeadline    = 2 * time.Second
	connectDeadlineSSH = 10 * time.Second
	backoffFirst       = 100 * time.Millisecond
	backoffMost        = time.Second

	inspectDeadline = 5 * time.Second
	unreadableAgain = 5 * time.Second // until the list after a failed inspection
	inspectAtOnce   = 8               // inspections under way
)

// Options are what New needs. Name and Client are required.
type Options struct {
	// Name is the source's name.
	Name string
	// Client reaches the engine.
	Client *dockerapi.Client
	// SelfID is the ID of the container Fairway runs in, as SelfID finds it;
	// empty when it runs outside any container.
	SelfID string
	Logger *slog.Logger
}

// Source sees the containers of one engine.
type Source struct {
	name   string
	client *dockerapi.Client
	log    *slog.Logger
	world  *world // what is known; outlives a connection
}

// New returns a source that does nothing until Run.
func New(o Options) (*Source, error) {
	if o.Name == "" || o.Client == nil {
		return nil, errors.New("docker source: name and client are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Source{
		name:   o.Name,
		client: o.Client,
		log:    o.Logger.With("source", o.Name),
		world:  newWorld(o.Name, o.Client.Host(), o.SelfID),
	}, nil
}

// Name returns the source's name.
func (s *Source) Name() string { return s.name }

// Run follows the engine until ctx ends. It connects again for ever: each broken
// connection is one failed answer, and while the engine stays away each new
// reason is another.
func (s *Source) Run(ctx context.Context, out chan<- catalog.Answer) {
	backoff := backoffFirst
	reported := ""
	for ctx.Err() == nil {
		synced, err := s.session(ctx, out)
		s.client.Reset()
		if ctx.Err() != nil {
			return
		}
		if synced {
			backoff, reported = backoffFirst, ""
		}
		if err.Error() != reported {
			reported = err.Error()
			s.log.Debug("connection to engine broke", "error", err)
			select {
			case out <- catalog.Answer{Err: err}:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-time.After(poll.Jitter(backoff)):
		case <-ctx.Done():
			return
		}
		backoff = min(2*backoff, backoffMost)
	}
}

// session lives as long as one event stream. It returns whether it ever got as
// far as an answer, and why it ended.
func (s *Source) session(ctx context.Context, out chan<- catalog.Answer) (synced bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{Source: s, out: out, results: make(chan func()), inflight: make(map[string]bool)}
	defer f.jobs.Wait() // after cancel
	defer cancel()

	deadline := connectDeadline
	if strings.HasPrefix(s.client.URL(), "ssh:") {
		deadline = connectDeadlineSSH
	}
	if err := daemon.Ping(ctx, s.client, deadline); err != nil {
		return false, err
	}
	stream, err := s.client.Events(ctx, time.Time{}, eventFilters())
	if err != nil {
		return false, err
	}
	s.world.doubtAll()
	silent := make(chan error, 1)
	f.jobs.Go(func() { silent <- daemon.Watch(ctx, s.client) })
	err = f.follow(ctx, stream, silent)
	return f.answered, err
}

// eventFilters leaves the events out that nothing here depends on, above all
// the exec events that every run of a health check makes.
func eventFilters() map[string][]string {
	return map[string][]string{
		"type": {"container", "network"},
		"event": {
			"create", "start", "restart", "kill", "stop", "die", "oom", "pause", "unpause",
			"health_status", "rename", "update", "destroy", "connect", "disconnect",
		},
	}
}
