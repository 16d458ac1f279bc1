package embedded

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/balance"
)

// holdPause is the pause between two rounds of attempts while a request is held.
const holdPause = 100 * time.Millisecond

// holder is a request's right to wait for an endpoint.
type holder struct {
	x     *dispatch
	until time.Time
	held  *atomic.Int64 // the count that the request is on; nil while it does not wait
}

func newHolder(x *dispatch) *holder {
	return &holder{x: x, until: x.began.Add(x.route.route.Hold)}
}

// begin reports whether the request may wait, for there is a bound on how many
// do, and counts it.
func (h *holder) begin() bool {
	if h.held == nil {
		held := h.x.route.held
		if held.Add(1) > int64(h.x.e.opts.MaxHeld) {
			held.Add(-1)
			return false
		}
		h.held = held
	}
	return true
}

// end takes the request off the count.
func (h *holder) end() {
	if h.held != nil {
		h.held.Add(-1)
		h.held = nil
	}
}

// again waits, for as long as the route holds the request, until another round of
// attempts makes sense: when the live table has another place for the request, when an
// endpoint is ready, or a moment after failed attempts. last is the error of the last
// attempt, if there was one.
func (h *holder) again(ctx context.Context, last error) error {
	for waited := false; ; waited = true {
		changed, err := h.x.renew(ctx)
		switch {
		case err != nil:
			return err
		case changed:
			if until := h.x.began.Add(h.x.route.route.Hold); until.After(h.until) {
				h.until = until
			}
			return nil
		case waited && !h.x.orphaned:
			return nil
		}
		err = h.wait(ctx, last != nil)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return fmt.Errorf("held: %w", ctx.Err())
		case last != nil:
			return last
		default:
			return err
		}
	}
}

// wait waits until the request's backend has something to pick, or, when an attempt
// failed, for a moment; in any case no longer than for another table. An orphaned
// request waits for that alone. It fails when the time is over.
func (h *holder) wait(ctx context.Context, failed bool) error {
	left := time.Until(h.until)
	if left <= 0 || failed && left < holdPause || !h.begin() {
		return balance.ErrNoEndpoint
	}
	another := h.x.live.superseded
	if !failed && !h.x.orphaned {
		waiting, cancel := context.WithTimeout(ctx, left)
		defer cancel()
		if h.x.route.backend.Wait(waiting, another) != nil {
			return balance.ErrNoEndpoint
		}
		return nil
	}
	if !h.x.orphaned {
		left = holdPause
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-another:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		if h.x.orphaned {
			return balance.ErrNoEndpoint
		}
		return nil
	}
}

// renew binds a request that could be sent nowhere to the table that is live now.
// It reports whether that has another place for it. A route that is not the one of
// before is asked with all its filters: what they answer is the error.
//
// When no route takes the request any more, it is orphaned: it is sent nowhere,
// and waits for the next table for as long as its route was to hold it.
func (x *dispatch) renew(ctx context.Context) (changed bool, err error) {
	// An endpoint that came or left may be that of a table which is just about to be
	// live.
	x.e.swapping.RLock()
	live := x.e.live.Load()
	x.e.swapping.RUnlock()
	if live == x.live {
		return false, nil
	}
	x.live = live
	r := live.find(x.q)
	if x.orphaned = r == nil; x.orphaned {
		return false, nil
	}
	before, sent := x.route, x.q.sent
	x.route = live.routes[r]
	if a := live.settle(x.q, r); a != nil {
		return false, &answered{a}
	}
	if x.route == before && x.q.sent == sent {
		return false, nil
	}
	if x.route.compiledRoute != before.compiledRoute || x.q.sent != sent {
		x.q.restore()
		if _, a := live.filter(ctx, x.route, x.q); a != nil {
			return false, &answered{a}
		}
	}
	x.key = x.q.balanceKey(x.route.def)
	if x.q.upgrade != "" && !x.route.switches(x.q.upgrade) {
		return false, &answered{noEndpoint(x.route.route.Service)} // the client may ask anew
	}
	return true, nil
}

// restore undoes what filters have changed.
func (q *request) restore() {
	q.path, q.prefix, q.maxBody = q.sent, "", -1
	if q.stripped != nil {
		q.header["Authorization"], q.stripped = q.stripped, nil
	}
}

// answered is the error of a request that Fairway itself answers.
type answered struct{ *answer }

// Error names the answer.
func (a *answered) Error() string { return "answered by Fairway: " + a.code }

// readdress returns the outgoing request as the route of now wants it.
func (x *exchange) readdress(out *http.Request) *http.Request {
	if x.addressed == x.route.compiledRoute {
		return out
	}
	next := *out
	if x.unchanged == nil { // another change of the table begins from it, too
		x.unchanged = out.Header
	}
	next.Header = x.unchanged.Clone()
	delete(next.Header, "Authorization")
	if v := x.q.header["Authorization"]; v != nil {
		next.Header["Authorization"] = v
	}
	if next.Header["User-Agent"] == nil {
		next.Header["User-Agent"] = []string{""} // none, instead of that of the transport
	}
	x.address(&next)
	return &next
}
