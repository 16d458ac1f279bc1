package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fairway/internal/route"
	"fairway/internal/route/diff"
)

// A table that an engine refused is tried again after retryFirst; the wait doubles
// with each failure up to retryLast.
const (
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// Run restores the last good table and follows the feed until ctx ends; then it writes
// what is left to be written. It may be called once.
func (c *Control) Run(ctx context.Context) error {
	if c.o.Store != nil {
		defer c.o.Store.start()()
	}
	defer c.finish(ctx)
	c.restore(ctx)
	again := false
	for {
		changed := c.o.Feed.Changed()
		c.take(again)
		if c.snapshot != nil && (c.due || !time.Now().Before(c.nextServe())) {
			_ = c.serve(ctx, nil) // logged, and tried again
		}
		c.write()

		orders := c.orders
		if c.order != nil {
			orders = nil // one at a time
		}
		again = false
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(time.Until(c.next())):
		case <-c.again:
			again = true
		case c.order = <-orders:
		case w := <-c.written:
			c.wrote(ctx, w)
		}
	}
}

// finish waits for what is being written, and tries the rest once more. A command that
// is written by then is in force in the next run.
func (c *Control) finish(ctx context.Context) {
	close(c.ended)
	if c.pending.busy {
		c.wrote(ctx, <-c.written)
	}
	if c.order != nil {
		c.order.answer(outcome{err: ErrNotNow})
		c.order = nil
	}
	if !c.pending.waiting() {
		return
	}
	c.wrote(ctx, c.batch().write(c.recorder))
	if left := len(c.pending.records) + len(c.pending.entries); left > 0 {
		c.meters.lost.Add(uint64(left))
		c.log.Error("not everything was written to the history", "left", left)
	}
}

// idle is how long the loop waits at most.
const idle = 24 * time.Hour

// next is when the loop has something to do by itself.
func (c *Control) next() time.Time {
	next := c.nextServe()
	if c.pending.waiting() && c.pending.retryAt.Before(next) {
		return c.pending.retryAt
	}
	return next
}

// nextServe is when a refused table is tried again, or a command ends.
func (c *Control) nextServe() time.Time {
	times := []time.Time{time.Now().Add(idle)}
	if c.snapshot == nil {
		return times[0]
	}
	if c.refused {
		times = append(times, c.retryAt)
	}
	for _, command := range c.commands {
		if !command.end.IsZero() {
			times = append(times, command.end)
		}
	}
	return slices.MinFunc(times, time.Time.Compare)
}

// take compiles the newest snapshot when it is another one or again is set. One that says
// nothing changes nothing: an empty table would say "there is no such host".
func (c *Control) take(again bool) {
	if s := c.o.Feed.Newest(); s != nil && s != c.snapshot && known(s) {
		c.snapshot, again = s, true
	}
	if !again || c.snapshot == nil {
		return
	}
	// Claims are decided by compiling, not by applying: they are handed down even
	// while an engine has trouble.
	c.compiled = c.o.Compiler.Compile(c.snapshot, c.compiled)
	c.due = true
	c.show()
}

// serve makes the compiled table live with the commands in effect. It answers the order
// that asks for it, if there is one, unless it returns an error.
func (c *Control) serve(ctx context.Context, o *order) error {
	c.due = false
	c.endPauses(time.Now())
	before := c.live.Newest()
	table, free, err := steer(steering{compiled: c.compiled, snapshot: c.snapshot, live: before, commands: c.view.Load().commands, held: c.held})
	if err == nil {
		err = c.apply(ctx, table)
	}
	if err != nil {
		if ctx.Err() != nil {
			return err // given up, not refused
		}
		c.refused, c.retryAt = true, time.Now().Add(c.backoff)
		c.backoff = min(2*c.backoff, retryLast)
		c.setStatus(func(st *Status) { st.Pending = err.Error() })
		c.log.Error("table refused, the one before serves on", "error", err, "revision", c.snapshot.Revision)
		return err
	}
	c.refused, c.backoff = false, retryFirst
	c.setStatus(func(st *Status) { st.Pending = ""; st.State = stateOf(c.snapshot) })
	c.live.Publish(table) // after the status, which readers ask for with the table
	c.release(free)
	if o != nil {
		c.audit = append(c.audit, o.audit)
	}
	c.record(before, table, o)
	if c.o.Store != nil {
		good := &LastGood{Table: table, Snapshot: c.snapshot}
		if table.Hash != c.compiled.Hash {
			good.Compiled = c.compiled
		}
		c.o.Store.Put(good)
	}
	return nil
}

// execute puts a command that has been written into force. It is withdrawn when an
// engine refuses its table and did not refuse the table before.
func (c *Control) execute(ctx context.Context, o *order) {
	var old *Command
	if was, ok := c.commands[o.id]; ok {
		old = &was
	}
	oldHeld, refusedBefore := c.held, c.refused
	delete(c.pending.records, o.id) // what was still to be written is out of date
	c.set(o.id, o.command, o.held)
	if c.snapshot == nil || ctx.Err() != nil {
		c.audit = append(c.audit, o.audit) // for the entry of the first table
		o.answer(outcome{})                // takes effect with the first snapshot, or in the next run
		return
	}
	err := c.serve(ctx, o)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		o.answer(outcome{})
	case refusedBefore:
		c.audit = append(c.audit, o.audit)
		o.answer(outcome{remarks: []string{"not live yet, since an engine refuses what the labels ask for: " + err.Error()}})
	default:
		c.set(o.id, old, oldHeld)
		r := c.pending.put(o.id, old)
		r.order, r.outcome = o, outcome{err: fmt.Errorf("%w: %w", ErrWithdrawn, err)}
		c.due = true // one of several engines may have taken the table
	}
}

// record puts a live table into the history, unless the newest entry is the same and
// no command has changed, and answers the order when that is done.
func (c *Control) record(before, table *route.Table, o *order) {
	seen, audit := c.seen, c.audit
	c.seen, c.audit = c.snapshot, nil
	if c.o.History == nil || table.Hash == c.recorded && len(audit) == 0 {
		o.answer(outcome{recorded: true})
		return
	}
	c.recorded = table.Hash
	why := cause(step{before: before, after: table, seen: seen, sees: c.snapshot, audit: audit, shown: c.o.ShownLabel})
	if !c.pending.add(&entry{table: table, at: time.Now(), cause: why, order: o}) {
		c.meters.lost.Inc()
	}
}

// restore makes the last run's table live, or reports why not.
func (c *Control) restore(ctx context.Context) {
	if c.o.Restored == nil {
		return
	}
	c.compiled = c.o.Restored.Compiled
	table := c.o.Restored.Table
	if table == nil {
		return
	}
	if c.compiled == nil {
		c.compiled = table
	}
	if err := c.apply(ctx, table); err != nil {
		c.log.Error("last good table could not be restored", "error", err)
		return
	}
	c.setStatus(func(st *Status) { st.State = StateRestored })
	c.live.Publish(table)
}

// apply gives the table to every engine that does not serve its contents already.
func (c *Control) apply(ctx context.Context, table *route.Table) error {
	var failed []error
	took := false
	for i, e := range c.o.Engines {
		if c.served[i] == table.Hash {
			continue
		}
		start := time.Now()
		err := e.Apply(ctx, table)
		c.meters.applied(e.Name(), time.Since(start), err)
		if err != nil {
			failed = append(failed, fmt.Errorf("engine %s: %w", e.Name(), err))
			continue
		}
		c.served[i], took = table.Hash, true
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if took {
		c.setStatus(func(st *Status) { st.Applied = time.Now() })
		c.logChanges(c.live.Newest(), table)
	}
	return nil
}

func (c *Control) logChanges(old, table *route.Table) {
	c.log.Info("table applied", "revision", table.Revision, "hash", table.Hash[:12],
		"routes", len(table.Routes), "backends", len(table.Backends), "problems", len(table.Problems))
	if c.log.Enabled(context.Background(), slog.LevelDebug) {
		c.log.Debug("table changes", "changes", diff.Tables(old, table).String())
	}
}
