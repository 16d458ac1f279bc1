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

// Help implements kong.HelpProvider.
func (historyCommand) Help() string {
	return `Each table that went live is an entry with its cause: the labels that changed, or the command of an operator with the reason.

    fairway history
    fairway history 12
    fairway history --service shop -o json`
}

// Run prints the history.
func (h *historyCommand) Run(ctx context.Context, c *console) error {
	if h.Number != 0 {
		_, err := ask(c, func(a *api.Client) (api.EntryDetail, error) { return a.Entry(ctx, h.Number) }, c.entry)
		return err
	}
	_, err := list(c, func(a *api.Client) (api.List[api.Entry], error) {
		return a.History(ctx, api.HistoryQuery{Before: h.Before, Limit: h.Limit, Service: h.Service})
	}, c.entries)
	return err
}

func (c *console) entries(entries []api.Entry) {
	if len(entries) == 0 {
		c.note("No entries yet.")
		return
	}
	header := []string{"ENTRY", "TIME", "ROUTES", "CAUSE"}
	if c.wide() {
		header = []string{"ENTRY", "TIME", "ROUTES", "BACKENDS", "HASH", "CAUSE"}
	}
	var rows [][]cell
	for _, e := range entries {
		number := text(strconv.FormatUint(e.Number, 10))
		if e.Live {
			number = cell{number.text + " live", good}
		}
		row := []cell{number, text(human.Time(e.Time)), text(counts(e.Routes))}
		if c.wide() {
			row = append(row, text(counts(e.Backends)), text(short12(e.Hash)))
		}
		rows = append(rows, append(row, text(e.Cause)))
	}
	c.table("", header, rows)
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
	rows := [][]cell{
		{{"entry", faint}, {strconv.FormatUint(e.Number, 10), bold}},
		{{"time", faint}, text(human.Time(e.Time))},
		{{"cause", faint}, text(e.Cause)},
	}
	for _, field := range []struct{ name, value string }{{"operator", e.Operator}, {"command", e.Command}, {"message", e.Message}, {"hash", e.Hash}} {
		if field.value != "" {
			rows = append(rows, []cell{{field.name, faint}, text(field.value)})
		}
	}
	if e.Live {
		rows = append(rows, []cell{{"live", faint}, {"yes", good}})
	}
	for i, s := range e.Seen {
		rows = append(rows, []cell{{first(i, "seen"), faint}, text(seen(s))})
	}
	if e.Omitted > 0 {
		rows = append(rows, []cell{{}, text(fmt.Sprintf("and %d more", e.Omitted))})
	}
	c.table("", nil, rows)
	c.printf("\n")
	c.differences(e.Diff)
}

// seen puts into a line what was seen.
func seen(s api.Seen) string {
	words := []string{s.Kind}
	for _, w := range []struct{ name, value string }{{"source", s.Source}, {"service", s.Service}, {"instance", s.Instance}, {"label", s.Label}} {
		if w.value != "" {
			words = append(words, w.name+" "+w.value)
		}
	}
	if s.From != "" {
		words = append(words, "from "+s.From)
	}
	if s.To != "" {
		words = append(words, "to "+s.To)
	}
	return strings.Join(words, ", ")
}

type diffCommand struct {
	From string `arg:"" help:"Number of an entry, or live."`
	To   string `arg:"" optional:"" default:"live" help:"Number of an entry, or live."`
}

// Help implements kong.HelpProvider.
func (diffCommand) Help() string {
	return `The exit code is 1 when the tables differ.

    fairway diff 12           changes since entry 12
    fairway diff 11 12`
}

// Run prints what differs between two entries.
func (d *diffCommand) Run(ctx context.Context, c *console) error {
	var numbers [2]uint64
	for i, text := range []string{d.From, d.To} {
		n, err := entryNumber(text)
		if err != nil {
			return err
		}
		numbers[i] = n
	}
	diff, err := ask(c, func(a *api.Client) (api.Diff, error) { return a.Diff(ctx, numbers[0], numbers[1]) }, c.differences)
	return noIf(err, !diff.Same)
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
