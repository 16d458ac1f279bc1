package embedded

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/http3"
	"fairway/internal/engine/embedded/library"
	"fairway/internal/engine/embedded/relay"
	"fairway/internal/engine/embedded/terminate"
	"fairway/internal/route/arrival"
	"fairway/internal/route/field"
)

// serveHTTP1 serves the requests of a connection; clear is it without TLS.
func (l *listener) serveHTTP1(c *clientConn, clear net.Conn) {
	e := l.engine
	defer func() { // what answers has its own; this is for the rest
		if p := recover(); p != nil {
			e.log.Error("panic while serving a connection", "panic", p, "stack", string(debug.Stack()))
			_ = clear.Close()
		}
	}()
	l.core.Serve(e.ctx, clear, http1.Hooks{
		Busy: func(busy bool) { e.room.set(c, !busy) },
		Gone: func() http1.Presence { return http1.PresenceOf(c.Conn) },
		Refused: func(error) {
			c.finished.Store(true)
			e.meters.refused("bad-message")
		},
	})
}

// serveExchange serves a request of HTTP/1.1.
func (l *listener) serveExchange(x *http1.Exchange) {
	q := &x.Request
	in := inbound{
		head: head{
			Head:   arrival.Head{Method: q.Method, Header: &q.Fields, Major: 1, Old: q.Old, Length: q.Length},
			target: q.Target, authority: q.Authority,
		},
		ctx: x.Context(),
	}
	in.conn = clientConnBelow(x.Conn())
	in.tls, in.interrupt = in.conn.state, x.Interrupt()
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // it is panicked with as it is
				panic(p)
			}
			x.Abort()
		}
	}()
	if in.whole = x.Whole(); in.whole == nil && q.Length != 0 {
		body := x.Body()
		defer body.Leave()
		in.body = body
	}
	l.serveRequest(in, x)
}

// serveHTTP serves a request of HTTP/2 or HTTP/3.
func (l *listener) serveHTTP(w http.ResponseWriter, r *http.Request) {
	fields := field.Of(r.Header)
	in := inbound{
		head: head{
			Head:   arrival.Head{Method: r.Method, Header: &fields, Major: r.ProtoMajor, Length: r.ContentLength},
			target: r.RequestURI, authority: r.Host,
		},
		ctx: r.Context(), tls: r.TLS, conn: r.Context().Value(connKey{}).(*clientConn),
	}
	var stop func() bool
	in.interrupt, stop = http1.NewInterrupt(in.ctx)
	defer stop()
	empty := r.ContentLength == 0 && r.Header["Content-Length"] == nil // the stream has ended, though there is a reader
	if in.Major == 3 {
		in.conn = in.conn.now(r.RemoteAddr)
		if empty = http3.Ended(w, r, l.engine.opts.HeaderTimeout); empty {
			in.Length = 0
		}
	}
	if !empty {
		in.body = r.Body
	}
	l.serveRequest(in, library.NewClient(w, in.Major))
}

// greet makes the TLS handshake, and gives what speaks HTTP/2 to the server of it.
func (l *listener) greet(counted *clientConn, config *tls.Config) {
	c := tls.Server(counted, config)
	ctx, cancel := context.WithTimeout(l.engine.ctx, l.engine.opts.HeaderTimeout)
	defer cancel()
	err := c.HandshakeContext(ctx)
	state := c.ConnectionState()
	switch {
	case err != nil, state.NegotiatedProtocol == terminate.ChallengeProtocol:
		_ = c.Close()
	case state.NegotiatedProtocol == "h2":
		if line := counted.Line(); line != nil {
			line.Gather()
		}
		one := &relay.OneConn{Conn: c}
		if _ = l.server.Serve(one); !one.Taken { // the listener drains
			_ = c.Close()
		}
	default:
		counted.state = &state
		l.serveHTTP1(counted, c)
	}
}

// serve accepts connections until the socket is closed.
func (l *listener) serve() error {
	if l.quic != nil {
		return l.quic.Serve()
	}
	const longest = time.Second
	for pause := time.Duration(0); ; {
		err := l.accept()
		if err == nil {
			pause = 0
			continue
		}
		// There may be no descriptors left; it is said at debug level, as net/http does.
		if te, ok := err.(interface{ Temporary() bool }); !ok || !te.Temporary() { //nolint:errorlint // of the socket itself
			return err
		}
		l.engine.errorLog.Printf("accept: %v", err)
		pause = min(max(2*pause, 5*time.Millisecond), longest)
		select {
		case <-time.After(pause):
		case <-l.engine.ctx.Done():
			return io.EOF
		}
	}
}
