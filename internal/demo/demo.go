// Package demo shows Fairway at work on a machine that has nothing prepared:
// it starts a few labelled services, runs the whole program in-process in front
// of them, makes requests while they come, grow and go, and leaves nothing
// behind. With a Docker Engine the services are containers of an image that is
// built from scratch around this very program; without one they are processes
// and a services file.
//
// Whoami, the service that is shown, is also what the end-to-end tests run.
package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"fairway/internal/app"
)

// Options say how to show what. Only Out is required.
type Options struct {
	// Out is where the tour is printed.
	Out io.Writer
	// Docker is the URL of the Docker Engine to use; empty means what `docker`
	// itself would use: DOCKER_HOST, else the local socket.
	Docker string
	// Processes uses processes also when an engine answers.
	Processes bool
	// Engine is the name of the engine to serve with; empty means the default.
	Engine string
	// Listen and Admin are the addresses for requests and for the admin API. A
	// port that is taken is replaced by a free one. Empty means 127.0.0.1:8000
	// and 127.0.0.1:8080.
	Listen, Admin string
	// Once ends the demo after the tour, with an error if a request failed;
	// otherwise it serves until ctx ends.
	Once bool
	// Executable is the program to run as "whoami"; empty means this one.
	Executable string
	// Logger gets the log of Fairway; nil discards it.
	Logger *slog.Logger
}

// tidyTime bounds the cleaning up after ctx has ended.
const tidyTime = 30 * time.Second

// Run shows Fairway at work until ctx ends, or until the tour is over with
// Options.Once. Everything that it started or wrote is gone when it returns; the
// next run removes what a killed one left behind.
func Run(ctx context.Context, o Options) error {
	if err := run(ctx, o); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

func run(ctx context.Context, o Options) (err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Executable == "" {
		if o.Executable, err = os.Executable(); err != nil {
			return err
		}
	}
	dir, err := makeDir()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	cfg, err := configure(ctx, o, dir)
	if err != nil {
		return err
	}
	// A reader that is gone, as with `| head`, ends the demo like Ctrl-C.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &printer{out: o.Out, gone: cancel}
	p.line("Fairway demo\n")
	where, err := newStage(ctx, p, o, &cfg, dir)
	if err != nil {
		return quietly(ctx, err)
	}
	defer func() {
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
		defer cancel()
		p.begin("removing everything the demo has started")
		closed := where.Close(tidy)
		p.done(closed)
		err = errors.Join(err, closed)
	}()

	stop, err := startFairway(ctx, o, cfg)
	if err != nil {
		return quietly(ctx, err)
	}
	defer func() { err = errors.Join(err, quietly(ctx, stop())) }()
	p.line("  Fairway serves http://%s, its admin API http://%s\n", cfg.Listen, cfg.Admin.Listen)

	t := &tour{printer: p, stage: where, address: cfg.Listen, admin: cfg.Admin.Listen, command: commandLine()}
	defer t.close()
	if err := t.show(ctx); err != nil {
		return quietly(ctx, err)
	}
	if o.Once {
		return t.verdict()
	}
	t.invite()
	<-ctx.Done()
	p.line("")
	return nil
}

// quietly drops err once ctx has ended: to be stopped is no failure.
func quietly(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// configure returns the configuration of the Fairway that is shown. The sources
// are left to the stage.
func configure(ctx context.Context, o Options, dir string) (app.Config, error) {
	cfg := app.Defaults()
	if o.Docker != "" {
		cfg.Docker = []string{o.Docker}
	}
	cfg.ListenTLS = app.Off
	cfg.StateDir = filepath.Join(dir, "state")
	cfg.DrainTimeout = 2 * time.Second
	if o.Engine != "" {
		cfg.Engine = o.Engine
	}
	cfg.HAProxy.StopWithFairway = true
	var err error
	if cfg.Listen, err = freeAddress(ctx, o.Listen, "127.0.0.1:8000"); err != nil {
		return cfg, err
	}
	if cfg.Admin.Listen, err = freeAddress(ctx, o.Admin, "127.0.0.1:8080"); err != nil {
		return cfg, err
	}
	cfg.Complete(os.Getenv)
	return cfg, nil
}

// freeAddress returns address, or fallback when it is empty, with another port
// when it is taken.
func freeAddress(ctx context.Context, address, fallback string) (string, error) {
	address = cmp.Or(address, fallback)
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		ln, err = lc.Listen(ctx, "tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return "", err
	}
	defer ln.Close()
	port := ln.Addr().(*net.TCPAddr).Port // a TCP listener has no other
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// startFairway runs the whole program in this process. The returned function
// ends it and waits for that.
func startFairway(ctx context.Context, o Options, cfg app.Config) (stop func() error, err error) {
	fairway, err := app.New(cfg, app.Options{Logger: o.Logger, Environ: os.Environ(), Version: "demo"})
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- fairway.Run(running) }()
	return func() error {
		cancel()
		return <-ended
	}, nil
}

// commandLine is how the reader has started this program, so that what is
// printed can be typed: "go run" keeps its binary in a temporary directory.
func commandLine() string {
	if strings.Contains(os.Args[0], string(filepath.Separator)+"go-build") {
		return "go run ./cmd/fairway"
	}
	return os.Args[0]
}

// printer writes the tour.
type printer struct {
	out  io.Writer
	gone func() // called when the reader is gone
}

func (p *printer) print(text string) {
	if _, err := io.WriteString(p.out, text); err != nil {
		p.gone()
	}
}

// line prints a line.
func (p *printer) line(format string, args ...any) {
	p.print(fmt.Sprintf(format+"\n", args...))
}

// begin announces something that takes a while; done completes the line.
func (p *printer) begin(format string, args ...any) {
	p.print(fmt.Sprintf("  "+format+" ... ", args...))
}

func (p *printer) done(err error) {
	if err != nil {
		p.print("failed\n")
		return
	}
	p.print("done\n")
}
