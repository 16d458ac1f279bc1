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
//  6. Between compiling and applying come the commands of operators (steer.go):
//     a table that is held, endpoints that are drained. Compiling never sees them.
//  7. Each table that went live is recorded with its cause, in the background,
//     too; only who gave a command waits for that.
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
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/catalog"
	"fairway/internal/history"
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

// Options are what New needs. All fields but Store, Restored, History, Mask and
// Logger are required.
type Options struct {
	Feed     Feed
	Compiler Compiler
	// Engines get each table in this order.
	Engines []Engine
	// Store keeps the last good table; nil keeps none.
	Store *Store
	// Restored is what Store held at start; nil for nothing.
	Restored *LastGood
	// History records each table and keeps the commands; nil for neither: then
	// there are no commands.
	History *history.Store
	// Mask returns the value of a label as it may be written down; nil returns it
	// as it is.
	Mask func(label, value string) string
	// Suit makes a table of an earlier run fit for the engines of this one, which
	// may not be able to serve all of it; nil returns it as it is.
	Suit       func(*route.Table) (*route.Table, error)
	Logger     *slog.Logger
	Registerer prometheus.Registerer
}

// Control runs the loop. Its exported methods but Run may be called from any
// goroutine.
type Control struct {
	feed     Feed
	compiler Compiler
	engines  []Engine
	store    *Store
	restored *LastGood
	history  *history.Store
	mask     func(label, value string) string
	suit     func(*route.Table) (*route.Table, error)
	recorder *recorder
	log      *slog.Logger
	metrics  *metrics

	live   atomic.Pointer[route.Table] // newest table that every engine took
	status atomic.Pointer[Status]

	steering steering

	// What follows belongs to the goroutine of Run.
	recorded string            // hash of the newest table in the history
	seen     *catalog.Snapshot // what the live table was made from
	deeds    []deed            // since the live table
}

// New returns a loop that does nothing until Run. The commands in force are read
// from the history.
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
		history:  o.History,
		mask:     o.Mask,
		suit:     o.Suit,
		log:      o.Logger,
		metrics:  newMetrics(o.Registerer),
	}
	if c.suit == nil {
		c.suit = func(t *route.Table) (*route.Table, error) { return t, nil }
	}
	c.recorder = newRecorder(o.Logger, c.metrics.lost.Inc)
	c.status.Store(&Status{State: StateStarting, Since: time.Now()})
	if c.restored != nil {
		c.seen = c.restored.Snapshot
	}
	c.loadCommands()
	return c, nil
}

// Table returns the newest table that is live, or nil before the first one.
func (c *Control) Table() *route.Table { return c.live.Load() }

// Status returns the condition of the loop.
func (c *Control) Status() Status { return *c.status.Load() }

// round is what the loop works on.
type round struct {
	snapshot *catalog.Snapshot // the newest; nil before the first
	compiled *route.Table      // what it was compiled to, or the last run's
	pending  bool              // the newest table is not live yet
	backoff  time.Duration
}

// Run restores the last good table and follows the feed until ctx ends; then it
// writes what is still to be written and returns nil. It may be called once.
func (c *Control) Run(ctx context.Context) error {
	stop := c.startWriters()
	defer stop()
	defer c.steering.close()

	r := round{compiled: c.restore(ctx), backoff: retryFirst}
	for {
		s, err := c.next(ctx, r)
		if err != nil {
			return nil // ctx has ended: that is how the loop ends
		}
		switch {
		case s != nil && !known(s):
			r.snapshot = nil // an empty table now would say "there is no such host"
			c.steering.after = s.Revision
			continue
		case s != nil:
			r.snapshot = s
			c.steering.after = s.Revision
			// Claims are decided by compiling, not by applying: they are handed
			// down even while an engine has trouble.
			r.compiled = c.compiler.Compile(s, r.compiled)
			c.metrics.compiled(r.compiled)
		case r.snapshot == nil:
			continue
		}
		err = c.serve(ctx, r)
		if ctx.Err() != nil {
			return nil
		}
		r.pending = err != nil
		if err != nil {
			r.backoff = min(2*r.backoff, retryLast)
			c.setStatus(func(st *Status) { st.Pending = err.Error() })
			c.log.Error("table refused, the one before serves on", "error", err, "revision", r.snapshot.Revision)
			continue
		}
		r.backoff = retryFirst
		c.setStatus(func(st *Status) { st.Pending = ""; st.State = stateOf(r.snapshot) })
	}
}

// serve makes of the compiled table what operators want of it, and that live.
func (c *Control) serve(ctx context.Context, r round) error {
	orders := c.begin(r)
	w := wish{compiled: r.compiled, snapshot: r.snapshot, live: c.live.Load(), commands: orders.commands, held: orders.held}
	table, free, err := steer(w)
	if err == nil {
		err = c.apply(ctx, table)
	}
	if err != nil {
		if r.pending { // the commands are not to blame, and stay
			c.deeds = append(c.deeds, orders.deeds...)
		}
		orders.answer(outcome{err: err, before: r.pending})
		return err
	}
	c.release(free)
	c.deeds = append(c.deeds, orders.deeds...)
	c.record(table, r.snapshot, orders)
	if c.store != nil {
		good := &LastGood{Table: table, Snapshot: r.snapshot}
		if table.Hash != r.compiled.Hash {
			good.Compiled = r.compiled
		}
		c.store.Put(good)
	}
	return nil
}

// record puts a table that is live into the history, unless the newest entry has
// the same contents and nothing was done about commands, and answers the orders
// when that is done.
func (c *Control) record(table *route.Table, s *catalog.Snapshot, orders orders) {
	if c.history == nil || table.Hash == c.recorded && len(c.deeds) == 0 {
		c.seen, c.deeds = s, nil
		orders.answer(outcome{})
		return
	}
	why := cause(step{before: orders.before, after: table, seen: c.seen, sees: s, deeds: c.deeds, mask: c.mask})
	c.recorded, c.seen, c.deeds = table.Hash, s, nil
	at := time.Now()
	var entry history.Entry
	c.recorder.add(job{
		do: func() (err error) {
			entry, err = c.history.Append(table, at, why)
			return err
		},
		done: func(err error) { orders.answer(outcome{entry: entry, unrecorded: err}) },
	})
}

// How long the newest table waits before it is tried again on an engine that
// refused it; doubled each time.
const (
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// next waits for a snapshot that is newer than the last one. It returns nil when
// it is time to look at the same one again: an operator has given a command, one
// ends by itself, or a table that was refused is due again.
func (c *Control) next(ctx context.Context, r round) (*catalog.Snapshot, error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.pending {
		waiting, cancel = context.WithTimeout(waiting, r.backoff)
		defer cancel()
	}
	if end, ok := c.steering.nextEnd(); ok {
		waiting, cancel = context.WithDeadline(waiting, end)
		defer cancel()
	}
	if !c.steering.listen(cancel) {
		return nil, ctx.Err()
	}
	s, err := c.feed.Next(waiting, c.steering.after)
	c.steering.unlisten()
	if err != nil && ctx.Err() == nil {
		return nil, nil
	}
	return s, err
}

// restore makes the last run's table live and returns the table that it was
// compiled to. What cannot be applied is reported and left alone: the sources
// will bring a newer one.
func (c *Control) restore(ctx context.Context) *route.Table {
	if c.restored == nil {
		return nil
	}
	table := c.restored.Table
	if table == nil {
		return c.restored.Compiled
	}
	if err := c.apply(ctx, table); err != nil {
		c.log.Error("last good table could not be restored", "error", err)
	} else {
		c.setStatus(func(st *Status) { st.State = StateRestored })
	}
	if c.restored.Compiled != nil {
		return c.restored.Compiled
	}
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

// startWriters runs what writes in the background and returns the function that
// ends it after its last write.
func (c *Control) startWriters() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if c.store != nil {
		running.Go(func() { c.store.run(ctx) })
	}
	running.Go(func() { c.recorder.run(ctx) })
	return func() {
		cancel()
		running.Wait()
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
