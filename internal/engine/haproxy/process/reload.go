package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"fairway/internal/engine/haproxy/socket"
)

// reloadDeadline bounds a reload: a worker of ten thousand backends is there after one
// second, an address that is taken is known after three.
const reloadDeadline = 30 * time.Second

// Reload makes HAProxy read its files again, and returns the new worker once it carries
// marker in socket.MarkerVariable, or any if that is empty, and the old one takes no
// connections any more. HAProxy's refusal is a *FailedError: the old worker serves on, and
// the caller puts the old files back. The error wraps ErrUnproven when the deadline, 30 s
// at most, passes first, and ErrGone when HAProxy has ended.
func (p *Process) Reload(ctx context.Context, marker string) (socket.Process, error) {
	ctx, cancel := context.WithTimeout(ctx, reloadDeadline)
	defer cancel()
	select {
	case <-p.reload:
		defer func() { p.reload <- struct{}{} }()
	case <-ctx.Done():
		return socket.Process{}, fmt.Errorf("haproxy: reload: another one is still going on: %w", ctx.Err())
	}
	// A master that starts, or is in the middle of another reload, would lose ours.
	before, err := p.settled(ctx)
	if err != nil {
		return socket.Process{}, fmt.Errorf("haproxy: reload: %w", err)
	}
	mark := p.log.size()
	// From 2.7 on the answer comes when the reload is over; before that there is none.
	asking, stop := context.WithCancel(ctx)
	go func() { // a master that is gone need not have closed the connection
		select {
		case <-p.gone:
			stop()
		case <-asking.Done():
		}
	}()
	answer, err := socket.NewMaster(p.o.MasterSocket, reloadDeadline).Reload(asking)
	stop()
	if refused := (*socket.CommandError)(nil); errors.As(err, &refused) {
		return socket.Process{}, fmt.Errorf("haproxy: reload: %w", err)
	}
	if result, text, _ := strings.Cut(answer, "\n"); strings.TrimSpace(result) == "Success=0" {
		return socket.Process{}, &FailedError{What: "reload", Alerts: p.alerts(text)}
	}
	worker, err := p.proven(ctx, before, marker, mark)
	if err != nil {
		return socket.Process{}, err
	}
	for _, old := range before.Workers {
		p.handedOver(ctx, old)
	}
	return worker, nil
}

// handOver bounds the wait for an old worker to take no connections any more.
const handOver = 3 * time.Second

// handedOver waits until a worker that was replaced takes no connections any more: from
// 3.1 on it does for a moment in which the new one serves already.
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

// firstAnswer is how long the first question of settled waits: a master that starts anew
// may lose it.
const firstAnswer = 500 * time.Millisecond

// settled waits until the master answers and a worker serves.
func (p *Process) settled(ctx context.Context) (socket.Processes, error) {
	for patience := firstAnswer; ; {
		begun := time.Now()
		all, err := p.ask(ctx, patience)
		if err == nil {
			return all, nil
		}
		if time.Since(begun) >= patience { // it was lost, or the machine is busy
			patience = min(2*patience, askDeadline)
		}
		if wait := p.pause(ctx, look); wait != nil {
			return all, fmt.Errorf("%w: %w", wait, err)
		}
	}
}

// ask asks the master for its processes, of which the worker that serves answers, too.
func (p *Process) ask(ctx context.Context, patience time.Duration) (socket.Processes, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	all, err := p.master.Processes(ctx)
	switch {
	case err != nil:
		return all, err
	case p.started && all.Master.PID != p.pid: // until ours has taken the path over
		return all, fmt.Errorf("another HAProxy (process %d) answers at %s", all.Master.PID, p.o.MasterSocket)
	}
	return all, p.answers(ctx, all)
}

// proven waits for a worker that was not there before and says that it is the one meant.
func (p *Process) proven(ctx context.Context, before socket.Processes, marker string, mark int64) (socket.Process, error) {
	failed := func() error { return &FailedError{What: "reload", Alerts: p.alerts(p.log.since(mark))} }
	var unproven error // what a new worker said
	for {
		all, err := p.master.Processes(ctx)
		switch worker := successor(before, all); {
		case err != nil:
		case all.Master.Reloads > before.Master.Reloads && all.Failed > 0:
			return socket.Process{}, failed()
		case worker == nil:
			err = errors.New("no new worker yet")
		default:
			if err = p.prove(ctx, *worker, marker); err == nil {
				return *worker, nil
			}
			if ctx.Err() == nil {
				unproven = err
			}
		}
		switch wait := p.pause(ctx, look); {
		case errors.Is(wait, ErrGone):
			return socket.Process{}, fmt.Errorf("%w: %w", ErrGone, failed())
		case wait != nil:
			// What a new worker said says more than that the time is over.
			return socket.Process{}, fmt.Errorf("%w: %w: %w", ErrUnproven, wait, cmp.Or(unproven, err))
		}
	}
}

// successor is the worker that a reload has brought; nil while there is none.
func successor(before, now socket.Processes) *socket.Process {
	if now.Master.Reloads <= before.Master.Reloads || len(now.Workers) == 0 {
		return nil
	}
	worker := &now.Workers[len(now.Workers)-1]
	isOld := func(old socket.Process) bool { return old.PID == worker.PID }
	if worker.Reloads > 0 || slices.ContainsFunc(before.Workers, isOld) || slices.ContainsFunc(before.Old, isOld) {
		return nil
	}
	return worker
}

func (p *Process) prove(ctx context.Context, worker socket.Process, marker string) error {
	if err := p.answers(ctx, socket.Processes{Workers: []socket.Process{worker}}); err != nil {
		return err
	}
	if marker == "" {
		return nil
	}
	value, ok, err := p.master.WorkerVar(ctx, worker.PID, socket.MarkerVariable)
	if err == nil && (!ok || value != marker) {
		err = fmt.Errorf("the new worker carries the marker %q instead of %q", value, marker)
	}
	return err
}
