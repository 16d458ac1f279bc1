package control

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/history"
	"fairway/internal/human"
	"fairway/internal/route"
)

// recordKind is the kind of the records that hold commands.
const recordKind = "command"

// steering is the commands in force, and how those who give them and the loop
// wait for each other.
type steering struct {
	// giving is held while a command is written to the disk and put into memory,
	// so that both say the same.
	giving sync.Mutex

	mu       sync.Mutex
	commands map[string]Command
	held     *route.Table // of the hold among them
	snapshot *catalog.Snapshot
	compiled *route.Table // of snapshot
	waiting  []chan outcome
	deeds    []deed
	closed   bool

	again atomic.Bool   // the newest snapshot is to be compiled again
	wake  chan struct{} // holds a token when there is a command for the loop
}

// outcome is what the loop made of commands.
type outcome struct {
	err error // of an engine
	// before is set when the table before the command was refused, too.
	before     bool
	entry      history.Entry
	unrecorded error // why the entry is not written yet
}

// orders is what the loop puts into effect in one round.
type orders struct {
	commands []Command
	held     *route.Table
	deeds    []deed
	before   *route.Table // what was live
	waiting  []chan outcome
}

// answer tells those who wait. It may be called from any goroutine, once.
func (o orders) answer(out outcome) {
	for _, w := range o.waiting {
		w <- out
	}
}

// begin takes what is to be put into effect now. Pauses whose time is over end.
func (c *Control) begin(r round) orders {
	s := &c.steering
	s.mu.Lock()
	defer s.mu.Unlock()
	s.snapshot, s.compiled = r.snapshot, r.compiled
	now := time.Now()
	for id, command := range s.commands {
		if command.end.IsZero() || now.Before(command.end) {
			continue
		}
		delete(s.commands, id)
		c.deeds = append(c.deeds, deed{change: history.Change{Kind: history.CommandChanged, From: command.String(), To: "ended by itself:"}})
		c.rewrite(id)
	}
	o := orders{commands: sortedCommands(s.commands), held: s.held, deeds: s.deeds, before: c.live.Newest(), waiting: s.waiting}
	s.deeds, s.waiting = nil, nil
	return o
}

// release remembers what a hold has given free; when no service is left it ends.
func (c *Control) release(f freed) {
	if len(f.services)+len(f.endpoints) == 0 {
		return
	}
	s := &c.steering
	s.mu.Lock()
	defer s.mu.Unlock()
	command, ok := s.commands[holdID]
	if !ok || command.Hold == nil {
		return
	}
	h := *command.Hold
	h.Services = maps.Clone(h.Services)
	for _, id := range f.endpoints {
		h.Services[id] = Seen{Labels: h.Services[id].Labels}
	}
	for _, id := range f.services {
		delete(h.Services, id)
	}
	command.Hold = &h
	s.commands[holdID] = command
	if len(h.Services) == 0 {
		delete(s.commands, holdID)
		s.held = nil
	}
	if len(f.services) > 0 {
		c.deeds = append(c.deeds, deed{change: history.Change{Kind: history.CommandChanged, From: command.String(), To: whatEnded(f.services, len(h.Services))}})
	}
	c.rewrite(holdID)
}

// whatEnded says what became of a hold.
func whatEnded(services []string, left int) string {
	switch {
	case left == 0:
		return "ended, as all labels have changed:"
	case len(services) == 1:
		return "no longer for service " + services[0] + ", whose labels have changed:"
	}
	return "no longer for " + human.Plural(len(services), "service") + " with other labels:"
}

// rewrite brings what the disk says about a command up to date, in the
// background.
func (c *Control) rewrite(id string) {
	if c.history == nil {
		return
	}
	c.recorder.add(job{do: func() error {
		c.steering.giving.Lock()
		defer c.steering.giving.Unlock()
		command, ok := c.steering.command(id)
		if ok {
			return c.writeCommand(id, &command)
		}
		c.keepHeld()
		c.metrics.inForce(c.Commands())
		return c.writeCommand(id, nil)
	}})
}

// writeCommand writes a command to the disk; nil removes it. The caller holds
// giving.
func (c *Control) writeCommand(id string, command *Command) error {
	if command == nil {
		if err := c.history.DeleteRecord(recordKind, id); err != nil && !errors.Is(err, history.ErrNotFound) {
			return err
		}
		return nil
	}
	data, err := encodeCommand(*command)
	if err != nil {
		return err
	}
	return c.history.PutRecord(recordKind, id, data)
}

// keepHeld keeps the entry that is held from being removed with age.
func (c *Control) keepHeld() {
	command, ok := c.steering.command(holdID)
	if ok && command.Hold != nil {
		c.history.Keep(command.Hold.Entry)
		return
	}
	c.history.Keep()
}

// loadCommands reads the commands of the last run, and what the newest entry is.
func (c *Control) loadCommands() {
	c.steering.commands = map[string]Command{}
	if c.history == nil {
		return
	}
	if newest, err := c.history.Entries(0, 1); err == nil && len(newest) == 1 {
		c.recorded = newest[0].Hash
	}
	records, err := c.history.Records(recordKind)
	if err != nil {
		c.log.Error("the commands of the last run cannot be read", "error", err)
		return
	}
	for _, r := range records {
		command, err := decodeCommand(r.Data)
		if err != nil {
			c.log.Error("a command of the last run cannot be read", "command", r.Name, "error", err)
			continue
		}
		if command.Hold != nil {
			if c.steering.held, err = c.heldTable(*command.Hold); err != nil {
				c.log.Error("what was held in the last run cannot be read, and is held no longer", "command", command.String(), "error", err)
				continue
			}
		}
		command.arm(time.Now())
		c.steering.commands[command.ID] = command
		c.log.Warn("a command of the last run is in force", "command", command.String(),
			"operator", command.Operator, "message", command.Message, "since", command.Since)
	}
	c.keepHeld()
	c.metrics.inForce(c.Commands())
}

// heldTable reads the table of a hold. Should the history have lost it, it may be
// what the last run served.
func (c *Control) heldTable(h Hold) (*route.Table, error) {
	recorded, err := c.history.Entry(h.Entry)
	if err == nil && recorded.Hash != h.Hash {
		err = fmt.Errorf("entry %d has another hash", h.Entry)
	}
	if err == nil {
		return c.suit(recorded.Table)
	}
	if c.restored != nil && c.restored.Table != nil && c.restored.Table.Hash == h.Hash {
		return c.restored.Table, nil
	}
	return nil, err
}

func sortedCommands(commands map[string]Command) []Command {
	list := make([]Command, 0, len(commands))
	for _, command := range commands {
		list = append(list, command)
	}
	slices.SortFunc(list, compareCommands)
	return list
}

// inForce returns the commands in force and the table that is held.
func (s *steering) inForce() ([]Command, *route.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sortedCommands(s.commands), s.held
}

func (s *steering) command(id string) (Command, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	command, ok := s.commands[id]
	return command, ok
}

// basis returns the newest snapshot and what it was compiled to; nil before the
// first.
func (s *steering) basis() (*catalog.Snapshot, *route.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.snapshot, s.compiled
}

// set puts a command into memory, or removes it for nil, and returns what was
// there.
func (s *steering) set(id string, command *Command, held *route.Table) (old *Command, oldHeld *route.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.commands[id]; ok {
		old = &was
	}
	oldHeld = s.held
	if command == nil {
		delete(s.commands, id)
	} else {
		s.commands[id] = *command
	}
	if id == holdID {
		s.held = held
	}
	return old, oldHeld
}

// order makes the loop look at the commands; what comes of it is sent once.
func (s *steering) order(d deed) <-chan outcome {
	answered := make(chan outcome, 1)
	s.mu.Lock()
	if s.closed {
		answered <- outcome{err: ErrNotNow}
	} else {
		s.waiting = append(s.waiting, answered)
		s.deeds = append(s.deeds, d)
	}
	s.mu.Unlock()
	s.poke()
	return answered
}

// poke wakes the loop.
func (s *steering) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// postpone answers those who wait while there is no snapshot to put a command into
// effect on: it is written down, and takes effect with the first.
func (s *steering) postpone() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiting {
		w <- outcome{unrecorded: ErrNotNow}
	}
	s.waiting = nil
}

// nextEnd returns when the next command ends by itself.
func (s *steering) nextEnd() (end time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, command := range s.commands {
		if !command.end.IsZero() && (!ok || command.end.Before(end)) {
			end, ok = command.end, true
		}
	}
	return end, ok
}

// close answers those who wait when the loop ends: what they asked for is written
// down, and will be put into effect by the next run.
func (s *steering) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.postpone()
}
