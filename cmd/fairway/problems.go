package main

import (
	"context"
	"strings"

	"fairway/internal/api"
	"fairway/internal/app"
	"fairway/internal/human"
	"fairway/internal/plan"
)

type problemsCommand struct {
	Service string `name:"service" placeholder:"NAME" help:"Only problems of this service (ID or name)."`
	Source  string `name:"source" placeholder:"NAME" help:"Only problems from this source."`
}

// Run prints the problems.
func (p *problemsCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	found, err := a.Problems(ctx, api.Query{Service: p.Service, Source: p.Source})
	return noIf(list(c, found, err, c.problems), len(found.Items) > 0)
}

func (c *console) problems(problems []api.Problem) {
	if len(problems) == 0 {
		c.note("No problems.")
		return
	}
	for i, p := range problems {
		if i > 0 {
			c.printf("\n")
		}
		c.problem(p)
	}
}

// problem prints whose problem it is, what is wrong, and what to do.
func (c *console) problem(p api.Problem) {
	subject := c.paint(bold, p.Service)
	if p.Label != "" {
		subject += " " + human.Escape(p.Label)
	}
	if p.Instance != "" {
		subject += human.Escape(" (instance " + p.Instance + ")")
	}
	// Everything in these lines is escaped already.
	c.raw(subject + "  " + c.paint(bad, p.Code))
	c.raw("  " + human.Escape(p.Text))
	if p.Route != "" && p.Route != p.Service {
		c.raw(c.paint(faint, "  route: "+p.Route))
	}
	if p.Hint != "" {
		c.raw("  " + c.paint(good, "hint: ") + human.Escape(p.Hint))
	}
}

type checkCommand struct {
	Paths []string `arg:"" optional:"" name:"path" help:"Configuration, services file, or Compose file; by what is in them. Without any: the configuration that run would use."`
}

// Run checks the files.
func (k *checkCommand) Run(c *console) error {
	checked, err := app.Check(k.Paths, c.environ)
	if err != nil {
		return usageError{err}
	}
	return noIf(c.print(checked, func() { c.checked(checked) }), len(checked.Problems) > 0)
}

func (c *console) checked(k *plan.Checked) {
	for _, p := range k.Problems {
		c.raw(strings.TrimSpace(c.paint(bold, p.Position()) + ": " + c.paint(bad, p.Code) + "  " + human.Escape(p.Subject())))
		c.raw("  " + human.Escape(p.Text))
		if p.Hint != "" {
			c.raw("  " + c.paint(good, "hint: ") + human.Escape(p.Hint))
		}
	}
	if len(k.Problems) > 0 && len(k.Routes) > 0 {
		c.printf("\n")
	}
	if len(k.Routes) > 0 {
		t := c.columns("ROUTE", "WOULD TAKE", "STATE", "FILE")
		for _, r := range k.Routes {
			state := cell{"served", good}
			if r.Refused != "" {
				state = cell{"refused: " + r.Refused, bad}
			}
			t.add(r.ID, strings.Join(r.Takes, " || "), state, r.File)
		}
		t.print()
	}
	c.note("%s, %s, %s", human.Plural(len(k.Files), "file"), human.Plural(len(k.Routes), "route"), human.Plural(len(k.Problems), "problem"))
}
