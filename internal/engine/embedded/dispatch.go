package embedded

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/route"
)

// dispatch is a request, or a connection that is passed through, on its way to an
// endpoint: the table and the route that decide, and where it has been.
type dispatch struct {
	e     *Engine
	began time.Time

	live     *liveTable // that decided on it
	q        *request
	route    *liveRoute // nil when no route took it
	orphaned bool       // the route has left the table, and no other takes the request

	key      balance.Key
	attempts int
	endpoint *balance.Endpoint // the one of the last attempt
	release  func(balance.Result)
	failed   bool // the endpoint broke off its answer
}

// pick chooses an endpoint after n attempts of a round.
func (x *dispatch) pick(n int, tried []*balance.Endpoint) (*balance.Endpoint, error) {
	if n >= maxAttempts || x.orphaned {
		return nil, balance.ErrNoEndpoint
	}
	ep, err := x.route.backend.Pick(x.key, tried)
	if err != nil {
		return nil, err
	}
	x.endpoint = ep
	return ep, nil
}

// done reports to the endpoint, once, that the request is over.
func (x *dispatch) done(r balance.Result) {
	if x.release != nil {
		x.release(r)
		x.release = nil
	}
}

// resultOf is the result of an answer that ended.
func resultOf(ctx context.Context, failed bool) balance.Result {
	switch {
	case !failed:
		return balance.ResultOK
	case ctx.Err() != nil:
		return balance.ResultCanceled
	}
	return balance.ResultFailed
}

// balanceKey is what the request is balanced on.
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
	r := http.Request{Header: q.header}
	if c, err := r.Cookie(name); err == nil {
		return c.Value
	}
	return ""
}
