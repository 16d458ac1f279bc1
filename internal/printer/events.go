package printer

import (
	"maps"
	"slices"

	"fairway/internal/api"
	"fairway/internal/console"
)

// Events prints events.
func (c *Printer) Events(events []api.Event) {
	t := c.Columns("AT", "KIND", "WHAT", "+SUBJECT", "+ID")
	for _, e := range events {
		t.Add(e.At, ColourOf(e.Severity, console.Plain).Cell(e.Kind), e.Text, e.Subject, e.ID)
	}
	t.Print()
}

// Pending prints the events that each channel has to deliver yet.
func (c *Printer) Pending(events map[string][]api.Event) {
	t := c.Columns("CHANNEL", "AT", "KIND", "WHAT", "SUBJECT", "ID")
	for _, name := range slices.Sorted(maps.Keys(events)) {
		for _, e := range events[name] {
			t.Add(name, e.At, e.Kind, e.Text, e.Subject, e.ID)
		}
		c.Printf("%s\n", name) // which CSV leaves out
		if len(events[name]) == 0 {
			c.Note("Nothing is pending for %s.", name)
		} else if !c.CSV() {
			c.Events(events[name])
		}
	}
	if c.CSV() { // one table
		t.Print()
	}
}

// Channels prints channels with their state.
func (c *Printer) Channels(channels []api.Channel) {
	t := c.Columns("CHANNEL", "KIND", "-RECEIVER", "PENDING", "DROPPED", "STATE")
	for _, ch := range channels {
		state := console.Plain.Cell("never used")
		switch {
		case ch.Error != "":
			state = console.Bad.Cell(ch.Error)
		case !ch.LastSuccess.IsZero():
			state = console.Good.Cell("delivered " + c.Time(ch.LastSuccess))
		}
		t.Add(ch.Name, ch.Kind, ch.Receiver, ch.Pending, ch.Lost, state)
	}
	t.Print()
}

// Rules prints rules with their state.
func (c *Printer) Rules(rules []api.RuleState) {
	t := c.Columns("RULE", "-WHEN", "-DO", "SUBJECT", "VALUE", "STATE")
	for _, r := range rules {
		state := console.Plain.Cell("-")
		switch {
		case !r.Fired.IsZero():
			state = console.Bad.Cell("fired " + c.Time(r.Fired))
			if r.Drained {
				state.Text += ", drained"
			}
		case !r.Since.IsZero():
			state = console.Doubt.Cell("since " + c.Time(r.Since))
		}
		t.Add(r.Rule, r.When, r.Do, r.Name, r.Value, state)
	}
	t.Print()
}
