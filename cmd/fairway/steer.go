package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"fairway/internal/api"
)

// why is the flag of every command that an operator gives.
type why struct {
	Message string `name:"message" short:"m" placeholder:"TEXT" help:"Reason, recorded in the history and shown with the command."`
}

// holding are the flags of commands that hold a table.
type holding struct {
	Until     string `name:"until" enum:"released,changed" default:"released" help:"When the hold ends: released (with fairway unpin) or changed (for each service when its labels change)."`
	Endpoints string `name:"endpoints" enum:"recorded,live" default:"recorded" help:"Endpoints to serve: recorded (those of the entry) or live (those that exist now)."`
}

type rollbackCommand struct {
	Entry uint64 `arg:"" help:"Number of the entry; see: fairway history."`
	holding
	why
}

// Run rolls back.
func (r *rollbackCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandRollback, Entry: r.Entry, Until: r.Until, Endpoints: r.Endpoints, Message: r.Message})
}

type pinCommand struct {
	holding
	why
}

// Run pins.
func (p *pinCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandPin, Until: p.Until, Endpoints: p.Endpoints, Message: p.Message})
}

type unpinCommand struct{ why }

// Run ends a pin or rollback.
func (u *unpinCommand) Run(ctx context.Context, c *console, a *api.Client) error {
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
func (d *drainCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandDrain, Subject: d.Subject, Message: d.Message})
}

type undrainCommand struct {
	subject
	why
}

// Run ends a drain.
func (u *undrainCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	return c.takeBack(ctx, a, api.CommandDrain+":"+u.Subject, u.Message)
}

type weightCommand struct {
	subject
	Weight string `arg:"" help:"Weight from 0 to 256, or default for that of the labels."`
	why
}

// Run changes weights.
func (w *weightCommand) Run(ctx context.Context, c *console, a *api.Client) error {
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
func (p *pauseCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	return c.give(ctx, a, api.NewCommand{Kind: api.CommandPause, Subject: p.Service, For: p.For, Message: p.Message})
}

type resumeCommand struct {
	Service string `arg:"" help:"Service, by ID or name."`
	why
}

// Run ends a pause.
func (r *resumeCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	return c.takeBack(ctx, a, api.CommandPause+":service:"+strings.TrimPrefix(r.Service, "service:"), r.Message)
}

// give puts a command in force and prints the result.
func (c *console) give(ctx context.Context, a *api.Client, n api.NewCommand) error {
	given, err := a.Give(ctx, n)
	return show(c, given, err, func(r api.CommandResult) { c.result(r, "In force") })
}

// takeBack ends a command.
func (c *console) takeBack(ctx context.Context, a *api.Client, id, message string) error {
	ended, err := a.TakeBack(ctx, id, message)
	return show(c, ended, err, func(r api.CommandResult) { c.result(r, "Ended") })
}

func (c *console) result(r api.CommandResult, what string) {
	where := ""
	if r.Entry != 0 {
		where = fmt.Sprintf(" (entry %d)", r.Entry)
	}
	c.printf("%s: %s%s\n", what, r.Command.Text, where)
	for _, remark := range r.Remarks {
		c.note("Note: %s", remark)
	}
}

type commandsCommand struct{}

// Run lists the commands in force.
func (*commandsCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	found, err := a.Commands(ctx)
	return list(c, found, err, c.commands)
}

func (c *console) commands(commands []api.Command) {
	if len(commands) == 0 {
		c.note("No commands in force.")
		return
	}
	t := c.columns("COMMAND", "BY", "SINCE", "REASON", "+ID", "+HOLDS")
	for _, k := range commands {
		t.add(k.Text, k.Operator, k.Since, k.Message, k.ID, strings.Join(k.Services, " "))
	}
	t.print()
}
