package control

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
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
	// CommandMaintenance answers the requests for a service with 503.
	CommandMaintenance CommandKind = "maintenance"
)

// Command is what an operator asked for, in force on every table until it is taken back.
type Command struct {
	// ID names the command among those in force; see idOf.
	ID   string      `json:"id"`
	Kind CommandKind `json:"kind"`
	// Subject is what the others are about: a service for a pause and for maintenance.
	Subject catalog.Subject `json:"subject,omitzero"`
	// Weight is that of CommandWeight, 0 to 256.
	Weight int `json:"weight,omitempty"`
	// Until is when a pause or maintenance ends by itself, and Wait how long that was to be
	// from Since; a request waits no longer for a pause. Zero of maintenance: no end.
	Until time.Time     `json:"until,omitzero"`
	Wait  time.Duration `json:"wait,omitempty"`
	// Allow are the clients that get through maintenance.
	Allow []netip.Prefix `json:"allow,omitempty"`
	// Hold says what a rollback or pin holds; nil for the others.
	Hold *Hold `json:"hold,omitempty"`
	// Operator is who gave it, Message why, and Since when. Visitors read the message of
	// maintenance.
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
	// ReleaseByHand holds the table until an operator takes the command back.
	ReleaseByHand Release = "unpinned"
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

// spelled returns a way in the word of today: ReleaseByHand for none, and for "released",
// which is what it was called before.
func (r Release) spelled() Release {
	if r == "" || r == "released" {
		return ReleaseByHand
	}
	return r
}

// idOf returns an ID: a new command about the same takes the place of the old one.
func idOf(kind CommandKind, s catalog.Subject) string {
	if kind == CommandRollback || kind == CommandPin {
		return holdID
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q %q", kind, s.Service, s.Source, s.Instance, s.Node))
	return string(kind) + "-" + hex.EncodeToString(sum[:6])
}

// String says in words what is in force, without who and why: "service web drained".
func (c Command) String() string { return c.words("") }

// Ended says in words that the command is in force no longer.
func (c Command) Ended() string { return c.words("no longer ") }

func (c Command) words(no string) string {
	subject, until := c.Subject.String(), ""
	if no == "" && !c.Until.IsZero() {
		until = " until " + c.Until.UTC().Format(time.RFC3339)
	}
	if no == "" && c.Hold != nil && c.Hold.Release == ReleaseByLabels {
		until = ", each service until its labels change"
	}
	switch c.Kind {
	case CommandRollback:
		return fmt.Sprintf("%srolled back to entry %d%s", no, c.Hold.Entry, until)
	case CommandPin:
		return fmt.Sprintf("%spinned at entry %d%s", no, c.Hold.Entry, until)
	case CommandWeight:
		return fmt.Sprintf("weight of %s %sset to %d", subject, no, c.Weight)
	}
	return subject + " " + no + stateWords[c.Kind] + until
}

// stateWords say what a subject is by a command.
var stateWords = map[CommandKind]string{CommandDrain: "drained", CommandPause: "paused", CommandMaintenance: "in maintenance"}

// Undo is the command line that takes the command back.
func (c Command) Undo() string {
	subject := cmp.Or(c.Subject.Service, c.Subject.Instance, c.Subject.NodeName, c.Subject.Node)
	switch c.Kind {
	case CommandDrain:
		return "fairway undrain " + subject
	case CommandPause:
		return "fairway resume " + subject
	case CommandMaintenance:
		return "fairway maintenance " + subject + " off"
	case CommandWeight:
		return "fairway weight " + subject + " default"
	}
	return "fairway unpin"
}

// by says on an endpoint who changed it and why.
func (c Command) by() string {
	text := string(c.Kind) + " by " + nameOf(c.Operator)
	if !c.Until.IsZero() {
		text += " until " + c.Until.UTC().Format(time.RFC3339)
	}
	if c.Message != "" {
		text += ": " + c.Message
	}
	return text
}

// compareCommands orders commands as they are put into effect: what stops requests last.
func compareCommands(a, b Command) int {
	order := []CommandKind{CommandRollback, CommandPin, CommandWeight, CommandDrain, CommandPause, CommandMaintenance}
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
