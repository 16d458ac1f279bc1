package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/socket"
)

const (
	// startDeadline bounds a start when the caller's context does not.
	startDeadline = 30 * time.Second
	// askDeadline bounds each question to the master, which while it starts anew may not answer.
	askDeadline = 4 * time.Second
	// maxSocketPath leaves room for the suffix under which HAProxy binds a socket first.
	maxSocketPath = 90
	// look is how often a start or a reload is looked at.
	look = 20 * time.Millisecond
)

// Start starts HAProxy and returns once a worker serves, within 30 s. It runs in a session
// of its own, so that neither our end nor a Ctrl-C reaches it. When HAProxy does not take
// the configuration or its addresses the error is a *FailedError, and nothing runs.
func Start(ctx context.Context, o Options) (*Process, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if pid, _ := noted(o.MasterSocket); pid != 0 {
		return nil, fmt.Errorf("haproxy: process %d runs already with the master socket %s: take it over, or end it", pid, o.MasterSocket)
	}
	ctx, cancel := context.WithTimeout(ctx, startDeadline)
	defer cancel()
	// -db: a `daemon` of the configuration would have us wait for the wrong one.
	args := []string{"-W", "-db", "-S", o.MasterSocket + ",mode,600"}
	for _, f := range o.Files {
		args = append(args, "-f", f)
	}
	// Not CommandContext: it is to outlive ctx.
	cmd := exec.Command(o.Binary.Path, args...) //nolint:gosec,noctx // the operator's own haproxy, fixed arguments
	cmd.Dir, cmd.Env, cmd.SysProcAttr = o.Dir, append([]string{}, o.Environ...), ownSession()
	p := newProcess(o)
	if o.Output != nil {
		cmd.Stdout, cmd.Stderr = o.Output, o.Output
		// A worker that outlives its master holds the pipe as well.
		cmd.WaitDelay = time.Second
	} else if o.LogFile != "" {
		f, err := os.OpenFile(o.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("haproxy: log: %w", err)
		}
		defer f.Close()
		cmd.Stdout, cmd.Stderr = f, f
	}
	mark := p.log.size()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("haproxy: start: %w", err)
	}
	p.pid, p.process, p.started = cmd.Process.Pid, cmd.Process, true
	unnoted := note(o.MasterSocket, p.pid)
	go func() {
		err := cmd.Wait()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil
		}
		p.ended(err)
	}()
	// Until the master has answered, a signal to reload would kill HAProxy 2.6.
	_, err := p.settled(ctx)
	switch {
	case errors.Is(err, ErrGone):
		err = &FailedError{What: "start", Alerts: p.alerts(p.log.since(mark))}
	case err != nil:
		err = fmt.Errorf("haproxy: start: no answer of its master in time: %w", err)
	case unnoted != nil:
		err = fmt.Errorf("haproxy: start: %w", unnoted)
	default:
		return p, nil
	}
	_ = p.Stop(ctx, true)
	return nil, err
}

func (o Options) check() error {
	switch {
	case !filepath.IsAbs(o.MasterSocket):
		return fmt.Errorf("haproxy: the path of the master socket must be absolute: %q", o.MasterSocket)
	case len(o.MasterSocket) > maxSocketPath:
		return fmt.Errorf("haproxy: the path of the master socket has %d bytes, at most %d fit: %s: choose a shorter directory", len(o.MasterSocket), maxSocketPath, o.MasterSocket)
	}
	return nil
}

func newProcess(o Options) *Process {
	p := &Process{
		o: o, master: socket.NewMaster(o.MasterSocket, askDeadline), log: logFile(o.LogFile),
		gone: make(chan struct{}), reload: make(chan struct{}, 1),
	}
	p.reload <- struct{}{}
	return p
}

// answers is nil when the worker does, which from 3.1 on is there before it is ready.
func (p *Process) answers(ctx context.Context, all socket.Processes) error {
	if len(all.Workers) == 0 {
		return errors.New("no worker yet")
	}
	_, err := p.master.Show(ctx, all.Workers[len(all.Workers)-1].PID, "version")
	return err
}

// alerts are the reasons in what HAProxy wrote.
func (p *Process) alerts(text string) []binary.Message {
	return binary.Messages(text, p.o.CheckOptions).Alerts
}

// ended is called once, when the master is gone.
func (p *Process) ended(err error) {
	if err != nil {
		p.why = fmt.Errorf("%w: %w", ErrGone, err)
	}
	close(p.gone)
}

// stopDeadline is how long a master may take for a SIGTERM.
const stopDeadline = 5 * time.Second

// Stop ends HAProxy and returns when its master is gone. It takes no new connections and
// ends with the last one, or at once with hard and when ctx ends; a master that does not
// is killed. Stopping one that is gone is no error.
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
