package embedded

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"sync"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/library"
	"fairway/internal/engine/embedded/paced"
	"fairway/internal/engine/embedded/relay"
	"fairway/internal/engine/embedded/wire"
	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/traffic"
	"fairway/internal/route/arrival"
	"fairway/internal/route/field"
)

// exchange is one request, from accepting to the last byte of the answer, in any
// version of HTTP on both sides.
type exchange struct {
	dispatch // its request is nil when a guard refused it
	conn     *clientConn
	in       inbound
	w        *responseWriter
	body     *paced.Body // nil: the request has none, or it is whole

	out       outgoing
	addressed *compiledRoute // the route that out was made for
	trailers  field.List     // of the answer

	// What w, q and the answer are kept in, a whole body, and an attempt that ends with the exchange.
	writer responseWriter
	asked  request
	fields field.List
	reply  reply
	head   http1.Answer
	plain  attempt
	replay http1.Replay
}

// inbound is a request as it came in, by either version of HTTP.
type inbound struct {
	head
	ctx  context.Context
	tls  *tls.ConnectionState // nil: in clear
	body io.Reader            // nil: there is none, or it is whole
	// whole is a body that has come with the head. It is good until the exchange is over.
	whole []byte
	// interrupt ends with ctx.
	interrupt *http1.Interrupt
	conn      *clientConn
}

func (in *inbound) proto() string {
	switch {
	case in.Major == 3:
		return "HTTP/3.0"
	case in.Major == 2:
		return "HTTP/2.0"
	case in.Old:
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

// outgoing is a request as endpoints get it.
type outgoing struct {
	method, target, host string
	header               field.List
	length               int64 // of the body; -1 where it is not known
}

// reply is the answer of an endpoint.
type reply struct {
	status int
	header field.List
	// length is that of the body, or what one would have; -1 where it is not known.
	length int64
	body   io.ReadCloser
	// trailer, if any, is known when the body was read.
	trailer func() field.List
	// conn is the connection, after a switch to another protocol.
	conn io.ReadWriteCloser
}

// serveRequest serves a request and counts it. It panics with http.ErrAbortHandler when
// the answer is to be broken off.
func (l *listener) serveRequest(in inbound, c client) {
	e := l.engine
	e.running.Add(1)
	defer e.running.done()
	x := e.exchanges.Get().(*exchange)
	fields, watch := x.fields[:0], x.writer.watch
	*x = exchange{} // by itself: one that is copied costs more
	x.e, x.clock, x.conn, x.in, x.w, x.fields, x.writer.watch = e, http1.NewClock(), in.conn, in, &x.writer, fields, watch
	x.began = x.clock.Now()
	x.w.init(c, e.opts.WriteTimeout, in.Major, &x.clock)
	if in.body != nil {
		x.body = paced.New(in.body, x.w, e.opts.BodyTimeout, e.opts.BodyRate)
		if paced.IsStream(in.Major, in.Header.Get("Content-Type")) {
			x.body.Relax()
		}
		if in.Major == 1 && in.Length > paced.MaxDrain {
			x.w.long = x.body
		}
	}
	if x.body == nil { // nothing of it runs on
		defer e.exchanges.Put(x)
	}
	defer x.end()
	x.live = e.live.Load()
	conf := x.live.listeners[l]
	if conf == nil { // the listener left while the connection was idle
		x.w.hangUp = true
		conf = &listenerConfig{}
	}
	x.serve(conf)
}

func (x *exchange) serve(conf *listenerConfig) {
	q := &x.asked
	if x.in.tls != nil {
		x.w.altSvc = conf.altSvc
	}
	a := q.admit(x.in.head, arrival.Peer{Addr: x.conn.peer, Text: x.conn.text, TLS: x.in.tls != nil, Trusted: conf.trusted})
	if a == nil {
		x.q = q
		q.Listener = conf.name
		q.certified = x.in.tls != nil && len(x.in.tls.VerifiedChains) > 0
		if a = x.sameTLS(); a == nil {
			x.route, a = x.live.decide(x.in.ctx, q)
		}
		if x.route != nil && len(x.route.filters) > 0 {
			x.clock.Waited()
		}
	}
	if a == nil {
		a = lastHop(q)
	}
	if a != nil {
		x.answer(a)
		return
	}
	x.forward()
}

func (x *exchange) answer(a *answer) {
	if a.guard {
		x.e.meters.refused(a.code)
	}
	if a.code != "" {
		x.reason = cmp.Or(x.reason, a.text)
	}
	id, host, set := "", "", ""
	accept := x.in.Header
	if x.q != nil {
		id, host, accept = x.q.identity.ID, x.q.Host, &x.q.header
	} else { // a guard refused it
		id = arrival.NewID()
	}
	if x.route != nil {
		set = x.route.route.ErrorPages
	}
	a.write(x.w, accept.Values("Accept"), id, func(a errorpage.Answer, f errorpage.Form) []byte { return a.BodyOf(f, x.e.opts.Pages, set, host) })
}

// end counts and logs the exchange, also when the answer was broken off.
func (x *exchange) end() {
	p := recover()
	aborted := p != nil
	if aborted && p != http.ErrAbortHandler { //nolint:errorlint // it is panicked with as it is
		x.e.log.Error("panic while serving", "panic", p, "stack", string(debug.Stack()))
		if x.w.status == 0 {
			x.answer(&answer{status: http.StatusInternalServerError, code: "internal", text: "internal error", hangUp: true})
			aborted = false
		}
	}
	x.done(x.in.ctx)
	now := x.clock.Now()
	took := now.Sub(x.began)
	if x.drains() && !x.body.Drain() && x.in.Major == 1 {
		x.conn.finished.Store(true)
	}
	x.w.finish()
	x.e.meters.of(x.route).Answered(1, x.w.status, took, now)
	if x.endpoint != nil {
		x.endpoint.Took(took)
	}
	x.e.logRequest(x, took, aborted)
	if !aborted && x.w.status != http.StatusSwitchingProtocols {
		_ = x.w.End(x.trailers) // it is counted by now
	}
	if aborted {
		panic(http.ErrAbortHandler) // net/http closes the connection or resets the stream
	}
}

// drains reports whether the rest of the body is read for nothing after the answer. In
// HTTP/2 it is for errors with a length, which some clients do not read otherwise.
func (x *exchange) drains() bool {
	switch {
	case x.body == nil:
		return false
	case x.in.Major == 1:
		return x.w.status != http.StatusSwitchingProtocols
	}
	return x.w.status >= http.StatusBadRequest && x.w.length >= 0
}

func (x *exchange) forward() {
	if x.body != nil {
		if limit := x.route.route.BodyTimeout; limit > 0 {
			x.body.Allow(limit)
		}
	}
	if p := strings.ToLower(x.q.asked); x.route.switches(p) {
		x.q.upgrade = p
		arrival.AskUpgrade(&x.q.header, x.q.asked)
	}
	if x.q.header.Lists("Te", "trailers") {
		x.q.header.Set("Te", "trailers") // the other words are about transfer codings
	} else {
		x.q.header.Del("Te")
	}
	x.out = outgoing{method: x.q.Method, length: x.q.length}
	x.address()
	res, err := x.roundTrip(x.in.ctx)
	x.clock.Waited()
	switch {
	case err != nil:
		x.fail(err)
	case res.conn != nil:
		x.pass(res)
	default:
		x.relay(res)
	}
}

// address makes out what the route of now wants.
func (x *exchange) address() {
	q := x.q
	x.addressed = x.route.compiledRoute
	x.out.target, x.out.host, x.out.header = q.pathAndQuery(q.path), q.authority(), q.header
	if q.prefix == "" && len(x.route.requestHeaders) == 0 {
		return
	}
	h := q.header.Clone() // another table may want it unchanged
	if q.prefix != "" {
		h.Set("X-Forwarded-Prefix", q.prefix)
	}
	for _, c := range x.route.requestHeaders {
		c.apply(&h)
		if host := h.Get("Host"); host != "" {
			x.out.host = host
		}
		h.Del("Host")
	}
	x.out.header = h
}

// relay passes an answer on.
func (x *exchange) relay(res *reply) {
	defer func() { _ = res.body.Close() }() // modify may wrap it
	announced := res.header.Values("Trailer")
	arrival.DropConnectionFields(&res.header)
	res.header.Del("Te")
	res.header.Del("Content-Length") // res.length says it
	x.modify(res)
	if res.trailer != nil && len(announced) > 0 {
		res.header.Set("Trailer", strings.Join(announced, ", "))
	}
	x.head = http1.Answer{Status: res.status, Fields: res.header, Length: res.length}
	x.w.Begin(&x.head)
	if !x.copyBody(res) {
		panic(http.ErrAbortHandler)
	}
	if res.trailer != nil {
		x.trailers = res.trailer()
		x.trailers.DelFunc(func(name string) bool { return !mayTrail(name) })
	}
}

// mayTrail reports whether a field may stand behind a body (RFC 9110, 6.5.1).
func mayTrail(name string) bool {
	return wire.IsToken(name) && !field.Same(name, "Content-Length") && !field.Same(name, "Transfer-Encoding") && !field.Same(name, "Trailer")
}

// copyBody passes the body on, each piece at once when it comes without a length or as
// events. It reports false when either side broke off.
func (x *exchange) copyBody(res *reply) bool {
	stream := res.length < 0 || strings.HasPrefix(res.header.Get("Content-Type"), "text/event-stream")
	if there, ok := res.body.(interface{ Buffered() int }); stream && (!ok || there.Buffered() == 0) && x.w.Flush() != nil {
		return false
	}
	own, _ := res.body.(*trip)
	if own != nil && !stream {
		if whole := own.whole(); whole != nil {
			_, err := x.w.Write(whole)
			own.end(err == nil)
			return err == nil
		}
	}
	buf := x.e.buffers.Get()
	defer x.e.buffers.Put(buf)
	for {
		if own != nil && !stream {
			switch n, err := own.splice(x.w); {
			case err != nil:
				return false
			case n > 0:
				continue
			}
		}
		n, err := res.body.Read(buf)
		if own == nil {
			x.clock.Waited()
		}
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return false
			}
			if stream && err == nil && x.w.Flush() != nil {
				return false
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return true
		default:
			x.failed = true
			_ = x.w.Flush() // what came is the client's
			return false
		}
	}
}

// pass has client and endpoint speak another protocol, until one of them ends it.
func (x *exchange) pass(res *reply) {
	defer res.conn.Close()
	res.header.Del("Content-Length") // as in all answers with 1xx
	x.modify(res)
	x.w.status = res.status
	x.w.client.Begin(&http1.Answer{Status: res.status, Fields: res.header, Length: -1})
	var client net.Conn
	err := errors.ErrUnsupported
	if p, ok := x.w.client.(interface{ Pass() (net.Conn, error) }); ok {
		client, err = p.Pass()
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer client.Close()
	ended := make(chan error, 2)
	var wg sync.WaitGroup
	wg.Go(func() { ended <- relay.Copy(res.conn, client, x.e.buffers, func(int) {}) })
	wg.Go(func() { ended <- relay.Copy(client, res.conn, x.e.buffers, func(int) {}) })
	for range 2 {
		select {
		case err = <-ended:
		case <-x.in.ctx.Done():
			err = x.in.ctx.Err()
		}
		if err != nil {
			break
		}
	}
	_ = client.Close()
	_ = res.conn.Close()
	wg.Wait()
}

func (x *exchange) modify(res *reply) {
	res.header.Set("X-Request-Id", x.q.identity.ID)
	x.setSticky(&res.header)
	for _, c := range x.route.responseHeaders {
		if x.q.TLS || !c.OverTLS {
			c.apply(&res.header)
		}
	}
	if x.route.compress {
		compress(x.q, res, x.e.gzips)
	}
}

func (x *exchange) setSticky(h *field.List) {
	name := x.route.def.Sticky
	if name == "" || x.endpoint == nil {
		return
	}
	value := x.endpoint.StickyValue()
	if value == x.key.Sticky {
		return
	}
	c := http.Cookie{
		Name: name, Value: value, Path: "/", Domain: x.route.def.StickyDomain, HttpOnly: true, Secure: x.q.TLS,
		SameSite: library.SameSite(x.route.def.StickySameSite.Over(x.q.TLS)),
	}
	h.Add("Set-Cookie", c.String())
}

// fail answers for an endpoint that did not.
func (x *exchange) fail(err error) {
	a := x.answerFor(err)
	x.reason = a.text
	if x.endpoint != nil && (a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout) {
		text := a.text
		if fault := wire.Fault(0); errors.As(err, &fault) {
			text = "the answer is malformed: " + fault.Error()
		} else if errors.Is(err, errUpgrade) {
			text = errUpgrade.Error()
		}
		x.reason = traffic.Reason(err, x.endpoint.Address(), text)
	}
	if a.status == statusClientClosed {
		x.w.status = a.status // for the log and the metrics
		panic(http.ErrAbortHandler)
	}
	if x.in.ctx.Err() == nil && x.e.log.Enabled(x.e.ctx, slog.LevelDebug) {
		x.e.log.Debug("request failed", "route", x.route.route.ID, "code", a.code, "id", x.q.identity.ID, "error", err)
	}
	if x.body != nil && !x.body.Ended() && x.in.Major == 1 {
		a.hangUp = true
	}
	x.answer(a)
}

// answerFor turns an error of roundTrip into an answer. What the error says is
// for the log: it may hold addresses.
func (x *exchange) answerFor(err error) *answer {
	var tooLarge *http.MaxBytesError
	var own *answered
	switch {
	case errors.As(err, &own):
		a := *own.answer
		return &a
	case errors.As(err, &tooLarge):
		return bodyTooLarge()
	case x.body != nil && x.body.TooSlow():
		return refusal(http.StatusRequestTimeout, "slow-body", "the request body came too slowly")
	case x.e.ctx.Err() != nil:
		return &answer{status: http.StatusServiceUnavailable, code: "stopping", text: "the request was cut off by a stop", retryAfter: retrySoon, hangUp: true}
	case x.in.ctx.Err() != nil:
		return &answer{status: statusClientClosed, code: "client-closed", text: "the client went away"}
	case errors.Is(err, balance.ErrNoEndpoint):
		return noEndpoint(x.route.route.Service)
	case x.body != nil && x.body.Broken():
		return &answer{status: http.StatusBadRequest, code: "bad-body", text: "the request body cannot be read"}
	case errors.Is(err, errNoRoom):
		return unavailable(limitConnections, "too many connections are open")
	case isDial(err):
		return &answer{status: http.StatusBadGateway, code: "unreachable", text: "no endpoint could be reached"}
	case isTimeout(err):
		return &answer{status: http.StatusGatewayTimeout, code: "timeout", text: "the endpoint did not answer in time"}
	}
	return &answer{status: http.StatusBadGateway, code: "bad-gateway", text: "the endpoint broke off or answered nonsense"}
}

// statusClientClosed is for logs: the client went away first. It is never sent.
const statusClientClosed = 499
