package process

import (
	"context"
	"fmt"
	"os"
	"time"
)

// strangerGrace is how long a socket without an answer may belong to a
// HAProxy that reloads, where it was not noted which process it is.
const strangerGrace = 2 * time.Second

// Attach takes over a HAProxy that runs, by its master's socket. It needs no
// Binary. One that is in the middle of a reload is waited for, up to 30 s. When
// there is none the error wraps ErrGone. Whether signals reach it depends on who
// runs it; reloads go over the socket.
func Attach(ctx context.Context, o Options) (*Process, error) {
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	p := newProcess(o)
	pid, err := p.listener(ctx)
	if err != nil {
		return nil, err
	}
	all, err := p.settled(ctx)
	if err != nil {
		return nil, fmt.Errorf("haproxy: its master does not answer: %w", err)
	}
	p.pid, p.foreign = all.Master.PID, pid != all.Master.PID
	if pid > 0 {
		p.pid = pid
	}
	watching, detach := context.WithCancel(context.Background())
	if p.process, err = watch(watching, pid, o.MasterSocket, p.ended); err != nil {
		detach()
		return nil, fmt.Errorf("%w: %w", ErrGone, err)
	}
	p.detach = detach
	return p, nil
}

// listener is the process that listens on the master socket; see listenerOf.
func (p *Process) listener(ctx context.Context) (int, error) {
	path := p.o.MasterSocket
	for begun := time.Now(); ; {
		pid, err := listenerOf(ctx, path)
		if err == nil {
			return pid, nil
		}
		alive, known := noted(path)
		_, missing := os.Stat(path)
		if alive == 0 && (known || missing != nil || time.Since(begun) > strangerGrace) {
			return 0, fmt.Errorf("%w: no answer at its master socket: %w", ErrGone, err)
		}
		if wait := p.pause(ctx, look); wait != nil {
			return 0, fmt.Errorf("haproxy: process %d runs, but does not answer at its master socket: %w", alive, err)
		}
	}
}

// Detach stops watching a HAProxy that was attached to, which runs on. From then
// on Gone is not closed and Stop is not to be called.
func (p *Process) Detach() {
	if p.detach != nil {
		p.detach()
	}
}
