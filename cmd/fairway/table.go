package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"fairway/internal/api"
	"fairway/internal/human"
)

// colour is the meaning of a cell, shown as a colour where there are any.
type colour string

// The colours, as the terminal's own.
const (
	plain colour = ""
	bold  colour = "1"
	good  colour = "32"
	doubt colour = "33"
	bad   colour = "31"
	faint colour = "2"
)

// colourOf is the colour of a state, by the word that the API has for it.
func colourOf(state string, otherwise colour) colour {
	switch state {
	case "ready", "applied", "already", api.RolloutDone, api.FleetCurrent, api.SeverityGood:
		return good
	case "refused", "unknown", "lost", api.RolloutReverted, api.FleetEdited, api.FleetUnreachable, api.SeverityBad:
		return bad
	case "starting", "leaving", "paused", "pause", "drain", api.SeverityWarning:
		return doubt
	}
	return otherwise
}

type cell struct {
	text   string
	colour colour
}

func text(s string) cell { return cell{text: s} }

// paint returns s, escaped, in a colour.
func (c *console) paint(col colour, s string) string {
	s = human.Escape(s)
	if !c.colours || col == plain || s == "" {
		return s
	}
	return "\x1b[" + string(col) + "m" + s + "\x1b[0m"
}

// cellOf is the cell of a value: a cell as it is, a time for people, else what fmt prints.
func cellOf(value any) cell {
	switch v := value.(type) {
	case cell:
		return v
	case time.Time:
		return text(human.Time(v))
	}
	return text(fmt.Sprint(value))
}

// columns is a table that is filled row by row and then printed.
type columns struct {
	console *console
	indent  string
	header  []string
	hidden  []bool
	rows    [][]cell
}

// columns returns a table. Columns whose names begin with a plus are those of -o wide.
func (c *console) columns(names ...string) *columns {
	t := &columns{console: c}
	for _, name := range names {
		name, extra := strings.CutPrefix(name, "+")
		hide := extra && !c.wide()
		t.hidden = append(t.hidden, hide)
		if !hide {
			t.header = append(t.header, name)
		}
	}
	return t
}

// add adds a row with a value for each column; see cellOf.
func (t *columns) add(values ...any) {
	var row []cell
	for i, value := range values {
		if !t.hidden[i] {
			row = append(row, cellOf(value))
		}
	}
	t.rows = append(t.rows, row)
}

func (t *columns) print() { t.console.table(t.indent, t.header, t.rows) }

// fields are names with their values, printed as a table without a header.
type fields [][]cell

// add adds a value, unless it is empty; see cellOf.
func (f *fields) add(name string, value any) {
	if c := cellOf(value); c.text != "" {
		*f = append(*f, []cell{{name, faint}, c})
	}
}

// lines adds values, a line each, with the name before the first.
func (f *fields) lines(name string, lines []string) {
	for _, line := range lines {
		f.add(name, line)
		name = ""
	}
}

// minColumn is how narrow a column is made when a table has to be cut.
const minColumn = 8

// table prints rows below a header, aligned, each line after indent. On a
// terminal that is too narrow, the widest columns are cut.
func (c *console) table(indent string, header []string, rows [][]cell) {
	all := rows
	if header != nil {
		first := make([]cell, len(header))
		for i, h := range header {
			first[i] = cell{h, bold}
		}
		all = append([][]cell{first}, rows...)
	}
	widths := columnWidths(all)
	if c.width > 0 {
		narrow(widths, c.width-len(indent))
	}
	for _, row := range all {
		c.row(indent, row, widths)
	}
}

func (c *console) row(indent string, row []cell, widths []int) {
	var b strings.Builder
	b.WriteString(indent)
	for i, field := range row {
		s := cut(human.Escape(field.text), widths[i])
		gap := widths[i] - utf8.RuneCountInString(s) + 2
		b.WriteString(c.paint(field.colour, s)) // escaped twice is escaped once
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", gap))
		}
	}
	fmt.Fprintln(c.out, strings.TrimRight(b.String(), " "))
}

func columnWidths(rows [][]cell) []int {
	var widths []int
	for _, row := range rows {
		for i, field := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(human.Escape(field.text)))
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

// escapeJSON is human.Escape for JSON text, with JSON's escapes: encoding/json
// leaves control characters beyond ASCII, and DEL, as they are.
func escapeJSON(data []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(data) {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}

// terminalWidth returns the number of columns of the terminal behind w, and
// whether there is one. A terminal that does not know counts as 80 wide.
func terminalWidth(w io.Writer) (width int, terminal bool) {
	f, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	return cmp.Or(int(size.Col), 80), true
}
