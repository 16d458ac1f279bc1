// Package process runs HAProxy in master-worker mode, or takes over one that
// runs: it starts it so that it outlives us, reports when it is gone, and reloads
// it with proof. No signal counts as proof: a reload has come about when a worker
// that was not there before shows it.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/socket"
)

// Options say what runs and where its sockets and words go.
type Options struct {
	// Binary is the program. Start needs it.
	Binary *binary.Binary
	// Files are the configuration files, in order. Start needs at least one;
	// for both they are what HAProxy's messages may quote, with Known.
	Files, Known []string
	// Shown returns the text of a file as messages may quote it; see
	// binary.CheckOptions.
	Shown func(file string) (text string, ok bool)
	// Dir is the working directory, against which HAProxy resolves relative
	// paths. Empty means this process's own.
	Dir string
	// MasterSocket is the path of the master's socket, absolute, of at most 90
	// bytes. Its directory exists and is for no other use.
	MasterSocket string
	// LogFile is where what HAProxy writes goes, so that it can outlive us.
	// Empty together with Output means that it is thrown away.
	LogFile string
	// Output, when it is set, gets what HAProxy writes instead of LogFile, a
	// line or more at a time. HAProxy then does not outlive us for long: it
	// writes into a pipe that we hold.
	Output io.Writer
	// Environ is HAProxy's environment as os.Environ gives it; nil is an empty
	// one.
	Environ []string
}

// Process is a HAProxy that runs, started by us or not. Methods may be called
// from any goroutine.
type Process struct {
	o       Options
	master  *socket.Master
	pid     int
	log     record
	foreign bool // its process numbers are not ours: it runs in another namespace

	handle handle        // what signals and the wait go through
	gone   chan struct{} // closed when the master is gone
	why    error         // set before gone is closed

	reload chan struct{} // holds one token: reloads are done one at a time
}

// Pid is the process number of the master.
func (p *Process) Pid() int { return p.pid }

// Gone is closed when the master has ended, for any reason.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Err says how the master ended, once Gone is closed: nil when it was stopped by
// Stop or ended by itself without a failure. Before that it is nil.
func (p *Process) Err() error {
	select {
	case <-p.gone:
		return p.why
	default:
		return nil
	}
}

// Master is a client for the master's socket, with 5 s for each question.
func (p *Process) Master() *socket.Master { return p.master }

// Worker is the worker that serves. There is none for a moment while HAProxy
// starts, which is an error.
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

// OldWorkers are the workers that were replaced and finish what they have, the
// oldest first; their Uptime is their age.
func (p *Process) OldWorkers(ctx context.Context) ([]socket.Process, error) {
	all, err := p.master.Processes(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all.Old, func(a, b socket.Process) int { return b.Reloads - a.Reloads })
	return all.Old, nil
}

// Marker is the value of socket.MarkerVariable in the worker that serves; empty when it
// carries none.
func (p *Process) Marker(ctx context.Context) (string, error) {
	w, err := p.Worker(ctx)
	if err != nil {
		return "", err
	}
	value, _, err := p.master.WorkerVar(ctx, w.PID, socket.MarkerVariable)
	return value, err
}

// Log is the end of what HAProxy has written, for people; at most 64 KiB. It may
// quote any file that its configuration names: it is for the operator alone.
func (p *Process) Log() string { return p.log.since(0) }

// Pids are the master and all workers, as far as the master answers; otherwise
// the master alone.
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

// FailedError says that HAProxy did not start, or did not take a new
// configuration, in its own words.
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
	text += ": " + e.Alerts[0].String()
	if more := len(e.Alerts) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// ErrUnproven is wrapped by the error of a reload of which it is not known
// whether it has come about: the deadline passed first.
var ErrUnproven = errors.New("haproxy: reload not proven")

// ErrGone is wrapped by errors that come of the master not being there any more.
var ErrGone = errors.New("haproxy is gone")

// record keeps the end of what HAProxy wrote and lets a part of it be found
// again by its position.
type record interface {
	// position is where the next byte goes, from 1.
	position() int64
	// since is what was written from there on, its end when it is long; 0 means
	// the end of everything.
	since(position int64) string
}

// maxLog bounds what is looked at of a log.
const maxLog = 64 << 10

// fileLog is a file that HAProxy appends to.
type fileLog string

func (f fileLog) position() int64 {
	info, err := os.Stat(string(f))
	if err != nil {
		return 1
	}
	return info.Size() + 1
}

func (f fileLog) since(position int64) string {
	file, err := os.Open(string(f))
	if err != nil {
		return ""
	}
	defer file.Close()
	end, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	from := max(position-1, end-maxLog, 0)
	text := make([]byte, max(end-from, 0))
	n, err := file.ReadAt(text, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return string(text[:n])
}

// ring keeps the end of what is written through it.
type ring struct {
	to io.Writer

	mu      sync.Mutex
	text    []byte
	written int64
}

func (r *ring) Write(b []byte) (int, error) {
	r.mu.Lock()
	r.text = append(r.text, b...)
	if len(r.text) > 2*maxLog {
		r.text = append(r.text[:0], r.text[len(r.text)-maxLog:]...)
	}
	r.written += int64(len(b))
	r.mu.Unlock()
	// An error would end the copying, and then HAProxy would block on its pipe.
	_, _ = r.to.Write(b)
	return len(b), nil
}

func (r *ring) position() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.written + 1
}

func (r *ring) since(position int64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(int64(len(r.text)), maxLog)
	if position > 0 {
		n = min(n, r.written-position+1)
	}
	return string(r.text[int64(len(r.text))-max(n, 0):])
}

// pause waits for d or until ctx ends or the master is gone.
func (p *Process) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.gone:
		return ErrGone
	}
}
