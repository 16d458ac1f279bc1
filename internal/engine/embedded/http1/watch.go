package http1

import (
	"sync"
	"sync/atomic"
	"time"
)

// How a client is watched while its request is served: a quick answer costs it nothing.
const (
	watchFirst = 20 * time.Millisecond
	watchNext  = 100 * time.Millisecond
	// halfGrace is for a client that has closed its side: it may wait for the answer
	// (RFC 9112, 9.6).
	halfGrace = 2 * time.Second
)

// watch looks from time to time whether the client is still there, and ends the context
// of its connection when it is not.
type watch struct {
	conn *conn

	mu      sync.Mutex
	timer   *time.Timer
	running bool
	half    time.Time // when the client was seen to have closed its side, and took nothing since

	wrote atomic.Int64 // how often some of the answer was taken
	seen  int64        // of that, when half was set
}

func (w *watch) start() {
	if w.conn.hooks.Gone == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running, w.half = true, time.Time{}
	if w.timer == nil {
		w.timer = time.AfterFunc(watchFirst, w.look)
	} else {
		w.timer.Reset(watchFirst)
	}
}

// stop returns when nothing is looked at any more.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = false
	if w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running {
		return
	}
	switch p := w.conn.hooks.Gone(); {
	case p == Gone:
		w.conn.cancel(ErrClientGone)
		return
	case p == HalfClosed && (w.half.IsZero() || w.seen != w.wrote.Load()):
		w.half, w.seen = time.Now(), w.wrote.Load()
	case p == HalfClosed && time.Since(w.half) >= halfGrace:
		w.conn.cancel(ErrClientGone)
		return
	}
	w.timer.Reset(watchNext)
}
