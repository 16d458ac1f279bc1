package http1

import (
	"sync"
	"sync/atomic"
	"time"
)

// How a client is watched while its request is served: a quick answer costs it nothing.
const (
	watchFirst = 20 * time.Millisecond // and up to as much again
	watchNext  = 100 * time.Millisecond
	// halfGrace is for a client that has closed its side: it may wait for the answer
	// (RFC 9112, 9.6).
	halfGrace = 2 * time.Second
)

// watch looks from time to time whether the client is still there, and ends the context
// of its connection when it is not. Its timer runs from the beginning of an exchange on, and on
// while one follows the other: setting it each time would cost more than all else here.
type watch struct {
	conn *conn

	mu      sync.Mutex
	timer   *time.Timer
	armed   bool      // the timer runs
	running bool      // there is an exchange
	busy    bool      // Hooks.Busy said so last
	fresh   bool      // it began after the last look
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
	w.running, w.fresh, w.half = true, w.armed, time.Time{}
	if !w.armed {
		w.arm(watchFirst)
	}
}

// arm is called with mu held.
func (w *watch) arm(in time.Duration) {
	w.armed = true
	if w.timer == nil {
		w.timer = time.AfterFunc(in, w.look)
	} else {
		w.timer.Reset(in)
	}
}

// stop returns when the exchange is not looked at any more. The timer goes on, for one look
// at the idle connection.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = false
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

// wake says that the connection is not idle any more, where that was said.
func (w *watch) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.busy {
		w.say(true)
	}
}

// rest says that it is idle, unless the next look will: a connection that gets one request after
// the other stays busy.
func (w *watch) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed || w.conn.turns.line == nil {
		w.say(false)
	}
}

// say is called with mu held.
func (w *watch) say(busy bool) {
	if w.busy = busy; w.conn.hooks.Busy != nil {
		w.conn.hooks.Busy(busy)
	}
}

// lookIdle closes the connection when its end has come together with the last bytes. It is
// idle from rest to wake, and wake comes before reading: so nothing was read meanwhile, and
// nothing more can come. It is false where the connection is not idle yet.
func (w *watch) lookIdle() bool {
	k := w.conn
	w.mu.Lock()
	idle := k.state.Load() != isBusy // wake says it after that
	if idle && w.busy {
		w.say(false)
	}
	w.mu.Unlock()
	if !idle {
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
	if !w.armed && !w.over {
		w.arm(watchNext)
	}
}

// lookBusy reports whether there is an exchange, which it ends when the client is gone. One that
// has begun after the look before is given time until the next.
func (w *watch) lookBusy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed = false
	switch {
	case !w.running:
		return false
	case w.fresh:
		w.fresh = false
		w.arm(watchFirst)
		return true
	case w.conn.hooks.Gone == nil:
		w.arm(watchNext)
		return true
	}
	switch p := w.conn.hooks.Gone(); {
	case p == Gone:
		w.conn.cut(ErrClientGone)
		return true
	case p == HalfClosed && (w.half.IsZero() || w.seen != w.wrote.Load()):
		w.half, w.seen = time.Now(), w.wrote.Load()
	case p == HalfClosed && time.Since(w.half) >= halfGrace:
		w.conn.cut(ErrClientGone)
		return true
	}
	w.arm(watchNext)
	return true
}
