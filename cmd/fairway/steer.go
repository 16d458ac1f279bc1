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
	Message string `name:"message" short:"m" placeholder:"TEXT" help:"Why; stands in the history and wherever the command shows."`
}

// holding are the flags of commands that hold a table.
type holding struct {
	Until     string `name:"until" enum:"released,changed" default:"released" help:"When it ends: released holds everything until fairway unpin, changed holds each service until its labels change."`
	Endpoints string `name:"endpoints" enum:"recorded,live" default:"recorded" help:"Which endpoints: recorded takes those of the entry, live those that exist today."`
}

type rollbackCommand struct {
	Entry uint64 `arg:"" help:"Number of the entry; see: fairway history."`
	holding
	why
}

// Help implements kong.HelpProvider.
func (rollbackCommand) Help() string {
	return `What was served then is served again, byte for byte, endpoints included; containers that have gone since are not brought back, which --endpoints live leaves out. It holds across restarts until it ends, which fairway commands shows.

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
	return `What is served now stays, whatever the labels say. With --endpoints live, instances still come and go.

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
	Subject string `arg:"" help:"Service, instance or node, by ID or name; service:, instance: or node: in front says which is meant."`
}

type drainCommand struct {
	subject
	why
}

// Help implements kong.HelpProvider.
func (drainCommand) Help() string {
	return `It gets nothing new and finishes what it has; clients that stick to it move on. It stays drained, also across restarts and when an instance of the same name takes its place, until fairway undrain.

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
	Weight string `arg:"" help:"0 to 256, or default for what its labels say."`
	why
}

// Help implements kong.HelpProvider.
func (weightCommand) Help() string {
	return `The share of requests, relative to the other endpoints of a route; 1 is usual. With 0 it gets no clients but those that stick to it.

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
	For     string `name:"for" placeholder:"DURATION" default:"30s" help:"How long requests wait at most; the pause ends by itself then. 1s to 10m."`
	why
}

// Help implements kong.HelpProvider.
func (pauseCommand) Help() string {
	return `Requests for the service wait, and go on when it is resumed; those that are running finish. For a change that takes seconds, such as a database that moves.

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

// give puts a command in force and says what came of it.
func (c *console) give(ctx context.Context, n api.NewCommand) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	result, err := client.Give(ctx, n)
	if err != nil {
		return err
	}
	return c.print(result, func() { c.result(result, "In force") })
}

// takeBack ends a command.
func (c *console) takeBack(ctx context.Context, id, message string) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	result, err := client.TakeBack(ctx, id, message)
	if err != nil {
		return err
	}
	return c.print(result, func() { c.result(result, "Ended") })
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
	return `What operators asked for and is in force: rollbacks and pins, drains, weights, pauses, with who and why.

    fairway commands`
}

// Run lists the commands in force.
func (*commandsCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.Commands(ctx)
	if err != nil {
		return err
	}
	return c.print(list, func() { c.commands(list.Items) })
}

func (c *console) commands(commands []api.Command) {
	if len(commands) == 0 {
		c.note("No commands in force.")
		return
	}
	header := []string{"COMMAND", "BY", "SINCE", "WHY"}
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
