//go:build unix

package http1

import (
	"net"
	"syscall"
)

// quiet looks into the socket of an unused connection.
type quiet struct {
	raw  syscall.RawConn
	seen func(fd uintptr)
	is   bool
}

// open makes it ready, so that looking takes no memory.
func (q *quiet) open(c net.Conn) {
	if sc, ok := c.(syscall.Conn); ok {
		q.raw, _ = sc.SyscallConn()
	}
	q.seen = func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		q.is = err == syscall.EAGAIN
	}
}

// look reports whether nothing is there to be read, not even the end: it neither waits nor
// takes anything out.
func (q *quiet) look() bool {
	if q.raw == nil {
		return true // not a socket
	}
	q.is = false
	return q.raw.Control(q.seen) == nil && q.is
}
