// Package process runs HAProxy in master-worker mode, or takes over one that runs: it
// starts it so that it outlives us, reports when it is gone, and reloads it. A reload has
// come about when a worker that was not there before shows it.
package process

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/socket"
)

// Options say what runs and where its sockets and words go.
type Options struct {
	// Binary is the program. Start needs it.
	Binary *binary.Binary
	// CheckOptions are the configuration files, at least one, and their surroundings.
	binary.CheckOptions
	// MasterSocket is the path of the master's socket, absolute, of at most 90 bytes.
	MasterSocket string
	// LogFile is where what HAProxy writes goes, and its reasons are read; or none.
	LogFile string
	// Output, when it is set, gets what HAProxy writes, and is what writes LogFile.
	// HAProxy then does not outlive us for long: it writes into a pipe that we hold.
	Output io.Writer
}

// Process is a HAProxy that runs, started by us or not. Any goroutine may call its methods.
type Process struct {
	o       Options
	master  *socket.Master
	pid     int
	log     logFile
	started bool // by us
	foreign bool // its process numbers are not ours: it runs in another namespace

	process *os.Process   // nil for one that cannot be seen from here
	detach  func()        // ends the watch; nil for one that was started
	gone    chan struct{} // closed when the master is gone
	why     error         // set before gone is closed

	reload chan struct{} // holds one token: reloads are done one at a time
}

// Pid is the process number of the master.
func (p *Process) Pid() int { return p.pid }

// Gone is closed when the master has ended, for any reason.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Ended says whether the master has.
func (p *Process) Ended() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

// Err says how the master has failed; nil when it ended otherwise, and while it runs.
func (p *Process) Err() error {
	if !p.Ended() {
		return nil
	}
	return p.why
}

// Master is a client for the master's socket, with 4 s for each question.
func (p *Process) Master() *socket.Master { return p.master }

// Worker is the worker that serves. While HAProxy starts there is none, an error.
func (p *Process) Worker(ctx context.Context) (socket.Process, error) {
	all, err := p.master.Processes(ctx)
	if err != nil {
		return socket.Process{}, err
	}
	if len(all.Workers) == 0 {
		return socket.Process{}, errors.New("haproxy: no worker serves")
	}
	return all.Workers[len(all.Workers)-1], nil
}

// Marker is the value of socket.MarkerVariable in the worker that serves; empty for none.
func (p *Process) Marker(ctx context.Context) (string, error) {
	w, err := p.Worker(ctx)
	if err != nil {
		return "", err
	}
	value, _, err := p.master.WorkerVar(ctx, w.PID, socket.MarkerVariable)
	return value, err
}

// Pids are the master and, if it answers, all workers.
func (p *Process) Pids(ctx context.Context) []int {
	pids := []int{p.pid}
	all, err := p.master.Processes(ctx)
	if err != nil {
		return pids
	}
	for _, w := range append(all.Workers, all.Old...) {
		pids = append(pids, w.PID)
	}
	return pids
}

// FailedError says in HAProxy's words why it did not start or take a configuration.
type FailedError struct {
	// What failed: "start" or "reload".
	What string
	// Alerts are HAProxy's reasons; empty when it gave none.
	Alerts []binary.Message
}

// Error is the first reason and how many more there are.
func (e *FailedError) Error() string {
	text := "haproxy: " + e.What + " failed"
	if len(e.Alerts) == 0 {
		return text + " without a reason"
	}
	return text + ": " + binary.First(e.Alerts)
}

// ErrUnproven is wrapped by the error of a reload whose deadline passed before its proof.
var ErrUnproven = errors.New("haproxy: reload not proven")

// ErrGone is wrapped by errors that come of the master not being there any more.
var ErrGone = errors.New("haproxy is gone")

// logFile is a file that HAProxy appends to; empty for none.
type logFile string

// maxLog bounds what is looked at of it.
const maxLog = 64 << 10

// size is where the next byte goes.
func (f logFile) size() int64 {
	info, err := os.Stat(string(f))
	if err != nil {
		return 0
	}
	return info.Size()
}

// since is what was written from a position on, or the end of it when it is long.
func (f logFile) since(position int64) string {
	file, err := os.Open(string(f))
	if err != nil {
		return ""
	}
	defer file.Close()
	end := f.size()
	if position > end {
		position = 0
	}
	text, err := io.ReadAll(io.NewSectionReader(file, max(position, end-maxLog), maxLog))
	if err != nil {
		return ""
	}
	return string(text)
}

// pause waits for d or until ctx ends or the master is gone.
func (p *Process) pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.gone:
		return ErrGone
	}
}
