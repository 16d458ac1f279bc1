package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/engine/embedded/http1"
	"fairway/internal/route"
)

// dispatch is a request, or a connection that is passed through, on its way to an
// endpoint: the table and the route that decide, and where it has been.
type dispatch struct {
	e     *Engine
	began time.Time
	clock http1.Clock

	live     *liveTable // that decided on it
	q        *request
	route    *liveRoute // nil when no route took it
	orphaned bool       // the route has left the table, and no other takes the request

	until time.Time     // when a wait for an endpoint is over
	held  *atomic.Int64 // the count that the request is on; nil while it does not wait

	key      balance.Key
	attempts int
	endpoint *balance.Endpoint // the one of the last attempt
	taken    *balance.Endpoint // it counts the request as running; nil for none
	by       *transport        // that carries it; nil for a connection that is passed through
	failed   bool              // the endpoint broke off its answer
	reason   string            // why it failed, for the access log
}

// maxAttempts bounds how often a request is sent. Endpoints that cannot be connected to
// do not count, but all of them together get no more than connectBudget.
const (
	maxAttempts   = 3
	connectBudget = 10 * time.Second
)

// failure is an attempt that failed.
type failure struct {
	err    error
	result balance.Result // what it says about the endpoint
	final  bool           // there may be no other attempt
	unsent bool           // nothing of the request was sent
	stale  bool           // only a connection that was kept alive failed, not the endpoint
}

// send picks endpoints until an attempt succeeds, which then has to see to dispatch.done.
func (x *dispatch) send(ctx context.Context, attempt func(*balance.Endpoint) *failure) error {
	x.until = x.began.Add(x.route.route.Hold)
	x.key = x.q.balanceKey(x.route.def)
	defer x.unhold()
	var (
		room  [maxAttempts]*balance.Endpoint
		tried = room[:0]
		last  *failure // the attempt before
	)
	began := x.clock.Now()
	for n := 0; ; { // n attempts were made in this round
		ep, err := x.pick(n, tried)
		if err != nil && last != nil && !last.unsent {
			return last.err
		}
		if err != nil { // all have been tried, or there is none
			if err := x.again(ctx, last); err != nil {
				return err
			}
			x.clock.Waited()
			n, tried, began, last = 0, room[:0], x.clock.Now(), nil
			continue
		}
		if x.attempts++; x.attempts > 1 {
			x.route.metrics.Retried(1)
		}
		if last = attempt(ep); last == nil {
			return nil
		}
		x.clock.Waited()
		if ctx.Err() != nil {
			last.result = balance.ResultCanceled
		}
		ep.Done(last.result)
		if ctx.Err() != nil || last.final || errors.Is(last.err, errNoRoom) {
			return last.err
		}
		switch {
		case !isDial(last.err):
			n++
		case x.clock.Now().Sub(began) > connectBudget:
			n = maxAttempts
		}
		if !last.stale {
			tried = append(tried, ep)
		}
	}
}

// pick chooses an endpoint after n attempts of a round.
func (x *dispatch) pick(n int, tried []*balance.Endpoint) (*balance.Endpoint, error) {
	if n >= maxAttempts || x.orphaned {
		return nil, balance.ErrNoEndpoint
	}
	ep, err := x.route.backend.Pick(x.key, tried)
	if err == nil {
		x.endpoint = ep
	}
	return ep, err
}

// done reports to the endpoint, once, that the request is over; ctx is the request's.
func (x *dispatch) done(ctx context.Context) {
	result := balance.ResultOK
	switch {
	case x.taken == nil:
		return
	case x.failed && ctx.Err() != nil:
		result = balance.ResultCanceled
	case x.failed:
		result = balance.ResultFailed
	}
	x.taken.Done(result)
	if x.by != nil {
		x.by.released()
	}
	x.taken = nil
}

func (q *request) balanceKey(def *route.Backend) balance.Key {
	k := balance.Key{Client: q.Client}
	if def.Sticky != "" {
		k.Sticky = q.cookie(def.Sticky)
	}
	if def.Balance.Policy != route.BalanceHash {
		return k
	}
	switch def.Balance.On {
	case route.HashPath:
		k.Hash = q.Path
	case route.HashHeader:
		k.Hash = q.header.Get(def.Balance.Name)
	case route.HashCookie:
		k.Hash = q.cookie(def.Balance.Name)
	case route.HashQuery:
		values, _ := url.ParseQuery(q.Query) // what cannot be parsed counts for nothing
		k.Hash = values.Get(def.Balance.Name)
	case route.HashClientIP: // the fallback
	}
	return k
}

func (q *request) cookie(name string) string {
	r := http.Request{Header: http.Header{"Cookie": q.header.Values("Cookie")}}
	if c, err := r.Cookie(name); err == nil {
		return c.Value
	}
	return ""
}

// holdPause is the pause between two rounds of attempts while a request is held.
const holdPause = 100 * time.Millisecond

// unhold ends what mayWait has begun.
func (x *dispatch) unhold() {
	if x.held != nil {
		x.held.Add(-1)
		x.held = nil
	}
}

// mayWait reports whether the request may wait, and counts it: there is a bound.
func (x *dispatch) mayWait() bool {
	if x.held == nil {
		held := x.route.held
		if held.Add(1) > int64(x.e.opts.MaxHeld) {
			held.Add(-1)
			return false
		}
		x.held = held
	}
	return true
}

// again waits, for as long as the route holds the request, until another round of
// attempts makes sense: when the live table has another place for the request, when an
// endpoint is ready, or a moment after failed attempts. last is the last one, if any.
func (x *dispatch) again(ctx context.Context, last *failure) error {
	for waited := false; ; waited = true {
		changed, err := x.renew(ctx)
		switch {
		case err != nil:
			return err
		case changed:
			if until := x.began.Add(x.route.route.Hold); until.After(x.until) {
				x.until = until
			}
			return nil
		case waited && !x.orphaned:
			return nil
		}
		err = x.wait(ctx, last != nil)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return fmt.Errorf("held: %w", ctx.Err())
		case last != nil:
			return last.err
		default:
			return err
		}
	}
}

// wait waits until the request's backend has something to pick, or, when an attempt
// failed, for a moment; in any case no longer than for another table. An orphaned
// request waits for that alone. It fails when the time is over.
func (x *dispatch) wait(ctx context.Context, failed bool) error {
	left := time.Until(x.until)
	if left <= 0 || failed && left < holdPause || !x.mayWait() {
		return balance.ErrNoEndpoint
	}
	pause := failed && !x.orphaned
	if pause {
		left = holdPause
	}
	limited, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	var err error
	if failed || x.orphaned {
		select {
		case <-x.live.superseded:
		case <-limited.Done():
			err = limited.Err()
		}
	} else {
		err = x.route.backend.Wait(limited, x.live.superseded)
	}
	if err == nil || pause && ctx.Err() == nil {
		return nil
	}
	return balance.ErrNoEndpoint
}

// renew binds a request that could be sent nowhere to the table that is live now, and
// reports whether that has another place for it. A route that is not the one of before is
// asked with all its filters: what they answer is the error. A request that no route takes
// any more is orphaned, and waits for the next table as long as its route was to hold it.
func (x *dispatch) renew(ctx context.Context) (changed bool, err error) {
	// An endpoint that came or left may be of a table that is just about to be live.
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

func (q *request) restore() {
	q.path, q.prefix, q.maxBody = q.sent, "", -1
	if q.stripped != "" {
		q.header.Set("Authorization", q.stripped)
		q.stripped = ""
	}
}

// answered is the error of a request that Fairway itself answers.
type answered struct{ *answer }

// Error names the answer.
func (a *answered) Error() string { return "answered by Fairway: " + a.code }

// readdress makes the outgoing request what the route of now wants.
func (x *exchange) readdress() {
	if x.addressed == x.route.compiledRoute {
		return
	}
	x.out.header = x.q.header
	x.address()
}
