package server

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"fairway/internal/dns"
)

const (
	equalAnswers = 200    // a second, to one network
	maxCounted   = 20_000 // networks with an answer, in one second
)

// verdict is what becomes of a reply.
type verdict int

const (
	send    verdict = iota
	shorten         // it is asked for again over TCP, by those that there are
	drop
)

// rate bounds how many equal answers a network gets over UDP: who sends questions in the name
// of others makes Fairway send them little. Its methods may be called by any goroutine.
type rate struct {
	seed maphash.Seed

	mu     sync.Mutex
	second int64
	sent   map[answerTo]int
}

// answerTo is one answer to a network. Answers that something is not there are all equal.
type answerTo struct {
	network netip.Addr
	answer  uint64
}

func newRate() *rate { return &rate{seed: maphash.MakeSeed(), sent: map[answerTo]int{}} }

// of says what becomes of a reply over UDP.
func (l *rate) of(p dns.Packet, r dns.Reply, now time.Time) verdict {
	bits := 24
	if p.From.Addr.Is6() {
		bits = 56
	}
	network, _ := p.From.Addr.Prefix(bits) // both are valid
	key := answerTo{network: network.Addr(), answer: uint64(r.Rcode) + 1}
	if r.Rcode == 0 && len(p.Raw) > headerLen {
		key.answer = maphash.Bytes(l.seed, bytes.ToLower(p.Raw[headerLen:questionEnd(p.Raw)]))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if second := now.Unix(); second > l.second || second < l.second-1 { // those of other sockets may be late
		l.second = second
		clear(l.sent)
	}
	n, known := l.sent[key]
	if !known && len(l.sent) >= maxCounted {
		return shorten
	}
	l.sent[key] = n + 1
	switch {
	case n < equalAnswers:
		return send
	case n%2 == 0:
		return shorten
	}
	return drop
}
