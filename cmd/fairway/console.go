package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

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
}

func newConsole(stdout, stderr io.Writer, environ []string) *console {
	c := &console{out: stdout, err: stderr, environ: environ, env: map[string]string{}, format: "text"}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		c.env[name] = value
	}
	return c
}

// configure takes over the global flags.
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
	access := app.AdminAccess(app.LoadOptions{Environ: c.environ})
	trusted, own := c.adminCA, false
	if c.admin != "" {
		// A token is for the Fairway it was made for, nobody else's.
		access = app.Access{URL: c.admin, TokenFile: c.env["FAIRWAY_ADMIN_TOKEN_FILE"]}
	} else if trusted == "" {
		trusted, own = access.CertFile, true
	}
	o := api.ClientOptions{URL: access.URL}
	if c.tokenFile != "" {
		access.TokenFile = c.tokenFile
	}
	if access.TokenFile != "" {
		data, err := os.ReadFile(access.TokenFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("token for the admin API: %w", err)}
		}
		o.Token = strings.TrimSpace(string(data))
	}
	if trusted != "" {
		var err error
		if o.TLS, err = app.Pinned(trusted, own); err != nil {
			return nil, usageError{fmt.Errorf("certificate of the admin API: %w", err)}
		}
	}
	client, err := api.NewClient(o)
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}

// fail writes an error for people.
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
