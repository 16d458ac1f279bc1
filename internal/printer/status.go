package printer

import (
	"fmt"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
)

// Status prints what is wrong.
func (c *Printer) Status(s api.Status) {
	if c.CSV() {
		t := c.Columns("SERVICE", "KIND", "SUBJECT", "STATE", "SINCE", "TEXT", "HINT")
		for _, f := range s.Findings {
			t.Add(f.Service, f.Kind, f.Subject, f.State, f.Since, f.Text, f.Hint)
		}
		t.Print()
		return
	}
	total := 0
	var counts []string
	for _, state := range api.States() {
		if n := s.Routes[state]; n > 0 {
			total += n
			counts = append(counts, fmt.Sprintf("%d %s", n, state))
		}
	}
	line := c.Paint(stateColour(s.State), s.State) + ": " + human.Plural(total, "route")
	if len(counts) > 0 {
		line += ", " + strings.Join(counts, ", ")
	}
	c.Raw(line)
	for _, f := range s.Findings {
		subject := f.Kind
		if f.Kind != "command" && f.Kind != "table" { // there is one of each
			subject += " " + f.Subject
		}
		age := ""
		if d := s.At.Sub(f.Since); !f.Since.IsZero() && d >= time.Second {
			age = c.Paint(console.Faint, "  for "+human.Age(d))
		}
		c.Raw("\n" + c.Paint(stateColour(f.State), f.State) + "  " + c.Paint(console.Bold, subject) + age)
		c.Raw("  " + human.Escape(f.Text))
		c.Hint("  ", f.Hint)
	}
}

// Hint prints what to do, if anything.
func (c *Printer) Hint(indent, text string) {
	if text != "" {
		c.Raw(indent + c.Paint(console.Good, "hint: ") + human.Escape(text))
	}
}

// Incomplete says on stderr why a list may lack something. It reports whether it may.
func (c *Printer) Incomplete(reasons []api.Reason) bool {
	for _, r := range reasons {
		c.Note("Not complete: %s", r.Text)
		if r.Hint != "" {
			c.Note("hint: %s", r.Hint)
		}
	}
	return len(reasons) > 0
}

// stateColour is the colour of the state of a condition.
func stateColour(state string) console.Colour {
	switch state {
	case api.StateHealthy:
		return console.Good
	case api.StateRefused, api.StateDown:
		return console.Bad
	case "":
		return console.Plain
	}
	return console.Doubt
}

// ColourOf is the colour of a state, by the word that the API has for it.
func ColourOf(state string, otherwise console.Colour) console.Colour {
	switch state {
	case "ready", "applied", "already", api.RolloutDone, api.FleetCurrent, api.SeverityGood:
		return console.Good
	case "refused", "unknown", "lost", api.RolloutReverted, api.FleetEdited, api.FleetUnreachable, api.SeverityBad:
		return console.Bad
	case "starting", "leaving", "paused", "pause", "drain", api.SeverityWarning:
		return console.Doubt
	}
	return otherwise
}

// DiffColour is the colour of a line of a unified diff.
func DiffColour(line string) console.Colour {
	switch human.DiffSign(line) {
	case '+':
		return console.Good
	case '-':
		return console.Bad
	case '@':
		return console.Faint
	}
	return console.Plain
}
