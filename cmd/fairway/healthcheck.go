package main

import (
	"context"
	"fmt"
)

type healthcheckCommand struct{}

// Help implements kong.HelpProvider.
func (healthcheckCommand) Help() string {
	return `The exit code is 0 when requests are served, also from the last run's table, and 1 otherwise.

    HEALTHCHECK CMD ["/fairway", "healthcheck"]`
}

// Run asks for readiness. Docker gives no meaning to exit codes other than 0
// and 1, so nobody answering is 1 here, too.
func (*healthcheckCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ready, err := client.Ready(ctx)
	if err != nil {
		c.fail(fmt.Errorf("not ready: %w", err))
		return errNo
	}
	if err := c.print(ready, func() { c.printf("%s\n", ready.State) }); err != nil {
		return err
	}
	if !ready.Ready() {
		return errNo
	}
	return nil
}
