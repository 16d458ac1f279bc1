package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

type historyCommand struct {
	Number  uint64 `arg:"" optional:"" help:"Entry to show with its changes, instead of the list."`
	Service string `name:"service" placeholder:"NAME" help:"Only entries that concern this service, by ID or name."`
	Limit   int    `name:"limit" placeholder:"N" default:"20" help:"Maximum number of entries, up to 1000."`
	Before  uint64 `name:"before" placeholder:"NUMBER" help:"Only entries before this one."`
}

// Run prints the history.
func (h *historyCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	if h.Number != 0 {
		entry, err := a.Entry(ctx, h.Number)
		return show(c, entry, err, c.entry)
	}
	entries, err := a.History(ctx, api.HistoryQuery{Before: h.Before, Limit: h.Limit, Service: h.Service})
	return list(c, entries, err, c.entries)
}

func (c *console) entries(entries []api.Entry) {
	if len(entries) == 0 {
		c.note("No entries yet.")
		return
	}
	t := c.columns("ENTRY", "TIME", "ROUTES", "+BACKENDS", "+HASH", "CAUSE")
	for _, e := range entries {
		number := text(strconv.FormatUint(e.Number, 10))
		if e.Live {
			number = cell{number.text + " live", good}
		}
		t.add(number, e.Time, counts(e.Routes), counts(e.Backends), short12(e.Hash), e.Cause)
	}
	t.print()
}

func short12(hash string) string { return hash[:min(12, len(hash))] }

// counts writes numbers of changes: "+1 ~2 -1", or "-" for none.
func counts(n api.Counts) string {
	var words []string
	for _, part := range []struct {
		sign string
		n    int
	}{{"+", n.Added}, {"~", n.Changed}, {"-", n.Removed}} {
		if part.n > 0 {
			words = append(words, part.sign+strconv.Itoa(part.n))
		}
	}
	if words == nil {
		return "-"
	}
	return strings.Join(words, " ")
}

// entry prints one entry with what it changed.
func (c *console) entry(e api.EntryDetail) {
	var f fields
	f.add("entry", cell{strconv.FormatUint(e.Number, 10), bold})
	f.add("time", e.Time)
	f.add("cause", e.Cause)
	f.add("operator", e.Operator)
	f.add("command", e.Command)
	f.add("message", e.Message)
	f.add("hash", e.Hash)
	if e.Live {
		f.add("live", cell{"yes", good})
	}
	var all []string
	for _, s := range e.Seen {
		all = append(all, seen(s))
	}
	f.lines("seen", all)
	if e.Omitted > 0 {
		f.add("", fmt.Sprintf("and %d more", e.Omitted))
	}
	c.table("", nil, f)
	c.printf("\n")
	c.differences(e.Diff)
}

// seen puts into a line what was seen.
func seen(s api.Seen) string {
	line := s.Kind
	for _, w := range []struct{ name, value string }{{"source", s.Source}, {"service", s.Service}, {"instance", s.Instance}, {"label", s.Label}, {"from", s.From}, {"to", s.To}} {
		if w.value != "" {
			line += ", " + w.name + " " + w.value
		}
	}
	return line
}

type diffCommand struct {
	From string `arg:"" help:"Number of an entry, or live."`
	To   string `arg:"" optional:"" default:"live" help:"Number of an entry, or live."`
}

// Run prints what differs between two entries.
func (d *diffCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	from, err := entryNumber(d.From)
	if err != nil {
		return err
	}
	to, err := entryNumber(d.To)
	if err != nil {
		return err
	}
	diff, err := a.Diff(ctx, from, to)
	return noIf(show(c, diff, err, c.differences), !diff.Same)
}

// entryNumber reads the number of an entry; zero for live.
func entryNumber(text string) (uint64, error) {
	if text == "live" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 {
		return 0, usageError{fmt.Errorf("%q is neither the number of an entry nor live", text)}
	}
	return n, nil
}

// differences prints what differs, element by element.
func (c *console) differences(d api.Diff) {
	if len(d.Listeners)+len(d.Routes)+len(d.Backends)+len(d.Problems) == 0 {
		c.note("Nothing differs.")
		return
	}
	c.changed("listener", d.Listeners)
	c.changed("route", d.Routes)
	c.changed("backend", d.Backends)
	c.changed("problem", d.Problems)
}

func (c *console) changed(what string, list []api.DiffChange) {
	for _, x := range list {
		mark, col := "~", doubt
		switch x.Kind {
		case "added":
			mark, col = "+", good
		case "removed":
			mark, col = "-", bad
		}
		c.raw(c.paint(col, mark) + " " + what + " " + c.paint(bold, x.ID))
		for _, line := range x.Lines {
			c.raw("    " + c.paint(diffColour(line), line))
		}
	}
}

// diffColour is the colour of a line of a diff.
func diffColour(line string) colour {
	switch human.DiffSign(line) {
	case '+':
		return good
	case '-':
		return bad
	case '@':
		return faint
	}
	return plain
}
