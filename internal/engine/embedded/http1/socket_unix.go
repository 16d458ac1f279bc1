//go:build unix

package http1

import (
	"net"
	"syscall"
)

// socket is that of a connection to an endpoint. A request is sent in one RawConn.Read:
// what comes from its beginning on wakes the waiting at its end, so that no read is made
// in vain to find out that the answer is not there yet.
type socket struct {
	peer *Peer
	raw  syscall.RawConn       // nil: the connection has no socket
	step func(fd uintptr) bool // made once, so that sending takes no memory

	// Of what is being sent.
	out   []byte
	waits bool
	began bool
	err   error
}

func (s *socket) open(c net.Conn, p *Peer) {
	s.peer = p
	if socket := socketOf(c); socket != nil {
		s.raw, _ = socket.SyscallConn()
	}
	s.step = s.sendAndWait
}

// send writes, and waits until something can be read. Why nothing can, the read that
// follows says.
func (s *socket) send(b []byte, waits bool) error {
	if s.raw == nil {
		_, err := s.peer.Write(b)
		return err
	}
	s.out, s.waits, s.began, s.err = b, waits, false, nil
	err := s.raw.Read(s.step)
	s.out = nil
	if !s.began {
		return err
	}
	return s.err
}

// sendAndWait is what RawConn.Read calls: it returns false to be called again when
// something has come. That is reset before the first call alone, and what has come before
// is seen by look; so nothing is missed.
func (s *socket) sendAndWait(fd uintptr) bool {
	if s.began {
		return true
	}
	s.began = true
	quiet := look(fd)
	if !quiet && s.peer.reused {
		s.err = ErrStale
		return true
	}
	_, s.err = s.peer.Write(s.out)
	return s.err != nil || !quiet || !s.waits
}

// look reports whether nothing is there to be read, not even the end: it neither waits nor
// takes anything out.
func look(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == syscall.EAGAIN
}
