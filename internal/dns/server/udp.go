package server

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"fairway/internal/clock"
	"fairway/internal/dns"

	"golang.org/x/net/ipv4"
)

const (
	atOnce   = 16   // packets that a system call takes and sends
	maxAsked = 2048 // bytes of a question over UDP
)

// batch is the packets of a socket that are answered together.
type batch struct {
	s       *Server
	k       *socket
	asked   netip.Addr
	in, out []ipv4.Message
	replies [][]byte // memory for those in out
	key     []byte
}

// serveUDP answers what comes over UDP until the socket is closed.
func (s *Server) serveUDP(k *socket, asked netip.Addr) {
	b := &batch{s: s, k: k, asked: asked, in: make([]ipv4.Message, atOnce), replies: make([][]byte, atOnce)}
	for i := range b.in {
		b.in[i].Buffers = [][]byte{make([]byte, maxAsked)}
	}
	conn := ipv4.NewPacketConn(k.udp) // it takes addresses of both families
	for {
		n, err := conn.ReadBatch(b.in, 0)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			_ = clock.Sleep(s.ctx, time.Millisecond) // of one that could not be reached, most likely
			continue
		}
		b.answer(n, time.Now())
		for rest := b.out; len(rest) > 0; {
			sent, err := conn.WriteBatch(rest, 0)
			if err != nil {
				sent = max(sent, 1) // that one cannot be sent
			}
			rest = rest[min(sent, len(rest)):]
		}
	}
}

// answer fills out with the replies to the first n packets.
func (b *batch) answer(n int, now time.Time) {
	b.out = b.out[:0]
	kept := b.s.memo.Load()
	for i := range b.in[:n] {
		to := b.in[i].Addr.(*net.UDPAddr)
		from := to.AddrPort()
		p := dns.Packet{Raw: b.in[i].Buffers[0][:b.in[i].N], From: dns.Asker{Addr: from.Addr().Unmap(), Asked: b.asked}}
		if out := b.reply(kept, i, p, from, now); out != nil {
			b.out = append(b.out, ipv4.Message{Buffers: [][]byte{out}, Addr: to})
		}
	}
}

// reply is what is sent at once to packet i; nil for nothing.
func (b *batch) reply(m *memo, i int, p dns.Packet, from netip.AddrPort, now time.Time) []byte {
	key, keeps := m.appendKey(b.key[:0], p)
	if b.key = key; keeps {
		if k := m.get(key); k != nil {
			b.s.askers.count(p.From.Addr, now)
			b.replies[i] = k.appendReply(b.replies[i][:0], p.Raw)
			r := dns.Reply{Out: b.replies[i], Type: k.qtype, Rcode: k.rcode}
			if out := b.s.limited(m.zone, p, r, now); out.Refused != "" {
				b.s.m.count(out, "udp")
				return out.Out
			}
			k.counter.Inc()
			return r.Out
		}
	}
	r := b.s.answer(m.zone, p, now)
	if r.Foreign != nil {
		b.elsewhere(m.zone, p, r, from)
		return nil
	}
	if keeps {
		m.put(key, r, b.s.m.of(r, "udp"))
	}
	r = b.s.limited(m.zone, p, r, now)
	b.s.m.count(r, "udp")
	return r.Out
}

// elsewhere has a question looked up, and its reply sent then.
func (b *batch) elsewhere(z *dns.Zone, p dns.Packet, r dns.Reply, to netip.AddrPort) {
	p.Raw = slices.Clone(p.Raw)
	send := func(r dns.Reply) {
		r = b.s.limited(z, p, r, time.Now())
		b.s.m.count(r, "udp")
		if r.Out != nil {
			_, _ = b.k.udp.WriteToUDPAddrPort(r.Out, to)
		}
	}
	b.s.elsewhere(func() { send(b.s.lookup(z, p, r)) }, func() { send(z.Busy(p, r)) })
}

// limited is a reply over UDP as the rate lets it be.
func (s *Server) limited(z *dns.Zone, p dns.Packet, r dns.Reply, now time.Time) dns.Reply {
	if r.Out == nil || z.Own(p.From.Addr) {
		return r
	}
	switch s.rate.of(p, r, now) {
	case shorten:
		return z.Shortened(p, r)
	case drop:
		return dns.Reply{Refused: dns.RefusedRate}
	}
	return r
}
