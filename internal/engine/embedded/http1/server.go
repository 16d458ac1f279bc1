// Package http1 keeps connections of HTTP/1.1: those of clients, and those to endpoints.
//
// Each connection of a client has one goroutine, which also speaks to the endpoint.
// Package wire says what may pass; who gets a request is the caller's.
package http1

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/wire"
	"fairway/internal/route/field"
)

// Limits bound what a client may do.
type Limits struct {
	// Head is the size of a head in bytes.
	Head int
	// HeadTime is for the reading of a head, and of a new connection from its beginning;
	// Idle for the pause between two requests. Both may be exceeded by an eighth.
	HeadTime, Idle time.Duration
}

// Hooks are called when something happens to a connection. Each may be nil.
type Hooks struct {
	// Busy is called when the connection gets a request, and when it is idle again: for a
	// moment at least where it is a Line. Nothing of the connection may be called meanwhile.
	Busy func(busy bool)
	// Refused is called before a request is answered that is none, with a wire.Fault or
	// ErrExpectation. The connection is closed then, while the client may still send.
	Refused func(reason error)
	// Gone looks whether the client is still there, without waiting.
	Gone func() Presence
}

// Presence is what can be seen of a client without reading.
type Presence uint8

// What can be seen: nothing special, that it sends nothing more, that it has gone.
const (
	Present Presence = iota
	HalfClosed
	Gone
)

// ErrExpectation refuses an Expect other than 100-continue (RFC 9110, 10.1.1).
var ErrExpectation = errors.New("the expectation is not known")

// ErrClientGone is the cause of a context that ended because the client is gone.
var ErrClientGone = errors.New("the client went away")

// Server serves the connections of clients.
type Server struct {
	limits  Limits
	handler func(*Exchange)
	work    sync.Pool // of *Exchange
	memory  sync.Pool // of *[inSize]byte
	date    atomic.Pointer[date]

	splicing atomic.Int32 // how many pieces are being spliced
	draining atomic.Bool
	mu       sync.Mutex
	conns    map[*conn]struct{}
	empty    chan struct{} // closed when draining, and there are no connections
	ended    bool          // empty is closed
	over     bool          // what ran was cut off
}

// NewServer returns a server whose requests are served by handler, on the goroutine of
// their connection.
func NewServer(l Limits, handler func(*Exchange)) *Server {
	s := &Server{limits: l, handler: handler, conns: map[*conn]struct{}{}, empty: make(chan struct{})}
	s.memory.New = func() any { return new([inSize]byte) }
	s.work.New = func() any {
		return &Exchange{out: make([]byte, 0, outSize), Request: wire.Request{Fields: make(field.List, 0, fieldsRoom)}}
	}
	return s
}

// conn is a connection of a client.
type conn struct {
	net.Conn
	server *Server
	hooks  Hooks
	ctx    context.Context
	cancel context.CancelCauseFunc
	// interrupt is fired by who cancels: registering it with ctx would take half a KiB.
	interrupt Interrupt
	in        wire.Buffer
	memory    *[inSize]byte // of in; nil while waiting for a request in a turn
	turns     turns
	next      *Exchange // a request whose head was read
	state     atomic.Int32
	used      bool // it has had a request
	// The deadlines; the zero value when one is not known.
	readBy, writeBy time.Time
	watch           watch
}

// The states of a connection. It is closed from outside only while it is idle.
const (
	isNew int32 = iota
	isIdle
	isBusy
	isClosed
)

// fieldsRoom is how many fields find room without more memory, Fairway's own included.
const fieldsRoom = 48

// inSize is the memory to read with, which grows for a large head alone. It has room for a
// head and a small body; who waits for a request has given it back.
const inSize = 8 << 10

// Serve serves a connection, by TLS after the handshake, and closes it. Its requests have contexts that end with ctx,
// which is to end Shutdown as well, and when the client is gone.
func (s *Server) Serve(ctx context.Context, c net.Conn, h Hooks) {
	k := &conn{Conn: c, server: s, hooks: h}
	k.ctx, k.cancel = context.WithCancelCause(ctx)
	defer k.cancel(nil)
	k.turns.open(k)
	k.take()
	defer k.give()
	k.watch.conn = k
	if !s.enter(k) {
		_ = c.Close()
		return
	}
	defer s.leave(k)
	defer c.Close()
	defer k.watch.end()
	for k.turns.run() && k.wait() && k.one() {
	}
}

// cut ends what waits for an endpoint.
func (k *conn) cut(cause error) {
	k.cancel(cause)
	k.interrupt.fire()
}

// take has the memory to read with. A large head has had its own.
func (k *conn) take() {
	if k.memory == nil {
		k.memory = k.server.memory.Get().(*[inSize]byte)
	}
	k.in.Reset(k.Conn, k.memory[:])
}

// give gives the memory back. Nothing may be unused.
func (k *conn) give() {
	if k.memory != nil {
		k.in.Reset(nil, nil)
		k.server.memory.Put(k.memory)
		k.memory = nil
	}
}

func (s *Server) enter(k *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.over {
		return false
	}
	s.conns[k] = struct{}{}
	return true
}

func (s *Server) leave(k *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, k)
	s.endIfEmpty()
}

// endIfEmpty is called with mu held.
func (s *Server) endIfEmpty() {
	if s.draining.Load() && len(s.conns) == 0 && !s.ended {
		s.ended = true
		close(s.empty)
	}
}

// newGrace is how long a new connection may wait for its first request while the server
// drains: the request may be on its way.
const newGrace = time.Second

// Drain has every answer from here on close its connection, and closes idle ones.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.conns {
		switch {
		case k.state.CompareAndSwap(isIdle, isClosed):
			go k.Close() // TLS may take seconds to say so
		case k.state.Load() == isNew:
			_ = k.SetReadDeadline(time.Now().Add(newGrace))
		}
	}
	s.endIfEmpty()
}

// Shutdown drains, waits until all connections are closed, and cuts off, when ctx ends,
// those that are not. It returns ctx's error then.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	select {
	case <-s.empty:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for k := range s.conns {
		k.cut(context.Cause(ctx))
		go k.Close()
	}
	return ctx.Err()
}

// wait waits for the first bytes of the next request, where nothing of it is there.
func (k *conn) wait() bool {
	if k.next != nil || len(k.in.Unused()) > 0 {
		return true
	}
	if !k.rest() {
		return false
	}
	k.take()
	return k.in.Fill(inSize) == nil && k.wake()
}

// rest begins the waiting for a request. It is false where the connection ends.
func (k *conn) rest() bool {
	if !k.used {
		k.first()
		return true
	}
	if !k.idle() {
		return false
	}
	k.readWithin(time.Now(), k.server.limits.Idle)
	return true
}

// idle says that there is no request. It is false where the connection ends.
func (k *conn) idle() bool {
	k.state.Store(isIdle)
	if k.server.draining.Load() && k.state.CompareAndSwap(isIdle, isClosed) {
		return false
	}
	k.watch.rest()
	return true
}

// wake ends it. It is false where the connection was closed meanwhile.
func (k *conn) wake() bool {
	was := isNew
	if k.used {
		was = isIdle
	}
	if !k.begins(was) {
		return false
	}
	k.used = true
	k.watch.wake()
	return true
}

// first bounds the waiting for the first request, which is shorter while the server drains.
func (k *conn) first() {
	s := k.server
	s.mu.Lock() // Drain comes before or after
	defer s.mu.Unlock()
	limit := s.limits.HeadTime
	if s.draining.Load() {
		limit = min(limit, newGrace)
	}
	k.readWithin(time.Now(), limit)
}

// begins says that there is a request, unless the connection was closed meanwhile.
func (k *conn) begins(was int32) bool {
	if was == isNew {
		k.server.mu.Lock() // Drain bounds no body
		defer k.server.mu.Unlock()
	}
	return k.state.CompareAndSwap(was, isBusy)
}

// write sends, and lets watch know when something was taken.
func (k *conn) write(p []byte) (n int, err error) {
	if k.turns.inside() && k.turns.clear {
		n = k.turns.line.writeInTurn(p)
	}
	if n < len(p) {
		var rest int
		rest, err = k.Conn.Write(p[n:])
		n += rest
	}
	if n > 0 {
		k.watch.wrote.Add(1)
	}
	return n, err
}

// readWithin has reading fail after limit, or an eighth later: then one deadline does for
// many requests, and setting it costs more than parsing a head.
func (k *conn) readWithin(now time.Time, limit time.Duration) {
	if left := k.readBy.Sub(now); left < limit || left > limit+limit/4 {
		k.readBy = now.Add(limit + limit/8)
		_ = k.SetReadDeadline(k.readBy)
	}
}

// one serves one request, and reports whether another may follow.
func (k *conn) one() bool {
	x := k.next
	k.next = nil
	if x == nil {
		var err error
		if x, err = k.receive(); err != nil {
			return false
		}
	}
	return k.serve(x)
}

// receive reads the head of a request. What is none is answered.
func (k *conn) receive() (*Exchange, error) {
	s := k.server
	x := s.work.Get().(*Exchange)
	x.begin(k)
	head, err := k.in.Head(s.limits.Head, func() { k.readWithin(time.Now(), s.limits.HeadTime) })
	if err == nil {
		err = x.Request.Parse(head)
	}
	if err == nil && x.Request.Unexpected {
		err = ErrExpectation
	}
	if err != nil {
		x.refuse(err)
		x.leave()
		return nil, err
	}
	x.body = wire.NewBody(&k.in, x.Request.Length, x.Request.Length < 0)
	return x, nil
}

// serve has a request answered, and reports whether another may follow.
func (k *conn) serve(x *Exchange) bool {
	defer x.leave()
	if !x.whole() {
		// What bounded the head, or the end of the body before, is no limit of this body.
		_ = x.SetReadDeadline(time.Time{})
	}
	k.watch.start()
	k.server.handler(x)
	k.watch.stop()
	return x.finish()
}

// date is the value of a header Date, which is good for a second.
type date struct {
	second int64
	text   string
}

// today is the time as a Date (RFC 9110, 6.6.1).
func (s *Server) today(now time.Time) string {
	d := s.date.Load()
	if second := now.Unix(); d == nil || d.second != second {
		d = &date{second, now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")}
		s.date.Store(d)
	}
	return d.text
}
