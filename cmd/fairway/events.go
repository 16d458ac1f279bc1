package main

import (
	"context"
	"slices"

	"fairway/internal/api"
)

type eventsCommand struct {
	Kind     string `name:"kind" placeholder:"KIND" help:"Only events of kinds that begin with this, such as node."`
	Subject  string `name:"subject" placeholder:"NAME" help:"Only events about this subject, by ID or name."`
	Standing bool   `name:"standing" help:"Only active conditions: what began and is not over."`
	Severity string `name:"severity" placeholder:"SEVERITY" help:"Only events of this severity: good, bad, warning or neutral."`
	Limit    int    `name:"limit" placeholder:"N" default:"50" help:"Maximum number of events."`
}

// Run prints the events.
func (f *eventsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Events(ctx, api.EventQuery{Kind: f.Kind, Subject: f.Subject, Standing: f.Standing, Severity: f.Severity, Limit: f.Limit})
	return list(c, found, err, orNote(c, "No events.", c.Events))
}

type notifyCommand struct {
	Channels notifyChannelsCommand `cmd:"" help:"List the channels and their state."`
	Outbox   notifyOutboxCommand   `cmd:"" help:"List pending events."`
	Test     notifyTestCommand     `cmd:"" help:"Send a test event on a channel."`
}

type notifyChannelsCommand struct{}

// Run prints the channels.
func (notifyChannelsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Channels(ctx)
	return noIf(list(c, found, err, orNote(c, "No channels: notify.channels names none.", c.Channels)), slices.ContainsFunc(found.Items, func(ch api.Channel) bool { return ch.Error != "" }))
}

type notifyOutboxCommand struct {
	Channel string `arg:"" optional:"" help:"Only events for this channel."`
	Limit   int    `name:"limit" placeholder:"N" default:"50" help:"Maximum number of events for each channel."`
}

// Run prints the pending events.
func (f *notifyOutboxCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	channels := api.List[api.Channel]{Items: []api.Channel{{Name: f.Channel}}}
	if f.Channel == "" {
		var err error
		if channels, err = a.Channels(ctx); err != nil {
			return err
		}
	}
	pending, some := map[string][]api.Event{}, false
	for _, ch := range channels.Items {
		found, err := a.Pending(ctx, ch.Name, f.Limit)
		if err != nil {
			return err
		}
		pending[ch.Name] = found.Items
		some = some || len(found.Items) > 0
	}
	return noIf(c.Print(pending, func() { c.Pending(pending) }), some)
}

type notifyTestCommand struct {
	Channel string `arg:"" help:"Name of the channel."`
}

// Run sends a test event.
func (f *notifyTestCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.done(a.TestChannel(ctx, f.Channel))
}

type rulesCommand struct{}

// Run prints the rules with their state.
func (rulesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Rules(ctx)
	return noIf(list(c, found, err, orNote(c, "No rules: the key rules names none.", c.Rules)), slices.ContainsFunc(found.Items, func(r api.RuleState) bool { return !r.Fired.IsZero() }))
}
