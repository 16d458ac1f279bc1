// Package driver works on the HAProxy of one container on another host, over the
// Docker API. It observes the configuration and the processes, checks and applies
// configurations, and reads what HAProxy counts.
//
// A container with the agent is asked through the agent, any other through its shell.
// Either way only commands with fixed arguments are run, with the configuration on
// their standard input.
package driver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
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
	// Content is its configuration, byte by byte, where it was asked for, and
	// Digest its SHA-256 in hexadecimal.
	Content []byte
	Digest  string
	// Running is the digest of what the worker that serves has read, where it can
	// say; empty otherwise.
	Running string
	// Transport is how the container is reached: "agent" or "shell".
	Transport string
	// Version is HAProxy's, Uptime the age of the worker that serves and Old the
	// number of workers that finish what they have.
	Version string
	Uptime  time.Duration
	Old     int
}

// Runs reports whether HAProxy runs what is in the file, as far as that can be said.
func (o Observation) Runs() bool { return o.Running == "" || o.Running == o.Digest }

// transport is a way to work on a container, which is named by its ID. The errors are
// those of Driver.
type transport interface {
	observe(ctx context.Context, id string, content bool) (Observation, error)
	check(ctx context.Context, id string, content []byte) error
	apply(ctx context.Context, id string, content []byte, trust bool) error
	read(ctx context.Context, id string) (Reading, error)
}

// Driver works on the container of one target. Its methods may be called from any
// goroutine; Apply must not run twice at once.
type Driver struct {
	engine Engine
	target Target
	agent  *agentTransport
	shell  *shell

	mu        sync.Mutex
	container string    // the ID of the container that was asked for the agent
	chosen    transport // how to work on it; nil before the first contact
}

// New returns the driver of a target; pages fetches statistics pages. Nothing is
// asked yet.
func New(engine Engine, t Target, pages *http.Client) *Driver {
	return &Driver{
		engine: engine, target: t,
		agent: &agentTransport{engine: engine, document: t.Document},
		shell: &shell{engine: engine, target: t, stats: statsPage{client: pages, url: t.Stats, user: t.StatsUser}},
	}
}

// Observe reads the state and changes nothing. Without content the observation has
// the digest of the configuration alone.
func (d *Driver) Observe(ctx context.Context, content bool) (Observation, error) {
	id, t, err := d.reach(ctx)
	if err != nil {
		return Observation{}, readable(err)
	}
	o, err := t.observe(ctx, id, content)
	return o, readable(err)
}

// Check asks the HAProxy there whether it takes a configuration, and whether the
// addresses in it are free. Nothing is changed. A refusal is a *RefusedError.
func (d *Driver) Check(ctx context.Context, content []byte) error {
	id, t, err := d.reach(ctx)
	if err == nil {
		err = t.check(ctx, id, content)
	}
	return readable(err)
}

// Apply puts a configuration in place, reloads and proves it, and restores what was
// there when that fails. With trust the configuration is one that ran before, and is
// not checked. The error is a *RefusedError when the container is as it was, an
// *AbsentError when nothing was done to it at all, and anything else when its state
// is not known.
func (d *Driver) Apply(ctx context.Context, content []byte, trust bool) error {
	id, t, err := d.reach(ctx)
	if err != nil {
		return readable(asAbsent(err))
	}
	return readable(t.apply(ctx, id, content, trust))
}

// Read takes a reading; ErrNoReading when there is no way to.
func (d *Driver) Read(ctx context.Context) (Reading, error) {
	d.mu.Lock()
	chosen := d.chosen
	d.mu.Unlock()
	if chosen == d.shell { // the page needs no container
		r, err := d.shell.read(ctx, "")
		return r, readable(err)
	}
	id, t, err := d.reach(ctx)
	if err != nil {
		return Reading{}, readable(err)
	}
	r, err := t.read(ctx, id)
	return r, readable(err)
}

// reach finds the container that is there now, and asks it for the agent once. A
// container in which fairway is there but not set up to run HAProxy is worked on with
// the shell, and asked again the next time.
func (d *Driver) reach(ctx context.Context) (id string, _ transport, _ error) {
	id, err := find(ctx, d.engine, d.target)
	if err != nil {
		return "", nil, err
	}
	d.mu.Lock()
	known, chosen := d.container, d.chosen
	d.mu.Unlock()
	if known == id {
		return id, chosen, nil
	}
	var status report.Status
	switch err := d.agent.ask(ctx, id, agentStatus(), nil, &status); {
	case err == nil:
		chosen = d.agent
	case errors.Is(err, errNoAgent):
		chosen = d.shell
	case errors.Is(err, errAgentUnset):
		return id, d.shell, nil
	default:
		return "", nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.container, d.chosen = id, chosen
	return id, chosen, nil
}

// Digest is the SHA-256 of a configuration, in hexadecimal.
func Digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
