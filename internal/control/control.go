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
	"fairway/internal/feed"
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
	// Newest returns the newest snapshot, or nil when there is none yet.
	Newest() *catalog.Snapshot
	// Changed returns a channel that is closed when there is a newer one.
	Changed() <-chan struct{}
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

// Options are what New needs. All fields but Store, Restored, History, ShownLabel and
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
	// ShownLabel returns the value of a label without what is secret; nil shows
	// none.
	ShownLabel func(label, value string) string
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
	shown    func(label, value string) string
	suit     func(*route.Table) (*route.Table, error)
	recorder *recorder
	log      *slog.Logger
	metrics  *metrics

	live   feed.Feed[route.Table] // tables that every engine took
	status atomic.Pointer[Status]

	steering steering

	// What follows belongs to the goroutine of Run.
	served   []string          // by engine: the hash of the table that it serves
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
		shown:    o.ShownLabel,
		suit:     o.Suit,
		log:      o.Logger,
		metrics:  newMetrics(o.Registerer),
	}
	if c.suit == nil {
		c.suit = func(t *route.Table) (*route.Table, error) { return t, nil }
	}
	c.served = make([]string, len(c.engines))
	c.steering.wake = make(chan struct{}, 1)
	c.recorder = newRecorder(o.Logger, c.metrics.lost.Inc)
	c.status.Store(&Status{State: StateStarting, Since: time.Now()})
	if c.restored != nil {
		c.seen = c.restored.Snapshot
	}
	c.loadCommands()
	return c, nil
}

// Table returns the newest table that is live, or nil before the first one.
func (c *Control) Table() *route.Table { return c.live.Newest() }

// Tables publishes each table that is live. Only the loop publishes.
func (c *Control) Tables() *feed.Feed[route.Table] { return &c.live }

// Recompile has the loop compile the newest snapshot again, because what else the
// compiler asks has another answer now.
func (c *Control) Recompile() {
	c.steering.again.Store(true)
	c.steering.poke()
}

// Status returns the condition of the loop.
func (c *Control) Status() Status { return *c.status.Load() }

// round is what the loop works on.
type round struct {
	snapshot *catalog.Snapshot // the newest that says anything; nil before the first
	revision uint64            // of the newest snapshot, whether it says anything or not
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
		changed := c.feed.Changed()
		if !c.take(&r) {
			if !c.wait(ctx, changed, r) {
				continue
			}
			c.take(&r) // when it was Recompile that ended the waiting
		}
		if ctx.Err() != nil {
			return nil
		}
		if r.snapshot == nil {
			c.steering.postpone()
			continue
		}
		err := c.serve(ctx, r)
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

// take compiles the newest snapshot, when it is newer and says anything, or when
// Recompile was called; else it returns false. One that says nothing changes nothing: an
// empty table now would say "there is no such host".
func (c *Control) take(r *round) bool {
	due := c.steering.again.Swap(false) && r.snapshot != nil
	if s := c.feed.Newest(); s != nil && s.Revision > r.revision {
		r.revision = s.Revision
		if known(s) {
			r.snapshot, due = s, true
		}
	}
	if !due {
		return false
	}
	// Claims are decided by compiling, not by applying: they are handed down even
	// while an engine has trouble.
	r.compiled = c.compiler.Compile(r.snapshot, r.compiled)
	c.metrics.compiled(r.compiled)
	return true
}

// How long the newest table waits before it is tried again on an engine that
// refused it; doubled each time.
const (
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// wait returns true when there is something to do about the snapshot of r: an
// operator has given a command, one ends by itself, a table that was refused is due
// again, or ctx has ended. It returns false when the feed has changed.
func (c *Control) wait(ctx context.Context, changed <-chan struct{}, r round) bool {
	var due <-chan time.Time
	end, ends := c.steering.nextEnd()
	ends = ends && r.snapshot != nil // until there is one, nothing is to be served anew
	if retry := time.Now().Add(r.backoff); r.pending && (!ends || retry.Before(end)) {
		end, ends = retry, true
	}
	if ends {
		timer := time.NewTimer(time.Until(end))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-changed:
		return false
	case <-ctx.Done():
	case <-c.steering.wake:
	case <-due:
	}
	return true
}

// serve makes of the compiled table what operators want of it, and that live.
func (c *Control) serve(ctx context.Context, r round) error {
	orders := c.begin(r)
	w := wish{compiled: r.compiled, snapshot: r.snapshot, live: c.live.Newest(), commands: orders.commands, held: orders.held}
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
	why := cause(step{before: orders.before, after: table, seen: c.seen, sees: s, deeds: c.deeds, shown: c.shown})
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

// apply makes the table live on every engine, but for those that serve its
// contents already.
func (c *Control) apply(ctx context.Context, table *route.Table) error {
	var failed []error
	took := false
	for i, e := range c.engines {
		if c.served[i] == table.Hash {
			continue
		}
		start := time.Now()
		err := e.Apply(ctx, table)
		c.metrics.applied(e.Name(), time.Since(start), err)
		if err != nil {
			failed = append(failed, fmt.Errorf("engine %s: %w", e.Name(), err))
			continue
		}
		c.served[i], took = table.Hash, true
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	old := c.live.Newest()
	c.live.Publish(table)
	if took {
		c.setStatus(func(st *Status) { st.Applied = time.Now() })
		c.logChanges(old, table)
	}
	return nil
}

// logChanges logs the totals of a table at Info and every changed element at Debug.
func (c *Control) logChanges(old, table *route.Table) {
	c.log.Info("table applied", "revision", table.Revision, "hash", table.Hash[:12],
		"routes", len(table.Routes), "backends", len(table.Backends), "problems", len(table.Problems))
	if c.log.Enabled(context.Background(), slog.LevelDebug) {
		c.log.Debug("table changes", "changes", route.Diff(old, table).String())
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
