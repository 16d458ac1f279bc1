// Package control is the loop that keeps what is served in step with what exists: it
// takes the newest snapshot, compiles it, applies the table to the engines and keeps
// the last good one on disk.
//
//  1. At start the last good table is applied before any source has answered.
//  2. Each snapshot is compiled with the table before it, from which claims and last
//     good forms of routes are handed down.
//  3. Between compiling and applying come the commands of operators (steer.go).
//  4. A table that an engine refuses is not kept as last good, and is tried again.
//  5. The last good table with its snapshot, and each live table with its cause, are
//     written in the background: only the operator who gave a command waits for that.
//
// One goroutine, that of Run, owns all state (loop.go); readers see an immutable view.
package control

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/feed"
	"fairway/internal/history"
	"fairway/internal/metrics"
	"fairway/internal/route"
)

// Engine makes a table live. Apply is called from one goroutine at a time with the whole
// table. An error means that the engine serves the table it had before.
type Engine interface {
	Name() string
	Apply(ctx context.Context, t *route.Table) error
}

// Compiler turns a snapshot into a table; previous is the one compiled before, or nil.
type Compiler interface {
	Compile(s *catalog.Snapshot, previous *route.Table) *route.Table
}

// Feed publishes snapshots. *catalog.Feed is one.
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
	StateStarting State = "starting" // nothing has been applied yet
	StateRestored State = "restored" // the last run's table is served; no source has answered
	StatePartial  State = "partial"  // some sources have answered in this run
	StateSynced   State = "synced"   // all have
)

// Status is the condition of the loop at one moment.
type Status struct {
	State State
	// Since is when State was entered.
	Since time.Time
	// Applied is when a table last went live; zero before the first.
	Applied time.Time
	// Pending is why the newest table is not live yet; empty when it is.
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
	// History records each table and keeps the commands; nil for neither.
	History *history.Store
	// ShownLabel returns the value of a label without what is secret; nil shows none.
	ShownLabel func(label, value string) string
	// Fit adapts a table of an earlier run to the engines of this one; nil leaves it.
	Fit     func(*route.Table) (*route.Table, error)
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Control runs the loop. Its methods but Run may be called from any goroutine.
type Control struct {
	o        Options
	recorder recorder // the history
	log      *slog.Logger
	meters   *meters

	// What readers see.
	live   feed.Feed[route.Table] // tables that every engine took
	status atomic.Pointer[Status]
	view   atomic.Pointer[view]

	// What reaches the loop.
	orders  chan *order
	again   chan struct{} // room for one: compile the newest snapshot again
	written chan written  // room for one: a write to the history has ended
	ended   chan struct{} // closed when Run takes no more orders

	// What follows belongs to the goroutine of Run.
	snapshot *catalog.Snapshot // newest that says anything; nil before the first
	compiled *route.Table      // what it was compiled to, or the last run's
	due      bool              // compiled or commands have changed since serve
	refused  bool              // the newest table is not live
	retryAt  time.Time         // when a refused table is tried again
	backoff  time.Duration     // how long after that it is tried once more
	commands map[string]Command
	held     *route.Table      // of the hold among the commands
	served   []string          // by engine: the hash of the table that it serves
	recorded string            // hash of the newest table in the history, or on its way there
	seen     *catalog.Snapshot // what the recorded table was made from
	audit    []auditEntry      // since the recorded table
	order    *order            // whose command is being written; nil for none
	pending  pending           // what has still to be written to the history
}

// view is what readers see of the loop; it is immutable.
type view struct {
	snapshot *catalog.Snapshot
	compiled *route.Table // of snapshot
	commands []Command    // in the order in which they are put into effect
	held     *route.Table // of the hold among them, or nil
}

// New returns a loop that does nothing until Run. It reads the commands in force.
func New(o Options) (*Control, error) {
	if o.Feed == nil || o.Compiler == nil || len(o.Engines) == 0 || o.Metrics == nil {
		return nil, errors.New("control: feed, compiler, metrics and at least one engine are required")
	}
	if o.ShownLabel == nil {
		o.ShownLabel = func(string, string) string { return route.Masked }
	}
	if o.Fit == nil {
		o.Fit = func(t *route.Table) (*route.Table, error) { return t, nil }
	}
	c := &Control{
		o:        o,
		recorder: o.History,
		log:      cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		orders:   make(chan *order),
		again:    make(chan struct{}, 1),
		written:  make(chan written, 1),
		ended:    make(chan struct{}),
		backoff:  retryFirst,
		served:   make([]string, len(o.Engines)),
		commands: map[string]Command{},
		pending:  pending{records: map[string]*record{}},
	}
	c.status.Store(&Status{State: StateStarting, Since: time.Now()})
	if o.Restored != nil {
		c.seen = o.Restored.Snapshot
	}
	c.loadCommands()
	c.show()
	c.meters = newMeters(o.Metrics, c.view.Load)
	return c, nil
}

// Table returns the newest table that is live, or nil before the first one.
func (c *Control) Table() *route.Table { return c.live.Newest() }

// Tables publishes each table that is live. Only the loop publishes.
func (c *Control) Tables() *feed.Feed[route.Table] { return &c.live }

// Status returns the condition of the loop.
func (c *Control) Status() Status { return *c.status.Load() }

// Commands returns the commands in force, in their order. The caller must not change it.
func (c *Control) Commands() []Command { return c.view.Load().commands }

// Compiled returns the newest snapshot and its table without the commands, or nil.
func (c *Control) Compiled() (*catalog.Snapshot, *route.Table) {
	v := c.view.Load()
	return v.snapshot, v.compiled
}

// Recompile makes the loop compile the newest snapshot again.
func (c *Control) Recompile() {
	select {
	case c.again <- struct{}{}:
	default:
	}
}

// show publishes the view.
func (c *Control) show() {
	v := &view{commands: sortedCommands(c.commands), held: c.held}
	if c.snapshot != nil { // until then, compiled is that of the last run
		v.snapshot, v.compiled = c.snapshot, c.compiled
	}
	c.view.Store(v)
}

// setStatus replaces the status with a changed copy.
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

// known says whether the snapshot says anything. Until a source has answered, what was
// live stays.
func known(s *catalog.Snapshot) bool {
	return s.Restored || len(s.Services) > 0 ||
		slices.ContainsFunc(s.Sources, func(src catalog.SourceStatus) bool { return src.Synced })
}

func stateOf(s *catalog.Snapshot) State {
	switch {
	case s.Restored:
		return StateRestored
	case !allSynced(s):
		return StatePartial
	}
	return StateSynced
}
