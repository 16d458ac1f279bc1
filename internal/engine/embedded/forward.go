package embedded

import (
	"cmp"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/traffic"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

// exchange is one request on the transport of net/http, from accepting to the
// last byte of the answer.
//
// The bytes are carried by a httputil.ReverseProxy of its own, which keeps the rules of
// HTTP. Choosing endpoints and trying again is in RoundTrip, which that calls.
type exchange struct {
	dispatch // its request is nil when a guard refused it
	conn     *clientConn
	r        *http.Request
	w        *responseWriter
	body     *bodyReader // nil: the request has none

	addressed *compiledRoute // the route that the outgoing request was made for
	unchanged http.Header    // the outgoing header before that route's changes; nil when there are none
}

func (l *listener) serveHTTP(w http.ResponseWriter, r *http.Request) {
	e := l.engine
	e.running.Add(1)
	defer e.running.done()
	x := &exchange{dispatch: dispatch{e: e, began: time.Now()}, conn: r.Context().Value(connKey{}).(*clientConn), r: r}
	if x.conn.finished.Load() {
		panic(http.ErrAbortHandler) // what was read is the rest of a body
	}
	x.w = newResponseWriter(w, e.opts.WriteTimeout, r, x.began)
	coded, beside := x.conn.heads.framing(r)
	x.w.hangUp = coded || beside
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
	x.serve(conf, coded)
}

func (x *exchange) serve(conf *listenerConfig, coded bool) {
	r := x.r
	q, a := admit(head{
		Head: arrival.Head{
			Method: r.Method, Header: r.Header, Major: r.ProtoMajor, Old: !r.ProtoAtLeast(1, 1), Length: r.ContentLength,
		},
		target: r.RequestURI, authority: r.Host, coded: coded,
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
	if a.code != "" {
		x.reason = cmp.Or(x.reason, a.text)
	}
	id, host, set := "", "", ""
	if x.q != nil {
		id, host = x.q.identity.ID, x.q.Host
	} else { // a guard refused it
		id = arrival.NewID()
	}
	if x.route != nil {
		set = x.route.route.ErrorPages
	}
	a.write(x.w, x.r.Header["Accept"], id, func(a errorpage.Answer, f errorpage.Form) []byte { return a.BodyOf(f, x.e.opts.Pages, set, host) })
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
	if x.endpoint != nil {
		x.endpoint.Took(took)
	}
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
	r := x.r
	if x.body != nil {
		if limit := x.route.route.BodyTimeout; limit > 0 {
			x.body.allow(limit)
		}
		// A copy of the request: the server wants to find its own body in r.
		copied := *r
		r = &copied
		r.Body = x.body
		x.answerEarly()
	}
	if p := strings.ToLower(x.q.asked); x.route.switches(p) {
		x.q.upgrade = p
		arrival.AskUpgrade(x.q.header, x.q.asked)
	}
	proxy := httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		ModifyResponse: x.modify,
		ErrorHandler:   x.fail,
		BufferPool:     x.e.buffers,
		ErrorLog:       x.e.errorLog,
	}
	proxy.ServeHTTP(x.w, r)
}

// setPath puts the very bytes of the path into the request line. Opaque does that, but
// takes what begins with two slashes for a host.
func setPath(u *url.URL, path string) {
	if decoded, err := url.PathUnescape(path); err == nil && strings.HasPrefix(path, "//") {
		u.Path, u.RawPath = decoded, path
		return
	}
	u.Opaque = path
}

// rewrite makes the outgoing request. Hop-by-hop headers are gone by now, so that
// nothing the client lists in Connection can take away what is set here.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	// Trailers of a request are not passed on (RFC 9110, 6.5.1 allows it): some
	// backends merge them into the header, behind every check.
	p.Out.Trailer = nil
	if x.q.prefix != "" || len(x.route.requestHeaders) > 0 {
		x.unchanged = p.Out.Header.Clone()
	}
	x.address(p.Out)
}

func (x *exchange) address(out *http.Request) {
	q := x.q
	out.URL = &url.URL{RawQuery: q.Query, ForceQuery: q.bareQuery}
	setPath(out.URL, q.path)
	out.Host = q.authority()
	q.identity.Tell(out.Header)
	if q.prefix != "" {
		out.Header["X-Forwarded-Prefix"] = []string{q.prefix}
	}
	for _, c := range x.route.requestHeaders {
		c.apply(out.Header)
		for _, v := range c.Set {
			if v.Name == "Host" {
				out.Host = v.Value
			}
		}
	}
	x.addressed = x.route.compiledRoute
}

func (x *exchange) modify(res *http.Response) error {
	res.Header["X-Request-Id"] = []string{x.q.identity.ID}
	x.setSticky(res.Header)
	for _, c := range x.route.responseHeaders {
		c.apply(res.Header)
	}
	if x.route.compress {
		compress(x.q, res, x.e.gzips)
	}
	return nil
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
func (x *exchange) fail(_ http.ResponseWriter, _ *http.Request, err error) {
	a := x.answerFor(err)
	x.reason = a.text
	if x.endpoint != nil && (a.status == http.StatusBadGateway || a.status == http.StatusGatewayTimeout) {
		x.reason = traffic.Reason(err, x.endpoint.Address(), a.text)
	}
	if x.q.upgrade != "" && x.w.status == http.StatusSwitchingProtocols {
		return // the connection is no longer ours
	}
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

// answerFor turns an error of RoundTrip into an answer. What the error says is
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
