// Package balance picks the endpoint that answers a request. It knows no HTTP server;
// the only connections it opens are those of active checks.
//
// A Set holds the runtime state of every backend and outlives the tables: an endpoint
// with the same backend ID, endpoint ID and address in the next table keeps its state.
//
// An endpoint is in rotation when the table says it is ready, its weight is
// above zero, and its active check, if the backend has one, passes. Only
// endpoints in rotation are picked; sticky clients alone also reach those of
// weight zero. Endpoints that failed lately are avoided, unless nothing else is left:
//
//   - for a second after a failure to connect;
//   - after route.Backend.MaxFails failures in a row (they are ejected) for 10 s, and
//     for twice as long each time after that, up to 60 s. When fewer than half
//     of the rotation would remain, ejection is ignored: that many failures say
//     more about the requests than about the endpoints.
//
// Only an empty rotation, or one that the request has been through, is ErrNoEndpoint.
package balance

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/probe"
	"fairway/internal/engine/traffic"
	"fairway/internal/route"
)

// ErrNoEndpoint means that a backend has nothing a request could be sent to.
var ErrNoEndpoint = errors.New("no endpoint is ready")

// Key is what a request is balanced on.
type Key struct {
	// Sticky is the value of the sticky cookie; empty for none.
	Sticky string
	// Hash is for route.BalanceHash; empty means the client's address.
	Hash string
	// Client is the address of the client.
	Client netip.Addr
}

// Result is how a request to an endpoint ended.
type Result int

// The results.
const (
	// ResultOK: the endpoint answered. It ends a row of failures.
	ResultOK Result = iota
	// ResultFailed: the endpoint is to blame: no answer, or none to be used.
	ResultFailed
	// ResultUnreachable: no connection could be made. It is a failure, and the
	// endpoint is avoided for a second.
	ResultUnreachable
	// ResultCanceled: the client went away, or the request was never sent. It
	// says nothing about the endpoint.
	ResultCanceled
)

// Options are the parts of a Set. The zero value is usable.
type Options struct {
	// Logger gets ejections and the outcome of checks; nil discards.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Probe makes one active check of an endpoint of b until ctx ends, and returns why it
	// failed; nil is probe.Endpoint.
	Probe func(ctx context.Context, b *route.Backend, address string) error
	// OnDrained, if any, is called when an endpoint that has had requests has left for good
	// and is done with them. It must return at once and call nothing of this package.
	OnDrained func(traffic.Drained)
}

// Set is the runtime side of all backends, for any goroutine.
type Set struct {
	opts   Options
	ctx    context.Context // ends with Close; the parent of every check
	cancel context.CancelFunc
	checks sync.WaitGroup // checks under way

	backends atomic.Pointer[map[string]*Backend] // the map is never written to

	mu     sync.Mutex // serialises Update and Close
	closed bool
}

// NewSet returns an empty set. Close ends its checks.
func NewSet(opts Options) *Set {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Probe == nil {
		opts.Probe = probe.Endpoint
	}
	s := &Set{opts: opts}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.backends.Store(&map[string]*Backend{})
	return s
}

// Update makes backends, which have unique IDs, the ones of the set. The same pointer
// as last time costs nothing. Endpoints that are gone drain. A backend that is gone
// drains as a whole, but goes on picking for requests that found it before.
func (s *Set) Update(backends []*route.Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	have := *s.backends.Load()
	same := len(backends) == len(have)
	for _, def := range backends {
		if b := have[def.ID]; b != nil {
			b.update(def)
		} else {
			same = false
		}
	}
	if same {
		return
	}
	next := make(map[string]*Backend, len(backends))
	for _, def := range backends {
		b := have[def.ID]
		if b == nil {
			b = &Backend{set: s}
			b.update(def)
		}
		next[def.ID] = b
	}
	s.backends.Store(&next)
	for id, b := range have {
		if _, ok := next[id]; !ok {
			b.each((*Endpoint).leave) // it drains
		}
	}
}

// Backend returns the backend with this ID, or nil, the same for every table that has it.
func (s *Set) Backend(id string) *Backend {
	return (*s.backends.Load())[id]
}

// Close ends the active checks and waits for those under way. Picking still
// works afterwards; Update does nothing.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	for _, b := range *s.backends.Load() {
		b.each((*Endpoint).stopCheck)
	}
	s.checks.Wait()
}

// Totals returns what the endpoints answered that were asked, sorted by backend.
func (s *Set) Totals() (list []traffic.EndpointTotals) {
	backends := *s.backends.Load()
	for _, id := range slices.Sorted(maps.Keys(backends)) {
		list = backends[id].totals(list)
	}
	return list
}

// Status returns how all endpoints are doing, sorted by backend and endpoint.
func (s *Set) Status() []traffic.EndpointStatus {
	backends, n := *s.backends.Load(), 0
	for _, b := range backends {
		n += len(b.def.Load().Endpoints)
	}
	list := make([]traffic.EndpointStatus, 0, n)
	for _, id := range slices.Sorted(maps.Keys(backends)) {
		list = backends[id].status(list)
	}
	return list
}
