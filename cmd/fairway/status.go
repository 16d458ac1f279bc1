package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/human"
)

type statusCommand struct{}

// Run prints what is wrong now.
func (*statusCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	found, err := a.Status(ctx)
	return noIf(show(c, found, err, c.status), found.State != api.StateHealthy)
}

// stateColour is the colour of the state of a condition.
func stateColour(state string) colour {
	switch state {
	case api.StateHealthy:
		return good
	case api.StateRefused, api.StateDown:
		return bad
	case "":
		return plain
	}
	return doubt
}

func (c *console) status(s api.Status) {
	total := 0
	var counts []string
	for _, state := range []string{api.StateHealthy, api.StateUnknown, api.StateHeld, api.StateDegraded, api.StateRefused, api.StateDown} {
		if n := s.Routes[state]; n > 0 {
			total += n
			counts = append(counts, fmt.Sprintf("%d %s", n, state))
		}
	}
	line := c.paint(stateColour(s.State), s.State) + ": " + human.Plural(total, "route")
	if len(counts) > 0 {
		line += ", " + strings.Join(counts, ", ")
	}
	c.raw(line)
	for _, f := range s.Findings {
		subject := f.Kind
		if f.Kind != "command" && f.Kind != "table" { // there is one of each
			subject += " " + f.Subject
		}
		age := ""
		if d := s.At.Sub(f.Since); !f.Since.IsZero() && d >= time.Second {
			age = c.paint(faint, "  for "+human.Age(d))
		}
		c.raw("\n" + c.paint(stateColour(f.State), f.State) + "  " + c.paint(bold, subject) + age)
		c.raw("  " + human.Escape(f.Text))
		c.hint("  ", f.Hint)
	}
}

// hint prints what to do, if anything.
func (c *console) hint(indent, text string) {
	if text != "" {
		c.raw(indent + c.paint(good, "hint: ") + human.Escape(text))
	}
}

// incomplete says on stderr why a list may lack something. It reports whether it may.
func (c *console) incomplete(reasons []api.Reason) bool {
	for _, r := range reasons {
		c.note("Not complete: %s", r.Text)
		if r.Hint != "" {
			c.note("hint: %s", r.Hint)
		}
	}
	return len(reasons) > 0
}
