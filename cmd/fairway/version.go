package main

import (
	"runtime"
	"runtime/debug"

	"fairway/internal/api"
)

type openAPICommand struct{}

// Help is the detail.
func (openAPICommand) Help() string {
	return `No running Fairway is asked. The admin API serves the same document at /v1/openapi.json.

    fairway openapi > fairway.json`
}

// Run prints the document that this program serves.
func (openAPICommand) Run(c *console) error {
	_, err := c.out.Write(api.OpenAPI())
	return err
}

type versionCommand struct{}

// build says what this program is.
type build struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	return b
}

// Run prints the version of this program, not of the one that it could ask.
func (versionCommand) Run(c *console) error {
	b := thisBuild()
	return c.print(b, func() { c.printf("fairway %s %s %s\n", b.Version, b.Go, b.Platform) })
}
