package embedded

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/route"
)

// maxAttempts bounds how often a request is sent. Endpoints that cannot be
// connected to do not count, but all of them together get no more than
// connectBudget.
const (
	maxAttempts   = 3
	connectBudget = 10 * time.Second
)

// holdPause is the pause between two rounds of attempts while a request is held.
const holdPause = 100 * time.Millisecond

// RoundTrip sends the request to an endpoint. It makes another attempt when that
// can do no harm:
//
//   - Nothing of the request was sent: no connection could be made, or a
//     connection that was kept alive turned out to be dead. That holds for any
//     method, and goes on for as long as the route holds requests.
//   - The method is idempotent, and the connection broke before the first byte
//     of an answer (RFC 9110, 9.2.2). That is what a client sees of an endpoint
//     which stops while the connection waits in its queue.
//
// A request with another method that was sent, even in part, is never repeated,
// unless its client says with Idempotency-Key that it may be, which net/http
// honours on connections it kept. Neither is one that timed out.
func (x *exchange) RoundTrip(out *http.Request) (*http.Response, error) {
	ctx := out.Context()
	hold := &holder{x: x, until: x.began.Add(x.route.route.Hold)}
	defer hold.end()
	var body *replayBody
	if out.Body != nil {
		body = newReplayBody(out.Body)
		if err := body.readWhole(out); err != nil {
			return nil, err
		}
	}
	var (
		room   [maxAttempts]*balance.Endpoint
		tried  = room[:0]
		last   error // of the last attempt
		unsent bool  // nothing was sent in the last attempt
	)
	began := time.Now()
	for n := 0; ; { // n attempts were made in this round
		ep, err := x.pick(ctx, n, tried, hold)
		if err != nil && last == nil {
			return nil, err
		}
		if err != nil { // all have been tried
			if !unsent || hold.pause(ctx) != nil {
				return nil, last
			}
			n, tried, began = 0, room[:0], time.Now()
			continue
		}
		if x.attempts++; x.attempts > 1 {
			x.route.metrics.retried()
		}
		a := &attempt{x: x, endpoint: ep, transport: x.e.transports.of(ep, x.route.def, x.route.route.Timeout)}
		res, err := a.do(out, body)
		if err == nil {
			return res, nil
		}
		ep.Done(a.result(ctx, err))
		a.transport.released()
		if ctx.Err() != nil || !a.repeatable(err) || body != nil && body.lost() {
			return nil, err
		}
		last, unsent = err, a.unsent(err)
		switch {
		case !isDial(err):
			n++
		case time.Since(began) > connectBudget:
			n = maxAttempts
		}
		if isDial(err) || !a.reused {
			tried = append(tried, ep)
		} else {
			// The endpoint is not to blame for having closed an idle connection;
			// the others it has closed as well.
			a.transport.CloseIdleConnections()
		}
	}
}

// pick chooses an endpoint after n attempts of a round. When the backend has
// none at all it holds the request; when it has none left it fails.
func (x *exchange) pick(ctx context.Context, n int, tried []*balance.Endpoint, hold *holder) (*balance.Endpoint, error) {
	if n >= maxAttempts {
		return nil, balance.ErrNoEndpoint
	}
	for {
		ep, err := x.route.backend.Pick(x.key, tried)
		if err == nil {
			x.endpoint = ep
			return ep, nil
		}
		if len(tried) > 0 {
			return nil, err
		}
		if err := hold.wait(ctx, x.route.backend); err != nil {
			return nil, err
		}
	}
}

// holder is a request's right to wait for an endpoint.
type holder struct {
	x     *exchange
	until time.Time
	held  bool
}

// begin reports whether the request may wait, for there is a bound on how many
// do, and counts it.
func (h *holder) begin() bool {
	if !h.held {
		held := h.x.route.held
		if held.Add(1) > int64(h.x.e.opts.MaxHeld) {
			held.Add(-1)
			return false
		}
		h.held = true
	}
	return true
}

// end takes the request off the count.
func (h *holder) end() {
	if h.held {
		h.x.route.held.Add(-1)
		h.held = false
	}
}

// wait waits until the backend has something to pick. It fails with
// balance.ErrNoEndpoint when the time is over.
func (h *holder) wait(ctx context.Context, b *balance.Backend) error {
	left := time.Until(h.until)
	if left <= 0 || !h.begin() {
		return balance.ErrNoEndpoint
	}
	waiting, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	if err := b.Wait(waiting); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("held: %w", ctx.Err())
		}
		return balance.ErrNoEndpoint
	}
	return nil
}

// pause waits a moment before another round. It fails when the time is over.
func (h *holder) pause(ctx context.Context) error {
	if time.Until(h.until) < holdPause || !h.begin() {
		return balance.ErrNoEndpoint
	}
	timer := time.NewTimer(holdPause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// attempt is one try at one endpoint.
type attempt struct {
	x         *exchange
	endpoint  *balance.Endpoint
	transport *transport

	conn     *endpointConn // the connection the request went to; nil: none, or HTTP/2
	before   int64         // bytes written on it before
	gotConn  bool
	reused   bool        // it had been used before
	answered atomic.Bool // the first byte of an answer was seen
}

// do sends the request and returns the answer's header. The endpoint is released
// when the answer's body ends.
func (a *attempt) do(out *http.Request, body *replayBody) (*http.Response, error) {
	trace := &httptrace.ClientTrace{
		GotConn:              a.gotConnection,
		GotFirstResponseByte: func() { a.answered.Store(true) },
	}
	req := out.WithContext(httptrace.WithClientTrace(out.Context(), trace))
	u := *out.URL
	req.URL = &u
	a.aim(req.URL)
	if body != nil {
		req.Body = body.reader()
		req.GetBody = func() (io.ReadCloser, error) {
			if body.lost() {
				return nil, errLost
			}
			return body.reader(), nil
		}
	}
	res, err := a.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if body != nil {
		body.settle()
	}
	if err := cmp.Or(checkHead(res), a.x.checkUpgrade(res)); err != nil {
		return nil, errors.Join(err, res.Body.Close())
	}
	a.x.take(a, res)
	return res, nil
}

// aim sets where the request goes: the address is in the transport already; the
// URL has the name that a certificate is verified for.
func (a *attempt) aim(u *url.URL) {
	def := a.x.route.def
	u.Scheme, u.Host = "http", a.endpoint.Address()
	if def.Scheme == route.SchemeHTTPS {
		u.Scheme = "https"
		if q := a.x.q; q.Host != "" && (def.TLS == nil || def.TLS.ServerName == "") {
			u.Host = bracketed(q.Host)
		}
	}
}

// gotConnection notes which connection the request goes to. It may be called
// again when the transport tries another by itself.
func (a *attempt) gotConnection(info httptrace.GotConnInfo) {
	a.gotConn, a.reused = true, info.Reused
	a.conn = nil
	if t, ok := info.Conn.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" ||
		a.x.route.def.Scheme == route.SchemeH2C {
		return // many requests share the connection: bytes tell nothing
	}
	a.conn = endpointConnOf(info.Conn)
	if a.conn == nil {
		return
	}
	a.before = a.conn.written.Load()
	if info.Reused && !isIdempotent(a.x.q.Method) && a.conn.isClosed() {
		// The endpoint has hung up and the transport does not know yet. What is
		// written now would be lost and could not be repeated: make the write
		// fail instead.
		_ = a.conn.Close()
	}
}

// unsent reports whether nothing of the request can have reached the endpoint.
func (a *attempt) unsent(err error) bool {
	if isDial(err) || !a.gotConn {
		return true
	}
	return a.conn != nil && a.conn.written.Load() == a.before
}

// repeatable reports whether the request may be sent again after err.
func (a *attempt) repeatable(err error) bool {
	switch {
	case a.x.body != nil && a.x.body.broken():
		return false
	case isDial(err):
		return true
	case errors.Is(err, errUpgrade), errors.Is(err, errHead), isTimeout(err):
		return false
	case a.unsent(err):
		return true
	}
	return isIdempotent(a.x.q.Method) && !a.answered.Load()
}

// result is what a failed attempt says about the endpoint.
func (a *attempt) result(ctx context.Context, err error) balance.Result {
	switch {
	case ctx.Err() != nil, a.x.body != nil && a.x.body.broken():
		return balance.ResultCanceled
	case isDial(err):
		return balance.ResultUnreachable
	case a.reused && !a.answered.Load() && a.conn != nil && !isTimeout(err):
		return balance.ResultCanceled // a dead connection is not a dead endpoint
	}
	return balance.ResultFailed
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// isIdempotent follows RFC 9110, 9.2.2.
func isIdempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// errUpgrade means that an endpoint switched to a protocol nobody asked for.
var errUpgrade = errors.New("the endpoint switched protocols unasked")

// checkUpgrade refuses a 101 that does not lead to the WebSocket that was asked
// for: what passes after it is looked at by nobody.
func (x *exchange) checkUpgrade(res *http.Response) error {
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil
	}
	if !x.q.upgrade || !strings.EqualFold(res.Header.Get("Upgrade"), "websocket") || !lists(res.Header["Connection"], "Upgrade") {
		return errUpgrade
	}
	return nil
}

// errHead means that the head of an answer is not one that can be passed on.
var errHead = errors.New("the head of the answer is not valid")

// checkHead refuses what net/http takes for an answer and is none: a status below
// 100, and a blank behind the name of a field that says where the answer ends,
// which others would read. Behind other names the blank is taken away (RFC 9112,
// 5.1).
func checkHead(res *http.Response) error {
	if res.StatusCode < 100 {
		return errHead
	}
	for name, values := range res.Header {
		trimmed := strings.TrimRight(name, " \t")
		if len(trimmed) == len(name) {
			continue
		}
		delete(res.Header, name)
		switch name = http.CanonicalHeaderKey(trimmed); name {
		case "Content-Length", "Transfer-Encoding", "Connection":
			return errHead
		}
		res.Header[name] = append(res.Header[name], values...)
	}
	return nil
}

// take makes the answer of an attempt the answer of the exchange.
func (x *exchange) take(a *attempt, res *http.Response) {
	if x.body != nil {
		x.body.relax()
	}
	x.release = func(r balance.Result) {
		a.endpoint.Done(r)
		a.transport.released()
	}
	if rwc, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = newUpgradedBody(rwc, x.route.route.Idle)
		return
	}
	res.Body = &answerBody{ReadCloser: res.Body, x: x}
}

// answerBody notes when an endpoint breaks off its answer.
type answerBody struct {
	io.ReadCloser
	x *exchange
}

// Read notes errors.
func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.x.failed = true
	}
	return n, err
}
