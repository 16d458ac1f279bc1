package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fairway/internal/atomicfile"
	"fairway/internal/clock"
	"fairway/internal/engine/haproxy/binary"
)

// strangerGrace is how long a HAProxy that was not noted may reload, without an answer.
const strangerGrace = 2 * time.Second

// Attach takes over a HAProxy that runs, by its master's socket; one that reloads is
// waited for, up to 30 s. When there is none the error wraps ErrGone.
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

// Detach stops watching a HAProxy that was attached to. From then on Gone is not closed,
// and Stop is not to be called.
func (p *Process) Detach() {
	if p.detach != nil {
		p.detach()
	}
}

// note writes which process a master is beside its socket: that refuses connections while
// HAProxy reads its files, and stays when it is gone.
func note(masterSocket string, pid int) error {
	born, ok := birth(pid)
	if !ok {
		return nil // it has ended already, or the system does not say
	}
	return atomicfile.Write(masterSocket+".pid", fmt.Appendf(nil, "%d %s\n", pid, born), 0o600)
}

// noted is the master that was noted for a socket, 0 unless it lives; known if any was.
func noted(masterSocket string) (pid int, known bool) {
	text, err := os.ReadFile(masterSocket + ".pid")
	if err != nil {
		return 0, false
	}
	number, born, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	pid, err = strconv.Atoi(number)
	if err != nil || pid <= 0 {
		return 0, true
	}
	if now, ok := birth(pid); !ok || now != born {
		return 0, true // the number may be another process's by now
	}
	return pid, true
}

// birth is when a process was started, in a form to compare; not ok when it has ended.
func birth(pid int) (born string, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat") //nolint:gosec // a number
	if err != nil {
		return "", false
	}
	f := binary.StatFields(string(text))
	if f == nil || f[0] == "Z" || f[0] == "X" {
		return "", false
	}
	return f[19], true
}

// silence is how long a socket may have no listener, as in a reload for a second or two.
const silence = 10 * time.Second

// watchSocket calls ended once a socket has no listener for a while, unless ctx ends first.
func watchSocket(ctx context.Context, path string, ended func(error)) {
	for heard := time.Now(); time.Since(heard) < silence; {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		_, err := listenerOf(asking, path)
		// A queue that is full has a listener.
		if err == nil || asking.Err() != nil || errors.Is(err, syscall.EAGAIN) {
			heard = time.Now()
		}
		cancel()
		if clock.Sleep(ctx, 500*time.Millisecond) != nil {
			return
		}
	}
	ended(nil)
}
