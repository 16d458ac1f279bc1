package control

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/history"
	"fairway/internal/human"
	"fairway/internal/route"
)

// CommandKind is what a command does.
type CommandKind string

// The kinds of command.
const (
	CommandRollback CommandKind = "rollback" // holds the table of an entry of the history
	CommandPin      CommandKind = "pin"      // holds the table that was live when it was given
	CommandDrain    CommandKind = "drain"    // gives endpoints nothing new
	CommandWeight   CommandKind = "weight"   // gives endpoints another weight
	CommandPause    CommandKind = "pause"    // makes the requests for a service wait
)

// Command is what an operator asked for, in force on every table until it is taken back.
type Command struct {
	// ID names the command among those in force; see idOf.
	ID   string      `json:"id"`
	Kind CommandKind `json:"kind"`
	// Subject is what a drain, weight or pause is about.
	Subject catalog.Subject `json:"subject,omitzero"`
	// Weight is that of CommandWeight, 0 to 256.
	Weight int `json:"weight,omitempty"`
	// Until is when a pause ends by itself, and Wait how long each request waits at most.
	Until time.Time     `json:"until,omitzero"`
	Wait  time.Duration `json:"wait,omitempty"`
	// Hold says what a rollback or pin holds; nil for the others.
	Hold *Hold `json:"hold,omitempty"`
	// Operator is who gave it, Message why, and Since when.
	Operator string    `json:"operator"`
	Message  string    `json:"message,omitempty"`
	Since    time.Time `json:"since"`

	// end is Until by the clock that never jumps; zero for what has none.
	end time.Time
}

// setEnd sets the end of a pause that begins, or goes on after a restart. It lasts no
// longer than it was to, even when the wall clock was set back.
func (c *Command) setEnd(now time.Time) {
	if !c.Until.IsZero() {
		c.end = now.Add(min(c.Until.Sub(now), c.Wait))
	}
}

// covers says whether an endpoint of a backend belongs to a subject.
func covers(s catalog.Subject, b *route.Backend, e route.Endpoint) bool {
	switch {
	case s.Service != "":
		return b.Service == s.Service
	case s.Instance != "":
		return e.Instance == s.Instance && e.Source == s.Source
	}
	return e.Node == s.Node && s.Node != ""
}

// Release is when a hold ends.
type Release string

// The ways in which a hold ends.
const (
	// ReleaseByHand holds the table until an operator releases it.
	ReleaseByHand Release = "released"
	// ReleaseByLabels holds each service, and its endpoints, until they change.
	ReleaseByLabels Release = "changed"
)

// Hold is a table that is held in place of the compiled one.
type Hold struct {
	// Entry is the number of the entry, and Hash that of its table.
	Entry uint64 `json:"entry"`
	Hash  string `json:"hash"`
	// Release says when it ends.
	Release Release `json:"release"`
	// RecordedEndpoints takes the endpoints from the entry, as far as they still exist, and
	// not those of today.
	RecordedEndpoints bool `json:"recordedEndpoints,omitempty"`
	// Services are those held with ReleaseByLabels, as they were when it was given.
	Services map[string]Seen `json:"services,omitempty"`
}

// Seen says by digest what a service was like.
type Seen struct {
	// Labels are those of Fairway; empty when there was no such service.
	Labels string `json:"labels"`
	// Endpoints are those of its backends, as compiled; empty once they have changed.
	Endpoints string `json:"endpoints"`
}

// holdID is the ID of every rollback and pin: one is in force.
const holdID = "hold"

// idOf returns an ID: a new command about the same takes the place of the old one.
func idOf(kind CommandKind, s catalog.Subject) string {
	if kind == CommandRollback || kind == CommandPin {
		return holdID
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q", kind, s.Service, s.Source, s.Instance, s.Node))
	return string(kind) + "-" + hex.EncodeToString(sum[:6])
}

// String returns the command as one would write it, without who and why.
func (c Command) String() string {
	words := []string{string(c.Kind)}
	switch {
	case c.Hold != nil && c.Kind == CommandRollback:
		words = append(words, fmt.Sprint(c.Hold.Entry), "--until", string(c.Hold.Release))
	case c.Subject != catalog.Subject{}:
		words = append(words, c.Subject.String())
	}
	switch c.Kind {
	case CommandWeight:
		words = append(words, fmt.Sprint(c.Weight))
	case CommandPause:
		words = append(words, "until "+c.Until.UTC().Format(time.RFC3339))
	}
	return strings.Join(words, " ")
}

// by says on an endpoint who changed it and why.
func (c Command) by() string {
	text := string(c.Kind) + " by " + nameOf(c.Operator)
	if c.Kind == CommandPause {
		text += " until " + c.Until.UTC().Format(time.RFC3339)
	}
	if c.Message != "" {
		text += ": " + c.Message
	}
	return text
}

// compareCommands orders commands as they are put into effect: what stops requests last.
func compareCommands(a, b Command) int {
	order := []CommandKind{CommandRollback, CommandPin, CommandWeight, CommandDrain, CommandPause}
	return cmp.Or(
		cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind)), a.Since.Compare(b.Since), strings.Compare(a.ID, b.ID))
}

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

func whatEnded(services []string, left int) string {
	switch {
	case left == 0:
		return "ended, as all labels have changed:"
	case len(services) == 1:
		return "no longer for service " + services[0] + ", whose labels have changed:"
	}
	return "no longer for " + human.Plural(len(services), "service") + " with other labels:"
}

// loadCommands reads the commands of the last run, and the hash of the newest entry.
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

// heldTable reads the table of a hold: what the history has lost may have been live.
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
