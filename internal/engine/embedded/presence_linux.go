package embedded

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"fairway/internal/engine/embedded/http1"
)

// presence looks whether the other end of a connection is still there, also behind bytes
// that have not been read.
func presence(c net.Conn) http1.Presence {
	if p, ok := c.(*proxiedConn); ok {
		c = p.Raw()
	}
	sc, ok := c.(syscall.Conn)
	if !ok {
		return http1.Present
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return http1.Gone
	}
	seen := http1.Present
	err = raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(fds, 0); n == 0 || err != nil {
			return
		}
		switch events := fds[0].Revents; {
		case events&(unix.POLLERR|unix.POLLHUP) != 0:
			seen = http1.Gone
		case events&unix.POLLRDHUP != 0:
			seen = http1.HalfClosed
		}
	})
	if err != nil {
		return http1.Gone // it was closed
	}
	return seen
}
