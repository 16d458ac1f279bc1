package http1

import (
	"net"

	"golang.org/x/sys/unix"
)

// PresenceOf looks whether the other end of a connection is still there, also behind bytes
// that have not been read. Of what is no socket it is Present.
func PresenceOf(c net.Conn) Presence {
	if p, ok := c.(interface{ Raw() net.Conn }); ok { // of the PROXY protocol
		c = p.Raw()
	}
	line := lineOf(c)
	if line == nil {
		return Present
	}
	seen := Present
	err := line.raw.Control(func(fd uintptr) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(fds, 0); n == 0 || err != nil {
			return
		}
		switch events := fds[0].Revents; {
		case events&(unix.POLLERR|unix.POLLHUP) != 0:
			seen = Gone
		case events&unix.POLLRDHUP != 0:
			seen = HalfClosed
		}
	})
	if err != nil {
		return Gone // it was closed
	}
	return seen
}
