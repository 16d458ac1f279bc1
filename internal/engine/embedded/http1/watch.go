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
	over    bool      // nothing is looked at any more
	half    time.Time // when the client was seen to have closed its side, and took nothing since

	wrote atomic.Int64 // how often some of the answer was taken
	seen  int64        // of that, when half was set
}

func (w *watch) start() {
	if w.conn.hooks.Gone == nil && w.conn.turns.line == nil {
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

// stop returns when the exchange is not looked at any more. Where turns are taken, the
// timer goes on, for one look at the idle connection.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = false
	if w.timer != nil && w.conn.turns.line == nil {
		w.timer.Stop()
	}
}

// end ends all looking.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running, w.over = false, true; w.timer != nil {
		w.timer.Stop()
	}
}

func (w *watch) look() {
	if !w.lookBusy() && w.conn.turns.line != nil && !w.lookIdle() {
		w.again()
	}
}

// lookIdle closes the connection when its end has come together with the last bytes. It is
// idle from rest to wake, and wake comes before reading: so nothing was read meanwhile, and
// nothing more can come. It is false where the connection is not idle yet.
func (w *watch) lookIdle() bool {
	k := w.conn
	if k.state.Load() == isBusy {
		return false
	}
	if k.state.Load() == isIdle && k.turns.line.ended() && k.state.CompareAndSwap(isIdle, isClosed) {
		_ = k.Close()
	}
	return true
}

// again has the timer go on between the end of an exchange and the waiting for the next.
func (w *watch) again() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running && !w.over {
		w.timer.Reset(watchNext)
	}
}

// lookBusy reports whether there is an exchange, which it ends when the client is gone.
func (w *watch) lookBusy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running {
		return false
	}
	if w.conn.hooks.Gone == nil {
		w.timer.Reset(watchNext)
		return true
	}
	switch p := w.conn.hooks.Gone(); {
	case p == Gone:
		w.conn.cancel(ErrClientGone)
		return true
	case p == HalfClosed && (w.half.IsZero() || w.seen != w.wrote.Load()):
		w.half, w.seen = time.Now(), w.wrote.Load()
	case p == HalfClosed && time.Since(w.half) >= halfGrace:
		w.conn.cancel(ErrClientGone)
		return true
	}
	w.timer.Reset(watchNext)
	return true
}
