package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
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

// Help implements kong.HelpProvider.
func (rollbackCommand) Help() string {
	return `Serves the table of an entry again, endpoints included, and holds it. The hold survives restarts; fairway commands lists it. Containers that are gone are not started again: use --endpoints live when instances have changed since.

    fairway rollback 12 -m "the new shop is broken"
    fairway rollback 12 --until changed
    fairway unpin`
}

// Run rolls back.
func (r *rollbackCommand) Run(ctx context.Context, c *console) error {
	return c.give(ctx, api.NewCommand{Kind: api.CommandRollback, Entry: r.Entry, Until: r.Until, Endpoints: r.Endpoints, Message: r.Message})
}

type pinCommand struct {
	holding
	why
}

// Help implements kong.HelpProvider.
func (pinCommand) Help() string {
	return `Labels have no effect until the pin ends. With --endpoints live, instances still come and go.

    fairway pin --endpoints live -m "no changes before the sale"
    fairway unpin`
}

// Run pins.
func (p *pinCommand) Run(ctx context.Context, c *console) error {
	return c.give(ctx, api.NewCommand{Kind: api.CommandPin, Until: p.Until, Endpoints: p.Endpoints, Message: p.Message})
}

type unpinCommand struct{ why }

// Run ends a pin or rollback.
func (u *unpinCommand) Run(ctx context.Context, c *console) error {
	return c.takeBack(ctx, api.HoldID, u.Message)
}

// subject is the argument that names what a command is about.
type subject struct {
	Subject string `arg:"" help:"Service, instance or node, by ID or name. Prefix service:, instance: or node: to say which."`
}

type drainCommand struct {
	subject
	why
}

// Help implements kong.HelpProvider.
func (drainCommand) Help() string {
	return `Stops new requests; running ones finish, and sticky clients move on. The drain survives restarts of Fairway and of the instance. It ends with fairway undrain.

    fairway drain shop-3 -m "memory leak"
    fairway drain node:edge2 -m "new kernel"`
}

// Run drains.
func (d *drainCommand) Run(ctx context.Context, c *console) error {
	return c.give(ctx, api.NewCommand{Kind: api.CommandDrain, Subject: d.Subject, Message: d.Message})
}

type undrainCommand struct {
	subject
	why
}

// Run ends a drain.
func (u *undrainCommand) Run(ctx context.Context, c *console) error {
	return c.takeBack(ctx, api.CommandDrain+":"+u.Subject, u.Message)
}

type weightCommand struct {
	subject
	Weight string `arg:"" help:"Weight from 0 to 256, or default for that of the labels."`
	why
}

// Help implements kong.HelpProvider.
func (weightCommand) Help() string {
	return `Sets the share of requests relative to the other endpoints of a route. The default is 1. With 0 only sticky clients get there.

    fairway weight shop-3 10
    fairway weight shop-3 default`
}

// Run changes weights.
func (w *weightCommand) Run(ctx context.Context, c *console) error {
	if w.Weight == "default" {
		return c.takeBack(ctx, api.CommandWeight+":"+w.Subject, w.Message)
	}
	n, err := strconv.Atoi(w.Weight)
	if err != nil {
		return usageError{fmt.Errorf("weight %q: want 0 to 256, or default", w.Weight)}
	}
	return c.give(ctx, api.NewCommand{Kind: api.CommandWeight, Subject: w.Subject, Weight: &n, Message: w.Message})
}

type pauseCommand struct {
	Service string `arg:"" help:"Service, by ID or name."`
	For     string `name:"for" placeholder:"DURATION" default:"30s" help:"Maximum time that requests wait, from 1s to 10m. The pause then ends."`
	why
}

// Help implements kong.HelpProvider.
func (pauseCommand) Help() string {
	return `Holds new requests until fairway resume; running ones finish. For a change that takes seconds, such as moving a database.

    fairway pause shop --for 1m -m "database moves"
    fairway resume shop`
}

// Run pauses.
func (p *pauseCommand) Run(ctx context.Context, c *console) error {
	return c.give(ctx, api.NewCommand{Kind: api.CommandPause, Subject: p.Service, For: p.For, Message: p.Message})
}

type resumeCommand struct {
	Service string `arg:"" help:"Service, by ID or name."`
	why
}

// Run ends a pause.
func (r *resumeCommand) Run(ctx context.Context, c *console) error {
	return c.takeBack(ctx, api.CommandPause+":service:"+strings.TrimPrefix(r.Service, "service:"), r.Message)
}

// give puts a command in force and prints the result.
func (c *console) give(ctx context.Context, n api.NewCommand) error {
	_, err := ask(c, func(a *api.Client) (api.CommandResult, error) { return a.Give(ctx, n) },
		func(r api.CommandResult) { c.result(r, "In force") })
	return err
}

// takeBack ends a command.
func (c *console) takeBack(ctx context.Context, id, message string) error {
	_, err := ask(c, func(a *api.Client) (api.CommandResult, error) { return a.TakeBack(ctx, id, message) },
		func(r api.CommandResult) { c.result(r, "Ended") })
	return err
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

// Help implements kong.HelpProvider.
func (commandsCommand) Help() string {
	return `Rollbacks, pins, drains, weights and pauses in force, with operator and reason.

    fairway commands`
}

// Run lists the commands in force.
func (*commandsCommand) Run(ctx context.Context, c *console) error {
	_, err := list(c, func(a *api.Client) (api.List[api.Command], error) { return a.Commands(ctx) }, c.commands)
	return err
}

func (c *console) commands(commands []api.Command) {
	if len(commands) == 0 {
		c.note("No commands in force.")
		return
	}
	header := []string{"COMMAND", "BY", "SINCE", "REASON"}
	if c.wide() {
		header = append(header, "ID", "HOLDS")
	}
	var rows [][]cell
	for _, k := range commands {
		row := []cell{text(k.Text), text(k.Operator), text(human.Time(k.Since)), text(k.Message)}
		if c.wide() {
			row = append(row, text(k.ID), text(strings.Join(k.Services, " ")))
		}
		rows = append(rows, row)
	}
	c.table("", header, rows)
}
