package embedded

import (
	"cmp"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

// RoundTrip sends the request to an endpoint. It makes another attempt when that
// can do no harm:
//
//   - Nothing of the request was sent: no connection could be made, or one that was
//     kept alive was dead. That goes on for as long as the route holds requests.
//   - The method is idempotent, and the connection broke before the first byte
//     of an answer (RFC 9110, 9.2.2), as when an endpoint stops.
//
// A request with another method that was sent, even in part, is never repeated, unless
// it has an Idempotency-Key, which net/http honours on connections it kept. Neither is
// one that timed out. One that could be sent nowhere goes where the live table has a
// place for it, whatever table it began with; see renew.
func (x *exchange) RoundTrip(out *http.Request) (res *http.Response, err error) {
	var body *replayBody
	if out.Body != nil {
		body = newReplayBody(out.Body)
		if err := body.readWhole(out); err != nil {
			return nil, err
		}
	}
	err = x.send(out.Context(), func(ep *balance.Endpoint) *failure {
		out = x.readdress(out)
		a := &attempt{x: x, endpoint: ep, transport: x.e.transports.of(ep, x.route.def, x.route.route.Timeout)}
		var err error
		if res, err = a.do(out, body); err == nil {
			return nil
		}
		a.transport.released()
		f := &failure{err: err, result: a.result(err), unsent: a.unsent(err), final: !a.repeatable(err) || body != nil && body.lost.Load()}
		if a.reused && !isDial(err) {
			// An endpoint may close idle connections; the others it has closed as well.
			f.stale = true
			a.transport.CloseIdleConnections()
		}
		return f
	})
	return res, err
}

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

// do sends the request; the endpoint is released when the answer's body ends.
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
		req.Body = a.x.bounded(body)
		req.GetBody = func() (io.ReadCloser, error) {
			if body.lost.Load() {
				return nil, errLost
			}
			return a.x.bounded(body), nil
		}
	}
	var res *http.Response
	var err error
	if a.transport.pool != nil {
		var whole []byte
		if body != nil {
			whole = body.whole
		}
		res, err = a.transport.roundTrip(req, whole)
	} else {
		res, err = a.transport.RoundTrip(req)
	}
	if err != nil {
		return nil, err
	}
	if body != nil {
		body.settled.Store(true)
	}
	if err := cmp.Or(checkHead(res), a.x.checkUpgrade(res)); err != nil {
		return nil, errors.Join(err, res.Body.Close())
	}
	a.x.take(a, res)
	return res, nil
}

// bounded returns a reader of the body that ends at what the route allows. A body
// that was read beforehand has been measured by its filter.
func (x *exchange) bounded(body *replayBody) io.ReadCloser {
	r := body.reader()
	if x.q.maxBody < 0 || body.whole != nil {
		return r
	}
	return http.MaxBytesReader(x.w.ResponseWriter, r, x.q.maxBody)
}

// aim sets the scheme, and the name that a certificate is verified for.
func (a *attempt) aim(u *url.URL) {
	def := a.x.route.def
	u.Scheme, u.Host = "http", a.endpoint.Address()
	if def.Scheme == route.SchemeHTTPS {
		u.Scheme = "https"
		if q := a.x.q; q.Host != "" && (def.TLS == nil || def.TLS.ServerName == "") {
			u.Host = arrival.Bracketed(q.Host)
		}
	}
}

// gotConnection notes which connection the request goes to. It may be called
// again when the transport tries another by itself.
func (a *attempt) gotConnection(info httptrace.GotConnInfo) {
	a.gotConn, a.reused = true, info.Reused
	a.conn = nil
	below := info.Conn
	t, secure := below.(*tls.Conn)
	if secure && t.ConnectionState().NegotiatedProtocol == "h2" || a.x.route.def.Scheme == route.SchemeH2C {
		return // many requests share the connection
	}
	if secure {
		below = t.NetConn()
	}
	a.conn = below.(*endpointConn)
	a.before = a.conn.written.Load()
	if a.transport.pool == nil {
		a.conn.began.Store(a.before)
	}
	if info.Reused && !isIdempotent(a.x.q.Method) && a.conn.isClosed() {
		// The endpoint has hung up, and what is written now would be lost: make the
		// write fail instead.
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
func (a *attempt) result(err error) balance.Result {
	switch {
	case a.x.body != nil && a.x.body.broken():
		return balance.ResultCanceled
	case isDial(err):
		return resultOfDial(err)
	case a.reused && !a.answered.Load() && a.conn != nil && !isTimeout(err):
		return balance.ResultCanceled // a dead connection is not a dead endpoint
	}
	return balance.ResultFailed
}

// resultOfDial is what a failed connection says about the endpoint.
func resultOfDial(err error) balance.Result {
	if errors.Is(err, errLeft) || errors.Is(err, errNoRoom) {
		return balance.ResultCanceled // it was given up, or not tried
	}
	return balance.ResultUnreachable
}

// isTimeout reports whether a limit of Fairway's own was reached. A connection that
// the kernel has given up is none: nothing leads to the endpoint any more.
func isTimeout(err error) bool {
	if errors.Is(err, syscall.ETIMEDOUT) {
		return false
	}
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

func isIdempotent(method string) bool {
	switch method { // RFC 9110, 9.2.2
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// errUpgrade means that an endpoint switched to a protocol that was not asked for.
var errUpgrade = errors.New("the endpoint switched protocols unasked")

// checkUpgrade refuses a 101 that does not lead to the protocol that was asked for:
// nothing checks what passes after it.
func (x *exchange) checkUpgrade(res *http.Response) error {
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil
	}
	if x.q.upgrade == "" || !strings.EqualFold(res.Header.Get("Upgrade"), x.q.upgrade) || !arrival.Lists(res.Header["Connection"], "Upgrade") {
		return errUpgrade
	}
	return nil
}

// errHead means that the head of an answer is not one that can be passed on.
var errHead = errors.New("the head of the answer is not valid")

// checkHead refuses what net/http takes for an answer and is none: a status below 100, and
// a blank behind the name of a field that says where the answer ends. Behind other names
// the blank is taken away (RFC 9112, 5.1).
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

func (x *exchange) take(a *attempt, res *http.Response) {
	if x.body != nil {
		x.body.relax()
	}
	x.release = func(r balance.Result) {
		a.endpoint.Done(r)
		a.transport.released()
	}
	if rwc, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = newIdleConn(rwc, x.route.route.Idle, func() { _ = rwc.Close() })
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
