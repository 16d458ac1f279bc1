package main

import (
	"context"
	"errors"

	"fairway/internal/api"
	"fairway/internal/tail"
)

type errorsCommand struct {
	Name   string `arg:"" optional:"" help:"Only errors of this service or route, by ID or name."`
	Follow bool   `name:"follow" short:"f" help:"Print errors as they come, until interrupted."`
	Limit  int    `name:"limit" placeholder:"N" default:"20" help:"Maximum number of errors."`
}

// Run prints the last errors.
func (f *errorsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if f.Follow {
		return tail.Requests(ctx, c.Console, a, f.Name, api.RequestQuery{Failed: true})
	}
	found, err := a.Errors(ctx, api.ErrorQuery{Service: f.Name, Limit: f.Limit})
	if tail.IsNotFound(err) && f.Name != "" {
		if second, err2 := a.Errors(ctx, api.ErrorQuery{Route: f.Name, Limit: f.Limit}); err2 == nil {
			found, err = second, nil
		}
	}
	return list(c, found, err, orNote(c, "No errors are kept.", func(items []api.Request) { tail.Errors(c.Console, items) }))
}

type requestsCommand struct {
	Name   string `arg:"" optional:"" help:"Only requests for this service or route, by ID or name."`
	Status string `name:"status" placeholder:"STATUS" help:"Only this status, such as 404, or class, such as 5xx."`
	Failed bool   `name:"failed" help:"Only requests that failed."`
}

// Run prints requests until it is interrupted.
func (f *requestsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return tail.Requests(ctx, c.Console, a, f.Name, api.RequestQuery{Status: f.Status, Failed: f.Failed})
}

type logsCommand struct {
	Name   string `arg:"" help:"A service, or one of its instances by name or ID."`
	Follow bool   `name:"follow" short:"f" help:"Go on with the lines that come, until interrupted."`
	Tail   int    `name:"tail" short:"n" placeholder:"N" default:"100" help:"How many of the newest lines of each instance, up to 2000."`
}

// Run prints the lines.
func (f *logsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if f.Tail < 1 || f.Tail > 2000 {
		return usageError{errors.New("--tail: from 1 to 2000")}
	}
	return tail.Logs(ctx, c.Console, a, f.Name, f.Tail, f.Follow)
}
