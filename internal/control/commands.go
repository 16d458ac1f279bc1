package control

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"fairway/internal/history"
	"fairway/internal/human"
	"fairway/internal/route"
)

// recordKind is the kind of the records that hold commands.
const recordKind = "command"

// set puts a command into the place of the one of its ID, or removes that for nil.
func (c *Control) set(id string, command *Command, held *route.Table) {
	if command == nil {
		delete(c.commands, id)
	} else {
		c.commands[id] = *command
	}
	if id == holdID {
		c.held = held
	}
	c.show()
}

// endPauses removes the pauses whose time is over.
func (c *Control) endPauses(now time.Time) {
	for id, command := range c.commands {
		if command.end.IsZero() || now.Before(command.end) {
			continue
		}
		c.audit = append(c.audit, auditEntry{change: history.Change{Kind: history.CommandChanged, From: command.String(), To: "ended by itself:"}})
		c.pending.put(id, nil)
		c.set(id, nil, nil)
	}
}

// release keeps what a hold has released; when no service is left it ends.
func (c *Control) release(r released) {
	command, ok := c.commands[holdID]
	if len(r.services)+len(r.endpoints) == 0 || !ok || command.Hold == nil {
		return
	}
	h := *command.Hold
	h.Services = maps.Clone(h.Services)
	for _, id := range r.endpoints {
		h.Services[id] = Seen{Labels: h.Services[id].Labels}
	}
	for _, id := range r.services {
		delete(h.Services, id)
	}
	command.Hold = &h
	if len(r.services) > 0 {
		c.audit = append(c.audit, auditEntry{change: history.Change{Kind: history.CommandChanged, From: command.String(), To: whatEnded(r.services, len(h.Services))}})
	}
	next, held := &command, c.held
	if len(h.Services) == 0 {
		next, held = nil, nil
	}
	c.pending.put(holdID, next)
	c.set(holdID, next, held)
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

// loadCommands reads the commands of the last run, and what the newest entry is.
func (c *Control) loadCommands() {
	if c.o.History == nil {
		return
	}
	if newest, err := c.o.History.Entries(0, 1); err == nil && len(newest) == 1 {
		c.recorded = newest[0].Hash
	}
	records, err := c.o.History.Records(recordKind)
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
			if c.held, err = c.heldTable(*command.Hold); err != nil {
				c.log.Error("what was held in the last run cannot be read, and is held no longer", "command", command.String(), "error", err)
				continue
			}
			c.o.History.Keep(command.Hold.Entry)
		}
		command.setEnd(time.Now())
		c.commands[command.ID] = command
		c.log.Warn("a command of the last run is in force", "command", command.String(),
			"operator", command.Operator, "message", command.Message, "since", command.Since)
	}
}

// heldTable reads the table of a hold. Should the history have lost it, it may be
// what the last run served.
func (c *Control) heldTable(h Hold) (*route.Table, error) {
	recorded, err := c.o.History.Entry(h.Entry)
	if err == nil && recorded.Hash != h.Hash {
		err = fmt.Errorf("entry %d has another hash", h.Entry)
	}
	if err == nil {
		return c.o.Fit(recorded.Table)
	}
	if c.o.Restored != nil && c.o.Restored.Table != nil && c.o.Restored.Table.Hash == h.Hash {
		return c.o.Restored.Table, nil
	}
	return nil, err
}

func sortedCommands(commands map[string]Command) []Command {
	return slices.SortedFunc(maps.Values(commands), compareCommands)
}
