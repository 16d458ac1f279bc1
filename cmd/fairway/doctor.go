package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"fairway/internal/api"
	"fairway/internal/app"
	"fairway/internal/human"
)

type doctorCommand struct {
	Name   string `arg:"" help:"A service, container or other instance, by name or ID."`
	Config string `name:"config" placeholder:"PATH" help:"Configuration file that names the sources to read when no Fairway answers."`
}

// Help implements kong.HelpProvider.
func (doctorCommand) Help() string {
	return `It asks the running Fairway. When none answers, it reads the sources of the configuration itself. The exit code is 1 when something is not served.

    fairway doctor mycontainer
    fairway doctor shop-web -o json`
}

// Run prints the diagnoses.
func (d *doctorCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.Doctor(ctx, d.Name)
	if errors.Is(err, api.ErrNoAnswer) && c.admin == "" {
		c.note("%v", err)
		c.note("Reading the sources directly.")
		list.Items, err = d.direct(ctx, c)
	}
	if err != nil {
		return err
	}
	if len(list.Items) == 0 {
		c.fail(fmt.Errorf("nothing is called %q", d.Name))
		return errNo
	}
	if err := c.print(list, func() { c.diagnoses(list.Items) }); err != nil {
		return err
	}
	for _, diagnosis := range list.Items {
		if !diagnosis.Served {
			return errNo
		}
	}
	return nil
}

// direct makes the diagnoses without a running Fairway.
func (d *doctorCommand) direct(ctx context.Context, c *console) ([]api.Diagnosis, error) {
	loaded, err := app.Load(app.LoadOptions{Path: d.Config, Environ: c.environ})
	if err != nil {
		return nil, configError(err)
	}
	return app.Doctor(ctx, loaded.Config, app.Options{Environ: c.environ}, d.Name)
}

func (c *console) diagnoses(diagnoses []api.Diagnosis) {
	for i, d := range diagnoses {
		if i > 0 {
			c.printf("\n")
		}
		verdict := c.paint(good, "served")
		if !d.Served {
			verdict = c.paint(bad, "not served")
		}
		subject := c.paint(bold, d.Service)
		if d.Instance != "" {
			subject = c.paint(bold, d.Instance) + human.Escape(" of "+d.Service)
		}
		c.raw(subject + ": " + verdict)
		c.checks(d.Checks)
	}
}

// checks prints the steps of a diagnosis. Their texts are never cut: they are
// what was asked for.
func (c *console) checks(checks []api.Check) {
	width := 0
	for _, check := range checks {
		width = max(width, len(check.Name))
	}
	for _, check := range checks {
		name := fmt.Sprintf("%-*s", width, check.Name)
		c.raw("  " + c.paint(outcomeColour(check.Outcome), mark(check.Outcome)) + "  " + c.paint(faint, name) + "  " + human.Escape(check.Text))
		if check.Hint != "" {
			c.raw(strings.Repeat(" ", width+10) + c.paint(good, "hint: ") + human.Escape(check.Hint))
		}
	}
}

func outcomeColour(outcome string) colour {
	switch outcome {
	case api.CheckOK:
		return good
	case api.CheckDoubt:
		return doubt
	default:
		return bad
	}
}

// mark is the outcome in four columns.
func mark(outcome string) string {
	switch outcome {
	case api.CheckOK:
		return "ok  "
	case api.CheckDoubt:
		return "WARN"
	default:
		return "FAIL"
	}
}
