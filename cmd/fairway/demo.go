package main

import (
	"context"
	"log/slog"
	"os/signal"
	"syscall"

	"fairway/internal/demo"
)

// demoCommand is `fairway demo`.
type demoCommand struct {
	Docker    string `name:"docker" placeholder:"URL" help:"Docker engine to start containers on. Default: DOCKER_HOST, else unix:///var/run/docker.sock."`
	Processes bool   `name:"processes" help:"Start processes instead of containers. Without a Docker engine that happens by itself."`
	Engine    string `name:"engine" placeholder:"NAME" default:"embedded" enum:"embedded,haproxy" help:"What serves: embedded or haproxy."`
	Listen    string `name:"listen" placeholder:"ADDR" default:"127.0.0.1:8000" help:"Address for HTTP; another port when it is taken."`
	AdminAddr string `name:"admin.listen" placeholder:"ADDR" default:"127.0.0.1:8080" help:"Address for the admin API; another port when it is taken."`
	Once      bool   `name:"once" help:"End after the tour, with exit code 4 if a request failed, instead of serving on."`
}

// Help is the detail in the help of the command.
func (*demoCommand) Help() string {
	return `Starts a few labelled services, serves them, makes requests while services come, grow and
go, and prints what to try. Everything it has started is removed again at the end, which is
Ctrl-C. The services are containers of an image made from nothing but this program; nothing
is downloaded. Without a Docker engine they are processes.`
}

// Run runs the command.
func (d *demoCommand) Run(ctx context.Context, c *console) error {
	// A reader that goes away must not kill the demo before it has tidied up.
	signal.Ignore(syscall.SIGPIPE)
	return demo.Run(ctx, demo.Options{
		Out:       c.out,
		Docker:    d.Docker,
		Processes: d.Processes,
		Engine:    d.Engine,
		Listen:    d.Listen,
		Admin:     d.AdminAddr,
		Once:      d.Once,
		Logger:    slog.New(slog.NewTextHandler(c.err, &slog.HandlerOptions{Level: slog.LevelError})),
	})
}
