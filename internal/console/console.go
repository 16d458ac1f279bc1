// Package console prints to terminals: tables that fit, colours, text from outside that
// is escaped, sparklines, and completion of command lines. It knows nothing of what it
// prints.
package console

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"fairway/internal/human"
)

// Console is where a command prints. The zero value has nowhere to.
type Console struct {
	// Out gets answers, Err everything else.
	Out, Err io.Writer
	// In is where questions are answered; nil where none can be asked.
	In io.Reader
	// Format is "text", "wide", "json" or "csv"; empty means "text". With "csv" tables are
	// printed, and no other text.
	Format string
	// Width is the number of columns that tables fit into; zero means any.
	Width int
	// Colours is true when the output understands them.
	Colours bool
	// Zone is where times are shown; nil means UTC.
	Zone *time.Location
	// Screen is true when Out is a terminal that can be cleared.
	Screen bool

	drawn  string // by Redraw
	tables int    // that were printed as CSV
}

// Exit ends a command that has said everything with an exit code of its own.
type Exit int

// Error implements error.
func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Wide reports whether more columns are wanted, and nothing cut.
func (c *Console) Wide() bool { return c.Format == "wide" }

// Paint returns s, escaped, in a colour.
func (c *Console) Paint(col Colour, s string) string {
	s = human.Escape(s)
	if !c.Colours || col == Plain || s == "" {
		return s
	}
	return "\x1b[" + string(col) + "m" + s + "\x1b[0m"
}

// Redraw runs print, and shows what it prints where that is another text than the last
// time: on a screen in the place of that, elsewhere below it.
func (c *Console) Redraw(print func() error) error {
	if width, ok := TerminalWidth(c.Out); ok && c.Width > 0 {
		c.Width = width // it may have another size now
	}
	var answer, remarks bytes.Buffer
	out, err := c.Out, c.Err
	c.Out, c.Err = &answer, &remarks
	failed := print()
	c.Out, c.Err = out, err
	if now := answer.String() + remarks.String(); failed == nil && now != c.drawn {
		if c.Screen {
			fmt.Fprint(c.Out, "\x1b[H\x1b[2J")
		} else if c.drawn != "" && c.Format != "json" {
			fmt.Fprintln(c.Out)
		}
		c.drawn = now
		fmt.Fprint(c.Out, answer.String())
		fmt.Fprint(c.Err, remarks.String())
	}
	return failed
}

// Fail reports an error of one or several lines.
func (c *Console) Fail(err error) {
	for i, line := range strings.Split(err.Error(), "\n") {
		if i == 0 {
			line = "fairway: " + line
		}
		fmt.Fprintln(c.Err, human.Escape(line))
	}
}

// Note writes a remark that is no part of the answer.
func (c *Console) Note(format string, args ...any) {
	fmt.Fprintln(c.Err, human.Escape(fmt.Sprintf(format, args...)))
}

// Confirm asks a question that y or yes answers with yes, and everything else with no. The
// error is that of ctx, which may end before there is an answer.
func (c *Console) Confirm(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(c.Err, human.Escape(question)+" [y/N] ")
	answered := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(c.In, 100)).ReadString('\n') // the end is no, too
		answered <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case answer := <-answered:
		return answer == "y" || answer == "yes", nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// Printf writes text. Every string among args is escaped.
func (c *Console) Printf(format string, args ...any) {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = human.Escape(s)
		}
	}
	fmt.Fprintf(c.out(), format, args...)
}

// Raw writes a line whose parts have been escaped.
func (c *Console) Raw(line string) { fmt.Fprintln(c.out(), line) }

// Print writes the answer: as JSON, or by text. Its error is that of Out.
func (c *Console) Print(answer any, text func()) error {
	if c.Format != "json" {
		text()
		return nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(answer); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	_, err := c.Out.Write(EscapeJSON(buf.Bytes()))
	return err
}

// EscapeJSON is human.Escape for JSON text, with JSON's escapes: encoding/json
// leaves control characters beyond ASCII, and DEL, as they are.
func EscapeJSON(data []byte) []byte {
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

// TerminalWidth returns the number of columns of the terminal behind w, and
// whether there is one. A terminal that does not know counts as 80 wide.
func TerminalWidth(w io.Writer) (width int, terminal bool) {
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
