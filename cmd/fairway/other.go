package main

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"fairway/internal/api"
	"fairway/internal/console"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the script.
func (s *completionCommand) Run(c *cli) error {
	fmt.Fprint(c.Out, console.CompletionScript(s.Shell))
	return nil
}

// completeCommand prints candidates, one a line, each with its meaning after a tab.
type completeCommand struct {
	Words []string `arg:"" optional:"" help:"The words of the command line, the last one unfinished."`
}

// Run prints the candidates.
func (s *completeCommand) Run(c *cli, p *parser) error {
	for _, candidate := range console.Complete(p.Model.Node, s.Words) {
		fmt.Fprintln(c.Out, candidate)
	}
	return nil
}

type openAPICommand struct{}

// Run prints the document that this program serves.
func (openAPICommand) Run(c *cli) error {
	_, err := c.Out.Write(api.OpenAPI())
	return err
}

type versionCommand struct{}

type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// version is that of a build of the Makefile or a release; the linker sets it.
var version string

func thisBuild() build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		b.Version = cmp.Or(b.Version, info.Main.Version)
	}
	b.Version = cmp.Or(b.Version, "unknown")
	return b
}

// Run prints the version of this program, not of the one that it could ask.
func (versionCommand) Run(c *cli) error {
	b := thisBuild()
	return c.Print(b, func() { c.Printf("fairway %s %s %s\n", b.Version, b.Go, b.Platform) })
}

type healthcheckCommand struct{}

// Run asks for readiness. Docker knows the exit codes 0 and 1 alone: no answer is 1,
// too.
func (*healthcheckCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	ready, err := a.Ready(ctx)
	if err != nil {
		c.Fail(fmt.Errorf("not ready: %w", err))
		return errNo
	}
	return noIf(c.Print(ready, func() { c.Printf("%s\n", ready.State) }), !ready.Ready())
}
