package main

import (
	"context"

	"fairway/internal/api"
	"fairway/internal/human"
)

type problemsCommand struct {
	Service string `name:"service" placeholder:"NAME" help:"Only problems of this service (ID or name)."`
	Source  string `name:"source" placeholder:"NAME" help:"Only problems from this source."`
}

// Help implements kong.HelpProvider.
func (problemsCommand) Help() string {
	return `The exit code is 1 when there are problems.

    fairway problems
    fairway problems --service shop-web
    fairway problems -o json | jq -r '.items[] | "\(.service) \(.label): \(.text)"'`
}

// Run prints the problems.
func (p *problemsCommand) Run(ctx context.Context, c *console) error {
	found, err := list(c, func(a *api.Client) (api.List[api.Problem], error) {
		return a.Problems(ctx, api.Query{Service: p.Service, Source: p.Source})
	}, c.problems)
	return noIf(err, len(found) > 0)
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
