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

// cell is the cell of a value: a cell as it is, a time for people, else what fmt prints.
func (c *Console) cell(value any) Cell {
	switch v := value.(type) {
	case Cell:
		return v
	case time.Time:
		return Plain.Cell(c.Time(v))
	}
	return Plain.Cell(fmt.Sprint(value))
}

// Time writes a moment to the second, in Zone; in UTC, which it says, as CSV and without a
// zone. It is empty for the zero time.
func (c *Console) Time(t time.Time) string {
	if t.IsZero() || c.Zone == nil || c.CSV() {
		return human.Time(t)
	}
	local := t.In(c.Zone)
	if _, offset := local.Zone(); offset == 0 {
		return human.Time(t)
	}
	return local.Format(time.DateTime)
}

// column is one of a table. An extra one is shown with -o wide alone; a spare one leaves a
// table that is too wide.
type column struct {
	name         string
	extra, spare bool
}

// Table is filled row by row and then printed.
type Table struct {
	// Indent stands before each line.
	Indent string
	// Wrap continues below itself what does not fit into the last column, rather than
	// cutting it.
	Wrap    bool
	console *Console
	columns []column
	rows    [][]Cell
}

// Columns returns a table. A column whose name begins with a plus is one of -o wide. One
// that begins with a minus leaves a table that is wider than the terminal, the rightmost
// first. Columns without any text are left out, except with -o wide.
func (c *Console) Columns(names ...string) *Table {
	t := &Table{console: c}
	for _, name := range names {
		name, extra := strings.CutPrefix(name, "+")
		name, spare := strings.CutPrefix(name, "-")
		t.columns = append(t.columns, column{name, extra, spare})
	}
	return t
}

// Add adds a row with a value for each column: a [Cell], a time, which is written for
// people, or anything else, as fmt prints it.
func (t *Table) Add(values ...any) {
	row := make([]Cell, len(values))
	for i, value := range values {
		row[i] = t.console.cell(value)
	}
	t.rows = append(t.rows, row)
}

// Print prints the table.
func (t *Table) Print() {
	if t.console.CSV() {
		t.csv()
		return
	}
	width := 0
	if t.console.Width > 0 {
		width = t.console.Width - len(t.Indent)
	}
	widths := t.layout(width)
	header := make([]Cell, len(t.columns))
	for i, col := range t.columns {
		header[i] = Bold.Cell(col.name)
	}
	for _, row := range append([][]Cell{header}, t.rows...) {
		for _, line := range t.lines(row, widths) {
			t.console.row(t.Indent, line, widths)
		}
	}
}

// lines are the lines of a row.
func (t *Table) lines(row []Cell, widths []int) [][]Cell {
	last := len(row) - 1
	for last > 0 && widths[last] < 0 {
		last--
	}
	if !t.Wrap {
		return [][]Cell{row}
	}
	var all [][]Cell
	for _, part := range wrap(human.Escape(row[last].Text), widths[last]) {
		line := slices.Clone(row)
		line[last].Text = part
		all = append(all, line)
		row = slices.Clone(row)
		for i := range last {
			row[i].Text = ""
		}
	}
	return all
}

// wholeName is how much of a name stays at least where a table is cut and some columns
// can leave it instead.
const wholeName = 20

// minColumn is how narrow a column is made when no other can leave.
const minColumn = 8

// layout returns the width of each column, at most width in all (zero means any), with
// gaps of two between them; -1 is a column that is left out.
func (t *Table) layout(width int) []int {
	widths, least := make([]int, len(t.columns)), make([]int, len(t.columns))
	for i, col := range t.columns {
		text := 0
		for _, row := range t.rows {
			text = max(text, utf8.RuneCountInString(human.Escape(row[i].Text)))
		}
		widths[i] = max(text, utf8.RuneCountInString(col.name))
		least[i] = max(min(text, wholeName), utf8.RuneCountInString(col.name))
		if !t.console.Wide() && (col.extra || text == 0 && len(t.rows) > 0) {
			widths[i], least[i] = -1, -1
		}
	}
	if width <= 0 {
		return widths
	}
	for i := len(t.columns) - 1; i >= 0 && total(least) > width; i-- {
		if t.columns[i].spare {
			widths[i], least[i] = -1, -1
		}
	}
	narrow(widths, least, width)
	narrow(widths, slices.Repeat([]int{minColumn}, len(widths)), width)
	return widths
}

// total is the width of a table with its gaps.
func total(widths []int) int {
	sum := -2
	for _, w := range widths {
		if w >= 0 {
			sum += w + 2
		}
	}
	return sum
}

// narrow takes from the widest columns until the table fits into width, or all
// columns are at their least.
func narrow(widths, least []int, width int) {
	for over := total(widths) - width; over > 0; over-- {
		most := -1
		for i, w := range widths {
			if w > least[i] && (most < 0 || w > widths[most]) {
				most = i
			}
		}
		if most < 0 {
			return
		}
		widths[most]--
	}
}

// Fields are names with their values, printed as a table without a header.
type Fields []field

type field struct {
	name  string
	value any
}

// Add adds a value, unless it is empty; see [Table.Add].
func (f *Fields) Add(name string, value any) { *f = append(*f, field{name, value}) }

// Lines adds values, a line each, with the name before the first.
func (f *Fields) Lines(name string, lines []string) {
	for _, line := range lines {
		f.Add(name, line)
		name = ""
	}
}

// Fields prints fields, each line after indent. A value that is wider than the terminal
// is continued below itself.
func (c *Console) Fields(indent string, f Fields) {
	names := 0
	var rows [][]Cell
	for _, field := range f {
		if value := c.cell(field.value); value.Text != "" {
			rows = append(rows, []Cell{Faint.Cell(field.name), value})
			names = max(names, utf8.RuneCountInString(human.Escape(field.name)))
		}
	}
	for _, row := range rows {
		for _, line := range wrap(human.Escape(row[1].Text), c.Width-len(indent)-names-2) {
			c.row(indent, []Cell{row[0], row[1].Colour.Cell(line)}, []int{names, len(line)})
			row[0].Text = ""
		}
	}
}

// wrap parts a text at spaces into lines of at most width characters where it can; a
// width of zero or less, or one that is too narrow to read, means any.
func wrap(text string, width int) []string {
	if width < wholeName {
		return []string{text}
	}
	var lines []string
	for utf8.RuneCountInString(text) > width {
		runes := []rune(text)
		at := strings.LastIndexByte(string(runes[:width+1]), ' ')
		if at <= 0 {
			if at = strings.IndexByte(text, ' '); at <= 0 {
				break
			}
		}
		lines, text = append(lines, text[:at]), strings.TrimLeft(text[at:], " ")
	}
	return append(lines, text)
}

// row prints cells, those of a negative width left out.
func (c *Console) row(indent string, row []Cell, widths []int) {
	var b strings.Builder
	b.WriteString(indent)
	for i, field := range row {
		if widths[i] < 0 {
			continue
		}
		s := cut(human.Escape(field.Text), widths[i])
		b.WriteString(c.Paint(field.Colour, s)) // escaped twice is escaped once
		b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(s)+2))
	}
	fmt.Fprintln(c.out(), strings.TrimRight(b.String(), " "))
}

// cut shortens s to width runes, with an ellipsis where something is missing.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:width-1]) + "…"
}
