package printer

import (
	"fmt"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
)

// Preview prints what a command would do.
func (c *Printer) Preview(p api.CommandPreview) {
	c.Printf("%s\n", p.Summary)
	if len(p.Unserved) > 0 {
		c.Raw(c.Paint(console.Bad, "Not served while it is in force: "+strings.Join(p.Unserved, ", ")))
	}
	if !p.Diff.Same {
		c.Diff(p.Diff)
	}
	for _, remark := range p.Remarks {
		c.Note("Note: %s", remark)
	}
}

// CommandResult prints what became of a command; undo stands behind it.
func (c *Printer) CommandResult(r api.CommandResult, undo string) {
	where := ""
	if r.Entry != 0 {
		where = fmt.Sprintf(" (entry %d)", r.Entry)
	}
	c.Printf("%s%s%s\n", r.Text, where, undo)
	for _, remark := range r.Remarks {
		c.Note("Note: %s", remark)
	}
}

// Commands prints the commands in force.
func (c *Printer) Commands(commands []api.Command) {
	t := c.Columns("COMMAND", "-BY", "SINCE", "REASON", "+ID", "+UNDO", "+HOLDS")
	for _, k := range commands {
		t.Add(k.Text, k.Operator, k.Since, k.Message, k.ID, k.Undo, strings.Join(k.Services, " "))
	}
	t.Print()
}

// Entries prints a list of entries of the history that begins with the newest.
func (c *Printer) Entries(entries []api.Entry) { c.entries(entries, true) }

// OlderEntries prints a list of entries that lacks the newest.
func (c *Printer) OlderEntries(entries []api.Entry) { c.entries(entries, false) }

// LeftOut says how many entries of little importance a list of entries lacks.
func (c *Printer) LeftOut(entries []api.Entry) {
	n := len(entries)
	if left := int(entries[0].Number-entries[n-1].Number) + 1 - n; left > 0 { //nolint:gosec // there are a few thousand
		c.Note("Left out between these: %d about the states of instances alone; --all shows them", left)
	}
}

func (c *Printer) entries(entries []api.Entry, newest bool) {
	t := c.Columns("ENTRY", "TIME", "ROUTES", "+BACKENDS", "+HASH", "CAUSE")
	for _, e := range entries {
		number := console.Plain.Cell(strconv.FormatUint(e.Number, 10))
		if e.Live {
			what := " same as live"
			if newest {
				what, newest = " live", false
			}
			number = console.Good.Cell(number.Text + what)
		}
		t.Add(number, e.Time, counts(e.Routes), counts(e.Backends), e.Hash[:min(12, len(e.Hash))], e.Cause)
	}
	t.Print()
}

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

// Entry prints an entry of the history with what it changed.
func (c *Printer) Entry(e api.EntryDetail) {
	var f console.Fields
	f.Add("entry", console.Bold.Cell(strconv.FormatUint(e.Number, 10)))
	f.Add("time", e.Time)
	f.Add("cause", e.Cause)
	f.Add("operator", e.Operator)
	f.Add("command", e.Command)
	f.Add("message", e.Message)
	f.Add("hash", e.Hash)
	if e.Live {
		f.Add("live", console.Good.Cell("yes"))
	}
	var all []string
	for _, s := range e.Seen {
		all = append(all, seen(s))
	}
	f.Lines("seen", all)
	if e.Omitted > 0 {
		f.Add("", fmt.Sprintf("and %d more", e.Omitted))
	}
	c.Fields("", f)
	c.Printf("\n")
	c.Diff(e.Diff)
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

// Diff prints what differs between two tables.
func (c *Printer) Diff(d api.Diff) {
	if len(d.Listeners)+len(d.Routes)+len(d.Backends)+len(d.Problems) == 0 {
		c.Note("Nothing differs.")
		return
	}
	c.changed("listener", d.Listeners)
	c.changed("route", d.Routes)
	c.changed("backend", d.Backends)
	c.changed("problem", d.Problems)
}

func (c *Printer) changed(what string, list []api.DiffChange) {
	for _, x := range list {
		mark, col := "~", console.Doubt
		switch x.Kind {
		case "added":
			mark, col = "+", console.Good
		case "removed":
			mark, col = "-", console.Bad
		}
		c.Raw(c.Paint(col, mark) + " " + what + " " + c.Paint(console.Bold, x.ID))
		for _, line := range x.Lines {
			c.Raw("    " + c.Paint(DiffColour(line), line))
		}
	}
}

// Plan prints what a change would do.
func (c *Printer) Plan(p api.Plan) {
	c.Raw(c.Paint(console.Bold, p.Summary))
	c.changed("name", p.Names)
	c.changed("listener", p.Listeners)
	c.changed("route", p.Routes)
	c.changed("backend", p.Backends)
	for _, line := range p.Lines {
		c.Raw(c.Paint(DiffColour(line), line))
	}
	for _, solved := range p.Solved {
		c.Raw(c.Paint(console.Good, "- problem solved") + "  " + human.Escape(solved.Service+" "+solved.Code+": "+solved.Text))
	}
	for _, problem := range p.Problems {
		c.Raw("")
		where := problem.File
		if problem.Line != 0 {
			where = fmt.Sprintf("%s:%d", where, problem.Line)
		}
		c.Raw(strings.TrimSpace(c.Paint(console.Bad, "+ problem") + "  " + c.Paint(console.Bold, where)))
		c.Problem(problem.Problem)
	}
	if len(p.Problems) > 0 {
		c.Raw("")
	}
	for _, remark := range p.Remarks {
		c.Note("Note: %s", remark)
	}
}
