package main

import (
	"context"
	"fmt"

	"fairway/internal/api"
)

type healthcheckCommand struct{}

// Help implements kong.HelpProvider.
func (healthcheckCommand) Help() string {
	return `The exit code is 0 when requests are served, also from the last good table, and 1 otherwise.

    HEALTHCHECK CMD ["/fairway", "healthcheck"]`
}

// Run asks for readiness. Docker knows the exit codes 0 and 1 alone: no answer is 1,
// too.
func (*healthcheckCommand) Run(ctx context.Context, c *console) error {
	return c.withClient(func(client *api.Client) error {
		ready, err := client.Ready(ctx)
		if err != nil {
			c.fail(fmt.Errorf("not ready: %w", err))
			return errNo
		}
		return noIf(c.print(ready, func() { c.printf("%s\n", ready.State) }), !ready.Ready())
	})
}
