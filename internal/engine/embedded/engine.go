// Package embedded is the engine that serves a route.Table by itself: an HTTP
// reverse proxy in this process, with nothing to install.
//
// The policy (guards, match, filters, choice of the endpoint) is written against small
// types of its own: head, request, answer, reply. Package http1 speaks HTTP/1.1 to clients
// and endpoints, net/http HTTP/2.
//
// Everything that a request needs hangs on one pointer to an immutable live table, which
// Apply swaps after all that can fail. What did not change between two tables is the same
// object in both, so that a change costs what changed and ends no stream.
package embedded

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // the type of http.Server.ErrorLog
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/certs"
	"fairway/internal/engine/embedded/balance"
	"fairway/internal/engine/embedded/gzipped"
	"fairway/internal/engine/embedded/http3"
	"fairway/internal/engine/embedded/relay"
	"fairway/internal/engine/embedded/terminate"
	"fairway/internal/engine/errorpage"
	"fairway/internal/engine/traffic"
	"fairway/internal/engine/users"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

// Options are the parts and limits of an Engine; the default of each is named with it.
type Options struct {
	// Logger gets what an operator should know; nil discards.
	Logger *slog.Logger
	// AccessLog gets one line of JSON for each request; nil writes none.
	AccessLog io.Writer
	// Metrics takes those of the engine; nil keeps none.
	Metrics *metrics.Set

	// OnDrained is called when an endpoint has left; see balance.Options.
	OnDrained func(traffic.Drained)
	// UserDirs are the directories below which routes may name files.
	UserDirs []string
	// Automatic has certificates that are in no file yet; Within is set.
	Automatic terminate.Automatic
	// Pages are the operator's pages of errors; nil for none.
	Pages *errorpage.Store
	// OnChange, if any, is called from any goroutine when UserFile may have changed.
	OnChange func()

	// MaxConns is how many connections may be open, of clients and to endpoints
	// together (as many as the process may open files, less an eighth in reserve); see room.
	MaxConns int
	// MaxConnsPerSource is how many connections one client address (IPv6: one
	// /64) may have open (half of MaxConns). Trusted proxies are exempt.
	MaxConnsPerSource int
	// MaxHeld is how many requests of one route may wait for an endpoint (1000).
	MaxHeld int

	// HeaderTimeout bounds the TLS handshake and the reading of a request's
	// header (10 s); IdleTimeout the pause between two requests (120 s).
	HeaderTimeout time.Duration
	IdleTimeout   time.Duration
	// BodyTimeout bounds the pauses within a request body, together, where the route says
	// nothing (60 s); each BodyRate (240) bytes earn another second.
	BodyTimeout time.Duration
	BodyRate    int
	// WriteTimeout bounds the taking of each piece of a response, of at most 256 KiB (60 s).
	WriteTimeout time.Duration

	// DialTimeout bounds connecting to an endpoint (3 s).
	DialTimeout time.Duration
	// ResponseTimeout is for a response header, where the route says nothing (60 s).
	ResponseTimeout time.Duration
	// ServerNameTimeout bounds the wait for the server name of a TLS client on a TCP
	// listener, where a route asks for one (5 s). Later, the client has no name.
	ServerNameTimeout time.Duration
	// EndpointIdle is how long an unused connection to an endpoint is kept (4 s). It must be
	// shorter than the endpoint's own limit, which is 5 s in Node.js, Apache and uvicorn.
	EndpointIdle time.Duration
	// DrainLimit is how long what runs on a listener that left the table may go on, also
	// what was upgraded, and TCP connections whose endpoint drains (30 s). Stop has its context.
	DrainLimit time.Duration
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.MaxHeld = cmp.Or(o.MaxHeld, 1000)
	o.MaxConns = cmp.Or(o.MaxConns, connectionLimit(maxFiles()))
	o.MaxConnsPerSource = cmp.Or(o.MaxConnsPerSource, max(1, o.MaxConns/2))
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, 10*time.Second)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, 120*time.Second)
	o.BodyTimeout = cmp.Or(o.BodyTimeout, 60*time.Second)
	o.BodyRate = cmp.Or(o.BodyRate, 240)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, 60*time.Second)
	o.DialTimeout = cmp.Or(o.DialTimeout, 3*time.Second)
	o.ResponseTimeout = cmp.Or(o.ResponseTimeout, 60*time.Second)
	o.ServerNameTimeout = cmp.Or(o.ServerNameTimeout, 5*time.Second)
	o.EndpointIdle = cmp.Or(o.EndpointIdle, 4*time.Second)
	o.DrainLimit = cmp.Or(o.DrainLimit, 30*time.Second)
	return o
}

// Engine serves the table that was applied last, for any goroutine.
type Engine struct {
	opts       Options
	log        *slog.Logger
	errorLog   *log.Logger // what net/http has to say, at debug level
	meters     *meters
	access     *traffic.Log
	set        *balance.Set
	room       *room
	transports *transports
	certs      *certs.Store
	users      *users.Store
	passwords  *users.Checker
	buffers    *relay.Buffers
	gzips      *sync.Pool
	exchanges  sync.Pool // of *exchange

	live     atomic.Pointer[liveTable]
	swapping sync.RWMutex // held while backends are changed and the table of before is still live
	running  inFlight     // requests being served, upgraded and TCP connections included

	ctx context.Context // of every request; ends when Stop cuts them off
	cut context.CancelFunc

	mu       sync.Mutex // serialises Apply and Stop
	stopped  bool
	draining map[listenerKey]*http3.Server // that left and may hold their addresses; guarded by mu
	leaving  sync.WaitGroup                // listeners that left the table and drain
	serving  sync.WaitGroup                // accept loops, TLS handshakes and follow
	// Connections that closed while their clients may still send.
	lingering sync.WaitGroup
}

// New returns an engine that listens nowhere until Apply. It starts a goroutine
// that rereads changed files; Stop ends it.
func New(o Options) (*Engine, error) {
	if o.MaxHeld < 0 || o.MaxConns < 0 || o.MaxConnsPerSource < 0 || o.BodyRate < 0 {
		return nil, errors.New("embedded: limits must not be negative")
	}
	o = o.withDefaults()
	o.Automatic.Within = o.HeaderTimeout * 4 / 5
	e := &Engine{
		draining: map[listenerKey]*http3.Server{},
		opts:     o,
		log:      o.Logger,
		running:  inFlight{none: make(chan struct{}, 1)},
		errorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		set:      balance.NewSet(balance.Options{Logger: o.Logger, OnDrained: o.OnDrained}),
		certs:    certs.New(o.Logger, o.UserDirs...),
		users: users.New(users.Options{
			Dirs: o.UserDirs, Refuse: users.TooDear, Reported: o.OnChange, Logger: o.Logger,
		}),
		passwords: users.NewChecker(),
		buffers:   relay.NewBuffers(),
		gzips:     gzipped.NewWriters(),
		exchanges: sync.Pool{New: func() any { return new(exchange) }},
	}
	e.live.Store(&liveTable{table: &route.Table{}, superseded: make(chan struct{})})
	e.room = newRoom(o, func(reason string) { e.meters.evictions.With(reason).Inc() })
	e.transports = newTransports(o, e.room)
	e.room.spare = e.transports.closeIdle
	e.meters = newMeters(o.Metrics, e)
	e.access = e.meters.NewLog(o.AccessLog, o.Logger)
	e.ctx, e.cut = context.WithCancel(context.Background())
	e.serving.Go(e.follow)
	return e, nil
}

// Name is "embedded".
func (e *Engine) Name() string { return "embedded" }

// Addr returns the address that a listener of the table is bound to, with the
// real port where the table says 0; nil when there is no such listener.
func (e *Engine) Addr(listener string) net.Addr { return e.addr(listener, false) }

// AddrQUIC is Addr for HTTP/3.
func (e *Engine) AddrQUIC(listener string) net.Addr { return e.addr(listener, true) }

func (e *Engine) addr(listener string, quic bool) net.Addr {
	for l, conf := range e.live.Load().listeners {
		switch {
		case conf.name != listener || (l.quic != nil) != quic:
		case quic:
			return l.quic.Addr()
		default:
			return l.socket.Addr()
		}
	}
	return nil
}

// Endpoints returns how all endpoints are doing, sorted by backend and endpoint.
func (e *Engine) Endpoints() []traffic.EndpointStatus { return e.set.Status() }

// EndpointTotals returns what the endpoints answered that were asked.
func (e *Engine) EndpointTotals() []traffic.EndpointTotals { return e.set.Totals() }

// UserFile is users.Store.Report for a filter of the live table.
func (e *Engine) UserFile(a *route.BasicAuth) (unreadable string, faults []string) {
	return e.users.Report(a)
}

// Apply makes t live. After an error the table before serves on, untouched. A table with
// the hash of the live one changes nothing, except that revision 0 without routes means
// "nothing is known yet" and is answered with 503 instead of 404.
func (e *Engine) Apply(ctx context.Context, t *route.Table) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return errors.New("embedded: stopped")
	}
	old := e.live.Load()
	if old.table.Hash == t.Hash && (old.table.Revision == 0) == (t.Revision == 0) {
		return nil
	}
	e.users.Follow(users.Named(t))
	// What can fail.
	next, err := newLiveTable(t)
	if err != nil {
		return fmt.Errorf("embedded: %w", err)
	}
	opened, err := e.bind(ctx, old, next, t.Listeners)
	if err != nil {
		return fmt.Errorf("embedded: %w", err)
	}

	// What cannot.
	e.swapping.Lock() // what Update wakes finds the table that it belongs to
	e.set.Update(t.Backends)
	e.build(old, next)
	e.goLive(next, opened)
	e.swapping.Unlock()
	e.retire(old, next)
	return nil
}

// bindMissing tries again to bind optional listeners; all else stays as it is.
func (e *Engine) bindMissing() {
	if !e.mu.TryLock() { // an Apply tries as well, and Stop waits for this goroutine
		return
	}
	defer e.mu.Unlock()
	live := e.live.Load()
	if e.stopped || len(live.missing) == 0 {
		return
	}
	defs := slices.DeleteFunc(slices.Clone(live.table.Listeners), func(def route.Listener) bool { return live.missing[def.Name] == "" })
	next := *live
	next.listeners, next.missing, next.superseded = maps.Clone(live.listeners), map[string]string{}, make(chan struct{})
	opened, err := e.bind(e.ctx, live, &next, defs)
	switch {
	case err != nil:
		e.log.Error("the settings of a listener that is to be bound cannot be made", "error", err)
	case !maps.Equal(next.missing, live.missing):
		e.goLive(&next, opened)
	}
}

// goLive swaps the tables, and has the listeners that were opened for next accept.
func (e *Engine) goLive(next *liveTable, opened []*listener) {
	close(e.live.Swap(next).superseded)
	e.refreshCerts() // what was reloaded meanwhile went to the old table
	for _, l := range opened {
		e.serve(l)
	}
}

// refreshCerts makes reloaded files known to the listeners of the live table.
func (e *Engine) refreshCerts() {
	for _, conf := range e.live.Load().listeners {
		_ = conf.tls.Fill(e.certs) // on an error it stays as it was: a file has left the table
	}
}

// retire lets go of what the old table had and the new one has not.
func (e *Engine) retire(old, next *liveTable) {
	for l := range old.listeners {
		if next.listeners[l] == nil {
			l.leave(&e.leaving)
		}
	}
	for r, lr := range old.routes {
		if next.routes[r] == nil && next.table.Route(r.ID) == nil {
			e.meters.Remove(lr.metrics)
		}
	}
	e.transports.sweep(next)
	e.certs.Keep(next.table.Listeners)
	e.users.Keep(users.Named(next.table))
}

// follow rereads files that changed and binds missing listeners, once a second.
func (e *Engine) follow() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-tick.C:
			if e.certs.Reload() {
				e.refreshCerts()
			}
			for _, conf := range e.live.Load().listeners {
				conf.tls.Turn(time.Now())
			}
			e.bindMissing()
		}
	}
}

// Stop drains: nothing new is accepted, idle connections are closed, running
// requests and upgraded connections finish. What still runs when ctx ends is cut
// off, and the error says how many those were. The engine cannot be used again.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		return nil
	}
	e.stopped = true
	for l := range e.live.Load().listeners {
		l.drain(context.Background(), func() {}, &e.leaving) // until cutOff
	}
	cutOff := sync.OnceValue(func() int64 {
		defer e.cut()
		return e.running.Load()
	})
	defer context.AfterFunc(ctx, func() { cutOff() })()
	e.running.wait(ctx)
	if ctx.Err() != nil {
		cutOff()
	}
	e.leaving.Wait() // for the last bytes of the answers
	e.lingering.Wait()
	cut := cutOff()
	e.serving.Wait()
	limited, done := context.WithTimeout(context.Background(), 2*time.Second)
	defer done()
	// The limit is for a request that hangs where nothing can interrupt it.
	e.running.wait(limited)
	if n := e.running.Load(); n > 0 {
		e.log.Warn("requests hang and are left behind", "requests", n)
	}
	e.set.Close()
	e.transports.close()
	e.users.Close()
	err := e.access.Close() // it counts the lines that it loses
	if err != nil {
		return fmt.Errorf("embedded: access log: %w", err)
	}
	if cut > 0 && ctx.Err() != nil {
		return fmt.Errorf("embedded: stop: %d requests cut off: %w", cut, context.Cause(ctx))
	}
	return nil
}

// inFlight counts what runs, and lets one goroutine wait until nothing does.
type inFlight struct {
	atomic.Int64
	none chan struct{} // of one element: there was a moment when nothing ran
}

func (f *inFlight) done() {
	if f.Add(-1) > 0 {
		return
	}
	select {
	case f.none <- struct{}{}:
	default:
	}
}

// wait waits until nothing runs, or ctx ends.
func (f *inFlight) wait(ctx context.Context) {
	for f.Load() > 0 {
		select {
		case <-f.none:
		case <-ctx.Done():
			return
		}
	}
}
