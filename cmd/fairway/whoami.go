package main

import (
	"context"
	"io"
	"os"
	"time"

	"fairway/internal/demo"
)

// whoamiCommand is `fairway whoami`, the service of the demo and of the
// end-to-end tests.
type whoamiCommand struct {
	Listen     string        `name:"listen" placeholder:"ADDR" default:":80" help:"Address to listen on."`
	Name       string        `name:"name" placeholder:"NAME" help:"Name to sign answers with. Default: the host name."`
	Health     string        `name:"health" placeholder:"PATH" default:"/health" help:"Path of the health check; a POST to it with ?status=503 changes the answer."`
	LameDuck   time.Duration `name:"lame-duck" placeholder:"DURATION" default:"500ms" help:"How long to serve on after the stop signal."`
	Delay      time.Duration `name:"delay" placeholder:"DURATION" help:"How long each answer takes."`
	StartDelay time.Duration `name:"start-delay" placeholder:"DURATION" help:"How long to wait before listening."`
	Check      bool          `name:"check" help:"Ask the health path of one that listens, and end: the HEALTHCHECK of an image."`
	UntilStdin bool          `name:"until-stdin-closes" help:"Stop when standard input ends, which it does when the parent dies."`
}

// Run runs the command.
func (w *whoamiCommand) Run(ctx context.Context) error {
	o := demo.WhoamiOptions{
		Listen:     w.Listen,
		Name:       w.Name,
		Health:     w.Health,
		LameDuck:   w.LameDuck,
		Delay:      w.Delay,
		StartDelay: w.StartDelay,
	}
	if w.Check {
		return demo.CheckWhoami(ctx, o)
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
	return demo.Whoami(ctx, o)
}
