package main

import (
	"context"

	"fairway/internal/api"
)

type statusCommand struct{}

// Run prints what is wrong now.
func (*statusCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Status(ctx)
	return noIf(show(c, found, err, c.Status), found.State != api.StateHealthy)
}
