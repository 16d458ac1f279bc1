package http1

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// open has turns taken where the connection is a socket.
func (t *turns) open(k *conn) {
	t.conn = k
	if c := socketOf(k.Conn); c != nil {
		if raw, err := c.SyscallConn(); err == nil {
			t.raw, t.step = raw, t.turn
		}
	}
}

// readNow reads what is there. A socket of Go never waits.
func readNow(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, errWait
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// ended reports whether the client has closed its side and all that it sent was read.
func (t *turns) ended() bool {
	ended := false
	_ = t.raw.Control(func(fd uintptr) {
		var b [1]byte
		n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		ended = n == 0 && err == nil
	})
	return ended
}

// unread is how much can be read of a socket now.
func unread(fd uintptr) int {
	n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
	if err != nil {
		return 0
	}
	return n
}
