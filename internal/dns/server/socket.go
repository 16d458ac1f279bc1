package server

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/clock"
	"fairway/internal/dns"
)

// Bridges as an address to listen on is loopback and the machine's address on each network
// that containers are on, as they come and go.
const Bridges = "bridges"

const (
	maxSockets  = 256
	receiveSize = 4 << 20 // bytes that wait in a socket

	tcpConnections = 256
	tcpPerClient   = 16
	tcpStrangers   = 16 // connections of those who may not ask
	tcpIdle        = 10 * time.Second
	tcpFirst       = 2 * time.Second
	tcpWrite       = 5 * time.Second
)

// listen is one of Options.Listen.
type listen struct {
	text    string
	addr    netip.Addr // invalid for Bridges
	port    uint16
	bridges bool
}

// parseListen reads one address to listen on.
func parseListen(text string) (listen, error) {
	if text == Bridges {
		text += ":53"
	}
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		host, digits = strings.Trim(text, "[]"), "53"
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return listen{}, fmt.Errorf("%q is no address: write ADDRESS:PORT, or bridges", text)
	}
	l := listen{text: text, port: uint16(n)}
	switch addr, err := netip.ParseAddr(host); {
	case host == Bridges:
		l.bridges = true
	case host == "":
		l.addr = netip.IPv4Unspecified()
	case err != nil:
		return listen{}, fmt.Errorf("%q is no address: write ADDRESS:PORT, or bridges", text)
	default:
		l.addr = addr.Unmap()
	}
	return l, nil
}

// addresses are those to listen on at this moment, with whether each must be bound.
func (s *Server) addresses() map[netip.AddrPort]bool {
	want := map[netip.AddrPort]bool{}
	z := s.Zone()
	for _, l := range s.wanted {
		switch {
		case l.bridges:
			want[netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), l.port)] = false
			for _, p := range z.Local() {
				if slices.Contains(z.Bridges(), p.Masked()) {
					want[netip.AddrPortFrom(p.Addr(), l.port)] = false
				}
			}
		case l.addr.IsUnspecified():
			for _, p := range z.Local() {
				want[netip.AddrPortFrom(p.Addr(), l.port)] = false
			}
		default:
			want[netip.AddrPortFrom(l.addr, l.port)] = true
		}
	}
	return want
}

// bind opens and closes sockets, and notes those that cannot be opened. The error is of an
// address that must be bound, or that none is.
func (s *Server) bind() error {
	want := s.addresses()
	for at, k := range s.sockets {
		if _, ok := want[at]; !ok {
			k.close()
			delete(s.sockets, at)
		}
	}
	var required, other error
	s.failed = map[netip.AddrPort]string{}
	for at, must := range want {
		if s.sockets[at] != nil || len(s.sockets) >= maxSockets {
			continue
		}
		k, err := s.open(at)
		if err == nil {
			s.sockets[at] = k
			continue
		}
		s.failed[at] = err.Error()
		if other = err; must {
			required = err
		}
	}
	var bound []string
	for _, k := range s.sockets {
		bound = append(bound, k.udp.LocalAddr().String())
	}
	slices.Sort(bound)
	var unbound []string
	for at, why := range s.failed {
		unbound = append(unbound, at.String()+": "+why)
	}
	slices.Sort(unbound)
	s.mu.Lock()
	s.bound, s.unbound = bound, unbound
	s.mu.Unlock()
	if len(s.sockets) == 0 {
		return cmp.Or(required, other)
	}
	return required
}

// socket is one address that is listened on, over UDP and TCP.
type socket struct {
	udp *net.UDPConn
	tcp *net.TCPListener
}

func (k *socket) close() {
	_ = k.udp.Close()
	_ = k.tcp.Close()
}

func (s *Server) open(at netip.AddrPort) (*socket, error) {
	tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	at = netip.AddrPortFrom(at.Addr(), uint16(tcp.Addr().(*net.TCPAddr).Port))
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		_ = tcp.Close()
		return nil, fmt.Errorf("dns: %w", err)
	}
	_ = udp.SetReadBuffer(receiveSize) // as far as the system lets
	k := &socket{udp, tcp}
	s.jobs.Go(func() { s.serveUDP(k, at.Addr()) })
	s.jobs.Go(func() { s.serveTCP(k, at.Addr()) })
	return k, nil
}

// answer answers out of the zone, and counts who asks.
func (s *Server) answer(z *dns.Zone, p dns.Packet, now time.Time) dns.Reply {
	r := z.Handle(p)
	if r.Out != nil && r.Refused != dns.RefusedClient || r.Foreign != nil {
		s.askers.count(p.From.Addr, now)
	}
	return r
}

// elsewhere runs a job beside the socket while there is a place, else full.
func (s *Server) elsewhere(job, full func()) {
	select {
	case s.foreign <- struct{}{}:
		s.jobs.Go(func() {
			defer func() { <-s.foreign }()
			job()
		})
	default:
		full()
	}
}

// lookup has a question answered elsewhere.
func (s *Server) lookup(z *dns.Zone, p dns.Packet, r dns.Reply) dns.Reply {
	if s.o.Foreign == nil {
		return z.Alone(p, r)
	}
	m := s.o.Foreign.Lookup(s.ctx, r.Foreign, p.From.Addr)
	if m == nil {
		return dns.Reply{}
	}
	return z.With(p, r, m)
}

// serveTCP takes connections until the socket is closed.
func (s *Server) serveTCP(k *socket, asked netip.Addr) {
	for {
		conn, err := k.tcp.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // no file descriptors, such things
			_ = clock.Sleep(s.ctx, 10*time.Millisecond)
			continue
		}
		from := conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		stranger := !s.Zone().MayAsk(from)
		if !s.enter(from, stranger) {
			_ = conn.Close()
			continue
		}
		s.jobs.Go(func() {
			defer s.leave(from, stranger)
			defer conn.Close()
			stop := context.AfterFunc(s.ctx, func() { _ = conn.Close() })
			defer stop()
			s.converse(conn, dns.Asker{Addr: from, Asked: asked})
		})
	}
}

func (s *Server) enter(from netip.Addr, stranger bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.clients[from] >= tcpPerClient || s.total >= tcpConnections || stranger && s.strange >= tcpStrangers {
		return false
	}
	if stranger {
		s.strange++
	}
	s.clients[from]++
	s.total++
	return true
}

func (s *Server) leave(from netip.Addr, stranger bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stranger {
		s.strange--
	}
	s.total--
	if s.clients[from]--; s.clients[from] == 0 {
		delete(s.clients, from)
	}
}

// converse answers the questions of a connection, one after the other.
func (s *Server) converse(conn net.Conn, from dns.Asker) {
	patience := tcpFirst
	for {
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		patience = tcpIdle
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		raw := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, raw); err != nil {
			return
		}
		p := dns.Packet{Raw: raw, From: from, TCP: true}
		z := s.Zone()
		r := s.answer(z, p, time.Now())
		if r.Foreign != nil {
			r = s.lookup(z, p, r)
		}
		s.m.count(r, "tcp")
		out := r.Out
		if out == nil {
			return
		}
		_ = conn.SetWriteDeadline(time.Now().Add(tcpWrite))
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil || r.Refused == dns.RefusedClient {
			return
		}
	}
}
