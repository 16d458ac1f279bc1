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

// Update fetches the configuration, checks it and puts it in place. The error is in the log.
func (a *Agent) Update(ctx context.Context) (changed bool, _ error) {
	_, from, err := a.address()
	if err != nil {
		return false, a.failed(err)
	}
	a.say("Starting download of %s to %s ...", from, a.temp())
	got, err := a.fetch(ctx)
	if err != nil {
		return false, a.failed(fmt.Errorf("download of configuration file %s failed: %w", a.temp(), err))
	}
	a.say("Download of configuration file %s: success.", a.temp())
	unlock, err := a.lock(ctx)
	if err != nil {
		return false, a.failed(err)
	}
	defer unlock()
	return a.install(ctx, got.content, a.held(ctx), false)
}

func (a *Agent) failed(err error) error {
	a.say("%v", err)
	return err
}

// held are the processes of the HAProxy under this agent, if it runs.
func (a *Agent) held(ctx context.Context) []int {
	p, _, err := a.running(ctx)
	if err != nil {
		return nil
	}
	return p.Pids(ctx)
}

// install checks a content, unless trusted, and puts it in place. The caller holds the lock.
func (a *Agent) install(ctx context.Context, content []byte, pids []int, trust bool) (changed bool, _ error) {
	if err := replace(a.temp(), content, modeOf(a.current())); err != nil {
		return false, a.failed(fmt.Errorf("storage: %w", err))
	}
	before, err := read(a.current())
	if err != nil {
		return false, a.failed(fmt.Errorf("storage: %w", err))
	}
	if before != nil && bytes.Equal(before, content) {
		a.say("The configuration file %s.cfg is the same, no need to update.", a.o.Name)
		return false, nil
	}
	if !trust {
		if err := a.check(ctx, a.temp(), content, before, pids); err != nil {
			return false, a.failed(fmt.Errorf("configuration file %s is invalid: %w", a.temp(), err))
		}
		a.say("Configuration file %s is valid.", a.temp())
	}
	if err := a.cover(content, before); err != nil {
		return false, a.failed(fmt.Errorf("cover %s with %s failed: %w", a.current(), a.temp(), err))
	}
	a.say("Cover %s with %s: success.", a.current(), a.temp())
	a.say("%s is updated.", a.current())
	return true, nil
}

// cover copies what is there and puts the content in its place.
func (a *Agent) cover(content, before []byte) error {
	mode := modeOf(a.current())
	if before == nil {
		a.say("%s is not there yet: the first release, nothing to copy.", a.current())
	} else if err := a.keep(before, mode); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return replace(a.current(), content, mode)
}

const reloadTime = 30 * time.Second

// errRestored is joined to a failure after which what was there before runs again.
var errRestored = errors.New("what was there before runs again")

// reload makes HAProxy read the file in place, once checked, and proves it; or puts back
// the last file that ran. The caller holds the lock.
func (a *Agent) reload(ctx context.Context, p *process.Process, checked bool) error {
	content, err := read(a.current())
	if err == nil && content == nil {
		err = fmt.Errorf("%s is not there", a.current())
	}
	good, goodErr := read(a.good())
	begun := false
	if err == nil && !checked && !bytes.Equal(good, content) {
		err = a.check(ctx, a.current(), content, good, p.Pids(ctx))
	}
	if err == nil {
		begun = true
		err = a.prove(ctx, p, content)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	if goodErr != nil || good == nil || bytes.Equal(good, content) {
		return fmt.Errorf("reload: %w; there is no other file that ran to go back to", err)
	}
	if back := replace(a.current(), good, modeOf(a.current())); back != nil {
		return fmt.Errorf("reload: %w; and what was there before cannot be put back: %w", err, back)
	}
	if errors.Is(err, process.ErrGone) {
		return fmt.Errorf("reload: %w; what was there before is in place and is started", err)
	}
	if begun {
		if back := a.prove(ctx, p, good); back != nil {
			return fmt.Errorf("reload: %w; and what was there before does not run: %w", err, back)
		}
	}
	return fmt.Errorf("reload: %w; %w", err, errRestored)
}

// prove reloads with a content that is in place and remembers it as good.
func (a *Agent) prove(ctx context.Context, p *process.Process, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTime)
	defer cancel()
	marker, err := a.mark(content)
	if err != nil {
		return err
	}
	begun := time.Now()
	worker, err := p.Reload(ctx, marker)
	if err != nil {
		return err
	}
	a.say("Worker %d serves %s (sha256 %.12s), %s after the reload was asked for.", worker.PID, a.current(), report.Digest(content), time.Since(begun).Round(time.Millisecond))
	a.remember(content)
	return nil
}

// remember notes what a worker was proven to run. It runs, noted or not.
func (a *Agent) remember(content []byte) {
	if known, err := read(a.good()); err == nil && bytes.Equal(known, content) {
		return
	}
	if err := replace(a.good(), content, modeOf(a.current())); err != nil {
		a.say("Storage: %v: it cannot be gone back to what runs now.", err)
	}
}

// ApplyOptions say how far Apply goes.
type ApplyOptions struct {
	// CheckOnly changes nothing.
	CheckOnly bool
	// Trust takes a configuration that ran before without checking it.
	Trust bool
}

// Apply checks a configuration, puts it in place, reloads and proves it, unless it runs; or
// puts back what was before.
func (a *Agent) Apply(ctx context.Context, content []byte, o ApplyOptions) report.Result {
	unlock, err := a.lock(ctx)
	if err != nil {
		return refused(err)
	}
	defer unlock()
	r := a.apply(ctx, content, o)
	if now, err := read(a.current()); err == nil && now != nil {
		r.Digest = report.Digest(now)
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

// runs reports whether the worker has read this content, as far as it can say.
func (a *Agent) runs(ctx context.Context, p *process.Process, content []byte) bool {
	if !a.marks() {
		return true
	}
	marker, err := p.Marker(ctx)
	return err == nil && marker == report.Digest(content)
}

// Status changes nothing.
func (a *Agent) Status(ctx context.Context, content bool) (report.Status, error) {
	s := report.Status{Name: a.o.Name, File: a.current(), Version: a.binary.Version.String()}
	now, err := read(s.File)
	if err != nil {
		return s, fmt.Errorf("storage: %w", err)
	}
	if now != nil {
		s.Digest = report.Digest(now)
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

// lookTime bounds questions to HAProxy, which may be in a reload.
const lookTime = 10 * time.Second

// running asks HAProxy for its processes, of which one serves. It is not watched.
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
