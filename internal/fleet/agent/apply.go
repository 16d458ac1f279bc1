package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"fairway/internal/engine/haproxy/process"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/fleet/agent/report"
)

// ApplyOptions say how far Apply goes.
type ApplyOptions struct {
	// CheckOnly changes nothing.
	CheckOnly bool
	// Trust takes a configuration that ran before without checking it.
	Trust bool
}

// Apply checks a configuration, puts it in place, reloads the HAProxy that runs
// under this agent and proves that it runs; when that fails, what was before is
// put back. One that is the same is not reloaded, unless the worker that serves
// has read another.
func (a *Agent) Apply(ctx context.Context, content []byte, o ApplyOptions) report.Result {
	unlock, err := a.lock(ctx)
	if err != nil {
		return refused(err)
	}
	defer unlock()
	r := a.apply(ctx, content, o)
	if now, err := read(a.current()); err == nil && now != nil {
		r.Digest = digest(now)
	}
	return r
}

func (a *Agent) apply(ctx context.Context, content []byte, o ApplyOptions) report.Result {
	if len(content) == 0 || len(content) > report.MaxContent {
		return refused(fmt.Errorf("the configuration has %d bytes; 1 to %d are taken", len(content), report.MaxContent))
	}
	if o.CheckOnly {
		return a.checkOnly(ctx, content)
	}
	p, err := process.Attach(ctx, a.processOptions())
	if err != nil {
		return refused(err)
	}
	defer p.Detach()
	before, err := read(a.current())
	if err != nil {
		return refused(err)
	}
	// Before the first change under this agent nothing is noted as good.
	if good, err := read(a.good()); err == nil && good == nil && before != nil {
		a.remember(before)
	}
	changed, err := a.install(ctx, content, p.Pids(ctx), o.Trust)
	switch {
	case err != nil:
		return refused(err)
	case !changed && a.runs(ctx, p, content):
		return report.Result{Outcome: report.Same}
	}
	if err := a.reload(ctx, p, true); err != nil {
		a.say("%v", err)
		if errors.Is(err, errRestored) {
			return report.Result{Outcome: report.Refused, Reason: err.Error(), Back: true}
		}
		return report.Result{Outcome: report.Unknown, Reason: err.Error()}
	}
	return report.Result{Outcome: report.Updated}
}

func refused(err error) report.Result {
	return report.Result{Outcome: report.Refused, Reason: err.Error()}
}

func (a *Agent) checkOnly(ctx context.Context, content []byte) report.Result {
	before, err := read(a.current())
	if err == nil {
		err = replace(a.temp(), content, modeOf(a.current()))
	}
	if err == nil {
		err = a.check(ctx, a.temp(), content, before, a.held(ctx))
	}
	switch {
	case err != nil:
		return refused(err)
	case bytes.Equal(before, content):
		return report.Result{Outcome: report.Same}
	default:
		return report.Result{Outcome: report.Updated}
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

// Status changes nothing.
func (a *Agent) Status(ctx context.Context, content bool) (report.Status, error) {
	s := report.Status{Name: a.o.Name, File: a.current(), Version: a.binary.Version.String()}
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
		if s.Running, _, err = p.Master().WorkerVar(ctx, w.PID, socket.MarkerVariable); err != nil {
			s.Trouble = err.Error()
		}
	}
	return s, nil
}

// lookTime bounds questions to HAProxy; one that reloads answers after a second or
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

// Statistics asks the worker that serves.
func (a *Agent) Statistics(ctx context.Context) (report.Statistics, error) {
	p, all, err := a.running(ctx)
	if err != nil {
		return report.Statistics{}, err
	}
	pid := all.Workers[len(all.Workers)-1].PID
	var s report.Statistics
	for what, into := range map[string]*string{"info": &s.Info, "stat": &s.Stat} {
		if *into, err = p.Master().Show(ctx, pid, what); err != nil {
			return s, err
		}
	}
	return s, nil
}
