// Package control is the loop that keeps what is served in step with what
// exists: it takes the newest snapshot, compiles it, applies the table to the
// engines and keeps the last good one on disk.
//
// The order of things is the point of this package:
//
//  1. At start the last good table is applied before any source has answered,
//     so that a restart serves at once (State is StateRestored).
//  2. Each snapshot is compiled with the table before it, from which claims and
//     last good forms of routes are handed down.
//  3. A table whose contents did not change is not applied again.
//  4. A table that an engine refuses is not kept as last good. The engine goes
//     on with the table it has, and the newest table is tried again until it
//     takes it.
//  5. The last good table and the snapshot it came from are written together,
//     in the background: the disk is never waited for by traffic or changes.
//
// Nothing is decided on doubt here: a source that fails is frozen by the
// collector, long before its services would be missing in a snapshot.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// Engine makes a table live. Apply is called from one goroutine at a time with
// the whole table; the same table twice means nothing the second time. An error
// means that the engine serves the table it had before.
type Engine interface {
	Name() string
	Apply(ctx context.Context, t *route.Table) error
}

// Compiler turns a snapshot into a table; it never fails. previous is the table
// compiled before, or the one restored from disk, or nil. It is called from one
// goroutine.
type Compiler interface {
	Compile(s *catalog.Snapshot, previous *route.Table) *route.Table
}

// Feed hands out snapshots. *catalog.Feed is one.
type Feed interface {
	Next(ctx context.Context, after uint64) (*catalog.Snapshot, error)
}

// State says how far the table can be trusted to be current.
type State string

// The states, in the order in which a normal start passes through them.
const (
	// StateStarting: nothing has been applied yet.
	StateStarting State = "starting"
	// StateRestored: the table of the last run is served; no source has
	// answered yet.
	StateRestored State = "restored"
	// StatePartial: some sources have answered, others have not yet in this run.
	StatePartial State = "partial"
	// StateSynced: every source has answered in this run.
	StateSynced State = "synced"
)

// Status is the condition of the loop at one moment.
type Status struct {
	State State
	// Since is when State was entered.
	Since time.Time
	// Applied is when a table last went live; zero before the first.
	Applied time.Time
	// Pending is the reason why the newest table is not live yet; empty when
	// it is.
	Pending string
}

// Options are what New needs. All fields but Store and Logger are required.
type Options struct {
	Feed     Feed
	Compiler Compiler
	// Engines get each table in this order.
	Engines []Engine
	// Store keeps the last good table; nil keeps none.
	Store *Store
	// Restored is what Store held at start; nil for nothing.
	Restored   *LastGood
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Control runs the loop. Table and Status may be called from any goroutine.
type Control struct {
	feed     Feed
	compiler Compiler
	engines  []Engine
	store    *Store
	restored *LastGood
	log      *slog.Logger
	metrics  *metrics

	live   atomic.Pointer[route.Table] // newest table that every engine took
	status atomic.Pointer[Status]
}

// New returns a loop that does nothing until Run.
func New(o Options) (*Control, error) {
	if o.Feed == nil || o.Compiler == nil || len(o.Engines) == 0 || o.Registerer == nil {
		return nil, errors.New("control: feed, compiler, registerer and at least one engine are required")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Control{
		feed:     o.Feed,
		compiler: o.Compiler,
		engines:  o.Engines,
		store:    o.Store,
		restored: o.Restored,
		log:      o.Logger,
		metrics:  newMetrics(o.Registerer),
	}
	c.status.Store(&Status{State: StateStarting, Since: time.Now()})
	return c, nil
}

// Table returns the newest table that is live, or nil before the first one.
func (c *Control) Table() *route.Table { return c.live.Load() }

// Status returns the condition of the loop.
func (c *Control) Status() Status { return *c.status.Load() }

// Run restores the last good table and follows the feed until ctx ends; then it
// writes what is still to be written and returns nil. It may be called once.
func (c *Control) Run(ctx context.Context) error {
	stopStore := c.startStore()
	defer stopStore()

	var (
		previous = c.restore(ctx)
		pending  *catalog.Snapshot // newest snapshot whose table is not live yet
		after    uint64
		backoff  = retryFirst
	)
	for {
		s, err := c.next(ctx, after, pending, backoff)
		if err != nil {
			return nil // ctx has ended: that is how the loop ends
		}
		after = s.Revision
		if !known(s) {
			continue // an empty table now would say "there is no such host"
		}
		table := c.compiler.Compile(s, previous)
		// Claims are decided by compiling, not by applying: they are handed down
		// even while an engine has trouble.
		previous = table
		c.metrics.compiled(table)
		if err := c.apply(ctx, table); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			pending = s
			backoff = min(2*backoff, retryLast)
			c.setStatus(func(st *Status) { st.Pending = err.Error() })
			c.log.Error("table refused, the one before serves on", "error", err, "revision", table.Revision)
			continue
		}
		pending, backoff = nil, retryFirst
		c.setStatus(func(st *Status) { st.Pending = ""; st.State = stateOf(s) })
		if c.store != nil {
			c.store.Put(&LastGood{Table: table, Snapshot: s})
		}
	}
}

// How long the newest table waits before it is tried again on an engine that
// refused it; doubled each time.
const (
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// next waits for a snapshot newer than after, or, when pending is set, at most
// for the backoff, after which pending is due again.
func (c *Control) next(ctx context.Context, after uint64, pending *catalog.Snapshot, backoff time.Duration) (*catalog.Snapshot, error) {
	if pending == nil {
		return c.feed.Next(ctx, after)
	}
	waiting, cancel := context.WithTimeout(ctx, backoff)
	defer cancel()
	s, err := c.feed.Next(waiting, after)
	if err != nil && ctx.Err() == nil {
		return pending, nil
	}
	return s, err
}

// restore makes the last run's table live. What cannot be applied is reported
// and left alone: the sources will bring a newer one.
func (c *Control) restore(ctx context.Context) *route.Table {
	if c.restored == nil || c.restored.Table == nil {
		return nil
	}
	table := c.restored.Table
	if err := c.apply(ctx, table); err != nil {
		c.log.Error("last good table could not be restored", "error", err)
		return table
	}
	c.setStatus(func(st *Status) { st.State = StateRestored })
	return table
}

// apply makes the table live on every engine, unless its contents are live
// already.
func (c *Control) apply(ctx context.Context, table *route.Table) error {
	old := c.live.Load()
	if old != nil && old.Hash == table.Hash {
		c.live.Store(table) // same contents, newer revision and problems
		return nil
	}
	var failed []error
	for _, e := range c.engines {
		start := time.Now()
		err := e.Apply(ctx, table)
		c.metrics.applied(e.Name(), time.Since(start), err)
		if err != nil {
			failed = append(failed, fmt.Errorf("engine %s: %w", e.Name(), err))
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	c.live.Store(table)
	c.setStatus(func(st *Status) { st.Applied = time.Now() })
	c.logChanges(old, table)
	return nil
}

// logChanges tells what a table changed, in full for a few elements and as
// counts always, so that the log of a large change stays readable.
func (c *Control) logChanges(old, table *route.Table) {
	changes := route.Diff(old, table)
	attrs := []any{
		"revision", table.Revision, "hash", table.Hash[:12],
		"routes", len(table.Routes), "backends", len(table.Backends), "problems", len(table.Problems),
	}
	c.log.Info("table applied", attrs...)
	if c.log.Enabled(context.Background(), slog.LevelDebug) {
		c.log.Debug("table changes", "changes", changes.String())
	}
}

// setStatus replaces the status with a changed copy. Only the loop calls it.
func (c *Control) setStatus(change func(*Status)) {
	old := c.status.Load()
	next := *old
	change(&next)
	if next.State != old.State {
		next.Since = time.Now()
		c.log.Info("state changed", "from", old.State, "to", next.State)
	}
	c.status.Store(&next)
}

// startStore runs the background writer and returns the function that ends it
// after its last write.
func (c *Control) startStore() (stop func()) {
	if c.store == nil {
		return func() {}
	}
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		c.store.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// known says whether the snapshot says anything: as long as no source has ever
// answered, what was live stays, if only the table that says "starting".
func known(s *catalog.Snapshot) bool {
	return s.Restored || len(s.Services) > 0 ||
		slices.ContainsFunc(s.Sources, func(src catalog.SourceStatus) bool { return src.Synced })
}

// stateOf says how current a snapshot is.
func stateOf(s *catalog.Snapshot) State {
	if s.Restored {
		return StateRestored
	}
	for _, src := range s.Sources {
		if !src.Synced {
			return StatePartial
		}
	}
	return StateSynced
}
