package control

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"fairway/internal/history"
	"fairway/internal/route"
)

// pending is what has still to be written to the history: one batch at a time, beside the
// loop. What could not be written is part of the next one.
type pending struct {
	records map[string]*record // newest value of each command, by its ID
	entries []*entry           // tables that went live, oldest first; maxEntries at most
	fresh   bool               // some of that has not been tried yet
	behind  bool               // tables were left behind by the newest batch: the next waits for retryAt
	busy    bool               // a batch is being written
	retryAt time.Time          // when what failed is tried again
}

// record is a command to be written, or removed for nil. An order gets the outcome once
// that has been tried.
type record struct {
	command *Command
	order   *order
	outcome outcome
}

// entry is a table to be recorded. An order is answered once that has been tried.
type entry struct {
	table *route.Table
	at    time.Time
	cause history.Cause
	order *order
}

// recorder is the part of the history that is written. *history.Store is one.
type recorder interface {
	Keep(entries ...uint64)
	Append(t *route.Table, at time.Time, why history.Cause) (history.Entry, error)
	PutRecord(kind, name string, data []byte) error
	DeleteRecord(kind, name string) error
}

const (
	maxEntries = 256
	retryWrite = 2 * time.Second
)

func (p *pending) put(id string, command *Command) *record {
	r := &record{command: command}
	if old := p.records[id]; old != nil {
		r.order, r.outcome = old.order, old.outcome
	}
	p.records[id] = r
	p.fresh = true
	return r
}

// add takes a table. It returns false when the oldest had to be given up.
func (p *pending) add(e *entry) bool {
	full := len(p.entries) >= maxEntries
	if full {
		p.entries[0].order.answer(outcome{})
		p.entries = slices.Delete(p.entries, 0, 1)
	}
	p.entries = append(p.entries, e)
	p.fresh = true
	return !full
}

// waiting says whether there is something to be written that is not being written.
func (p *pending) waiting() bool { return !p.busy && len(p.records)+len(p.entries) > 0 }

type batch struct {
	keep    []uint64           // entries that are held
	records map[string]*record // each is tried
	entries []*entry           // in this order; those behind one that fails wait
	order   *order             // whose command is written last; nil for none
}

type written struct {
	batch    batch
	failed   map[string]bool // records, by ID
	entries  []history.Entry // the first of the batch
	orderErr error           // why the command of the order was not written
}

// batch returns everything that has to be written now.
func (c *Control) batch() batch {
	b := batch{records: maps.Clone(c.pending.records), entries: slices.Clone(c.pending.entries), order: c.order}
	if hold := c.commands[holdID].Hold; hold != nil {
		b.keep = append(b.keep, hold.Entry)
	}
	if c.order != nil && c.order.command != nil && c.order.command.Hold != nil {
		b.keep = append(b.keep, c.order.command.Hold.Entry)
	}
	return b
}

func (c *Control) write() {
	p := &c.pending
	retry := p.waiting() && !time.Now().Before(p.retryAt)
	if p.busy || (!p.fresh || p.behind) && !retry && c.order == nil {
		return
	}
	b := c.batch()
	p.busy, p.fresh = true, false
	go func() { c.written <- b.write(c.recorder) }()
}

func (b batch) write(h recorder) written {
	w := written{batch: b, failed: map[string]bool{}}
	h.Keep(b.keep...)
	full := false
	for id, r := range b.records {
		if full { // each try costs the history a look at its whole file
			w.failed[id] = true
			continue
		}
		err := writeCommand(h, id, r.command)
		w.failed[id], full = err != nil, errors.Is(err, history.ErrFull)
	}
	for _, e := range b.entries {
		recorded, err := h.Append(e.table, e.at, e.cause)
		if err != nil {
			break
		}
		w.entries = append(w.entries, recorded)
	}
	if o := b.order; o != nil {
		w.orderErr = writeCommand(h, o.id, o.command)
	}
	return w
}

// wrote takes what became of a batch. The history logs its own errors.
func (c *Control) wrote(ctx context.Context, w written) {
	p := &c.pending
	p.busy, p.behind = false, len(w.entries) < len(w.batch.entries)
	p.retryAt = time.Now().Add(retryWrite)
	for id, r := range w.batch.records {
		r.order.answer(r.outcome)
		r.order = nil
		if !w.failed[id] && p.records[id] == r {
			delete(p.records, id)
		}
	}
	for i, e := range w.batch.entries {
		if i >= len(w.entries) {
			e.order.answer(outcome{})
			continue
		}
		e.order.answer(outcome{entry: w.entries[i], recorded: true})
		p.entries = slices.DeleteFunc(p.entries, func(other *entry) bool { return other == e })
	}
	if o := w.batch.order; o != nil {
		c.order = nil
		if w.orderErr != nil {
			o.answer(outcome{err: w.orderErr})
			return
		}
		c.execute(ctx, o)
	}
}

// writeCommand writes a command to the disk; nil removes it.
func writeCommand(h recorder, id string, command *Command) error {
	if command == nil {
		if err := h.DeleteRecord(recordKind, id); err != nil && !errors.Is(err, history.ErrNotFound) {
			return err
		}
		return nil
	}
	data, err := json.Marshal(command)
	if err != nil {
		return err
	}
	return h.PutRecord(recordKind, id, data)
}
