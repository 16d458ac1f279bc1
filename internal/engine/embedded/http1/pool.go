package http1

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/wire"
	"fairway/internal/route/field"
)

// Pool keeps the connections to one endpoint that are not used, for any goroutine.
type Pool struct {
	limits PoolLimits
	dial   func(ctx context.Context, name string) (net.Conn, error)

	memory sync.Pool // of *peerMemory

	mu    sync.Mutex
	idle  []*Peer // the one that was used last is last
	left  bool    // nothing is kept any more
	timer *time.Timer
	armed bool
}

// PoolLimits bound a Pool.
type PoolLimits struct {
	// Head is the size of an answer's head in bytes.
	Head int
	// Idle is how long an unused connection is kept; the endpoint's own limit is longer.
	Idle time.Duration
	// Most is how many are kept.
	Most int
}

// outRoom has room for what inSize has room for, and for what the head gets besides.
const outRoom = inSize + 2<<10

// peerMemory is what a connection reads and writes with, while it is used.
type peerMemory struct {
	in  [inSize]byte
	out [outRoom]byte
}

// NewPool makes a pool of connections that dial makes.
func NewPool(l PoolLimits, dial func(ctx context.Context, name string) (net.Conn, error)) *Pool {
	return &Pool{limits: l, dial: dial, memory: sync.Pool{New: func() any { return new(peerMemory) }}}
}

// Get returns the connection for a name that was used last, or a new one; the name is for
// connections by TLS, whose other end is verified, and empty otherwise. Whether it still
// can be used is seen by Send.
func (p *Pool) Get(ctx context.Context, name string) (*Peer, error) {
	if peer := p.take(name); peer != nil {
		peer.take()
		return peer, nil
	}
	c, err := p.dial(ctx, name)
	if err != nil {
		return nil, err
	}
	return p.Own(c, name), nil
}

// Own makes a connection one of the pool, in use.
func (p *Pool) Own(c net.Conn, name string) *Peer {
	peer := &Peer{Conn: c, pool: p, name: name}
	under := below(c) // what it has to say unasked is no answer, either
	peer.sealed = under != c
	peer.send = sender{peer: peer, line: lineOf(under)}
	peer.send.step = peer.send.turn
	peer.take()
	return peer
}

// take has the memory that is needed for an exchange.
func (p *Peer) take() {
	p.memory = p.pool.memory.Get().(*peerMemory)
	p.in.Reset(p.Conn, p.memory.in[:])
	p.Out = p.memory.out[:0]
}

// give gives it back. Nothing may be unused.
func (p *Peer) give() {
	p.in.Reset(nil, nil)
	p.Out = nil
	p.pool.memory.Put(p.memory)
	p.memory = nil
}

func (p *Pool) take(name string) *Peer {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := len(p.idle) - 1; i >= 0; i-- {
		if peer := p.idle[i]; peer.name == name {
			p.idle = slices.Delete(p.idle, i, i+1)
			return peer
		}
	}
	return nil
}

// put takes a connection back, or closes it.
func (p *Pool) put(peer *Peer, now time.Time) {
	peer.reused, peer.since, peer.answered, peer.headed = true, now, false, false
	peer.sent.Store(false)
	peer.give()
	fields := peer.Response.Fields[:cap(peer.Response.Fields)]
	clear(fields) // an unused connection holds on to no answer
	peer.Response, peer.body = wire.Response{Fields: fields[:0]}, wire.Body{}
	if !p.keep(peer) {
		_ = peer.Close()
	}
}

func (p *Pool) keep(peer *Peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left || len(p.idle) >= p.limits.Most {
		return false
	}
	p.idle = append(p.idle, peer)
	if !p.armed {
		p.arm(p.limits.Idle)
	}
	return true
}

// arm is called with mu held.
func (p *Pool) arm(in time.Duration) {
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(in, p.sweep)
	} else {
		p.timer.Reset(in)
	}
}

// sweep closes what has not been used for long.
func (p *Pool) sweep() {
	p.mu.Lock()
	now := time.Now()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].since) >= p.limits.Idle {
		n++
	}
	old := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	if p.armed = false; len(p.idle) > 0 {
		p.arm(p.limits.Idle - now.Sub(p.idle[0].since))
	}
	p.mu.Unlock()
	for _, peer := range old {
		_ = peer.Close()
	}
}

// CloseIdle closes the connections that are not used. With leave, none is kept from now on.
func (p *Pool) CloseIdle(leave bool) {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.left = nil, p.left || leave
	p.mu.Unlock()
	for _, peer := range idle {
		_ = peer.Close()
	}
}

// Peer is a connection to an endpoint, for one exchange at a time. It belongs to who got
// it from the pool, and goes back with Done.
type Peer struct {
	net.Conn
	// Response is the head that Receive has read.
	Response wire.Response
	// Out is memory to write with.
	Out []byte

	pool     *Pool
	name     string
	in       wire.Buffer
	memory   *peerMemory // nil while it is not used
	body     wire.Body
	sealed   bool // by TLS
	reused   bool
	answered bool
	since    time.Time // when it was put back
	send     sender
	sent     atomic.Bool // something of the request

	timing sync.Mutex
	headed bool      // the head is there: no deadline is set any more
	cut    bool      // it was interrupted: the deadline stays
	readBy time.Time // the deadline; the zero value for none
}

// ErrStale means that a connection cannot be used again: the endpoint has closed it, or has
// sent something unasked, which would be taken for the answer. Nothing was sent on it.
var ErrStale = errors.New("the connection to the endpoint is stale")

// Send writes a request, or the beginning of one that is sent on while the answer may
// come. A whole one has limit for the head of its answer, or an eighth more, and Send
// waits for its first bytes; 0 stands for one that goes on: there is no limit yet.
func (p *Peer) Send(b []byte, now time.Time, limit time.Duration) error {
	if limit > 0 {
		p.readWithin(now, limit)
	} else {
		p.unbound()
	}
	return p.send.all(b, limit > 0)
}

// Write writes to the endpoint.
func (p *Peer) Write(b []byte) (int, error) {
	n, err := p.Conn.Write(b)
	if n > 0 {
		p.sent.Store(true)
	}
	return n, err
}

// Sent reports whether anything of the request can have reached the endpoint.
func (p *Peer) Sent() bool { return p.sent.Load() }

// Reused reports whether the connection has had a request before.
func (p *Peer) Reused() bool { return p.reused }

// Answered reports whether anything of an answer has come.
func (p *Peer) Answered() bool { return p.answered }

// SetDeadline has all that waits fail then, for good, from any goroutine: it is for Interrupt.
func (p *Peer) SetDeadline(t time.Time) error {
	p.timing.Lock()
	defer p.timing.Unlock()
	p.cut = true
	return p.Conn.SetDeadline(t)
}

// within sets the deadline, or none, unless the connection was interrupted. It is called
// with timing held.
func (p *Peer) within(t time.Time) {
	if !p.cut {
		p.readBy = t
		_ = p.SetReadDeadline(t)
	}
}

// ReadWithin has Receive fail after limit, or an eighth later, from any goroutine.
func (p *Peer) ReadWithin(limit time.Duration) { p.readWithin(time.Now(), limit) }

func (p *Peer) readWithin(now time.Time, limit time.Duration) {
	p.timing.Lock()
	defer p.timing.Unlock()
	if p.headed {
		return
	}
	if left := p.readBy.Sub(now); left < limit || left > limit+limit/4 {
		p.within(now.Add(limit + limit/8))
	}
}

// unbound lifts the limit of the exchange before.
func (p *Peer) unbound() {
	p.timing.Lock()
	defer p.timing.Unlock()
	if !p.readBy.IsZero() {
		p.within(time.Time{})
	}
}

// endless lets the rest of the body take its time.
func (p *Peer) endless() {
	p.timing.Lock()
	defer p.timing.Unlock()
	if p.headed = true; !p.readBy.IsZero() {
		p.within(time.Time{})
	}
}

// freely lets the body take its time, where it has to be waited for.
func (p *Peer) freely() {
	p.timing.Lock()
	defer p.timing.Unlock()
	if p.headed = true; !p.readBy.IsZero() && p.body.Buffered() == 0 && !p.body.Ended() {
		p.within(time.Time{})
	}
}

// maxEarly bounds the answers with 1xx in front of an answer: the row may be endless.
const maxEarly = 10_000

// Receive reads the head of the answer to a request with the method. Those with 1xx in
// front of it, but for 101, are given to early.
func (p *Peer) Receive(method string, early func(*wire.Response)) error {
	for range maxEarly {
		head, err := p.in.Head(p.pool.limits.Head, nil)
		p.answered = p.answered || err == nil || len(p.in.Unused()) > 0
		if err != nil {
			return err
		}
		if err := p.Response.Parse(head, method); err != nil {
			return err
		}
		if p.Response.Status >= 200 || p.Response.Status == 101 {
			p.body = wire.NewBody(&p.in, p.Response.Length, p.Response.Chunked)
			return nil
		}
		early(&p.Response)
	}
	return wire.FaultTooLarge
}

// Read reads the body of the answer, for as long as it takes.
func (p *Peer) Read(b []byte) (int, error) {
	p.freely()
	return p.body.Read(b)
}

// Buffered is how much of the body can be read without waiting, at least.
func (p *Peer) Buffered() int { return p.body.Buffered() }

// Whole takes the body, where all of it that is left is there, and is nil otherwise. It is
// valid until Done.
func (p *Peer) Whole() []byte { return p.body.Whole() }

// BodyEnded reports whether the body was read whole.
func (p *Peer) BodyEnded() bool { return p.body.Ended() }

// Trailers are the fields behind the body, once that was read whole.
func (p *Peer) Trailers() field.List { return p.body.Trailers }

// Pass is the connection for another protocol: what was read of it comes first.
func (p *Peer) Pass() net.Conn {
	_ = p.Conn.SetDeadline(time.Time{})
	return &passed{Conn: p.Conn, in: &p.in}
}

// silent reports whether nothing of the endpoint waits inside TLS, where quiet cannot look:
// what came in one piece with the answer. It reads what is there, and waits for nothing.
func (p *Peer) silent() bool {
	p.timing.Lock()
	defer p.timing.Unlock()
	var b [1]byte
	_ = p.SetReadDeadline(time.Unix(1, 0))
	n, err := p.Conn.Read(b[:])
	p.within(time.Time{})
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded)
}

// Done gives the connection back when it can be used again: clean says that the request
// was sent whole.
func (p *Peer) Done(clean bool, now time.Time) {
	if !clean || !p.body.Ended() || p.Response.Close || len(p.in.Unused()) > 0 || p.sealed && !p.silent() {
		_ = p.Close()
		return
	}
	p.pool.put(p, now)
}
