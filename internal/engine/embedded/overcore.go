package embedded

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/wire"
	"fairway/internal/route"
	"fairway/internal/route/field"
)

// trip is one request on a connection of HTTP/1.1 to an endpoint.
type trip struct {
	a       *attempt
	peer    *http1.Peer
	timeout time.Duration // of the head of the answer
	sending *http1.Upload // nil when the request was sent in one piece
	over    atomic.Bool

	trailers field.List

	body io.ReadCloser // of the request
}

// overCore sends the request on a connection of the pool, and reads the head of the answer.
func (a *attempt) overCore(ctx context.Context) (*reply, error) {
	name := ""
	if a.x.route.def.Scheme == route.SchemeHTTPS {
		name = a.serverName()
	}
	for {
		res, err := a.overPeer(ctx, name)
		if err != http1.ErrStale { //nolint:errorlint // it is returned as it is
			return res, err
		}
	}
}

// overPeer is overCore with one connection, which may be stale.
func (a *attempt) overPeer(ctx context.Context, name string) (*reply, error) {
	peer, err := a.transport.pool.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if a.byCore, a.reused, a.sent = true, peer.Reused(), false; !a.reused {
		a.x.clock.Waited()
	}
	r := &a.trip
	r.a, r.peer, r.timeout = a, peer, a.transport.timeout
	r.over.Store(false) // it is not the first connection, where one was stale
	a.x.in.interrupt.Watch(peer)
	err = r.run()
	a.sent = peer.Sent()
	if peer.Answered() {
		a.answered.Store(true)
	}
	if err == nil {
		return r.reply(), nil
	}
	r.end(false)
	if cause := ctx.Err(); cause != nil {
		err = cause
	}
	return nil, err
}

// serverName is what a certificate is verified for, where the table names nothing.
func (a *attempt) serverName() string {
	if tls := a.x.route.def.TLS; tls != nil && tls.ServerName != "" {
		return "" // any connection will do
	}
	if host := a.x.q.Host; host != "" {
		return host
	}
	host, _, _ := net.SplitHostPort(a.endpoint.Address())
	return host
}

func (r *trip) run() error {
	out := &r.a.x.out
	var whole []byte
	streams := false
	if body := r.a.body; body != nil {
		whole = body.Whole()
		if streams = whole == nil; streams {
			r.body = r.a.x.bounded(body)
		}
	}
	r.peer.Out = append(out.appendHead(r.peer.Out[:0], streams), whole...)
	limit := r.timeout
	if streams {
		limit = 0 // it begins when all was sent
	}
	if err := r.peer.Send(r.peer.Out, r.a.x.clock.Now(), limit); err != nil {
		return err
	}
	if streams {
		r.sending = r.peer.Upload(r.body, out.length, out.header.Lists("Expect", "100-continue"), r.timeout)
	}
	err := r.peer.Receive(out.method, func(early *wire.Response) {
		if early.Status == http.StatusContinue {
			r.sending.Proceed()
		}
		_ = r.a.x.w.Early(early.Status, early.Fields)
	})
	r.a.x.clock.Waited()
	if err == nil {
		r.sending.Answered()
	}
	if cause := r.sending.Unread(); err != nil && cause != nil {
		return cause
	}
	return err
}

// appendHead adds the head. A body that streams has its framing said, and so has the
// lack of one where the method would have one (RFC 9110, 8.6).
func (o *outgoing) appendHead(b []byte, streams bool) []byte {
	b = wire.AppendRequestLine(b, o.method, o.target)
	b = wire.AppendField(b, "Host", o.host)
	for i := range o.header {
		f := &o.header[i]
		switch len(f.Name) {
		case len("Trailer"), len("Content-Length"), len("Transfer-Encoding"):
			if !mayTrail(f.Name) {
				continue
			}
		}
		b = wire.AppendField(b, f.Name, f.Value)
	}
	switch {
	case streams && o.length < 0:
		b = wire.AppendChunked(b)
	case o.length > 0, o.method == http.MethodPost, o.method == http.MethodPut, o.method == http.MethodPatch:
		b = wire.AppendLength(b, max(o.length, 0))
	}
	return wire.AppendEnd(b)
}

func (r *trip) reply() *reply {
	a := &r.peer.Response
	x := r.a.x
	x.fields = append(x.fields[:0], a.Fields...) // the peer may have another exchange before it is written
	res := &x.reply
	*res = reply{status: a.Status, header: x.fields, length: a.Length}
	if a.Status == http.StatusSwitchingProtocols {
		x.in.interrupt.Leave()
		res.conn = r.peer.Pass()
		return res
	}
	if x.out.method == http.MethodHead || a.Status == http.StatusNotModified {
		res.length = a.Said // of what GET would get
	}
	res.body = r
	if a.Chunked {
		res.trailer = func() field.List { return r.trailers }
	}
	if r.peer.BodyEnded() && r.sending.Sent() {
		r.end(true)
	}
	return res
}

// Buffered is how much of the body is there.
func (r *trip) Buffered() int {
	if r.over.Load() {
		return 0 // the peer may have another exchange
	}
	return r.peer.Buffered()
}

// whole takes the body where it has come with the head, and is nil otherwise. It is good until the end.
func (r *trip) whole() []byte {
	if r.over.Load() {
		return nil
	}
	return r.peer.Whole()
}

// splice passes a piece of the body on without a copy, and the end of it on to Read. It is
// 0 where that cannot be done.
func (r *trip) splice(w *responseWriter) (int64, error) {
	if r.over.Load() {
		return 0, nil
	}
	return w.Splice(r.peer)
}

// Read reads the body of the answer; behind its end the trailers are known.
func (r *trip) Read(p []byte) (int, error) {
	if r.over.Load() {
		return 0, io.EOF
	}
	waits := r.peer.Buffered() == 0 || r.peer.Response.Length < 0
	n, err := r.peer.Read(p)
	if waits {
		r.a.x.clock.Waited()
	}
	if err == nil {
		return n, nil
	}
	r.trailers = r.peer.Trailers()
	r.end(err == io.EOF)
	return n, err
}

// Close gives the connection up when the body was not read whole.
func (r *trip) Close() error {
	r.end(false)
	return nil
}

// end gives the connection back, once.
func (r *trip) end(clean bool) {
	if r.over.Swap(true) {
		return
	}
	quiet := r.a.x.in.interrupt.Leave()
	clean = clean && quiet && r.sending.Sent()
	r.sending.Leave()
	r.peer.Done(clean, r.a.x.clock.Now())
}
