package http1

import (
	"errors"
	"syscall"
)

// turns serve the requests of a connection in clear that are there whole, with their bodies,
// after a read, all in one RawConn.Read: after a read that has filled less than the memory nothing
// is left, and what comes later wakes the waiting. So no read is made in vain. Everything
// else is served between two of them, by ordinary reads; the next one begins with a read.
//
// What wakes is reset at the beginning of a RawConn.Read alone. The one thing that can be
// missed is an end that came together with the last bytes: the watch looks for that.
//
// The zero value, which has no socket, reads in the ordinary way.
type turns struct {
	conn    *conn
	raw     syscall.RawConn
	step    func(fd uintptr) bool
	fd      uintptr // while inside
	inside  bool    // in RawConn.Read: nothing may wait
	drained bool    // all was read that was there
	resting bool    // waiting for a request
	over    bool    // the connection ends
}

// errWait means that nothing is there to be read now.
var errWait = errors.New("nothing is there yet")

// run serves for as long as that needs no ordinary reads, and reports whether it goes on
// with them.
func (t *turns) run() bool {
	if t.raw == nil {
		return true
	}
	t.drained = false
	err := t.raw.Read(t.step)
	return err == nil && !t.over
}

// Read reads, inside without waiting.
func (t *turns) Read(p []byte) (int, error) {
	if !t.inside {
		return t.conn.Conn.Read(p)
	}
	n, err := readNow(t.fd, p)
	t.drained = n < len(p)
	return n, err
}

// turn is what RawConn.Read calls, and again when there is something to read, for as long
// as it returns false.
func (t *turns) turn(fd uintptr) bool {
	k := t.conn
	t.fd, t.inside = fd, true
	defer func() { t.inside = false }()
	for {
		if !t.resting {
			if !t.serve() {
				return true
			}
			if t.resting = k.rest(); !t.resting {
				return t.end()
			}
			if t.drained {
				k.give()
				return false
			}
		}
		if !t.fill() {
			if t.resting {
				k.give()
				return false
			}
			return t.end()
		}
	}
}

// fill reads what has come, if anything has. It is false where the waiting goes on or, not
// resting any more, the connection ends.
func (t *turns) fill() bool {
	k := t.conn
	fresh := !k.used // then it stays new until something has come
	if !fresh && !k.wake() {
		t.resting = false
		return false // before anything is read: see watch.lookIdle
	}
	k.take()
	err := k.in.Fill(inSize)
	if err == errWait { //nolint:errorlint // it is returned as it is
		t.drained, t.resting = true, fresh
		return !fresh
	}
	t.resting = false
	return err == nil && (!fresh || k.wake())
}

// serve serves what was read whole, and reports whether that was all.
func (t *turns) serve() bool {
	k := t.conn
	for len(k.in.Unused()) > 0 {
		x, err := k.receive()
		switch {
		case err == errWait: //nolint:errorlint // it is returned as it is
			return false
		case err != nil:
			return !t.end()
		case !x.whole(), x.Request.Fields.Has("Upgrade"):
			k.next = x // it is read on
			return false
		case !k.serve(x):
			return !t.end()
		}
	}
	return true
}

func (t *turns) end() bool {
	t.over = true
	return true
}
