package http1

import (
	"runtime"
	"sync"
)

// gathering joins what is written in quick succession.
type gathering struct {
	mu   sync.Mutex
	on   bool
	soon bool // a goroutine is about to write what is there
	out  []byte
	err  error // of writing, for good
}

// How much is gathered, and how much memory for it is kept meanwhile.
const (
	gatherMost = 16 << 10
	gatherKept = 4 << 10
)

// Gather has what is written in quick succession go out together from now on: net/http writes
// the head of an answer of HTTP/2 and its body one by one. Why some could not be written,
// later writes say; the connection is closed then.
func (l *Line) Gather() {
	l.later.mu.Lock()
	defer l.later.mu.Unlock()
	l.later.on = true
}

// gather is Write for who gathers, and reports whether that was so.
func (l *Line) gather(p []byte) (n int, gathers bool, err error) {
	g := &l.later
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.on {
		return 0, false, nil
	}
	if len(g.out)+len(p) > gatherMost {
		l.flush()
		if g.err == nil {
			n, g.err = l.write(p)
		}
		return n, true, g.err
	}
	if g.err != nil {
		return 0, true, g.err
	}
	if g.out = append(g.out, p...); !g.soon {
		g.soon = true
		go l.flushSoon()
	}
	return len(p), true, nil
}

// flushSoon lets those go first who may be about to write more.
func (l *Line) flushSoon() {
	runtime.Gosched()
	g := &l.later
	g.mu.Lock()
	defer g.mu.Unlock()
	g.soon = false
	if l.flush(); g.err != nil {
		_ = l.TCPConn.Close()
	}
}

// flush is called with mu held, which the next write waits for: who has set its limit has set
// that of this one.
func (l *Line) flush() {
	g := &l.later
	if len(g.out) > 0 && g.err == nil {
		_, g.err = l.write(g.out)
	}
	if g.out = g.out[:0]; cap(g.out) > gatherKept {
		g.out = nil
	}
}

// Close closes the connection. What was gathered goes out before, if it is taken at once.
func (l *Line) Close() error {
	if g := &l.later; g.mu.TryLock() {
		if len(g.out) > 0 && g.err == nil {
			_, g.err = l.writeShort(g.out)
			g.out = nil
		}
		g.mu.Unlock()
	}
	return l.TCPConn.Close()
}
