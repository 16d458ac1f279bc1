package embedded

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/engine/embedded/bucket"
	"fairway/internal/engine/traffic"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
	"fairway/internal/route/canonical"
	"fairway/internal/route/match"
	"fairway/internal/route/tlsoption"
)

// liveTable is a route.Table made ready to serve; never written to once it is live.
type liveTable struct {
	table      *route.Table
	routes     map[*route.Route]*liveRoute
	names      map[string]bool // TCP listeners on which a route asks for a server name
	listeners  map[*listener]*listenerConfig
	missing    map[string]string // optional listeners that could not be bound → why
	superseded chan struct{}     // closed when another table is live
	hosts      *tlsoption.Hosts  // what they demand of handshakes

	// They find the routes for requests, and those for connections of TCP listeners.
	requests, connections *match.Matcher
}

// liveRoute is a route made ready to serve, with the backend it goes to.
type liveRoute struct {
	*compiledRoute
	def     *route.Backend // nil when the route has none
	backend *balance.Backend
	latest  atomic.Pointer[transport] // that carried a plain request of it
}

// switches says whether the backend may switch to a protocol in lower case.
func (r *liveRoute) switches(protocol string) bool {
	return protocol == arrival.WebSocket || slices.Contains(r.def.Upgrade, protocol)
}

// compiledRoute is what a *route.Route says apart from its backend.
type compiledRoute struct {
	route           *route.Route
	filters         []filter // the checks and changes before the request is sent
	requestHeaders  []*headerChange
	responseHeaders []*headerChange
	compress        bool

	limiters []*bucket.Limiter // of the filters; the next table takes them over
	metrics  *traffic.Route    // by ID; taken over
	held     *atomic.Int64     // requests that wait for an endpoint; taken over
}

// filter is one check or change of a request, which goes on when the answer is nil.
type filter func(ctx context.Context, q *request) *answer

// newLiveTable returns a table without listeners and routes: see bind and build.
func newLiveTable(t *route.Table) (*liveTable, error) {
	requests, connections := t.Split()
	next := &liveTable{
		table:      t,
		routes:     make(map[*route.Route]*liveRoute, len(t.Routes)),
		names:      namesWanted(connections),
		listeners:  make(map[*listener]*listenerConfig, len(t.Listeners)),
		missing:    map[string]string{},
		superseded: make(chan struct{}),
		hosts:      tlsoption.NewHosts(t.TLSHosts()),
	}
	var err error
	if next.requests, err = match.New(requests); err != nil {
		return nil, err
	}
	next.connections, err = match.New(connections)
	return next, err
}

// build makes the routes of next ready. It cannot fail: what could be wrong with a filter
// is answered by its route alone, with 503.
func (e *Engine) build(old, next *liveTable) {
	for _, r := range next.table.Routes {
		def := next.table.Backend(r.Backend) // nil where it names none
		before := old.lookup(r)
		switch {
		case before == nil || before.route != r:
			next.routes[r] = &liveRoute{compiledRoute: e.compile(r, before), def: def}
		case before.def == def:
			next.routes[r] = before
			continue
		default:
			next.routes[r] = &liveRoute{compiledRoute: before.compiledRoute, def: def}
		}
		if def != nil {
			next.routes[r].backend = e.set.Backend(def.ID)
		}
	}
}

// lookup returns what the table made of r, or of the route with its ID, or nil.
func (t *liveTable) lookup(r *route.Route) *liveRoute {
	if same, ok := t.routes[r]; ok {
		return same
	}
	return t.routes[t.table.Route(r.ID)]
}

// compile makes a route ready. Counters and rate limits that did not change are taken
// over from before, the route with the same ID in the table before, or nil.
func (e *Engine) compile(r *route.Route, before *liveRoute) *compiledRoute {
	c := &compiledRoute{route: r}
	if before != nil {
		c.metrics, c.held = before.metrics, before.held
	} else {
		c.metrics, c.held = e.meters.Route(r.ID), new(atomic.Int64)
	}
	if r.Refused != "" {
		c.filters = []filter{refuse}
		return c
	}
	for i := range r.Filters {
		c.add(e, &r.Filters[i], before)
	}
	return c
}

func (t *liveTable) find(q *request) *route.Route {
	if q.connection {
		return t.connections.Find(&q.Request)
	}
	return t.requests.Find(&q.Request)
}

// decide returns the route that takes q, and Fairway's own answer; one of them may be nil.
func (t *liveTable) decide(ctx context.Context, q *request) (*liveRoute, *answer) {
	r := t.find(q)
	if r == nil {
		return nil, t.notFound(q)
	}
	if a := t.settle(q, r); a != nil {
		return nil, a
	}
	q.path = q.sent
	return t.filter(ctx, t.routes[r], q)
}

// settle makes sure that the request belongs to r however its path is read. It makes
// one slash of those in front where that is enough, and else refuses the request.
func (t *liveTable) settle(q *request, r *route.Route) *answer {
	switch {
	case t.requests.TakesBoth(&q.Request, r):
	case q.front:
		q.sent = canonical.OneFrontSlash(q.sent)
	default:
		return refusal(http.StatusBadRequest, "bad-path", "the path can be read as one that belongs to another route")
	}
	return nil
}

func (t *liveTable) filter(ctx context.Context, lr *liveRoute, q *request) (*liveRoute, *answer) {
	for _, f := range lr.filters {
		if a := f(ctx, q); a != nil {
			return lr, a
		}
	}
	if q.demands && !q.certified {
		return lr, noCertificate()
	}
	if lr.backend == nil {
		return lr, unavailable("no-backend", "the route has no backend")
	}
	return lr, nil
}
