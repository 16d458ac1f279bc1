package haproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"fairway/internal/clock"
	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/plan"
	"fairway/internal/engine/haproxy/process"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/users"
	"fairway/internal/route"
)

// finishWithin bounds a change of a running HAProxy, also when its caller waits no longer.
const finishWithin = 60 * time.Second

// target is what HAProxy must have, with the contents of the files it reads at its start.
type target struct {
	plan.Target
	contents map[string][]byte
}

// apply is Apply with the mutex held, also when only something beside the table has changed.
func (e *Engine) apply(ctx context.Context, t *route.Table) error {
	e.findRunning(ctx)
	e.users.Follow(users.Named(t))
	e.gates.learn(e.table, t)
	next, p, missing, err := e.prepare(ctx, t)
	if err != nil {
		return fmt.Errorf("haproxy: %w", err)
	}
	e.readings.use(next.Config, t)
	if err := e.bring(ctx, next, p); err != nil {
		if e.table != nil {
			e.readings.use(e.target.Config, e.table)
		}
		return err
	}
	e.logMissing(missing)
	e.quarantine(e.target.Config, next.Config, e.table)
	e.arrangeCuts(e.target.Config, next.Config, t)
	e.target, e.table, e.missing = next, t, missing
	e.live.Store(&live{config: next.Config, addrs: e.addresses(t)})
	e.certs.Keep(t.Listeners)
	e.users.Keep(users.Named(t))
	e.disk.sweep(next.Pairs)
	e.gates.watch(t)
	e.collectDraining()
	e.readings.forget()
	return nil
}

// findRunning finds out what runs, before the first table and after HAProxy has died.
func (e *Engine) findRunning(ctx context.Context) {
	if e.target.Config == nil {
		k, err := e.disk.load()
		if err != nil {
			e.log.Warn("what the engine before has kept is of no use", "error", err)
		}
		e.target.Config, e.target.Files = k.Config, k.Files
		maps.Copy(e.ports, k.Ports)
	}
	if e.proc != nil && e.proc.Ended() {
		e.lost()
	}
	if e.proc == nil {
		proc, err := process.Attach(ctx, e.processOptions())
		if err == nil {
			e.found(proc)
			e.log.Info("HAProxy that runs is taken over", "pid", proc.Pid())
		}
	}
	if e.proc != nil && e.worker == nil {
		e.look(ctx)
	}
}

// found and lost note that HAProxy runs, and that it does not any more.
func (e *Engine) found(proc *process.Process) {
	e.proc = proc
	e.running.Store(proc)
	e.wakeUp() // supervise listens for its end
}

func (e *Engine) lost() {
	e.proc, e.worker, e.ended = nil, nil, time.Now()
	e.running.Store(nil)
}

// look reads what HAProxy has into e.worker; nothing when it does not say.
func (e *Engine) look(ctx context.Context) {
	s, err := e.client.Open(ctx)
	if err == nil {
		defer s.Close()
		e.worker, err = plan.Observe(ctx, s, e.opts.Dir)
	}
	if err != nil {
		e.worker = nil
		e.log.Warn("HAProxy does not show what it has", "error", err)
		return
	}
	if e.target.Config != nil {
		e.worker.Remember(e.target.Target)
		e.gates.trust(e.target.Config, e.worker)
	}
}

func (e *Engine) processOptions() process.Options {
	return process.Options{
		Binary: e.program, CheckOptions: e.checkOptions(e.target.Config),
		MasterSocket: e.opts.MasterSocket, LogFile: filepath.Join(e.opts.Dir, fileOutput),
	}
}

// checkOptions are those of a configuration; nil for one that is not known.
func (e *Engine) checkOptions(c *render.Config) binary.CheckOptions {
	o := binary.CheckOptions{Files: []string{e.disk.configFile()}, Dir: e.opts.Dir, Shown: e.shown}
	if c != nil {
		o.Known = c.Quotable()
	}
	return o
}

// shown is the text of the configuration that was written last, as people may see it.
func (e *Engine) shown(file string) (text string, ok bool) {
	if file != e.disk.configFile() {
		return "", false
	}
	if c := e.written.Load(); c != nil {
		text = c.ShownFile()
	}
	return text, true
}

// bring makes a target live: by the commands of the plan, or by a reload where it has
// none or they fail. After an error the files are those of before.
func (e *Engine) bring(ctx context.Context, next target, p plan.Plan) error {
	files, err := e.disk.files(next, e.ports)
	if err != nil {
		return err
	}
	staged, err := e.disk.stage(files)
	if err != nil {
		return err
	}
	defer staged.forget()
	if p.Reload != "" {
		if err := clock.Sleep(ctx, time.Until(e.lastReload.Add(e.opts.ReloadInterval))); err != nil {
			return fmt.Errorf("haproxy: waiting to reload: %w", err)
		}
	}
	if err := staged.commit(); err != nil {
		return errors.Join(err, staged.revert())
	}
	former := e.written.Swap(next.Config)
	// From here on it is carried through: half of a change is worse than none.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)()
	if p.Reload == "" {
		err := e.run(ctx, p)
		if err == nil {
			return nil
		}
		if e.proc != nil && !e.proc.Ended() {
			e.log.Warn("HAProxy did not take a change while it ran, it reloads", "error", err)
		}
		p = plan.Plan{Reload: plan.ReloadRuntime, Text: err.Error()}
	}
	err = e.reload(ctx, next, p)
	switch {
	case errors.Is(err, errNotRunning):
		return err // the files stay: who starts it needs them
	case err != nil:
		e.worker = nil
		e.wakeUp()
		e.written.Store(former)
		return errors.Join(err, staged.revert())
	}
	return nil
}

// errNotRunning is wrapped by the error about a HAProxy that Fairway does not start.
var errNotRunning = errors.New("haproxy: no process answers")

// run carries a plan out and reads back what it touched. After an error it is unknown
// what the worker has.
func (e *Engine) run(ctx context.Context, p plan.Plan) error {
	if p.Empty() {
		return nil
	}
	w := e.worker
	e.worker = nil
	s, err := e.client.Open(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	commands, err := p.Run(ctx, s, w)
	e.counters.commands.Add(uint64(commands))
	if err != nil {
		e.counters.failures.Inc()
		return err
	}
	diff, err := w.Verify(ctx, s, p)
	if err != nil {
		return err
	}
	if len(diff) > 0 {
		e.counters.unverified.Inc()
		return fmt.Errorf("HAProxy does not show the change: %s", plan.Summarize(diff))
	}
	e.worker = w
	return nil
}

// reload has HAProxy read the files on disk, or starts it.
func (e *Engine) reload(ctx context.Context, next target, p plan.Plan) error {
	begun := time.Now()
	report, err := e.program.Check(ctx, e.checkOptions(next.Config))
	if err == nil {
		err = report.Err()
	}
	if err == nil {
		err = e.reloadOrStart(ctx, next.Config)
	}
	if err != nil {
		e.counters.reloadFailures.Inc()
		return err
	}
	e.counters.reloads.With(p.Reload).Inc()
	e.lastReload = time.Now()
	e.worker = plan.WorkerOf(next.Target)
	e.draining, e.quarantined = map[drainingServer]*deletion{}, map[string]time.Time{} // the new worker has none
	if err := e.disk.good(next.Config); err != nil {
		e.log.Warn("a copy of the configuration cannot be kept", "error", err)
	}
	if p.Reload != plan.ReloadStart {
		e.log.Info("HAProxy reloaded", "reason", p.Reload, "detail", p.Text, "took", time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

// reloadOrStart returns when a worker with the marker of the configuration serves.
func (e *Engine) reloadOrStart(ctx context.Context, next *render.Config) error {
	if e.proc != nil {
		err := e.answers(ctx, e.proc)
		if err == nil {
			_, err = e.proc.Reload(ctx, next.Marker)
		}
		if !e.proc.Ended() {
			return err
		}
		e.lost()
		e.free(ctx, next)
	}
	return e.start(ctx)
}

// answerWithin is how long a master may be silent before a reload: while it looks at a
// file that it cannot use, it is for two seconds.
const answerWithin = 3 * time.Second

// answers waits until the master does.
func (e *Engine) answers(ctx context.Context, proc *process.Process) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for {
		_, err := proc.Worker(ctx)
		if err == nil {
			return nil
		}
		if proc.Ended() || clock.Sleep(ctx, lookAgain) != nil {
			return fmt.Errorf("haproxy: its master (process %d) does not answer at %s: stop that process, and it is started anew: %w",
				proc.Pid(), e.opts.MasterSocket, err)
		}
	}
}

// start starts HAProxy from the files on disk.
func (e *Engine) start(ctx context.Context) error {
	if e.elsewhere {
		return fmt.Errorf("%w at %s: start it as `haproxy -W -S %s -f %s`", errNotRunning, e.opts.MasterSocket, e.opts.MasterSocket, e.disk.configFile())
	}
	proc, err := process.Start(ctx, e.processOptions())
	if err != nil {
		return err
	}
	e.found(proc)
	e.started.Store(true)
	e.log.Info("HAProxy started", "version", e.program.Version.Text, "pid", proc.Pid())
	return nil
}
