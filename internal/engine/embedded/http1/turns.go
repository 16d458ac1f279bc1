package http1

import (
	"errors"
	"time"
)

// turns serve the requests of a connection that are there whole, with their bodies, after a
// read, all in one turn of its line. Everything else is served between two of them, by
// ordinary reads; the next one begins with a read.
//
// The one thing that can be missed is an end that came together with the last bytes: the
// watch looks for that.
//
// The zero value, which has no line, leaves all to ordinary reads.
type turns struct {
	conn    *conn
	line    *Line
	clear   bool // not below TLS
	step    func() bool
	resting bool // waiting for a request
	over    bool // the connection ends
}

// open has turns taken where the connection has a line.
func (t *turns) open(k *conn) {
	under := below(k.Conn)
	t.conn, t.line, t.clear, t.step = k, lineOf(under), under == k.Conn, t.turn
}

// run serves for as long as that needs no ordinary reads, and reports whether it goes on
// with them.
func (t *turns) run() bool {
	if t.line == nil {
		return true
	}
	if k := t.conn; k.used { // the limit of the request before may have passed
		k.readWithin(time.Now(), k.server.limits.Idle)
	}
	return t.line.turn(t.step) == nil && !t.over
}

// inside reports whether nothing may wait.
func (t *turns) inside() bool { return t.line != nil && t.line.inside }

// errEnded means that the connection was closed, or ends.
var errEnded = errors.New("the connection has ended")

// turn is a step of the line's turn.
func (t *turns) turn() bool {
	for {
		var err error
		if t.resting {
			err = t.wake()
		} else {
			if !t.serve() {
				return true
			}
			err = t.rest()
		}
		switch err {
		case nil:
			t.resting = false
		case errWait:
			t.resting = true
			t.conn.give()
			return false
		default:
			return t.end()
		}
	}
}

// rest reads what has come meanwhile, and else begins to wait.
func (t *turns) rest() error {
	k := t.conn
	if k.used {
		k.take()
		if err := k.in.Fill(inSize); err != errWait { //nolint:errorlint // it is returned as it is
			return err
		}
	}
	switch {
	case !k.rest():
		return errEnded
	case k.used:
		return errWait
	}
	return t.wake()
}

// wake reads what has come, if anything has. A connection stays new until then.
func (t *turns) wake() error {
	k := t.conn
	fresh := !k.used
	if !fresh && !k.wake() { // before anything is read: see watch.lookIdle
		return errEnded
	}
	k.take()
	err := k.in.Fill(inSize)
	switch {
	case err == errWait && !fresh && !k.idle(), //nolint:errorlint // it is returned as it is
		err == nil && fresh && !k.wake():
		return errEnded
	}
	return err
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
