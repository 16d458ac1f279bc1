package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/app"
	"fairway/internal/human"
)

// console is where a command prints, and how it reaches the admin API.
type console struct {
	out, err io.Writer
	environ  []string
	env      map[string]string

	// format is "text", "wide" or "json".
	format string
	// width is where text is cut off; zero means nowhere.
	width int
	// colours is true when the output understands them.
	colours bool

	admin, tokenFile, adminCA string
	// patience is how long an answer of the admin API may take; zero for its default.
	patience time.Duration
	opened   *api.Client // by client, for close
}

func newConsole(stdout, stderr io.Writer, environ []string) *console {
	return &console{out: stdout, err: stderr, environ: environ, env: app.Environment(environ), format: "text"}
}

func (c *console) configure(g *grammar) {
	c.format, c.admin, c.tokenFile, c.adminCA = g.Output, g.Admin, g.TokenFile, g.AdminCA
	if c.admin == "" {
		c.admin = c.env["FAIRWAY_ADMIN"]
	}
	width, terminal := terminalWidth(c.out)
	c.colours = terminal && !g.NoColor && c.env["NO_COLOR"] == "" && c.env["TERM"] != "dumb"
	if terminal && c.format == "text" {
		c.width = width
	}
}

// client returns a client for the admin API. What the flags do not say comes
// from the configuration that a Fairway started here would have.
func (c *console) client() (*api.Client, error) {
	// A token is for the Fairway it was made for: not for one that is named.
	access := api.Access{URL: c.admin, TokenFile: c.env["FAIRWAY_ADMIN_TOKEN_FILE"]}
	if c.admin == "" {
		access = app.AdminAccess(app.LoadOptions{Environ: c.environ})
	}
	if c.tokenFile != "" {
		access.TokenFile = c.tokenFile
	}
	if c.adminCA != "" {
		access.CertFile, access.OwnCert = c.adminCA, false
	}
	client, err := access.Client()
	if err != nil {
		return nil, usageError{err}
	}
	if c.patience > 0 {
		client = client.Patient(c.patience)
	}
	c.opened = client
	return client, nil
}

func (c *console) close() {
	if c.opened != nil {
		c.opened.Close()
	}
}

// show prints what the admin API answered, as JSON or by text, or returns its error.
func show[T any](c *console, answer T, err error, text func(T)) error {
	if err != nil {
		return err
	}
	return c.print(answer, func() { text(answer) })
}

// list is show for a list.
func list[T any](c *console, answer api.List[T], err error, text func([]T)) error {
	return show(c, answer, err, func(l api.List[T]) { text(l.Items) })
}

// orNote is a text for a list that may be empty: then it is a remark.
func orNote[T any](c *console, none string, text func([]T)) func([]T) {
	return func(items []T) {
		if len(items) == 0 {
			c.note("%s", none)
			return
		}
		text(items)
	}
}

// done is show for what was done and is described in a line.
func (c *console) done(answer api.Done, err error) error {
	return show(c, answer, err, func(d api.Done) { c.printf("%s\n", d.Text) })
}

// noIf ends a command that has printed its answer: with errNo when the answer is no.
func noIf(err error, no bool) error {
	if err == nil && no {
		return errNo
	}
	return err
}

func (c *console) fail(err error) {
	for i, line := range strings.Split(err.Error(), "\n") {
		if i == 0 {
			line = "fairway: " + line
		}
		fmt.Fprintln(c.err, human.Escape(line))
	}
}

// note writes a remark that is no part of the answer.
func (c *console) note(format string, args ...any) {
	fmt.Fprintln(c.err, human.Escape(fmt.Sprintf(format, args...)))
}

// printf writes text. Every string among args is escaped.
func (c *console) printf(format string, args ...any) {
	for i, arg := range args {
		if s, ok := arg.(string); ok {
			args[i] = human.Escape(s)
		}
	}
	fmt.Fprintf(c.out, format, args...)
}

// print writes the answer: as JSON, or by text.
func (c *console) print(answer any, text func()) error {
	if c.format != "json" {
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
	_, err := c.out.Write(escapeJSON(buf.Bytes()))
	return err
}

func (c *console) wide() bool { return c.format == "wide" }

// raw writes a line whose parts have been escaped.
func (c *console) raw(line string) { fmt.Fprintln(c.out, line) }
