package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/plan"
)

type why struct {
	Message string `name:"message" short:"m" placeholder:"TEXT" help:"Reason, recorded in the history and shown with the command."`
}

type holding struct {
	Until     string `name:"until" enum:"unpinned,changed,released" default:"unpinned" help:"How long it holds: unpinned (until you end it with fairway unpin) or changed (each service until its labels change)."`
	Endpoints string `name:"endpoints" enum:"live,recorded" default:"live" help:"Endpoints to serve: live (those of today, also as they come and go) or recorded (those of the entry whose container still has the address)."`
	DryRun    bool   `name:"dry-run" help:"Show what would change, and change nothing."`
	Yes       bool   `name:"yes" short:"y" help:"Do not ask. Nothing is asked either where input or errors are no terminal."`
}

// give shows what a rollback or pin would change, asks, and gives it.
func (h holding) give(ctx context.Context, c *cli, a *api.Client, n api.NewCommand) error {
	n.Until, n.Endpoints = h.Until, h.Endpoints
	preview, err := a.Preview(ctx, n)
	if err != nil || h.DryRun {
		return show(c, preview, err, c.Preview)
	}
	asks, p := c.In != nil && !h.Yes, c.Printer
	if c.Format == "json" { // of which there is the answer alone
		aside := *c.Console
		aside.Out, aside.Format = c.Err, "text"
		p.Console = &aside
	}
	if asks || c.Format != "json" {
		p.Preview(preview)
	}
	if asks {
		question := "Pin what is live?"
		if n.Entry != 0 {
			question = fmt.Sprintf("Roll back to entry %d?", n.Entry)
		}
		if sure, err := c.Confirm(ctx, question); err != nil || !sure {
			c.Note("Nothing was changed.")
			return cmp.Or(err, error(errNo))
		}
	}
	return c.give(ctx, a, n, preview.Remarks...)
}

type rollbackCommand struct {
	Entry uint64 `arg:"" help:"Number of the entry; see: fairway history."`
	holding
	why
}

// Run rolls back.
func (r *rollbackCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return r.give(ctx, c, a, api.NewCommand{Kind: api.CommandRollback, Entry: r.Entry, Message: r.Message})
}

type pinCommand struct {
	holding
	why
}

// Run pins.
func (p *pinCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return p.give(ctx, c, a, api.NewCommand{Kind: api.CommandPin, Message: p.Message})
}

type unpinCommand struct{ why }

// Run ends a pin or rollback.
func (u *unpinCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.takeBack(ctx, a, api.HoldID, u.Message)
}

// subject is the argument that names what a command is about.
type subject struct {
	Subject string `arg:"" help:"Service, instance or node, by ID or name. Prefix service:, instance: or node: to say which."`
}

type drainCommand struct {
	subject
	why
}

// Run drains.
func (d *drainCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandDrain, Subject: d.Subject, Message: d.Message})
}

type undrainCommand struct {
	subject
	why
}

// Run ends a drain.
func (u *undrainCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.takeBack(ctx, a, api.CommandDrain+":"+u.Subject, u.Message)
}

type weightCommand struct {
	subject
	Weight string `arg:"" help:"Weight from 0 to 256, or default for that of the labels."`
	why
}

// Run changes weights.
func (w *weightCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if w.Weight == "default" {
		return c.takeBack(ctx, a, api.CommandWeight+":"+w.Subject, w.Message)
	}
	n, err := strconv.Atoi(w.Weight)
	if err != nil {
		return usageError{fmt.Errorf("weight %q: want 0 to 256, or default", w.Weight)}
	}
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandWeight, Subject: w.Subject, Weight: &n, Message: w.Message})
}

type pauseCommand struct {
	Service string `arg:"" help:"Service, by ID or name."`
	For     string `name:"for" placeholder:"DURATION" default:"30s" help:"Maximum time that requests wait, from 1s to 10m. The pause then ends."`
	why
}

// Run pauses.
func (p *pauseCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandPause, Subject: p.Service, For: p.For, Message: p.Message})
}

type resumeCommand struct {
	Service string `arg:"" help:"Service, by ID or name."`
	why
}

// Run ends a pause.
func (r *resumeCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.takeBack(ctx, a, api.CommandPause+":service:"+strings.TrimPrefix(r.Service, "service:"), r.Message)
}

type maintenanceCommand struct {
	Service string   `arg:"" optional:"" help:"Service, by ID or name; without one, those in maintenance are listed."`
	State   string   `arg:"" optional:"" enum:"on,off," default:"" help:"on or off."`
	For     string   `name:"for" placeholder:"DURATION" help:"Time after which it ends by itself, from 1m to 720h; browsers and programs learn when."`
	Allow   []string `name:"allow" placeholder:"CIDR" help:"Address or prefix of clients that get through. Repeatable."`
	Message string   `name:"message" short:"m" placeholder:"TEXT" help:"What visitors read, also recorded in the history."`
}

// Run begins or ends maintenance, or lists what is in it.
func (m *maintenanceCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	switch {
	case m.Service == "":
		found, err := a.Commands(ctx)
		found.Items = slices.DeleteFunc(found.Items, func(k api.Command) bool { return k.Kind != api.CommandMaintenance })
		return list(c, found, err, orNote(c, "No service in maintenance.", c.Commands))
	case m.State == "":
		return usageError{fmt.Errorf("on or off? fairway maintenance %s on", m.Service)}
	case m.State == "off":
		return c.takeBack(ctx, a, api.CommandMaintenance+":service:"+strings.TrimPrefix(m.Service, "service:"), m.Message)
	}
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandMaintenance, Subject: m.Service, For: m.For, Allow: m.Allow, Message: m.Message})
}

// give gives a command. Remarks that were shown before are left out.
func (c *cli) give(ctx context.Context, a *api.Client, n api.NewCommand, shown ...string) error {
	given, err := a.Give(ctx, n)
	given.Remarks = slices.DeleteFunc(given.Remarks, func(r string) bool { return c.Format != "json" && slices.Contains(shown, r) })
	return show(c, given, err, func(r api.CommandResult) { c.CommandResult(r, "; undo: "+r.Command.Undo) })
}

func (c *cli) takeBack(ctx context.Context, a *api.Client, id, message string) error {
	ended, err := a.TakeBack(ctx, id, message)
	return show(c, ended, err, func(r api.CommandResult) { c.CommandResult(r, "") })
}

type commandsCommand struct{}

// Run lists the commands in force.
func (*commandsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Commands(ctx)
	return list(c, found, err, orNote(c, "No commands in force.", c.Commands))
}

type historyCommand struct {
	Number  uint64 `arg:"" optional:"" help:"Entry to show with its changes, instead of the list."`
	Service string `name:"service" placeholder:"NAME" help:"Only entries that concern this service, by ID or name."`
	By      string `name:"by" placeholder:"OPERATOR" help:"Only what this operator did; '*' is any."`
	Routes  bool   `name:"routes" help:"Only entries that changed routes."`
	Search  string `name:"search" placeholder:"WORDS" help:"Only entries that have all of these words in what they say."`
	All     bool   `name:"all" short:"a" help:"Also entries that only followed the states and addresses of instances, or whether a source answers."`
	Limit   int    `name:"limit" placeholder:"N" default:"20" help:"Maximum number of entries, up to 1000."`
	Before  uint64 `name:"before" placeholder:"NUMBER" help:"Only entries before this one."`
}

// Run prints the history.
func (h *historyCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if h.Number != 0 {
		entry, err := a.Entry(ctx, h.Number)
		return show(c, entry, err, c.Entry)
	}
	entries, err := a.History(ctx, api.HistoryQuery{Before: h.Before, Limit: h.Limit, Service: h.Service, Operator: h.By, Routes: h.Routes, Words: h.Search, Significant: !h.All})
	none, filtered := "No entries yet.", h.Service+h.By+h.Search != "" || h.Routes
	if filtered {
		none = "No entry is like that."
	}
	text := c.Entries
	if h.Before != 0 {
		text = c.OlderEntries
	}
	err = list(c, entries, err, orNote(c, none, text))
	if err == nil && c.Format != "json" && len(entries.Items) > 0 && !h.All && !filtered {
		c.LeftOut(entries.Items)
	}
	return err
}

func short12(hash string) string { return hash[:min(12, len(hash))] }

type diffCommand struct {
	From string `arg:"" help:"Number of an entry, or live."`
	To   string `arg:"" optional:"" default:"live" help:"Number of an entry, or live."`
}

// Run prints what differs between two entries.
func (d *diffCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	from, err := entryNumber(d.From)
	if err != nil {
		return err
	}
	to, err := entryNumber(d.To)
	if err != nil {
		return err
	}
	diff, err := a.Diff(ctx, from, to)
	return noIf(show(c, diff, err, c.Diff), !diff.Same)
}

// entryNumber reads the number of an entry; zero for live.
func entryNumber(text string) (uint64, error) {
	if text == "live" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usageError{fmt.Errorf("%q is neither the number of an entry nor live", text)}
	}
	return n, nil
}

type planCommand struct {
	Files    []string `name:"file" short:"f" sep:"none" placeholder:"PATH" help:"Compose file, stack file or services file. Repeatable; later ones override earlier ones."`
	Labels   []string `name:"label" sep:"none" placeholder:"NAME=KEY=VALUE" help:"Label that a service or container would have; without =VALUE it would be gone. Repeatable."`
	Remove   []string `name:"remove" placeholder:"NAME" help:"Service or container that would be gone. Repeatable."`
	Project  string   `name:"project" short:"p" placeholder:"NAME" help:"Name of the Compose project or the stack. Default: as Compose finds it."`
	Stack    bool     `name:"stack" help:"The files are deployed with docker stack deploy. Implied where only a Swarm is watched."`
	Source   string   `name:"source" placeholder:"NAME" help:"Source that would see it, where there are several; see: fairway sources."`
	Prune    bool     `name:"prune" help:"Services of the project that the files do not name would be removed, as with --prune or --remove-orphans."`
	Detailed bool     `name:"detailed-exitcode" help:"Exit with 0 when nothing would change, 2 when something would, 1 when there would be new problems or the plan failed."`
}

// Run plans.
func (p *planCommand) Run(ctx context.Context, c *cli) error {
	found, err := p.ask(ctx, c)
	if err == nil {
		err = c.Print(found, func() { c.Plan(found) })
	}
	switch {
	case err != nil && p.Detailed:
		c.Fail(err)
		return errNo
	case err != nil:
		return err
	case len(found.Problems) > 0:
		return errNo
	case found.Changes && p.Detailed:
		return errChanges
	}
	return nil
}

// errChanges is the exit code that says that something would change, with
// --detailed-exitcode.
const errChanges console.Exit = 2

func (p *planCommand) ask(ctx context.Context, c *cli) (api.Plan, error) {
	if len(p.Files)+len(p.Labels)+len(p.Remove) == 0 {
		return api.Plan{}, usageError{errors.New("plan what? give -f, --label or --remove")}
	}
	request, err := plan.Request(p.Files, c.environ)
	if err != nil {
		return api.Plan{}, usageError{err}
	}
	for _, text := range p.Labels {
		subject, label, ok := strings.Cut(text, "=")
		key, value, has := strings.Cut(label, "=")
		if !ok || subject == "" || key == "" {
			return api.Plan{}, usageError{fmt.Errorf("label %q: want NAME=KEY=VALUE, or NAME=KEY for a label that would be gone", text)}
		}
		request.Labels = append(request.Labels, api.PlanLabel{Subject: subject, Label: key, Value: value, Remove: !has})
	}
	if p.Project != "" {
		request.Project = p.Project
	}
	request.Remove, request.Source, request.Stack, request.Prune = p.Remove, p.Source, p.Stack, p.Prune
	client, err := c.client()
	if err != nil {
		return api.Plan{}, err
	}
	return client.Plan(ctx, request)
}
