package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"fairway/internal/catalog"
	"fairway/internal/history"
	"fairway/internal/human"
	"fairway/internal/route"
	"fairway/internal/route/diff"
)

// The errors of commands, for errors.Is. An entry or a command that does not exist is
// history.ErrNotFound, a full disk history.ErrFull.
var (
	// ErrNotNow: there is no table yet, or Fairway is about to end.
	ErrNotNow = errors.New("not now")
	// ErrRefused: the command makes no sense; the text says why.
	ErrRefused = errors.New("refused")
	// ErrWithdrawn: the command was withdrawn, as an engine refused its table.
	ErrWithdrawn = errors.New("withdrawn")
	// ErrNoHistory: commands need the history, and there is none.
	ErrNoHistory = errors.New("there is no history, which commands are kept in")
)

// The bounds of a pause.
const (
	DefaultPause = 30 * time.Second
	MaxPause     = 10 * time.Minute
)

// MaxMaintenance is how long maintenance may be said to last, maxAllow how many prefixes
// may get through.
const (
	MaxMaintenance = 30 * 24 * time.Hour
	maxAllow       = 100
)

// Result is what became of a command.
type Result struct {
	// Command is the one that is in force, or that was taken back.
	Command Command
	// Entry is the table that it made live; with number zero when it changed nothing.
	// Recorded is false when that table could not be written down.
	Entry    history.Entry
	Recorded bool
	// Remarks say what the operator may not expect.
	Remarks []string
}

// Resolve finds what a command of this kind is about, as catalog.ResolveSubject does. The
// error wraps history.ErrNotFound or one of the errors of this package.
func (c *Control) Resolve(kind CommandKind, text string) (catalog.Subject, error) {
	snapshot, _, err := c.ready()
	if err != nil {
		return catalog.Subject{}, err
	}
	if (kind == CommandPause || kind == CommandMaintenance) && !strings.HasPrefix(text, "service:") {
		text = "service:" + text
	}
	found, err := catalog.ResolveSubject(snapshot, text)
	return found, subjectError(err)
}

// ready returns what commands are about, or why there are none now.
func (c *Control) ready() (*catalog.Snapshot, *route.Table, error) {
	snapshot, compiled := c.Compiled()
	switch {
	case c.o.History == nil:
		return nil, nil, ErrNoHistory
	case snapshot == nil || c.live.Newest() == nil:
		return nil, nil, fmt.Errorf("%w: there is no table yet", ErrNotNow)
	}
	return snapshot, compiled, nil
}

func subjectError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, catalog.ErrNoSubject):
		return fmt.Errorf("%w: %w", history.ErrNotFound, err)
	}
	return fmt.Errorf("%w: %w", ErrRefused, err)
}

// Give writes a command to the disk and puts it into effect, in place of one about the
// same. It is withdrawn when an engine refuses its table.
//
// The caller sets what the kind needs of Subject, Weight, Wait (DefaultPause for zero) and
// Hold, which has the Entry of a rollback, Release (ReleaseByHand for none) and
// RecordedEndpoints.
func (c *Control) Give(ctx context.Context, command Command) (Result, error) {
	command, held, remarks, err := c.prepare(command)
	if err != nil {
		return Result{}, err
	}
	result, err := c.send(ctx, &order{id: command.ID, command: &command, held: held, audit: auditEntry{
		operator: nameOf(command.Operator), command: command.String(), message: command.Message,
		change: history.Change{Kind: history.CommandChanged, To: command.String()},
	}})
	if err != nil {
		return Result{}, err
	}
	result.Command, result.Remarks = command, append(remarks, result.Remarks...)
	if h := command.Hold; h != nil && h.RecordedEndpoints && result.Entry.Number != 0 && result.Entry.Hash != h.Hash {
		result.Remarks = append(result.Remarks, fmt.Sprintf("what is live is not the same as entry %d in everything: fairway diff %d", h.Entry, h.Entry))
	}
	return result, nil
}

// prepare checks a command and completes it. It returns the table of its hold, and what
// the operator may not expect.
func (c *Control) prepare(command Command) (_ Command, held *route.Table, remarks []string, err error) {
	snapshot, compiled, err := c.ready()
	if err == nil {
		err = checkWords(command.Operator, command.Message)
	}
	if err != nil {
		return command, nil, nil, err
	}
	// Both go into the table, which is UTF-8.
	command.Operator, command.Message = strings.ToValidUTF8(command.Operator, "?"), strings.ToValidUTF8(command.Message, "?")
	command.Since = time.Now().UTC()
	switch command.Kind {
	case CommandRollback, CommandPin:
		held, remarks, err = c.hold(&command, snapshot, compiled)
	case CommandDrain, CommandWeight, CommandPause, CommandMaintenance:
		err = command.check(snapshot)
	default:
		err = fmt.Errorf("%w: there is no command %q", ErrRefused, command.Kind)
	}
	command.ID = idOf(command.Kind, command.Subject)
	again := slices.ContainsFunc(c.Commands(), func(other Command) bool { return other.ID == command.ID })
	if err == nil && !again && len(c.Commands()) >= maxCommands {
		err = fmt.Errorf("%w: %d commands are in force already", ErrRefused, maxCommands)
	}
	return command, held, remarks, err
}

// Preview is what a command would do.
type Preview struct {
	Command Command
	// Before is what is live, and After what would be.
	Before, After *route.Table
	// Unserved are the services with a route by their labels and none in After, sorted.
	Unserved []string
	// Remarks say what the operator may not expect.
	Remarks []string
}

// Preview says what Give would do now, and changes nothing.
func (c *Control) Preview(command Command) (Preview, error) {
	command, held, remarks, err := c.prepare(command)
	if err != nil {
		return Preview{}, err
	}
	v := c.view.Load()
	commands := slices.DeleteFunc(slices.Clone(v.commands), func(other Command) bool { return other.ID == command.ID })
	commands = append(commands, command)
	slices.SortFunc(commands, compareCommands)
	p := Preview{Command: command, Before: c.live.Newest(), Remarks: remarks}
	p.After, _, err = steer(steering{compiled: v.compiled, snapshot: v.snapshot, live: p.Before, commands: commands, held: cmp.Or(held, v.held)})
	if err != nil {
		return Preview{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	served := map[string]bool{}
	for _, r := range p.After.Routes {
		served[r.Service] = true
	}
	for _, r := range v.compiled.Routes {
		if !served[r.Service] {
			served[r.Service] = true // once
			p.Unserved = append(p.Unserved, r.Service)
		}
	}
	slices.Sort(p.Unserved)
	return p, nil
}

// The bounds of what operators may ask for.
const (
	maxMessage  = 1000 // bytes
	maxCommands = 1000 // in force
)

func checkWords(operator, message string) error {
	if len(message) > maxMessage || len(operator) > maxMessage {
		return fmt.Errorf("%w: a message has at most %d bytes", ErrRefused, maxMessage)
	}
	return nil
}

func nameOf(operator string) string { return cmp.Or(operator, "an unnamed operator") }

// check also finds the subject, and says when a pause ends.
func (c *Command) check(s *catalog.Snapshot) (err error) {
	if c.Subject, err = c.Subject.In(s); err != nil {
		return subjectError(err)
	}
	switch c.Kind {
	case CommandWeight:
		if c.Weight < 0 || c.Weight > 256 {
			return fmt.Errorf("%w: a weight is 0 to 256", ErrRefused)
		}
	case CommandPause:
		if c.Subject.Service == "" {
			return fmt.Errorf("%w: a pause is about a service", ErrRefused)
		}
		c.Wait = cmp.Or(c.Wait, DefaultPause)
		if c.Wait < time.Second || c.Wait > MaxPause {
			return fmt.Errorf("%w: a pause lasts from 1s to %s", ErrRefused, MaxPause)
		}
		c.Until = c.Since.Add(c.Wait)
		c.setEnd(time.Now())
	case CommandMaintenance:
		return c.checkMaintenance()
	}
	return nil
}

// sorry is what visitors of a service in maintenance read unless the operator says more.
const sorry = "This service is down for maintenance. Please try again later."

func (c *Command) checkMaintenance() error {
	switch {
	case c.Subject.Service == "":
		return fmt.Errorf("%w: maintenance is of a service", ErrRefused)
	case c.Wait != 0 && (c.Wait < time.Minute || c.Wait > MaxMaintenance):
		return fmt.Errorf("%w: maintenance lasts from 1m to %s, or until it is ended", ErrRefused, MaxMaintenance)
	case len(c.Allow) > maxAllow:
		return fmt.Errorf("%w: at most %d addresses and prefixes are allowed through", ErrRefused, maxAllow)
	}
	if c.Wait != 0 {
		c.Until = c.Since.Add(c.Wait)
		c.setEnd(time.Now())
	}
	// It goes into headers and pages: one line.
	c.Message = strings.Join(strings.FieldsFunc(c.Message, func(r rune) bool { return unicode.IsControl(r) || r == ' ' }), " ")
	return nil
}

// hold reads the table that a rollback or pin holds.
func (c *Control) hold(command *Command, s *catalog.Snapshot, compiled *route.Table) (*route.Table, []string, error) {
	h, pin := *command.Hold, command.Kind == CommandPin
	h.Release = h.Release.spelled()
	if h.Release != ReleaseByHand && h.Release != ReleaseByLabels {
		return nil, nil, fmt.Errorf("%w: a hold lasts until %q or %q", ErrRefused, ReleaseByHand, ReleaseByLabels)
	}
	if pin {
		h.Entry = 0 // the newest, which is what is live
	} else if h.Entry == 0 {
		return nil, nil, fmt.Errorf("%w: which entry?", ErrRefused)
	}
	recorded, err := c.o.History.Entry(h.Entry)
	if err != nil {
		return nil, nil, err
	}
	if recorded.Table, err = c.o.Fit(recorded.Table); err != nil {
		return nil, nil, fmt.Errorf("%w: entry %d: %w", ErrRefused, recorded.Number, err)
	}
	if pin && c.live.Newest().Hash != recorded.Hash {
		return nil, nil, fmt.Errorf("%w: the live table is not in the history yet", ErrNotNow)
	}
	h.Entry, h.Hash = recorded.Number, recorded.Hash
	if h.Release == ReleaseByLabels {
		h.Services = map[string]Seen{}
		other := compiled
		if pin {
			other = &route.Table{} // every service is held, not only those that differ
		}
		then := *recorded.Table
		then.Routes = withoutMaintenance(then.Routes) // a command of then, as it is served
		for id := range differing(&then, other) {
			h.Services[id] = Seen{Labels: labelsOf(s, id), Endpoints: endpointsOf(compiled, id)}
		}
		if len(h.Services) == 0 {
			return nil, nil, fmt.Errorf("%w: entry %d does not differ from what the labels ask for now", ErrRefused, h.Entry)
		}
	}
	command.Hold = &h
	return recorded.Table, holdRemarks(steering{compiled: compiled, snapshot: s, held: recorded.Table}, h), nil
}

// holdRemarks says where a held table is not, or not only, what was recorded.
func holdRemarks(w steering, h Hold) []string {
	var remarks []string
	if _, _, gone := hold(w, h); gone > 0 {
		remarks = append(remarks, fmt.Sprintf("gone since entry %d, and left out: %s", h.Entry, human.Plural(gone, "endpoint")))
	}
	if len(diff.Tables(w.held, &route.Table{Listeners: heldListeners(w, w.held.Routes)}).Listeners) > 0 {
		remarks = append(remarks, "the listeners stay those of today's configuration")
	}
	if w.held.Hash != h.Hash {
		remarks = append(remarks, "the engine and the locked defaults of today do not allow all of it; those routes answer 503")
	}
	return remarks
}

// TakeBack ends a command, named by its ID or by its kind and subject: "drain:web".
func (c *Control) TakeBack(ctx context.Context, id, operator, message string) (Result, error) {
	if c.o.History == nil {
		return Result{}, ErrNoHistory
	}
	if err := checkWords(operator, message); err != nil {
		return Result{}, err
	}
	old, ok := c.named(id)
	if !ok {
		return Result{}, nothingError(nothingOf(id))
	}
	result, err := c.send(ctx, &order{id: old.ID, audit: auditEntry{
		operator: nameOf(operator), command: old.Ended(), message: message,
		change: history.Change{Kind: history.CommandChanged, From: old.String()},
	}})
	result.Command = old
	return result, err
}

// nothingError is history.ErrNotFound with a text that says it all.
type nothingError string

// Error implements error.
func (e nothingError) Error() string { return string(e) }

// Is reports whether the error is target, for errors.Is.
func (nothingError) Is(target error) bool { return target == history.ErrNotFound }

// nothingOf says that no command in force has this ID, or is of this kind and subject.
func nothingOf(id string) string {
	kind, subject, _ := strings.Cut(id, ":")
	if id == holdID {
		return "nothing is pinned or rolled back"
	}
	if word := stateWords[CommandKind(kind)]; word != "" && subject != "" {
		return strings.TrimPrefix(subject, "service:") + " is not " + word
	}
	if kind == string(CommandWeight) && subject != "" {
		return subject + " has the weight of its labels"
	}
	return fmt.Sprintf("no command %q is in force", id)
}

// named finds a command in force, also by the name of a subject that is gone.
func (c *Control) named(id string) (Command, bool) {
	kind, name, _ := strings.Cut(id, ":")
	var subject catalog.Subject
	if snapshot, _ := c.Compiled(); snapshot != nil {
		subject, _ = catalog.ResolveSubject(snapshot, name) // what is not there may still be called so
	}
	if _, bare, found := strings.Cut(name, ":"); found {
		name = bare
	}
	var called Command
	for _, command := range c.Commands() {
		s := command.Subject
		switch {
		case command.ID == id:
			return command, true
		case string(command.Kind) != kind:
		case subject != (catalog.Subject{}) && s == subject:
			return command, true
		case called.ID == "" && name != "" && slices.Contains([]string{s.Service, s.Instance, s.Node, s.NodeName}, name):
			called = command
		}
	}
	return called, called.ID != ""
}

// order is a command on its way through the loop. It is answered when its table is live
// and recorded, or when it has been withdrawn.
type order struct {
	id      string       // of the command whose place it takes
	command *Command     // nil ends that one
	held    *route.Table // of the command's hold
	audit   auditEntry
	reply   chan outcome // room for one
}

// outcome is what became of an order.
type outcome struct {
	entry    history.Entry
	recorded bool // the live table is in the history
	remarks  []string
	err      error // the order has changed nothing
}

// answer sends the outcome. Of several answers the first counts; o may be nil.
func (o *order) answer(out outcome) {
	if o == nil {
		return
	}
	select {
	case o.reply <- out:
	default:
	}
}

func (c *Control) send(ctx context.Context, o *order) (Result, error) {
	o.reply = make(chan outcome, 1)
	select {
	case c.orders <- o:
	case <-c.ended:
		return Result{}, ErrNotNow
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%w: other commands are being put in force: %w", ErrNotNow, ctx.Err())
	}
	select {
	case out := <-o.reply:
		return Result{Entry: out.entry, Recorded: out.recorded, Remarks: out.remarks}, out.err
	case <-ctx.Done():
		return Result{}, fmt.Errorf("%w: it is not known yet what came of it: %w", ErrNotNow, ctx.Err())
	}
}
