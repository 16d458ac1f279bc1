package process

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fairway/internal/engine/haproxy/socket"
)

// reloadDeadline bounds a reload when the caller's context does not. A worker of
// ten thousand backends is there after one second; an address that is taken is
// known after three.
const reloadDeadline = 30 * time.Second

// ReloadOptions say when a reload has come about.
type ReloadOptions struct {
	// Marker is what the new worker must carry in socket.MarkerVariable. Empty means
	// that any new worker will do.
	Marker string
}

// Reloaded says what a reload has come to.
type Reloaded struct {
	// Worker is the new one.
	Worker socket.Process
	// Took is the time from the command to the proof.
	Took time.Duration
}

// Reload makes HAProxy read its files again and returns once a new worker is
// there and proven, and the old one takes no connections any more. Reloads are done
// one after the other. HAProxy's refusal is a *FailedError: the old worker serves on,
// but the files on disk are those that it refused: the caller puts the old ones back.
// When the deadline
// passes first the error wraps ErrUnproven, and ErrGone when HAProxy ended.
// Without a deadline in ctx it gives up after 30 s.
func (p *Process) Reload(ctx context.Context, o ReloadOptions) (Reloaded, error) {
	ctx, cancel := context.WithTimeout(ctx, reloadDeadline)
	defer cancel()
	select {
	case <-p.reload:
		defer func() { p.reload <- struct{}{} }()
	case <-ctx.Done():
		return Reloaded{}, fmt.Errorf("haproxy: reload: another one is still going on: %w", ctx.Err())
	}
	// An answer before the command: a master that has not answered yet, or is
	// in the middle of another reload, would lose ours.
	before, err := p.settled(ctx)
	if err != nil {
		return Reloaded{}, fmt.Errorf("haproxy: reload: %w", err)
	}
	begun, mark := time.Now(), p.log.position()
	// From 2.7 on the answer comes when the reload is over. Before that there
	// is none, and the connection ends as HAProxy starts anew.
	answer, err := socket.NewMaster(p.o.MasterSocket, reloadDeadline).Reload(ctx)
	if refused := (*socket.CommandError)(nil); errors.As(err, &refused) {
		return Reloaded{}, fmt.Errorf("haproxy: reload: %w", err)
	}
	if result, text, _ := strings.Cut(answer, "\n"); strings.TrimSpace(result) == "Success=0" {
		return Reloaded{}, &FailedError{What: "reload", Alerts: p.alerts(text)}
	}
	worker, err := p.proven(ctx, before, o, mark)
	if err != nil {
		return Reloaded{}, err
	}
	for _, old := range before.Workers {
		p.handedOver(ctx, old)
	}
	return Reloaded{Worker: worker, Took: time.Since(begun)}, nil
}

// handOver bounds the wait for an old worker to take no connections any more.
const handOver = 3 * time.Second

// handedOver waits until a worker that was replaced takes no connections any more:
// from 3.1 on it does for a moment in which the new one serves already, and a
// client could meet either.
func (p *Process) handedOver(ctx context.Context, old socket.Process) {
	ctx, cancel := context.WithTimeout(ctx, handOver)
	defer cancel()
	for {
		if stopping, err := p.master.Stopping(ctx, old.PID); err != nil || stopping {
			return // with an error it has ended
		}
		if p.pause(ctx, look) != nil {
			return
		}
	}
}

// settled waits until the master answers and a worker serves.
func (p *Process) settled(ctx context.Context) (socket.Processes, error) {
	for {
		all, err := p.processes(ctx)
		if err == nil {
			if err = p.answers(ctx, all); err == nil {
				return all, nil
			}
		}
		if wait := p.pause(ctx, look); wait != nil {
			return all, fmt.Errorf("%w: %w", wait, err)
		}
	}
}

// processes asks the master with a short deadline: a question that falls into
// the moment in which it starts anew may get no answer at all.
func (p *Process) processes(ctx context.Context) (socket.Processes, error) {
	ask, cancel := context.WithTimeout(ctx, 4*time.Second)
	defer cancel()
	return p.master.Processes(ask)
}

// proven waits for a worker that was not there before and says that it is the
// one that was meant.
func (p *Process) proven(ctx context.Context, before socket.Processes, o ReloadOptions, mark int64) (socket.Process, error) {
	var last, unproven error
	for {
		all, err := p.processes(ctx)
		switch outcome(before, all, err) {
		case failed:
			return socket.Process{}, &FailedError{What: "reload", Alerts: p.alerts(p.log.since(mark))}
		case fresh:
			worker := all.Workers[len(all.Workers)-1]
			if err = p.prove(ctx, worker, o); err == nil {
				return worker, nil
			}
			if ctx.Err() == nil {
				unproven = err
			}
		case going:
			if err == nil {
				err = errors.New("no new worker yet")
			}
		}
		// What a new worker said says more than that the time is over.
		if last = unproven; last == nil {
			last = err
		}
		switch wait := p.pause(ctx, look); {
		case errors.Is(wait, ErrGone):
			return socket.Process{}, fmt.Errorf("%w: %w", ErrGone, &FailedError{What: "reload", Alerts: p.alerts(p.log.since(mark))})
		case wait != nil:
			return socket.Process{}, fmt.Errorf("%w: %w: %w", ErrUnproven, wait, last)
		}
	}
}

// What a master's answer means for a reload.
const (
	going = iota
	failed
	fresh
)

// outcome compares the processes before a reload with those now.
func outcome(before, now socket.Processes, err error) int {
	switch {
	case err != nil || now.Master.Reloads <= before.Master.Reloads:
		return going
	case now.Failed > 0:
		return failed
	case len(now.Workers) == 0:
		return going
	}
	worker := now.Workers[len(now.Workers)-1]
	if worker.Reloads > 0 {
		return going
	}
	for _, old := range append(before.Workers, before.Old...) {
		if old.PID == worker.PID {
			return going
		}
	}
	return fresh
}

func (p *Process) prove(ctx context.Context, worker socket.Process, o ReloadOptions) error {
	if err := p.answers(ctx, socket.Processes{Workers: []socket.Process{worker}}); err != nil {
		return err
	}
	if o.Marker == "" {
		return nil
	}
	value, ok, err := p.master.WorkerVar(ctx, worker.PID, socket.MarkerVariable)
	if err == nil && (!ok || value != o.Marker) {
		err = fmt.Errorf("the new worker carries the marker %q instead of %q", value, o.Marker)
	}
	return err
}
