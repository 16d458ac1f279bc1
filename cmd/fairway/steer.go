package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
	"fairway/internal/plan"
	"fairway/internal/printer"
)

type why struct {
	Message string `name:"message" short:"m" placeholder:"TEXT" help:"Reason, recorded in the history and shown with the command."`
}

type holding struct {
	Until     string `name:"until" enum:"released,changed" default:"released" help:"How long it holds: released (until you end it with fairway unpin) or changed (each service until its labels change)."`
	Endpoints string `name:"endpoints" enum:"live,recorded" default:"live" help:"Endpoints to serve: live (those of today, also as they come and go) or recorded (those of the entry whose container still has the address)."`
}

type rollbackCommand struct {
	Entry uint64 `arg:"" help:"Number of the entry; see: fairway history."`
	holding
	why
}

// Run rolls back.
func (r *rollbackCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandRollback, Entry: r.Entry, Until: r.Until, Endpoints: r.Endpoints, Message: r.Message})
}

type pinCommand struct {
	holding
	why
}

// Run pins.
func (p *pinCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandPin, Until: p.Until, Endpoints: p.Endpoints, Message: p.Message})
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

func (c *cli) give(ctx context.Context, a *api.Client, n api.NewCommand) error {
	given, err := a.Give(ctx, n)
	return show(c, given, err, func(r api.CommandResult) { c.result(r, "In force") })
}

func (c *cli) takeBack(ctx context.Context, a *api.Client, id, message string) error {
	ended, err := a.TakeBack(ctx, id, message)
	return show(c, ended, err, func(r api.CommandResult) { c.result(r, "Ended") })
}

func (c *cli) result(r api.CommandResult, what string) {
	where := ""
	if r.Entry != 0 {
		where = fmt.Sprintf(" (entry %d)", r.Entry)
	}
	c.Printf("%s: %s%s\n", what, r.Command.Text, where)
	for _, remark := range r.Remarks {
		c.Note("Note: %s", remark)
	}
}

type commandsCommand struct{}

// Run lists the commands in force.
func (*commandsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Commands(ctx)
	return list(c, found, err, orNote(c, "No commands in force.", c.commands))
}

func (c *cli) commands(commands []api.Command) {
	t := c.Columns("COMMAND", "-BY", "SINCE", "REASON", "+ID", "+HOLDS")
	for _, k := range commands {
		t.Add(k.Text, k.Operator, k.Since, k.Message, k.ID, strings.Join(k.Services, " "))
	}
	t.Print()
}

type historyCommand struct {
	Number  uint64 `arg:"" optional:"" help:"Entry to show with its changes, instead of the list."`
	Service string `name:"service" placeholder:"NAME" help:"Only entries that concern this service, by ID or name."`
	By      string `name:"by" placeholder:"OPERATOR" help:"Only what this operator did; '*' is any."`
	Routes  bool   `name:"routes" help:"Only entries that changed routes."`
	Search  string `name:"search" placeholder:"WORDS" help:"Only entries that have all of these words in what they say."`
	Limit   int    `name:"limit" placeholder:"N" default:"20" help:"Maximum number of entries, up to 1000."`
	Before  uint64 `name:"before" placeholder:"NUMBER" help:"Only entries before this one."`
}

// Run prints the history.
func (h *historyCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if h.Number != 0 {
		entry, err := a.Entry(ctx, h.Number)
		return show(c, entry, err, c.entry)
	}
	entries, err := a.History(ctx, api.HistoryQuery{Before: h.Before, Limit: h.Limit, Service: h.Service, Operator: h.By, Routes: h.Routes, Words: h.Search})
	return list(c, entries, err, orNote(c, "No entries yet.", c.entries))
}

func (c *cli) entries(entries []api.Entry) {
	t := c.Columns("ENTRY", "TIME", "ROUTES", "+BACKENDS", "+HASH", "CAUSE")
	for _, e := range entries {
		number := console.Plain.Cell(strconv.FormatUint(e.Number, 10))
		if e.Live {
			number = console.Good.Cell(number.Text + " live")
		}
		t.Add(number, e.Time, counts(e.Routes), counts(e.Backends), short12(e.Hash), e.Cause)
	}
	t.Print()
}

func short12(hash string) string { return hash[:min(12, len(hash))] }

// counts writes numbers of changes: "+1 ~2 -1", or "-" for none.
func counts(n api.Counts) string {
	var words []string
	for _, part := range []struct {
		sign string
		n    int
	}{{"+", n.Added}, {"~", n.Changed}, {"-", n.Removed}} {
		if part.n > 0 {
			words = append(words, part.sign+strconv.Itoa(part.n))
		}
	}
	if words == nil {
		return "-"
	}
	return strings.Join(words, " ")
}

func (c *cli) entry(e api.EntryDetail) {
	var f console.Fields
	f.Add("entry", console.Bold.Cell(strconv.FormatUint(e.Number, 10)))
	f.Add("time", e.Time)
	f.Add("cause", e.Cause)
	f.Add("operator", e.Operator)
	f.Add("command", e.Command)
	f.Add("message", e.Message)
	f.Add("hash", e.Hash)
	if e.Live {
		f.Add("live", console.Good.Cell("yes"))
	}
	var all []string
	for _, s := range e.Seen {
		all = append(all, seen(s))
	}
	f.Lines("seen", all)
	if e.Omitted > 0 {
		f.Add("", fmt.Sprintf("and %d more", e.Omitted))
	}
	c.Fields("", f)
	c.Printf("\n")
	c.differences(e.Diff)
}

// seen puts into a line what was seen.
func seen(s api.Seen) string {
	line := s.Kind
	for _, w := range []struct{ name, value string }{{"source", s.Source}, {"service", s.Service}, {"instance", s.Instance}, {"label", s.Label}, {"from", s.From}, {"to", s.To}} {
		if w.value != "" {
			line += ", " + w.name + " " + w.value
		}
	}
	return line
}

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
	return noIf(show(c, diff, err, c.differences), !diff.Same)
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

func (c *cli) differences(d api.Diff) {
	if len(d.Listeners)+len(d.Routes)+len(d.Backends)+len(d.Problems) == 0 {
		c.Note("Nothing differs.")
		return
	}
	c.changed("listener", d.Listeners)
	c.changed("route", d.Routes)
	c.changed("backend", d.Backends)
	c.changed("problem", d.Problems)
}

func (c *cli) changed(what string, list []api.DiffChange) {
	for _, x := range list {
		mark, col := "~", console.Doubt
		switch x.Kind {
		case "added":
			mark, col = "+", console.Good
		case "removed":
			mark, col = "-", console.Bad
		}
		c.Raw(c.Paint(col, mark) + " " + what + " " + c.Paint(console.Bold, x.ID))
		for _, line := range x.Lines {
			c.Raw("    " + c.Paint(printer.DiffColour(line), line))
		}
	}
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
		err = c.Print(found, func() { c.plan(found) })
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
const errChanges exit = 2

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

func (c *cli) plan(p api.Plan) {
	c.changed("name", p.Names)
	c.changed("listener", p.Listeners)
	c.changed("route", p.Routes)
	c.changed("backend", p.Backends)
	for _, line := range p.Lines {
		c.Raw(c.Paint(printer.DiffColour(line), line))
	}
	for _, solved := range p.Solved {
		c.Raw(c.Paint(console.Good, "- problem solved") + "  " + human.Escape(solved.Service+" "+solved.Code+": "+solved.Text))
	}
	for _, problem := range p.Problems {
		c.Raw("")
		where := problem.File
		if problem.Line != 0 {
			where = fmt.Sprintf("%s:%d", where, problem.Line)
		}
		c.Raw(strings.TrimSpace(c.Paint(console.Bad, "+ problem") + "  " + c.Paint(console.Bold, where)))
		c.Problem(problem.Problem)
	}
	if len(p.Problems) > 0 {
		c.Raw("")
	}
	for _, remark := range p.Remarks {
		c.Note("Note: %s", remark)
	}
	if !p.Changes {
		c.Note("Nothing would change.")
		return
	}
	c.Note("%s, %s, %s would change; %s would come, %d would go", human.Plural(len(p.Routes), "route"), human.Plural(len(p.Backends), "backend"),
		human.Plural(len(p.Listeners), "listener"), human.Plural(len(p.Problems), "problem"), len(p.Solved))
}
