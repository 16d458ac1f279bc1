// Package driver works on the HAProxy of one container over the Docker API, through the
// agent or else a shell: by fixed commands with the configuration on their standard input.
package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"fairway/internal/dockerapi"
	"fairway/internal/fleet/agent/report"
)

// MaxContent is the largest configuration taken, in bytes.
const MaxContent = report.MaxContent

// Engine is what is asked of a host's Docker engine. *dockerapi.Client is one.
type Engine interface {
	ContainerList(ctx context.Context, all bool) ([]dockerapi.Container, error)
	ContainerExec(ctx context.Context, id string, e dockerapi.Exec) (dockerapi.ExecResult, error)
	ContainerSignal(ctx context.Context, id, signal string) error
	ContainerLog(ctx context.Context, id string, tail int) ([]dockerapi.LogLine, error)
}

// Observation is the state of one HAProxy at one time.
type Observation struct {
	Time time.Time
	// Content is the configuration where it was asked for, Digest its SHA-256.
	Content []byte
	Digest  string
	// Running is the digest of what the worker has read; empty where it cannot say.
	Running string
	// Transport is how the container is reached: "agent" or "shell".
	Transport string
	// Version is HAProxy's, Uptime the age of the worker that serves, and Old how many
	// finish what they have.
	Version string
	Uptime  time.Duration
	Old     int
}

// Runs reports whether HAProxy runs what is in the file, as far as that can be said.
func (o Observation) Runs() bool { return o.Running == "" || o.Running == o.Digest }

// transport is a way to work on one container. The errors are those of Driver.
type transport interface {
	observe(ctx context.Context, content bool) (Observation, error)
	check(ctx context.Context, content []byte) error
	apply(ctx context.Context, content []byte, trust bool) error
	read(ctx context.Context) (Reading, error)
}

// Driver works on one container, also concurrently, but Apply must not run twice at once.
type Driver struct {
	engine Engine
	target Target
	pages  *http.Client // for statistics pages

	mu        sync.Mutex
	container string    // the ID of the container that was asked for the agent
	chosen    transport // how to work on it; nil before the first contact
}

// New returns the driver of a target, and asks nothing; pages fetches statistics pages.
func New(engine Engine, t Target, pages *http.Client) *Driver {
	return &Driver{engine: engine, target: t, pages: pages}
}

// Observe reads the state; without content only the digest of the configuration.
func (d *Driver) Observe(ctx context.Context, content bool) (o Observation, err error) {
	t, err := d.reach(ctx)
	if err == nil {
		o, err = t.observe(ctx, content)
	}
	return o, readable(err)
}

// Check asks whether HAProxy takes a configuration, and the addresses in it are free. A
// refusal is a *RefusedError.
func (d *Driver) Check(ctx context.Context, content []byte) error {
	t, err := d.reach(ctx)
	if err == nil {
		err = t.check(ctx, content)
	}
	return readable(err)
}

// Apply puts a configuration in place, which is checked unless trusted, reloads and proves
// it, or restores what was there. The error is a *RefusedError when the container is as it
// was, an *AbsentError when nothing was done, and another when its state is not known.
func (d *Driver) Apply(ctx context.Context, content []byte, trust bool) error {
	t, err := d.reach(ctx)
	if err != nil {
		return readable(asAbsent(err))
	}
	return readable(t.apply(ctx, content, trust))
}

// Read takes a reading; ErrNoReading when there is no way to.
func (d *Driver) Read(ctx context.Context) (r Reading, err error) {
	d.mu.Lock()
	t := d.chosen
	d.mu.Unlock()
	if _, ok := t.(*shell); !ok { // the page needs no container
		t, err = d.reach(ctx)
	}
	if err == nil {
		r, err = t.read(ctx)
	}
	return r, readable(err)
}

// reach finds the container, and asks it for the agent once, or until that is set up.
func (d *Driver) reach(ctx context.Context) (transport, error) {
	id, err := find(ctx, d.engine, d.target)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	known, chosen := d.container, d.chosen
	d.mu.Unlock()
	if known == id {
		return chosen, nil
	}
	agent := &agentTransport{engine: d.engine, id: id, document: d.target.Document}
	chosen = agent
	switch err := agent.ask(ctx, nil, new(report.Status), "status"); {
	case err == nil:
	case errors.Is(err, errNoAgent), errors.Is(err, errAgentUnset):
		chosen = &shell{engine: d.engine, id: id, target: d.target, pages: d.pages}
		if errors.Is(err, errAgentUnset) {
			return chosen, nil
		}
	default:
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.container, d.chosen = id, chosen
	return chosen, nil
}

// Digest is the SHA-256 of a configuration, in hexadecimal.
func Digest(content []byte) string { return report.Digest(content) }

// ErrNoReading says that there is no way to HAProxy's statistics.
var ErrNoReading = errors.New("no way to HAProxy's statistics: put fairway into the image, or give the host a stats URL")

// AbsentError says that no container was reached, and nothing was done to one.
type AbsentError struct{ Err error }

// Error implements error.
func (e *AbsentError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *AbsentError) Unwrap() error { return e.Err }

// RefusedError says that a change has failed, and the host is as it was before.
type RefusedError struct{ Err error }

// Error implements error.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns why, in HAProxy's words where it had some.
func (e *RefusedError) Unwrap() error { return e.Err }

// asAbsent makes an error before any change an *AbsentError, unless it is a refusal.
func asAbsent(err error) error {
	var refused *RefusedError
	var absent *AbsentError
	if err == nil || errors.As(err, &refused) || errors.As(err, &absent) {
		return err
	}
	return &AbsentError{err}
}

// noProgram reports whether there is no such program, which Docker says in either way.
func noProgram(r dockerapi.ExecResult, err error) bool {
	if err != nil {
		return strings.Contains(err.Error(), "executable file not found") || strings.Contains(err.Error(), "no such file or directory")
	}
	return (r.ExitCode == 126 || r.ExitCode == 127) && strings.Contains(string(r.Stdout)+string(r.Stderr), "exec")
}

// killed is the exit code of a command that was ended from outside.
const killed = 128 + 9

func failure(r dockerapi.ExecResult) string {
	if r.ExitCode == killed {
		return "the command was killed while it was at work: the container has ended, or has no memory left"
	}
	words := func(output []byte) string { return strings.Join(strings.Fields(string(output)), " ") }
	text := cmp.Or(words(r.Stderr), words(r.Stdout), "it says nothing")
	if len(text) > 500 {
		text = text[:500] + "…"
	}
	return fmt.Sprintf("%s (exit code %d)", text, r.ExitCode)
}

// readableError is an error in a text without what only Docker and Go know.
type readableError struct{ error }

// hasEnded is what Docker says when a container ends under a command.
var hasEnded = regexp.MustCompile(`(Error response from daemon: )?(No such exec instance: [0-9a-f]+|Container [0-9a-f]+ is not running)`)

// Error implements error.
func (e readableError) Error() string {
	text := strings.ReplaceAll(e.error.Error(), context.DeadlineExceeded.Error(), "no answer in time")
	return hasEnded.ReplaceAllString(text, "the container has ended")
}

// Unwrap returns the error as it was.
func (e readableError) Unwrap() error { return e.error }

// readable makes the text of an error one for people; nil is nil.
func readable(err error) error {
	if err == nil {
		return nil
	}
	return readableError{err}
}

// DefaultFile is where HAProxy's own images have their configuration.
const DefaultFile = "/usr/local/etc/haproxy/haproxy.cfg"

// Target is a container on a host that runs HAProxy with a document.
type Target struct {
	// Host is the name of the host, Docker the URL of its engine.
	Host, Docker string
	// Document is the name of the document.
	Document string
	// Container is a name, or Label a label "key=value" or "key"; one of them is set.
	Container, Label string
	// File is the path of the configuration; the agent knows its own.
	File string
	// Stats is the URL of a statistics page in place of the agent, StatsUser "user:password".
	Stats, StatsUser string
	// Values are what a template may use, besides "host".
	Values map[string]string
}

func (t Target) matches(c dockerapi.Container) bool {
	if t.Container != "" {
		return c.Name == t.Container || len(t.Container) >= 12 && strings.HasPrefix(c.ID, t.Container)
	}
	key, value, pair := strings.Cut(t.Label, "=")
	have, ok := c.Labels[key]
	return ok && (!pair || have == value)
}

// Selector says by what the container is chosen.
func (t Target) Selector() string {
	if t.Container != "" {
		return "the name " + t.Container
	}
	return "the label " + t.Label
}

// find returns the ID of the container of a target, or an *AbsentError.
func find(ctx context.Context, engine Engine, t Target) (id string, _ error) {
	list, err := engine.ContainerList(ctx, true)
	if err != nil {
		return "", &AbsentError{err}
	}
	var found, running []dockerapi.Container
	for _, c := range list {
		if !t.matches(c) {
			continue
		}
		found = append(found, c)
		if c.Status == "running" {
			running = append(running, c)
		}
	}
	switch {
	case len(running) == 1:
		return running[0].ID, nil
	case len(running) > 1:
		return "", &AbsentError{fmt.Errorf("%d containers that run have %s; name one", len(running), t.Selector())}
	case len(found) > 0:
		return "", &AbsentError{fmt.Errorf("container %s is %s", found[0].Name, found[0].Status)}
	default:
		return "", &AbsentError{fmt.Errorf("no container has %s", t.Selector())}
	}
}
