package embedded

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/relay"
)

// roundTrip sends the request to an endpoint. It makes another attempt when that
// can do no harm:
//
//   - Nothing of the request was sent: no connection could be made, or one that was
//     kept alive was dead. That goes on for as long as the route holds requests.
//   - The method is idempotent, and the connection broke before the first byte
//     of an answer (RFC 9110, 9.2.2), as when an endpoint stops.
//
// A request with another method that was sent, even in part, is never repeated, unless
// it has an Idempotency-Key and went to a connection that had been kept. Neither is
// one that timed out. One that could be sent nowhere goes where the live table has a
// place for it, whatever table it began with; see renew.
func (x *exchange) roundTrip(ctx context.Context) (res *reply, err error) {
	var body *http1.Replay
	switch {
	case x.in.whole != nil:
		body = &x.replay
		body.Hold(x.in.whole)
	case x.body != nil:
		body = http1.NewReplay(x.body)
		err := body.ReadWhole(x.q.length, x.q.header.Get("Expect") != "")
		if x.clock.Waited(); err != nil {
			return nil, err
		}
	}
	err = x.send(ctx, func(ep *balance.Endpoint) *failure {
		x.readdress()
		a := &x.plain
		if body != nil && body.Whole() == nil { // it may be sent after the attempt is over
			a = new(attempt)
		}
		*a = attempt{x: x, endpoint: ep, transport: x.transportTo(ep), body: body}
		var err error
		if res, err = a.do(ctx); err == nil {
			return nil
		}
		a.transport.released()
		f := &failure{err: err, result: a.result(err), unsent: a.unsent(err), final: !a.repeatable(err) || body != nil && body.Lost()}
		if a.reused && !isDial(err) {
			// An endpoint may close idle connections; the others it has closed as well.
			f.stale = true
			a.transport.CloseIdleConnections()
		}
		return f
	})
	return res, err
}

// transportTo is the way to an endpoint, most often that of the request before.
func (x *exchange) transportTo(ep *balance.Endpoint) *transport {
	upgrades := x.q.upgrade != ""
	if tr := x.route.latest.Load(); tr != nil && tr.endpoint == ep && !upgrades && !tr.retired.Load() {
		return tr
	}
	tr := x.e.transports.of(ep, x.route.def, x.route.route.Timeout, upgrades)
	if !upgrades {
		x.route.latest.Store(tr)
	}
	return tr
}

type attempt struct {
	x         *exchange
	endpoint  *balance.Endpoint
	transport *transport
	body      *http1.Replay // nil: the request has none

	gotConn  bool        // of HTTP/2
	byCore   bool        // it got a connection of HTTP/1.1
	sent     bool        // something on that
	reused   bool        // the connection had been used before
	answered atomic.Bool // the first byte of an answer was seen

	trip trip // by HTTP/1.1
}

// do sends the request; the endpoint is released when the answer is over.
func (a *attempt) do(ctx context.Context) (res *reply, err error) {
	for range 3 { // an endpoint may change its mind about the version
		if a.transport.version.Load() == versionTwo {
			res, err = a.overLibrary(ctx)
		} else {
			res, err = a.overCore(ctx)
		}
		if !errors.Is(err, errOtherVersion) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if a.body != nil {
		a.body.Settle()
	}
	if err := a.x.checkUpgrade(res); err != nil {
		if res.conn != nil {
			return nil, errors.Join(err, res.conn.Close())
		}
		return nil, errors.Join(err, res.body.Close())
	}
	a.x.take(a, res)
	return res, nil
}

// bounded returns a reader of the body that ends at what the route allows. A body
// that was read beforehand has been measured by its filter.
func (x *exchange) bounded(body *http1.Replay) io.ReadCloser {
	r := body.Reader()
	if x.q.maxBody < 0 || body.Whole() != nil {
		return r
	}
	return http.MaxBytesReader(nil, r, x.q.maxBody)
}

// unsent reports whether nothing of the request can have reached the endpoint.
func (a *attempt) unsent(err error) bool {
	if a.byCore {
		return !a.sent
	}
	return isDial(err) || !a.gotConn
}

// repeatable reports whether the request may be sent again after err.
func (a *attempt) repeatable(err error) bool {
	switch {
	case a.x.body != nil && a.x.body.Broken():
		return false
	case isDial(err):
		return true
	case errors.Is(err, errUpgrade), errors.Is(err, errHead), isTimeout(err):
		return false
	case a.unsent(err):
		return true
	}
	keyed := a.reused && a.x.q.header.Has("Idempotency-Key")
	return (isIdempotent(a.x.q.Method) || keyed) && !a.answered.Load()
}

// result is what a failed attempt says about the endpoint.
func (a *attempt) result(err error) balance.Result {
	switch {
	case a.x.body != nil && a.x.body.Broken():
		return balance.ResultCanceled
	case isDial(err):
		return resultOfDial(err)
	case a.reused && !a.answered.Load() && a.byCore && !isTimeout(err):
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
func (x *exchange) checkUpgrade(res *reply) error {
	if res.status != http.StatusSwitchingProtocols {
		return nil
	}
	if x.q.upgrade == "" || res.conn == nil || !strings.EqualFold(res.header.Get("Upgrade"), x.q.upgrade) || !res.header.Lists("Connection", "Upgrade") {
		return errUpgrade
	}
	return nil
}

// errHead means that the head of an answer is not one that can be passed on.
var errHead = errors.New("the head of the answer is not valid")

func (x *exchange) take(a *attempt, res *reply) {
	if x.body != nil {
		x.body.Relax()
	}
	x.taken, x.by = a.endpoint, a.transport
	if res.conn != nil {
		conn := res.conn
		res.conn = relay.NewIdleConn(conn, x.route.route.Idle, func() { _ = conn.Close() })
	}
}
