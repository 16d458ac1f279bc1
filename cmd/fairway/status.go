package main

import (
	"context"
	"errors"
	"time"

	"fairway/internal/api"
)

type statusCommand struct{ watching }

// Run prints what is wrong now.
func (s *statusCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return s.show(ctx, c, a, false, func() error {
		found, err := a.Status(ctx)
		return noIf(show(c, found, err, c.Status), found.State != api.StateHealthy)
	})
}

// watching is the flag of commands that can show their answer again and again.
type watching struct {
	Watch bool `name:"watch" short:"w" help:"Show it again on every change, until interrupted."`
}

// show prints an answer once; with --watch on every change until ctx ends, with traffic
// every second. What watches has no negative result, and waits for a Fairway that has gone.
func (w watching) show(ctx context.Context, c *cli, a *api.Client, traffic bool, once func() error) error {
	if !w.Watch {
		return once()
	}
	shown := false
	for {
		err := a.Watch(ctx, traffic, func(api.Change) error {
			err := c.Redraw(func() error {
				if err := once(); !errors.Is(err, errNo) {
					return err
				}
				return nil
			})
			shown = shown || err == nil
			return err
		})
		if ctx.Err() != nil {
			return nil // to stop is how it ends
		}
		if !shown || !errors.Is(err, api.ErrNoAnswer) && !errors.Is(err, api.ErrStreamEnded) {
			return err
		}
		c.Note("%v; trying again", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}
