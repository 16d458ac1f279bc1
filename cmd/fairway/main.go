// Command fairway is a reverse proxy that configures itself from the labels of
// containers.
package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"fairway/internal/app"
	"fairway/internal/demo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal asks politely; from then on the next one kills.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Environ()))
}

type runCommand struct {
	configFlags `embed:""`
}

// Run serves until ctx ends.
func (r *runCommand) Run(ctx context.Context, c *cli, p *parser) error {
	loaded, err := r.load(c, p)
	if err != nil {
		return err
	}
	logger := newLogger(c.Err, loaded.Log)
	// net/http reports what an endpoint says unasked through the standard
	// logger: it must not write raw lines beside ours.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(logger.Handler(), slog.LevelDebug).Writer())
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(interrupted, stop) // the second one ends at once
	a, err := app.New(loaded.Config, app.Options{
		Logger:  logger,
		Stdout:  c.Out,
		Environ: c.environ,
		Version: thisBuild().Version,
		// The end of process 1 is the end of everything in its container.
		Outlive: func() bool { return os.Getpid() != 1 && interrupted.Err() == nil },
	})
	if err != nil {
		return err
	}
	return a.Run(ctx)
}

func newLogger(w io.Writer, cfg app.LogConfig) *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(cfg.Level)) // Validated; info otherwise.
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

type demoCommand struct{ demo.Options }

// Run runs the command.
func (d *demoCommand) Run(ctx context.Context, c *cli) error {
	// A reader that goes away must not kill the demo before it has tidied up.
	signal.Ignore(syscall.SIGPIPE)
	d.Out, d.Logger = c.Out, slog.New(slog.NewTextHandler(c.Err, &slog.HandlerOptions{Level: slog.LevelError}))
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
