package control

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// recorder writes to the history in the background, one thing after the other
// in the order in which they happened. What cannot be written is tried again
// until it can, so that a disk that was full for a while loses nothing; when too
// much waits, the oldest is given up and counted.
type recorder struct {
	log  *slog.Logger
	lost func() // counts what was given up

	mu    sync.Mutex
	queue []job
	wake  chan struct{} // room for one
}

// job is something to be written. do is called until it succeeds. done, unless
// it is nil, is called once with what came of the first try.
type job struct {
	do   func() error
	done func(error)
}

const (
	maxJobs    = 256
	retryWrite = 2 * time.Second
)

func newRecorder(log *slog.Logger, lost func()) *recorder {
	return &recorder{log: log, lost: lost, wake: make(chan struct{}, 1)}
}

// add queues a job and returns at once.
func (r *recorder) add(j job) {
	r.mu.Lock()
	var given *job
	if len(r.queue) >= maxJobs {
		given = &r.queue[0]
		r.queue = r.queue[1:]
		r.lost()
	}
	r.queue = append(r.queue, j)
	r.mu.Unlock()
	if given != nil && given.done != nil {
		given.done(errGivenUp)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take removes and returns the first job.
func (r *recorder) take() (job, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 {
		return job{}, false
	}
	j := r.queue[0]
	r.queue = r.queue[1:]
	return j, true
}

// run does the jobs until ctx ends; then it tries once what is left.
func (r *recorder) run(ctx context.Context) {
	for {
		j, ok := r.take()
		if !ok {
			select {
			case <-r.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		r.do(ctx, j)
	}
}

// do tries until it succeeds or ctx has ended.
func (r *recorder) do(ctx context.Context, j job) {
	err := j.do()
	if j.done != nil {
		j.done(err)
	}
	for ; err != nil; err = j.do() {
		if ctx.Err() != nil {
			r.lost()
			r.log.Error("not written to the history", "error", err)
			return
		}
		select {
		case <-time.After(retryWrite):
		case <-ctx.Done():
		}
	}
}
