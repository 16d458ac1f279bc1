package embedded

import (
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

// exchange is one request, from accepting to the last byte of the answer, whatever the
// versions of HTTP on both sides.
type exchange struct {
	dispatch // its request is nil when a guard refused it
	conn     *clientConn
	r        *http.Request
	w        *responseWriter
	body     *bodyReader // nil: the request has none

	out       outgoing
	addressed *compiledRoute // the route that out was made for
	unchanged http.Header    // the header of out before that route's changes; nil when there are none
}

// outgoing is a request as endpoints get it.
type outgoing struct {
	method, target, host string
	header               http.Header
	length               int64 // of the body; -1 where it is not known
}

// reply is the answer of an endpoint.
type reply struct {
	status int
	header http.Header
	// length is that of the body; -1 where it is not known.
	length int64
	body   io.ReadCloser
	// trailer, if any, is known when the body was read; announced are names in it.
	trailer   func() http.Header
	announced []string
	// conn is the connection, after a switch to another protocol.
	conn io.ReadWriteCloser
}

func (l *listener) serveHTTP(w http.ResponseWriter, r *http.Request) {
	e := l.engine
	e.running.Add(1)
	defer e.running.done()
	x := &exchange{dispatch: dispatch{e: e, began: time.Now()}, conn: r.Context().Value(connKey{}).(*clientConn), r: r}
	x.w = newResponseWriter(w, e.opts.WriteTimeout, r, x.began)
	if r.Body != nil && r.Body != http.NoBody {
		x.body = newBodyReader(r, x.w.control, e.opts)
		if r.ProtoMajor == 1 && r.ContentLength > maxDrain {
			x.w.long = x.body
		}
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
	r := x.r
	q, a := admit(head{
		Head: arrival.Head{
			Method: r.Method, Header: r.Header, Major: r.ProtoMajor, Old: !r.ProtoAtLeast(1, 1), Length: r.ContentLength,
		},
		target: r.RequestURI, authority: r.Host,
	}, arrival.Peer{Addr: x.conn.peer, TLS: r.TLS != nil, Trusted: conf.trusted})
	if a == nil {
		x.q = q
		q.Listener = conf.name
		q.certified = r.TLS != nil && len(r.TLS.VerifiedChains) > 0
		x.route, a = x.live.decide(r.Context(), q)
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
	if x.body != nil {
		x.answerEarly()
	}
	var id string
	if x.q != nil {
		id = x.q.identity.ID
	} else { // a guard refused it
		id = arrival.NewID()
	}
	a.write(x.w, x.r.Header["Accept"], id)
}

// answerEarly lets an answer go out before the body has been read. Otherwise a
// server of HTTP/1 first reads the body, or much of it.
func (x *exchange) answerEarly() {
	if x.r.ProtoMajor == 1 {
		_ = x.w.control.EnableFullDuplex()
	}
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
	x.done(x.r.Context())
	took := time.Since(x.began)
	if x.drains() && !x.body.drain() && x.r.ProtoMajor == 1 {
		x.conn.finished.Store(true)
	}
	x.w.finish()
	x.e.meters.of(x.route).Requests(1, x.w.status, took)
	x.e.logRequest(x, took, aborted)
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
	case x.r.ProtoMajor == 1:
		return x.w.status != http.StatusSwitchingProtocols
	}
	return x.w.status >= http.StatusBadRequest && x.w.Header().Get("Content-Length") != ""
}

func (x *exchange) forward() {
	if x.body != nil {
		if limit := x.route.route.BodyTimeout; limit > 0 {
			x.body.allow(limit)
		}
		x.answerEarly()
	}
	if p := strings.ToLower(x.q.asked); x.route.switches(p) {
		x.q.upgrade = p
		arrival.AskUpgrade(x.q.header, x.q.asked)
	}
	if te := x.q.header["Te"]; te != nil && !arrival.Lists(te, "trailers") {
		delete(x.q.header, "Te")
	}
	x.out = outgoing{method: x.q.Method, header: x.q.header, length: x.q.length}
	if x.q.prefix != "" || len(x.route.requestHeaders) > 0 {
		x.unchanged, x.out.header = x.q.header, x.q.header.Clone()
	}
	x.address()
	res, err := x.roundTrip(x.r.Context())
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
	q, h := x.q, x.out.header
	x.out.target, x.out.host = q.pathAndQuery(q.path), q.authority()
	if q.prefix != "" {
		h["X-Forwarded-Prefix"] = []string{q.prefix}
	}
	for _, c := range x.route.requestHeaders {
		c.apply(h)
		for _, v := range c.Set {
			if v.Name == "Host" {
				x.out.host = v.Value
			}
		}
		delete(h, "Host")
	}
	x.addressed = x.route.compiledRoute
}

// relay passes an answer on.
func (x *exchange) relay(res *reply) {
	defer res.body.Close()
	arrival.DropConnectionFields(res.header)
	delete(res.header, "Te")
	x.modify(res)
	h := x.w.Header()
	maps.Copy(h, res.header)
	if len(res.announced) > 0 {
		h["Trailer"] = []string{strings.Join(res.announced, ", ")}
	}
	x.w.WriteHeader(res.status)
	if !x.copyBody(res) {
		panic(http.ErrAbortHandler)
	}
	if res.trailer == nil {
		return
	}
	for name, values := range res.trailer() {
		if !slices.Contains(res.announced, name) {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

// copyBody passes the body on, each piece at once when it comes without a length or as
// events. It reports false when either side broke off.
func (x *exchange) copyBody(res *reply) bool {
	stream := res.length < 0 || strings.HasPrefix(res.header.Get("Content-Type"), "text/event-stream")
	if stream && x.w.FlushError() != nil {
		return false
	}
	buf := x.e.buffers.Get()
	defer x.e.buffers.Put(buf)
	for {
		n, err := res.body.Read(buf)
		if n > 0 {
			if _, err := x.w.Write(buf[:n]); err != nil {
				return false
			}
			if stream && err == nil && x.w.FlushError() != nil {
				return false
			}
		}
		switch err {
		case nil:
		case io.EOF:
			return true
		default:
			x.failed = true
			_ = x.w.FlushError() // what came is the client's
			return false
		}
	}
}

// pass has client and endpoint speak another protocol, until one of them ends it.
func (x *exchange) pass(res *reply) {
	defer res.conn.Close()
	x.modify(res)
	maps.Copy(x.w.Header(), res.header)
	x.w.ResponseWriter.WriteHeader(res.status)
	client, _, err := x.w.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer client.Close()
	ended := make(chan error, 2)
	var wg sync.WaitGroup
	wg.Go(func() { ended <- copyBytes(res.conn, client, x.e.buffers, func(int) {}) })
	wg.Go(func() { ended <- copyBytes(client, res.conn, x.e.buffers, func(int) {}) })
	for range 2 {
		select {
		case err = <-ended:
		case <-x.r.Context().Done():
			err = x.r.Context().Err()
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
	res.header["X-Request-Id"] = []string{x.q.identity.ID}
	x.setSticky(res.header)
	for _, c := range x.route.responseHeaders {
		c.apply(res.header)
	}
	if x.route.compress {
		compress(x.q, res, x.e.gzips)
	}
}

func (x *exchange) setSticky(h http.Header) {
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
		SameSite: sameSite(x.route.def.StickySameSite.Over(x.q.TLS)),
	}
	h.Add("Set-Cookie", c.String())
}

func sameSite(s route.SameSite) http.SameSite {
	switch s {
	case route.SameSiteStrict:
		return http.SameSiteStrictMode
	case route.SameSiteNone:
		return http.SameSiteNoneMode
	}
	return http.SameSiteLaxMode
}

// fail answers for an endpoint that did not.
func (x *exchange) fail(err error) {
	a := x.answerFor(err)
	if a.status == statusClientClosed {
		x.w.status = a.status // for the log and the metrics
		panic(http.ErrAbortHandler)
	}
	if x.r.Context().Err() == nil && x.e.log.Enabled(x.e.ctx, slog.LevelDebug) {
		x.e.log.Debug("request failed", "route", x.route.route.ID, "code", a.code, "id", x.q.identity.ID, "error", err)
	}
	if x.body != nil && !x.body.ended.Load() && x.r.ProtoMajor == 1 {
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
	case x.body != nil && x.body.tooSlow():
		return refusal(http.StatusRequestTimeout, "slow-body", "the request body came too slowly")
	case x.e.ctx.Err() != nil:
		return &answer{status: http.StatusServiceUnavailable, code: "stopping", text: "the request was cut off by a stop", retryAfter: retrySoon, hangUp: true}
	case x.r.Context().Err() != nil:
		return &answer{status: statusClientClosed, code: "client-closed", text: "the client went away"}
	case errors.Is(err, balance.ErrNoEndpoint):
		return noEndpoint(x.route.route.Service)
	case x.body != nil && x.body.broken():
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
