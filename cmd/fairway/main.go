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
func (r *runCommand) Run(ctx context.Context, c *console, p *parser) error {
	loaded, err := r.load(c, p)
	if err != nil {
		return err
	}
	logger := newLogger(c.err, loaded.Log)
	// net/http reports what an endpoint says unasked through the standard
	// logger: it must not write raw lines beside ours.
	log.SetFlags(0)
	log.SetOutput(slog.NewLogLogger(logger.Handler(), slog.LevelDebug).Writer())
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(interrupted, stop) // the second one ends at once
	a, err := app.New(loaded.Config, app.Options{
		Logger:  logger,
		Stdout:  c.out,
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

// newLogger returns a logger for a valid configuration.
func newLogger(w io.Writer, cfg app.LogConfig) *slog.Logger {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(cfg.Level)) // Validated; info otherwise.
	options := &slog.HandlerOptions{Level: level}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
