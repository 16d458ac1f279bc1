package main

import (
	"context"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"

	"fairway/internal/app"
)

type runCommand struct {
	configFlags `embed:""`
}

// Help implements kong.HelpProvider.
func (runCommand) Help() string {
	return `Without any flag it watches the local Docker engine and serves port 80, or 8000 where port 80 needs rights it does not have.

    fairway run
    fairway run --docker unix:///var/run/docker.sock --docker ssh://ops@edge2.example.com
    fairway run --file services.yml --listen 127.0.0.1:8000
    fairway run --tls.certificates cert.pem,key.pem --access-log -

SIGTERM and SIGINT drain: /ready answers 503, nothing new is accepted, and running requests may finish within drain-timeout; the admin API goes last. A second signal ends at once.`
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
