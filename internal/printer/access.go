package printer

import (
	"cmp"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/console"
)

// Audit prints who did what.
func (c *Printer) Audit(entries []api.AuditEntry) {
	t := c.Columns("WHEN", "WHO", "-ROLE", "-FROM", "STATUS", "WHAT", "+OPERATION")
	for _, e := range entries {
		status := console.Good.Cell(strconv.Itoa(e.Status))
		if e.Status >= 400 {
			status.Colour = console.Bad
		}
		t.Add(e.At, cmp.Or(e.Who, "-"), e.Role, e.From, status, strings.TrimSpace(cmp.Or(e.Text, e.Operation)), e.Operation)
	}
	t.Print()
}

// Labels prints labels with what they do.
func (c *Printer) Labels(labels []api.Label) {
	t := c.Columns("LABEL", "VALUE", "-EXAMPLE", "MEANING")
	for _, l := range labels {
		t.Add(l.Name, l.Value, l.Example, l.Meaning)
	}
	t.Print()
}
