// Package demo shows Fairway at work: it starts a few labelled services, runs the program
// in-process in front of them, makes requests while they come, grow and go, and leaves nothing
// behind. With a Docker Engine the services are containers of an image that holds nothing but
// this program; without one they are processes.
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
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/app"
	"fairway/internal/dockerapi"
)

// Options say how to show what. Only Out is required; the tags make the others flags.
type Options struct {
	// Docker is empty for what `docker` itself would use.
	Docker string `name:"docker" placeholder:"URL" help:"Docker engine to start containers on. Default: DOCKER_HOST, else unix:///var/run/docker.sock."`
	// Processes are used also when an engine answers.
	Processes bool   `name:"processes" help:"Start processes instead of containers. Without a Docker engine that happens by itself."`
	Engine    string `name:"engine" placeholder:"NAME" default:"embedded" enum:"embedded,haproxy" help:"What serves: embedded or haproxy."`
	Listen    string `name:"listen" placeholder:"ADDR" default:"127.0.0.1:8000" help:"Address for HTTP; another port when it is taken."`
	Admin     string `name:"admin.listen" placeholder:"ADDR" default:"127.0.0.1:8080" help:"Address for the admin API; another port when it is taken."`
	Once      bool   `name:"once" help:"End after the tour, with exit code 4 if a request failed, instead of serving on."`

	// Out is where the tour is printed.
	Out io.Writer `kong:"-"`
	// Executable is the program to run as "whoami"; empty means this one.
	Executable string `kong:"-"`
	// Logger gets the log of Fairway; nil discards it.
	Logger *slog.Logger `kong:"-"`
}

// tidyTime bounds the cleaning up after ctx has ended.
const tidyTime = 30 * time.Second

// Run shows Fairway at work until ctx ends, or with Options.Once until the tour is over. What
// it made is gone when it returns; the next run removes what a killed one left behind.
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
		err = errors.Join(err, p.step("removing everything the demo has started", func() error { return where.Close(tidy) }))
	}()

	stop, err := startFairway(ctx, o, cfg)
	if err != nil {
		return quietly(ctx, err)
	}
	defer func() { err = errors.Join(err, quietly(ctx, stop())) }()
	p.line("  Fairway serves http://%s, its pages are at http://%s/\n", cfg.Listen, cfg.Admin.Listen)

	t := &tour{printer: p, stage: where, address: cfg.Listen, admin: cfg.Admin.Listen, command: commandLine(), load: newLoad(cfg.Listen)}
	defer t.load.stop()
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

// configure returns the configuration of the Fairway that is shown, but for the sources.
func configure(ctx context.Context, o Options, dir string) (app.Config, error) {
	cfg := app.Defaults()
	if o.Docker != "" {
		cfg.Docker = []string{o.Docker}
	}
	cfg.ListenTLS = app.Off
	cfg.StateDir = filepath.Join(dir, "state")
	cfg.DrainTimeout = 2 * time.Second
	cfg.Engine = cmp.Or(o.Engine, cfg.Engine)
	cfg.HAProxy.StopWithFairway = true
	var err error
	if cfg.Listen, err = freeAddress(ctx, cmp.Or(o.Listen, "127.0.0.1:8000")); err != nil {
		return cfg, err
	}
	if cfg.Admin.Listen, err = freeAddress(ctx, cmp.Or(o.Admin, "127.0.0.1:8080")); err != nil {
		return cfg, err
	}
	cfg.Complete(app.Environment(os.Environ()))
	return cfg, nil
}

// freeAddress returns address, with another port when it is taken.
func freeAddress(ctx context.Context, address string) (string, error) {
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

// startFairway runs the program in this process. stop ends it and waits for that.
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

// commandLine is how the reader has started this program.
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

// step does something that takes a while, and prints what, and whether it failed.
func (p *printer) step(what string, do func() error) error {
	p.print("  " + what + " ... ")
	err := do()
	if err != nil {
		p.print("failed\n")
	} else {
		p.print("done\n")
	}
	return err
}

// instance is one copy of a service to be shown.
type instance struct {
	service string
	number  int
	labels  map[string]string
}

func (i instance) name() string { return fmt.Sprintf("%s-%d", i.service, i.number) }

// labelText is the labels as the options of `docker run`, sorted.
func labelText(labels map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, "-l "+k+"="+labels[k])
	}
	return strings.Join(parts, " ")
}

// stage is where the services run.
type stage interface {
	// Start returns when the instance runs; it may not listen yet.
	Start(ctx context.Context, i instance) error
	// Stop signals the instance, lets it finish, and removes it.
	Stop(ctx context.Context, name string) error
	// Close removes everything that the stage has made.
	Close(ctx context.Context) error
	// Words are what the instances are called.
	Words() words
}

// words say what instances are called, and how a person would start another one with a label.
type words struct{ one, several, start string }

// lameDuck is how long an instance serves on after its signal.
const lameDuck = 500 * time.Millisecond

// newStage chooses between containers and processes, and makes cfg watch them.
func newStage(ctx context.Context, p *printer, o Options, cfg *app.Config, dir string) (stage, error) {
	processes := func(why string) (stage, error) {
		p.line("  %s: the services are processes instead of containers, and a services file", why)
		return newProcessStage(o.Executable, cfg, dir)
	}
	if o.Processes {
		return processes("as asked for")
	}
	engine, err := findEngine(ctx, cfg)
	if err != nil && o.Docker != "" {
		return nil, err
	}
	if err != nil {
		return processes(fmt.Sprintf("no Docker Engine answers (%v)", err))
	}
	binary, err := staticBinary(ctx, p, o.Executable, dir)
	if err != nil {
		engine.Close()
		return processes(fmt.Sprintf("this program cannot run in an empty image (%v)", err))
	}
	return newDockerStage(ctx, p, engine, cfg, binary, dir)
}

// findEngine returns a client for the first engine of cfg, which has answered.
func findEngine(ctx context.Context, cfg *app.Config) (*dockerapi.Client, error) {
	engine, err := dockerapi.New(dockerapi.Options{
		URL:    cfg.Docker[0],
		CAFile: cfg.DockerTLS.CA, CertFile: cfg.DockerTLS.Cert, KeyFile: cfg.DockerTLS.Key,
		Insecure: cfg.DockerInsecure,
	})
	if err != nil {
		return nil, err
	}
	ping, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if err := engine.Ping(ping); err != nil {
		engine.Close()
		return nil, err
	}
	cfg.Docker = cfg.Docker[:1]
	return engine, nil
}
