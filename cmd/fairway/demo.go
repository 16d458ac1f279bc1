package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"fairway/internal/demo"
)

// demoCommand is `fairway demo`.
type demoCommand struct{ demo.Options }

// Run runs the command.
func (d *demoCommand) Run(ctx context.Context, c *console) error {
	// A reader that goes away must not kill the demo before it has tidied up.
	signal.Ignore(syscall.SIGPIPE)
	d.Out, d.Logger = c.out, slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelError}))
	return demo.Run(ctx, d.Options)
}

// whoamiCommand is `fairway whoami`, the service of the demo and of the
// end-to-end tests.
type whoamiCommand struct {
	demo.WhoamiOptions
	Check      bool `name:"check" help:"Ask the health path of one that listens, and end: the HEALTHCHECK of an image."`
	UntilStdin bool `name:"until-stdin-closes" help:"Stop when standard input ends, which it does when the parent dies."`
}

// Run runs the command.
func (w *whoamiCommand) Run(ctx context.Context) error {
	if w.Check {
		return demo.CheckWhoami(ctx, w.WhoamiOptions)
	}
	if w.UntilStdin {
		var stop context.CancelFunc
		ctx, stop = context.WithCancel(ctx)
		defer stop()
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	return demo.Whoami(ctx, w.WhoamiOptions)
}
