package main

import (
	"context"
	"fmt"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

type eventsCommand struct {
	Kind     string `name:"kind" placeholder:"KIND" help:"Only events of this kind, or of all that begin with it: node."`
	Subject  string `name:"subject" placeholder:"NAME" help:"Only events about this subject, or what a person calls it."`
	Standing bool   `name:"standing" help:"Only what is wrong now: what began something that is not over."`
	Limit    int    `name:"limit" placeholder:"N" default:"50" help:"How many at most."`
}

// Help implements kong.HelpProvider.
func (eventsCommand) Help() string {
	return `The newest come first.

    fairway events
    fairway events --standing
    fairway events --kind node. -o json`
}

// Run prints the events.
func (f *eventsCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.Events(ctx, api.EventQuery{Kind: f.Kind, Subject: f.Subject, Standing: f.Standing, Limit: f.Limit})
	if err != nil {
		return err
	}
	return c.print(list, func() { c.events(list.Items, "No events.") })
}

func severityColour(severity string) colour {
	switch severity {
	case api.SeverityGood:
		return good
	case api.SeverityBad:
		return bad
	}
	return plain
}

func (c *console) events(events []api.Event, none string) {
	if len(events) == 0 {
		c.note("%s", none)
		return
	}
	header := []string{"AT", "KIND", "WHAT"}
	if c.wide() {
		header = append(header, "SUBJECT", "ID")
	}
	var rows [][]cell
	for _, e := range events {
		row := []cell{text(human.Time(e.At)), {e.Kind, severityColour(e.Severity)}, text(e.Text)}
		if c.wide() {
			row = append(row, text(e.Subject), text(e.ID))
		}
		rows = append(rows, row)
	}
	c.table("", header, rows)
}

type notifyCommand struct {
	Channels notifyChannelsCommand `cmd:"" help:"List the channels and how they are doing."`
	Outbox   notifyOutboxCommand   `cmd:"" help:"List what waits to be delivered."`
	Test     notifyTestCommand     `cmd:"" help:"Send a test event on a channel."`
}

type notifyChannelsCommand struct{}

// Help implements kong.HelpProvider.
func (notifyChannelsCommand) Help() string {
	return `The exit code is 1 when the last delivery on a channel failed.

    fairway notify channels`
}

// Run prints the channels.
func (notifyChannelsCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.Channels(ctx)
	if err != nil {
		return err
	}
	if err := c.print(list, func() { c.channels(list.Items) }); err != nil {
		return err
	}
	for _, ch := range list.Items {
		if ch.Error != "" {
			return errNo
		}
	}
	return nil
}

func (c *console) channels(channels []api.Channel) {
	if len(channels) == 0 {
		c.note("No channels: notify.channels names none.")
		return
	}
	var rows [][]cell
	for _, ch := range channels {
		state := cell{"never used", plain}
		switch {
		case ch.Error != "":
			state = cell{ch.Error, bad}
		case !ch.LastSuccess.IsZero():
			state = cell{"delivered " + human.Time(ch.LastSuccess), good}
		}
		rows = append(rows, []cell{text(ch.Name), text(ch.Kind), text(ch.Receiver), text(fmt.Sprint(ch.Pending)), text(fmt.Sprint(ch.Lost)), state})
	}
	c.table("", []string{"CHANNEL", "KIND", "RECEIVER", "PENDING", "LOST", "STATE"}, rows)
}

type notifyOutboxCommand struct {
	Channel string `arg:"" optional:"" help:"Only what waits for this channel."`
	Limit   int    `name:"limit" placeholder:"N" default:"50" help:"How many of each channel at most."`
}

// Help implements kong.HelpProvider.
func (notifyOutboxCommand) Help() string {
	return `Events go out in the order of the list. The exit code is 1 when something waits.

    fairway notify outbox
    fairway notify outbox ops`
}

// Run prints what waits.
func (f *notifyOutboxCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	names := []string{f.Channel}
	if f.Channel == "" {
		names = nil
		list, err := client.Channels(ctx)
		if err != nil {
			return err
		}
		for _, ch := range list.Items {
			names = append(names, ch.Name)
		}
	}
	waiting := map[string][]api.Event{}
	total := 0
	for _, name := range names {
		list, err := client.Pending(ctx, name, f.Limit)
		if err != nil {
			return err
		}
		waiting[name] = list.Items
		total += len(list.Items)
	}
	if err := c.print(waiting, func() {
		for _, name := range names {
			c.printf("%s\n", name)
			c.events(waiting[name], "Nothing waits for "+name+".")
		}
	}); err != nil {
		return err
	}
	if total > 0 {
		return errNo
	}
	return nil
}

type notifyTestCommand struct {
	Channel string `arg:"" help:"Name of the channel."`
}

// Help implements kong.HelpProvider.
func (notifyTestCommand) Help() string {
	return `The running Fairway sends it, past what waits. The exit code is 4 when the receiver does not take it.

    fairway notify test ops`
}

// Run sends a test event.
func (f *notifyTestCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	done, err := client.TestChannel(ctx, f.Channel)
	if err != nil {
		return err
	}
	return c.print(done, func() { c.printf("%s\n", done.Text) })
}

type rulesCommand struct{}

// Help implements kong.HelpProvider.
func (rulesCommand) Help() string {
	return `The exit code is 1 when a rule has fired.

    fairway rules
    fairway rules -o json`
}

// Run prints how the rules stand.
func (rulesCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.Rules(ctx)
	if err != nil {
		return err
	}
	if err := c.print(list, func() { c.rules(list.Items) }); err != nil {
		return err
	}
	for _, r := range list.Items {
		if !r.Fired.IsZero() {
			return errNo
		}
	}
	return nil
}

func (c *console) rules(rules []api.RuleState) {
	if len(rules) == 0 {
		c.note("No rules: the key rules names none.")
		return
	}
	var rows [][]cell
	for _, r := range rules {
		state := cell{"-", plain}
		switch {
		case !r.Fired.IsZero():
			words := []string{"fired " + human.Time(r.Fired)}
			if r.Drained {
				words = append(words, "drained")
			}
			state = cell{strings.Join(words, ", "), bad}
		case !r.Since.IsZero():
			state = cell{"since " + human.Time(r.Since), doubt}
		}
		rows = append(rows, []cell{text(r.Rule), text(r.When), text(r.Do), text(r.Name), text(r.Value), state})
	}
	c.table("", []string{"RULE", "WHEN", "DO", "SUBJECT", "VALUE", "STATE"}, rows)
}
