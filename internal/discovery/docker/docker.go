// Package docker is the source that sees the containers of one Docker Engine.
//
// It subscribes to the engine's events before it lists; then it inspects what events touch,
// and lists everything every 30 seconds and whenever something does not add up. A container
// that gets a signal to stop counts as leaving from the event alone.
//
// A container belongs to the service that its label fairway.service names, together with
// those of its owner, the Compose project or stack, on every engine; which owner's service has
// the name as its ID is decided by the collector, who sees them all. Without that label it
// belongs to that of Compose, "<project>-<service>@<source>"; else it is one of its own,
// "<container name>@<source>", as are one-off containers of Compose. Tasks of a Swarm are
// another source's.
package docker

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"regexp"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/clock"
	"fairway/internal/discovery/daemon"
	"fairway/internal/discovery/poll"
	"fairway/internal/dockerapi"
)

const (
	relistEvery = 30 * time.Second
	relistFirst = time.Second            // after the first list, since a stream begins a moment late
	relistSoon  = 500 * time.Millisecond // between two lists at least

	// With these an answer is current within two seconds after the engine is back.
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
	Name   string            // of the source
	Client *dockerapi.Client // reaches the engine
	// SelfID is the ID of the container Fairway runs in; empty outside any container.
	SelfID string
	// Label, "key" or "key=value", is what containers have that count; empty for all.
	Label string
	// Variables has variables of containers, SERVICE_ and what follows, count as labels that
	// the container does not have.
	Variables bool
	// Environment is to be known of every container that runs before it is in an answer; else
	// what a dialect reads of it follows.
	Environment bool
	Logger      *slog.Logger
}

// Source sees the containers of one engine.
type Source struct {
	o     Options
	world *world // what is known; outlives a connection
}

// New returns a source that does nothing until Run.
func New(o Options) (*Source, error) {
	if o.Name == "" || o.Client == nil {
		return nil, errors.New("docker source: name and client are required")
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	o.Logger = o.Logger.With("source", o.Name)
	w := newWorld(o.Name, o.Client.Host(), o.SelfID)
	w.label, w.variables, w.environment = o.Label, o.Variables, o.Environment
	return &Source{o: o, world: w}, nil
}

// Name returns the source's name.
func (s *Source) Name() string { return s.o.Name }

// Run follows the engine until ctx ends. A broken connection is a failed answer, and while
// the engine stays away each new reason is another.
func (s *Source) Run(ctx context.Context, out chan<- catalog.Answer) {
	backoff := backoffFirst
	reported := ""
	for ctx.Err() == nil {
		synced, err := s.session(ctx, out)
		s.o.Client.Reset()
		if ctx.Err() != nil {
			return
		}
		if synced {
			backoff, reported = backoffFirst, ""
		}
		if err.Error() != reported {
			reported = err.Error()
			s.o.Logger.Debug("connection to engine broke", "error", err)
			poll.Send(ctx, out, catalog.Answer{Err: err})
		}
		_ = clock.Sleep(ctx, poll.Jitter(backoff))
		backoff = min(2*backoff, backoffMost)
	}
}

// session lives as long as one event stream. It returns whether it answered, and why it ended.
func (s *Source) session(ctx context.Context, out chan<- catalog.Answer) (synced bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{Source: s, out: out, results: make(chan func()), inflight: make(map[string]bool)}
	defer f.jobs.Wait() // after cancel
	defer cancel()

	deadline := connectDeadline
	if strings.HasPrefix(s.o.Client.URL(), "ssh:") {
		deadline = connectDeadlineSSH
	}
	if err := daemon.Ping(ctx, s.o.Client, deadline); err != nil {
		return false, err
	}
	stream, err := s.o.Client.Events(ctx, time.Time{}, eventFilters())
	if err != nil {
		return false, err
	}
	s.world.doubtAll()
	silent := make(chan error, 1)
	f.jobs.Go(func() { silent <- daemon.Watch(ctx, s.o.Client) })
	err = f.follow(ctx, stream, silent)
	return f.answered, err
}

// eventFilters leaves out what nothing depends on, above all the execs of health checks.
func eventFilters() map[string][]string {
	return map[string][]string{
		"type": {"container", "network"},
		"event": {
			"create", "start", "restart", "kill", "stop", "die", "oom", "pause", "unpause",
			"health_status", "rename", "update", "destroy", "connect", "disconnect",
		},
	}
}

// The traces of a container: what Docker mounts over files of its processes, out of a
// directory of the container (field 4 and 5 of a line of proc(5) mountinfo), and the end
// of the path of its control group, "/docker/<id>" or "…/docker-<id>.scope".
var (
	mountTrace = regexp.MustCompile(`/containers/([0-9a-f]{64})/[^/ ]* /etc/(hostname|hosts|resolv\.conf) `)
	groupTrace = regexp.MustCompile(`(?m):/(?:.*/)?(?:docker-)?([0-9a-f]{64})(?:\.scope)?\s*$`)
	nameTrace  = regexp.MustCompile(`^\s*([0-9a-f]{12})\s*$`)
)

// SelfID returns the ID of the container that this process runs in, or "" when it runs in none
// or the traces do not say. root is the file system that the process sees. Where only a host
// name says it, beside Docker's mark /.dockerenv, it is a prefix of the ID.
func SelfID(root fs.FS) string {
	for _, trace := range []struct {
		file string
		text *regexp.Regexp
	}{{"proc/self/mountinfo", mountTrace}, {"proc/self/cgroup", groupTrace}, {"etc/hostname", nameTrace}} {
		if _, err := fs.Stat(root, ".dockerenv"); err != nil && trace.text == nameTrace {
			continue
		}
		text, _ := fs.ReadFile(root, trace.file) // one that cannot be read says nothing
		if m := trace.text.FindSubmatch(text); m != nil {
			return string(m[1])
		}
	}
	return ""
}

func isFullID(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }
