package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

type eventsCommand struct {
	Kind     string `name:"kind" placeholder:"KIND" help:"Only events of kinds that begin with this, such as node."`
	Subject  string `name:"subject" placeholder:"NAME" help:"Only events about this subject, by ID or name."`
	Standing bool   `name:"standing" help:"Only active conditions: what began and is not over."`
	Limit    int    `name:"limit" placeholder:"N" default:"50" help:"Maximum number of events."`
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
	_, err := list(c, func(a *api.Client) (api.List[api.Event], error) {
		return a.Events(ctx, api.EventQuery{Kind: f.Kind, Subject: f.Subject, Standing: f.Standing, Limit: f.Limit})
	}, func(events []api.Event) { c.events(events, "No events.") })
	return err
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
	Channels notifyChannelsCommand `cmd:"" help:"List the channels and their state."`
	Outbox   notifyOutboxCommand   `cmd:"" help:"List pending events."`
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
	found, err := list(c, func(a *api.Client) (api.List[api.Channel], error) { return a.Channels(ctx) }, c.channels)
	return noIf(err, slices.ContainsFunc(found, func(ch api.Channel) bool { return ch.Error != "" }))
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
	c.table("", []string{"CHANNEL", "KIND", "RECEIVER", "PENDING", "DROPPED", "STATE"}, rows)
}

type notifyOutboxCommand struct {
	Channel string `arg:"" optional:"" help:"Only events for this channel."`
	Limit   int    `name:"limit" placeholder:"N" default:"50" help:"Maximum number of events for each channel."`
}

// Help implements kong.HelpProvider.
func (notifyOutboxCommand) Help() string {
	return `Events are delivered in the order of the list. The exit code is 1 when events are pending.

    fairway notify outbox
    fairway notify outbox ops`
}

// Run prints the pending events.
func (f *notifyOutboxCommand) Run(ctx context.Context, c *console) error {
	pending, err := ask(c, func(a *api.Client) (map[string][]api.Event, error) { return f.pending(ctx, a) }, func(pending map[string][]api.Event) {
		for _, name := range slices.Sorted(maps.Keys(pending)) {
			c.printf("%s\n", name)
			c.events(pending[name], "Nothing is pending for "+name+".")
		}
	})
	return noIf(err, len(slices.Concat(slices.Collect(maps.Values(pending))...)) > 0)
}

func (f *notifyOutboxCommand) pending(ctx context.Context, client *api.Client) (map[string][]api.Event, error) {
	channels := []api.Channel{{Name: f.Channel}}
	if f.Channel == "" {
		found, err := client.Channels(ctx)
		if err != nil {
			return nil, err
		}
		channels = found.Items
	}
	pending := map[string][]api.Event{}
	for _, ch := range channels {
		found, err := client.Pending(ctx, ch.Name, f.Limit)
		if err != nil {
			return nil, err
		}
		pending[ch.Name] = found.Items
	}
	return pending, nil
}

type notifyTestCommand struct {
	Channel string `arg:"" help:"Name of the channel."`
}

// Help implements kong.HelpProvider.
func (notifyTestCommand) Help() string {
	return `The running Fairway sends it, ahead of pending events. The exit code is 4 when the receiver refuses it.

    fairway notify test ops`
}

// Run sends a test event.
func (f *notifyTestCommand) Run(ctx context.Context, c *console) error {
	return c.done(func(a *api.Client) (api.Done, error) { return a.TestChannel(ctx, f.Channel) })
}

type rulesCommand struct{}

// Help implements kong.HelpProvider.
func (rulesCommand) Help() string {
	return `The exit code is 1 when a rule has fired.

    fairway rules
    fairway rules -o json`
}

// Run prints the rules with their state.
func (rulesCommand) Run(ctx context.Context, c *console) error {
	found, err := list(c, func(a *api.Client) (api.List[api.RuleState], error) { return a.Rules(ctx) }, c.rules)
	return noIf(err, slices.ContainsFunc(found, func(r api.RuleState) bool { return !r.Fired.IsZero() }))
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
