package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

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

// cell is one field of a table.
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

// minColumn is how narrow a column is made when a table has to be cut.
const minColumn = 8

// table prints rows below a header, aligned, each line after indent. On a
// terminal that is too narrow, the widest columns are cut.
func (c *console) table(indent string, header []string, rows [][]cell) {
	all := make([][]cell, 0, len(rows)+1)
	if header != nil {
		first := make([]cell, len(header))
		for i, h := range header {
			first[i] = cell{h, bold}
		}
		all = append(all, first)
	}
	all = append(all, rows...)
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
		if c.colours && field.colour != plain && s != "" {
			s = "\x1b[" + string(field.colour) + "m" + s + "\x1b[0m"
		}
		b.WriteString(s)
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
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= minColumn {
			return
		}
		widths[widest]--
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

// descriptor is a writer with a file descriptor; *os.File is one.
type descriptor interface {
	io.Writer
	Fd() uintptr
}
