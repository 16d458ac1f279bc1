package process

import (
	"context"
	"fmt"
	"os"
)

// Attach takes over a HAProxy that runs, by its master's socket. It needs no
// Binary. A socket at which nobody answers is an error that wraps ErrGone.
// Whether signals reach it depends on who runs it; reloads go over the socket.
func Attach(ctx context.Context, o Options) (*Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	p := newProcess(o)
	p.log = fileLog(o.LogFile)
	if o.LogFile == "" {
		p.log = fileLog(os.DevNull)
	}
	pid, err := listener(ctx, o.MasterSocket)
	if err != nil {
		return nil, fmt.Errorf("%w: nobody answers at its master socket: %w", ErrGone, err)
	}
	all, err := p.settled(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: its master does not answer: %w", ErrGone, err)
	}
	p.pid, p.foreign = all.Master.PID, pid != all.Master.PID
	if pid > 0 {
		p.pid = pid
	}
	if p.handle, err = watch(pid, o.MasterSocket, p.ended); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	return p, nil
}
