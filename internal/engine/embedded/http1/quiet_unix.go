//go:build unix

package http1

import "syscall"

// isQuiet reports whether nothing is there to be read of an unused connection, not even
// its end, by a look into the socket that neither waits nor takes anything out.
func (p *Peer) isQuiet() bool {
	sc, ok := p.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = err == syscall.EAGAIN
	})
	return quiet && err == nil
}
