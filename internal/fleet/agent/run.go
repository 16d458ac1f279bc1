package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"fairway/internal/clock"
	"fairway/internal/engine/haproxy/process"
	"fairway/internal/fleet/agent/report"
)

// HAProxy is started again at once, and a second later each time if it was not steady.
const (
	steady   = 10 * time.Second
	mostRest = 5 * time.Second
)

// Run fetches the configuration, or goes on with the one in place, and runs HAProxy. It
// reloads on SIGUSR2 and SIGHUP, and ends with ctx, or after all connections on SIGUSR1.
func (a *Agent) Run(ctx context.Context, signals <-chan os.Signal) error {
	if os.Getpid() == 1 {
		reaping, stop := context.WithCancel(ctx)
		defer stop()
		go reap(reaping)
	}
	if _, err := a.Update(ctx); err != nil {
		if content, readErr := read(a.current()); readErr != nil || content == nil {
			return fmt.Errorf("there is no configuration to run with: %w", err)
		}
		a.say("Going on with %s as it is.", a.current())
	}
	output := newOutputLog(a.output(), a.o.Output)
	defer func() { _ = output.file.Close() }()
	var news chan fetched
	if a.o.Follow {
		following, stop := context.WithCancel(ctx)
		defer stop()
		news = make(chan fetched)
		go a.follow(following, news)
	}
	for ends := 0; ; {
		begun := time.Now()
		p, err := a.start(ctx, output)
		if err != nil && ends == 0 && ctx.Err() == nil {
			return err
		}
		if err == nil {
			asked, stopped := a.serve(ctx, p, signals, news)
			if asked {
				return stopped
			}
			if err = p.Err(); err == nil {
				return nil // another process has stopped it
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		a.say("HAProxy has ended by itself: %v", err)
		if ends++; time.Since(begun) >= steady {
			ends = 1
		}
		if clock.Sleep(ctx, min(time.Second*time.Duration(ends-1), mostRest)) != nil {
			return nil
		}
	}
}

// start starts HAProxy with the file in place, or with the last one that ran.
func (a *Agent) start(ctx context.Context, output *outputLog) (*process.Process, error) {
	unlock, err := a.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	content, err := read(a.current())
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	p, err := a.startWith(ctx, content, output)
	if err == nil {
		return p, nil
	}
	good, goodErr := read(a.good())
	if ctx.Err() != nil || goodErr != nil || good == nil || string(good) == string(content) {
		return nil, err
	}
	a.say("%v. Going back to the last configuration that ran.", err)
	if err := a.cover(good, content); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return a.startWith(ctx, good, output)
}

func (a *Agent) startWith(ctx context.Context, content []byte, output *outputLog) (*process.Process, error) {
	if _, err := a.mark(content); err != nil {
		return nil, fmt.Errorf("marker: %w", err)
	}
	o := a.processOptions()
	o.Output = output
	p, err := process.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	if w, err := p.Worker(ctx); err == nil {
		a.say("Worker %d serves %s (sha256 %.12s).", w.PID, a.current(), report.Digest(content))
	}
	a.remember(content)
	return p, nil
}

// serve follows signals and the control server until HAProxy is gone, or asked to end.
func (a *Agent) serve(ctx context.Context, p *process.Process, signals <-chan os.Signal, news <-chan fetched) (asked bool, err error) {
	for {
		select {
		case <-p.Gone():
			return false, nil
		case <-ctx.Done():
			a.say("Stopping HAProxy; its connections have %s to end.", a.o.Grace)
			graceful, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.o.Grace)
			defer cancel()
			return true, p.Stop(graceful, false)
		case s := <-signals:
			if s == syscall.SIGUSR1 {
				a.say("Stopping HAProxy when its connections have ended.")
				return true, p.Stop(ctx, false)
			}
			a.say("Reload was asked for (%v).", s)
			a.change(ctx, func() error { return a.reload(ctx, p, false) })
		case got := <-news:
			a.change(ctx, func() error {
				if changed, err := a.install(ctx, got.content, p.Pids(ctx), false); err != nil || !changed {
					return nil // the log has it
				}
				return a.reload(ctx, p, true)
			})
		}
	}
}

// change does something under the lock, and logs why it fails.
func (a *Agent) change(ctx context.Context, do func() error) {
	unlock, err := a.lock(ctx)
	if err == nil {
		defer unlock()
		err = do()
	}
	if err != nil && ctx.Err() == nil {
		a.say("%v", err)
	}
}

// outputLog passes on what HAProxy prints, and keeps the end of it, where its reasons are
// read, in a file, which may be nil.
type outputLog struct {
	to io.Writer

	mu   sync.Mutex
	file *os.File
	size int
}

const maxOutput = 1 << 20

func newOutputLog(path string, to io.Writer) *outputLog {
	f, _ := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	return &outputLog{to: to, file: f}
}

// Write implements io.Writer. It never fails: HAProxy must not block on us.
func (w *outputLog) Write(b []byte) (int, error) {
	w.mu.Lock()
	if w.size += len(b); w.size > maxOutput {
		_ = w.file.Truncate(0)
		w.size = len(b)
	}
	_, _ = w.file.Write(b)
	w.mu.Unlock()
	_, _ = w.to.Write(b)
	return len(b), nil
}

// follow polls the control server and passes on what is new.
func (a *Agent) follow(ctx context.Context, news chan<- fetched) {
	const longest = time.Minute // that the control server is asked to wait
	etag, failures := "", 0
	content, _ := read(a.current())
	seen := report.Digest(content) // of what was handed over last, taken or not
	for ctx.Err() == nil {
		begun := time.Now()
		asking, cancel := context.WithTimeout(ctx, longest+30*time.Second)
		got, err := a.get(asking, etag, longest)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failures == 0 {
				a.say("The control server cannot be asked: %v. HAProxy goes on as it is.", err)
			}
			failures++
			_ = clock.Sleep(ctx, min(time.Second<<min(failures, 6), max(a.o.Interval, time.Second)))
			continue
		case failures > 0:
			a.say("The control server answers again.")
			failures = 0
		}
		asked := etag
		etag = got.etag
		if got.content != nil && report.Digest(got.content) != seen {
			seen = report.Digest(got.content)
			a.say("The control server has another configuration (sha256 %.12s).", seen)
			select {
			case news <- got:
			case <-ctx.Done():
				return
			}
			continue
		}
		// A control server that waits for a change has taken its time, or will with the tag.
		// One that answers at once is asked again after the interval.
		if time.Since(begun) < longest/2 && (etag == "" || etag == asked) {
			_ = clock.Sleep(ctx, a.o.Interval)
		}
	}
}
