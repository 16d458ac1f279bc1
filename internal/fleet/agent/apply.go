package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"fairway/internal/engine/haproxy/process"
	"fairway/internal/engine/haproxy/socket"
)

// ApplyOptions say how far Apply goes.
type ApplyOptions struct {
	// CheckOnly changes nothing.
	CheckOnly bool
	// Trust takes a configuration that ran before without checking it.
	Trust bool
}

// Result is what Apply has come to, for a machine to read.
type Result struct {
	// Outcome is "updated", "same" or "refused", or "unknown" when neither the
	// new configuration nor the one before is known to run.
	Outcome string `json:"outcome"`
	// Reason is why it was refused, in HAProxy's words where it had some.
	Reason string `json:"reason,omitempty"`
	// Back is true when it had begun and was taken back.
	Back bool `json:"back,omitempty"`
	// Digest is the SHA-256 of the file that is in place now, in hexadecimal.
	Digest string `json:"digest,omitempty"`
}

// Apply checks a configuration, puts it in place, reloads the HAProxy that runs
// under this agent and proves that it runs; when that fails, what was before is
// put back. One that is the same is not reloaded, unless the worker that serves
// has read another.
func (a *Agent) Apply(ctx context.Context, content []byte, o ApplyOptions) Result {
	unlock, err := a.lock(ctx)
	if err != nil {
		return Result{Outcome: "refused", Reason: err.Error()}
	}
	defer unlock()
	r := a.apply(ctx, content, o)
	if now, err := read(a.current()); err == nil && now != nil {
		r.Digest = digest(now)
	}
	return r
}

func (a *Agent) apply(ctx context.Context, content []byte, o ApplyOptions) Result {
	if len(content) == 0 || len(content) > maxContent {
		return Result{Outcome: "refused", Reason: fmt.Sprintf("the configuration has %d bytes; 1 to %d are taken", len(content), maxContent)}
	}
	if o.CheckOnly {
		return a.checkOnly(ctx, content)
	}
	p, err := process.Attach(ctx, a.processOptions())
	if err != nil {
		return Result{Outcome: "refused", Reason: err.Error()}
	}
	defer p.Detach()
	before, err := read(a.current())
	if err != nil {
		return Result{Outcome: "refused", Reason: err.Error()}
	}
	// Before the first change under this agent nothing is noted as good.
	if good, err := read(a.good()); err == nil && good == nil && before != nil {
		a.remember(before)
	}
	outcome, err := a.install(ctx, content, p.Pids(ctx), o.Trust)
	switch {
	case err != nil:
		return Result{Outcome: "refused", Reason: err.Error()}
	case outcome == Same && a.runs(ctx, p, content):
		return Result{Outcome: "same"}
	}
	if err := a.reload(ctx, p, true); err != nil {
		a.say("%v", err)
		if errors.Is(err, errRestored) {
			return Result{Outcome: "refused", Reason: err.Error(), Back: true}
		}
		return Result{Outcome: "unknown", Reason: err.Error()}
	}
	return Result{Outcome: "updated"}
}

func (a *Agent) checkOnly(ctx context.Context, content []byte) Result {
	before, err := read(a.current())
	if err == nil {
		err = replace(a.temp(), content, modeOf(a.current()))
	}
	if err == nil {
		err = a.check(ctx, a.temp(), content, before, a.held(ctx))
	}
	switch {
	case err != nil:
		return Result{Outcome: "refused", Reason: err.Error()}
	case bytes.Equal(before, content):
		return Result{Outcome: "same"}
	default:
		return Result{Outcome: "updated"}
	}
}

// runs reports whether the worker that serves has read this content, as far as
// it can say.
func (a *Agent) runs(ctx context.Context, p *process.Process, content []byte) bool {
	if !a.marks() {
		return true
	}
	marker, err := p.Marker(ctx)
	return err == nil && marker == digest(content)
}

// Status is what is in place and what runs, for a machine to read.
type Status struct {
	Name string `json:"name"`
	// File is the configuration in place, Digest its SHA-256 in hexadecimal;
	// empty when there is none. Content is set when it was asked for.
	File    string `json:"file"`
	Digest  string `json:"digest"`
	Content []byte `json:"content,omitempty"`
	// Running is the digest of what the worker that serves has read; empty when
	// HAProxy does not run, or is too old to say.
	Running string `json:"running"`
	// Version is HAProxy's. Worker is the process that serves, Uptime its age,
	// Old are those that finish what they have.
	Version string        `json:"version"`
	Worker  int           `json:"worker"`
	Uptime  time.Duration `json:"uptime"`
	Old     int           `json:"old"`
	// Trouble is why less is known than could be; empty usually.
	Trouble string `json:"trouble,omitempty"`
}

// Status looks and changes nothing.
func (a *Agent) Status(ctx context.Context, content bool) (Status, error) {
	s := Status{Name: a.o.Name, File: a.current(), Version: a.binary.Version.String()}
	now, err := read(s.File)
	if err != nil {
		return s, fmt.Errorf("storage: %w", err)
	}
	if now != nil {
		s.Digest = digest(now)
	}
	if content {
		s.Content = now
	}
	p, all, err := a.running(ctx)
	if err != nil {
		s.Trouble = err.Error()
		return s, nil
	}
	w := all.Workers[len(all.Workers)-1]
	s.Old, s.Worker, s.Uptime = len(all.Old), w.PID, w.Uptime
	if w.Version != "" {
		s.Version = w.Version
	}
	if a.marks() {
		if s.Running, _, err = p.Master().WorkerVar(ctx, w.PID, process.MarkerVar); err != nil {
			s.Trouble = err.Error()
		}
	}
	return s, nil
}

// lookTime bounds a look at HAProxy; one that reloads answers after a second or
// two.
const lookTime = 10 * time.Second

// running asks the HAProxy that runs under this agent for its processes, of which
// one is a worker that serves. What is returned is not watched.
func (a *Agent) running(ctx context.Context) (*process.Process, socket.Processes, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	p, err := process.Attach(ctx, a.processOptions())
	if err != nil {
		return nil, socket.Processes{}, err
	}
	p.Detach()
	all, err := p.Master().Processes(ctx)
	if err == nil && len(all.Workers) == 0 {
		err = errors.New("no worker serves")
	}
	return p, all, err
}

// Statistics is what HAProxy itself says on its runtime socket.
type Statistics struct {
	// Info is the answer to `show info`, Stat that to `show stat`.
	Info string `json:"info"`
	Stat string `json:"stat"`
}

// Statistics asks the worker that serves.
func (a *Agent) Statistics(ctx context.Context) (Statistics, error) {
	p, all, err := a.running(ctx)
	if err != nil {
		return Statistics{}, err
	}
	pid := all.Workers[len(all.Workers)-1].PID
	var s Statistics
	for what, into := range map[string]*string{"info": &s.Info, "stat": &s.Stat} {
		command, err := socket.Cmd("show", what)
		if err != nil {
			return s, err
		}
		if *into, err = p.Master().Worker(ctx, pid, command); err != nil {
			return s, err
		}
	}
	return s, nil
}
