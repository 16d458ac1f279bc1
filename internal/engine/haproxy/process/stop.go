package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// stopDeadline is how long a master may take for a SIGTERM.
const stopDeadline = 5 * time.Second

// Stop ends HAProxy and returns when its master is gone. Graceful means that it
// takes no new connections and ends when the last one has: then only ctx bounds
// it. When ctx ends first, or with hard, it ends at once, and a master that does
// not is killed. Stopping one that is gone is no error.
func (p *Process) Stop(ctx context.Context, hard bool) error {
	workers := p.workerHandles(ctx)
	if !hard {
		if err := p.signal(syscall.SIGUSR1); err != nil {
			return err
		}
		select {
		case <-p.gone:
			return nil
		case <-ctx.Done():
		}
	}
	if err := p.signal(syscall.SIGTERM); err != nil {
		return err
	}
	if p.within(stopDeadline) {
		return nil
	}
	_ = p.signal(syscall.SIGKILL)
	for _, w := range workers {
		_ = w.Kill()
	}
	if p.within(stopDeadline) {
		return nil
	}
	return errors.New("haproxy: stop: its master does not end")
}

// signal sends a signal to the master; one that is gone needs none.
func (p *Process) signal(s os.Signal) error {
	if p.Ended() {
		return nil
	}
	err := errors.New("it runs where its process cannot be seen from here")
	if p.process != nil {
		err = p.process.Signal(s)
	}
	if err == nil || errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return fmt.Errorf("haproxy: signal %v to process %d: %w", s, p.pid, err)
}

// within waits for the end of the master, but not longer than d.
func (p *Process) within(d time.Duration) bool {
	return p.pause(context.Background(), d) != nil
}

// workerHandles are the workers of a HAProxy whose numbers are ours too.
func (p *Process) workerHandles(ctx context.Context) []*os.Process {
	if p.foreign {
		return nil
	}
	var handles []*os.Process
	for _, pid := range p.Pids(ctx)[1:] {
		if h, err := os.FindProcess(pid); err == nil {
			handles = append(handles, h)
		}
	}
	return handles
}
