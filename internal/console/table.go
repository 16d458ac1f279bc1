package console

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"fairway/internal/human"
)

// Colour is the meaning of a text, shown as a colour where there are any.
type Colour string

// The colours, as the terminal's own.
const (
	Plain Colour = ""
	Bold  Colour = "1"
	Good  Colour = "32"
	Doubt Colour = "33"
	Bad   Colour = "31"
	Faint Colour = "2"
)

// Cell returns a cell of this colour.
func (col Colour) Cell(text string) Cell { return Cell{text, col} }

// Cell is a text in a table. The zero value is an empty one.
type Cell struct {
	Text   string
	Colour Colour
}

// cellOf is the cell of a value: a cell as it is, a time for people, else what fmt prints.
func cellOf(value any) Cell {
	switch v := value.(type) {
	case Cell:
		return v
	case time.Time:
		return Plain.Cell(human.Time(v))
	}
	return Plain.Cell(fmt.Sprint(value))
}

// Table is filled row by row and then printed.
type Table struct {
	// Indent stands before each line.
	Indent  string
	console *Console
	header  []string
	hidden  []bool
	rows    [][]Cell
}

// Columns returns a table. Columns whose names begin with a plus are those of -o wide.
func (c *Console) Columns(names ...string) *Table {
	t := &Table{console: c}
	for _, name := range names {
		name, extra := strings.CutPrefix(name, "+")
		hide := extra && !c.Wide()
		t.hidden = append(t.hidden, hide)
		if !hide {
			t.header = append(t.header, name)
		}
	}
	return t
}

// Add adds a row with a value for each column: a [Cell], a time, which is written for
// people, or anything else, as fmt prints it.
func (t *Table) Add(values ...any) {
	var row []Cell
	for i, value := range values {
		if !t.hidden[i] {
			row = append(row, cellOf(value))
		}
	}
	t.rows = append(t.rows, row)
}

// Print prints the table.
func (t *Table) Print() { t.console.table(t.Indent, t.header, t.rows) }

// Fields are names with their values, printed as a table without a header.
type Fields [][]Cell

// Add adds a value, unless it is empty; see [Table.Add].
func (f *Fields) Add(name string, value any) {
	if c := cellOf(value); c.Text != "" {
		*f = append(*f, []Cell{Faint.Cell(name), c})
	}
}

// Lines adds values, a line each, with the name before the first.
func (f *Fields) Lines(name string, lines []string) {
	for _, line := range lines {
		f.Add(name, line)
		name = ""
	}
}

// Fields prints fields, each line after indent.
func (c *Console) Fields(indent string, f Fields) { c.table(indent, nil, f) }

// minColumn is how narrow a column is made when a table has to be cut.
const minColumn = 8

// table prints rows below a header, aligned, each line after indent. On a
// terminal that is too narrow, the widest columns are cut.
func (c *Console) table(indent string, header []string, rows [][]Cell) {
	all := rows
	if header != nil {
		first := make([]Cell, len(header))
		for i, h := range header {
			first[i] = Bold.Cell(h)
		}
		all = append([][]Cell{first}, rows...)
	}
	widths := columnWidths(all)
	if c.Width > 0 {
		narrow(widths, c.Width-len(indent))
	}
	for _, row := range all {
		c.row(indent, row, widths)
	}
}

func (c *Console) row(indent string, row []Cell, widths []int) {
	var b strings.Builder
	b.WriteString(indent)
	for i, field := range row {
		s := cut(human.Escape(field.Text), widths[i])
		gap := widths[i] - utf8.RuneCountInString(s) + 2
		b.WriteString(c.Paint(field.Colour, s)) // escaped twice is escaped once
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", gap))
		}
	}
	fmt.Fprintln(c.Out, strings.TrimRight(b.String(), " "))
}

func columnWidths(rows [][]Cell) []int {
	var widths []int
	for _, row := range rows {
		for i, field := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(human.Escape(field.Text)))
		}
	}
	return widths
}

// narrow takes from the widest columns until the table fits into width, or all
// columns are at their least.
func narrow(widths []int, width int) {
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for ; total > width; total-- {
		most := slices.Max(widths)
		if most <= minColumn {
			return
		}
		widths[slices.Index(widths, most)]--
	}
}

// cut shortens s to width runes, with an ellipsis where something is missing.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}
