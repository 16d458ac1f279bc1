package http1

import (
	"net"
	"sync"
	"syscall"
)

// Line is a connection of TCP, on Linux. Its short system calls are made without a word to
// the scheduler: a socket of Go never waits, so no other thread needs the processor meanwhile.
// What a socket does not take or give at once is waited for in the ordinary way.
//
// One goroutine reads at a time, and one writes.
type Line struct {
	*net.TCPConn
	raw syscall.RawConn

	// Of a turn, for the goroutine that reads.
	call    func(fd uintptr) bool // made once, so that a turn takes no memory
	step    func() bool
	fd      uintptr // while inside
	inside  bool    // in a turn: reading does not wait
	drained bool    // all was read that was there

	later   gathering
	writing sync.Mutex
	push    func(fd uintptr) bool
	out     []byte
	sent    int
}

// shortWrite is the most that is written without a word to the scheduler: some 20 µs.
const shortWrite = 64 << 10

// NewLine makes a Line of a connection, or returns the connection where that cannot be done.
func NewLine(c net.Conn) net.Conn {
	socket, ok := c.(*net.TCPConn)
	if !ok || !hasLines {
		return c
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return c
	}
	l := &Line{TCPConn: socket, raw: raw}
	l.call, l.push = l.callStep, l.pushOut
	return l
}

// below is what is below TLS, or the connection itself.
func below(c net.Conn) net.Conn {
	if secure, ok := c.(interface{ NetConn() net.Conn }); ok {
		return secure.NetConn()
	}
	return c
}

// lineOf is the line of a connection in clear, or nil.
func lineOf(c net.Conn) *Line {
	switch c := c.(type) {
	case *Line:
		return c
	case interface{ Line() *Line }:
		return c.Line()
	}
	return nil
}

// turn calls step, and again when there may be something to read, until it returns true.
// Within step reading does not wait: errWait says that there is nothing now. Step must have
// found that out before it returns false, also when it is called for the first time: what
// wakes is reset before that alone, so nothing is missed and no read is made in vain.
func (l *Line) turn(step func() bool) error {
	l.step = step
	return l.raw.Read(l.call)
}

func (l *Line) callStep(fd uintptr) bool {
	l.fd, l.inside, l.drained = fd, true, false
	defer func() { l.inside = false }()
	return l.step()
}

// errWait means that nothing is there to be read now. TLS goes on after it.
var errWait error = waitError{}

type waitError struct{}

func (waitError) Error() string   { return "nothing is there yet" }
func (waitError) Timeout() bool   { return true }
func (waitError) Temporary() bool { return true }

// Read reads, in a turn without waiting. What comes after a read that has not filled its
// memory wakes, so it is not looked for.
func (l *Line) Read(p []byte) (int, error) {
	switch {
	case !l.inside:
		return l.TCPConn.Read(p)
	case l.drained:
		return 0, errWait
	}
	n, err := readNow(l.fd, p)
	l.drained = n < len(p)
	return n, err
}

// Write writes all of p.
func (l *Line) Write(p []byte) (int, error) {
	if n, gathers, err := l.gather(p); gathers {
		return n, err
	}
	return l.write(p)
}

func (l *Line) write(p []byte) (int, error) {
	if len(p) > shortWrite {
		return l.TCPConn.Write(p)
	}
	n, err := l.writeShort(p)
	if err != nil || n == len(p) {
		return n, err
	}
	m, err := l.TCPConn.Write(p[n:]) // it also says what is wrong
	return n + m, err
}

// writeShort writes what the socket takes at once.
func (l *Line) writeShort(p []byte) (int, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.out, l.sent = p, 0
	err := l.raw.Write(l.push)
	l.out = nil
	return l.sent, err
}

// writeInTurn is writeShort for the goroutine of the turn, which holds the socket.
func (l *Line) writeInTurn(p []byte) (n int) {
	if len(p) <= shortWrite {
		n = writeNow(l.fd, p)
	}
	return n
}

func (l *Line) pushOut(fd uintptr) bool {
	l.sent = writeNow(fd, l.out)
	return true
}

// quiet reports, in a turn, whether nothing is there to be read, not even the end.
func (l *Line) quiet() bool {
	_, err := look(l.fd)
	return err == syscall.EAGAIN
}

// ended reports whether the other end has closed its side and all that it sent was read.
func (l *Line) ended() (ended bool) {
	_ = l.raw.Control(func(fd uintptr) {
		n, err := look(fd)
		ended = n == 0 && err == 0
	})
	return ended
}

// unread is how much can be read now.
func (l *Line) unread() (n int) {
	_ = l.raw.Control(func(fd uintptr) { n = unread(fd) })
	return n
}
