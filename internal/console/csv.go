package console

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"fairway/internal/human"
)

// CSV reports whether tables are wanted as CSV, and nothing else.
func (c *Console) CSV() bool { return c.Format == "csv" }

// Tables is how many tables were printed as CSV.
func (c *Console) Tables() int { return c.tables }

// csv writes the table with all its columns, the header first, by RFC 4180 but for the ends
// of lines, which are line feeds. An error is that of Out, which the next write meets.
func (t *Table) csv() {
	t.console.tables++
	w := csv.NewWriter(t.console.Out)
	row := make([]string, len(t.columns))
	for i, col := range t.columns {
		row[i] = col.name
	}
	_ = w.Write(row)
	for _, cells := range t.rows {
		for i, cell := range cells {
			row[i] = harmless(strings.TrimSpace(human.Escape(cell.Text)))
		}
		_ = w.Write(row)
	}
	w.Flush()
}

// harmless puts an apostrophe before what a spreadsheet would take for a formula; a number
// and a lone dash are none.
func harmless(text string) string {
	if text == "" || text == "-" || !strings.ContainsRune("=+-@", rune(text[0])) {
		return text
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return text
	}
	return "'" + text
}

// out is where text goes that is no table; nowhere where tables are wanted alone.
func (c *Console) out() io.Writer {
	if c.CSV() {
		return io.Discard
	}
	return c.Out
}
