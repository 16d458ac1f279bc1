//go:build !unix

package http1

import "net"

// socket knows nothing of the socket here.
type socket struct{ peer *Peer }

func (s *socket) open(_ net.Conn, p *Peer) { s.peer = p }

func (s *socket) send(b []byte, _ bool) error {
	_, err := s.peer.Write(b)
	return err
}
