package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"fairway/internal/api"
	"fairway/internal/api/local"
	"fairway/internal/app"
	"fairway/internal/console"
	"fairway/internal/printer"
)

// cli is where a command prints, and how it reaches the admin API.
type cli struct {
	printer.Printer
	environ []string
	env     map[string]string

	admin, tokenFile, adminCA string
	// patience is how long an answer of the admin API may take; zero for its default.
	patience time.Duration
	opened   *api.Client // by client, for close
}

func newCLI(stdout, stderr io.Writer, environ []string) *cli {
	return &cli{Printer: printer.Printer{Console: &console.Console{Out: stdout, Err: stderr, Format: "text"}}, environ: environ, env: app.Environment(environ)}
}

func (c *cli) configure(g *grammar) {
	c.Format, c.admin, c.tokenFile, c.adminCA = g.Output, g.Admin, g.TokenFile, g.AdminCA
	if c.admin == "" {
		c.admin = c.env["FAIRWAY_ADMIN"]
	}
	c.Zone = time.Local
	if name, set := c.env["TZ"]; set {
		if zone, err := time.LoadLocation(name); err == nil {
			c.Zone = zone
		}
	}
	if g.UTC {
		c.Zone = time.UTC
	}
	width, terminal := console.TerminalWidth(c.Out)
	c.Colours = terminal && !g.NoColor && c.env["NO_COLOR"] == "" && c.env["TERM"] != "dumb"
	c.Screen = terminal && c.Format != "json" && !c.CSV() && c.env["TERM"] != "dumb"
	if !terminal { // what runs beside one says how wide it is, as watch does
		width, _ = strconv.Atoi(c.env["COLUMNS"])
	}
	if c.Format == "text" {
		c.Width = max(width, 0)
	}
	if _, asks := console.TerminalWidth(c.Err); asks {
		if _, answers := console.TerminalWidth(os.Stdin); answers {
			c.In = os.Stdin
		}
	}
}

// client returns a client for the admin API. What the flags do not say comes
// from the configuration that a Fairway started here would have.
func (c *cli) client() (*api.Client, error) {
	// A token is for the Fairway it was made for: not for one that is named.
	access := local.Access{URL: c.admin, TokenFile: c.env["FAIRWAY_ADMIN_TOKEN_FILE"]}
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

// tokenHint says where a token comes from that may do what was refused with a status.
func (c *cli) tokenHint(status int) {
	if status == http.StatusUnauthorized {
		path, where := app.FirstToken(app.LoadOptions{Environ: c.environ}), ""
		if c.admin != "" { // its configuration is not known here
			path, where = filepath.Join(app.Defaults().StateDir, "admin-token"), "on its machine "
		}
		c.Note("Hint: name the file of a token with --token-file; %sFairway's user and root may read the first one, %s (try sudo).", where, path)
	}
	c.Note("Hint: who has the role admin makes a token with: fairway token create NAME --role operator")
}

func (c *cli) close() {
	if c.opened != nil {
		c.opened.Close()
	}
}

// show prints what the admin API answered, as JSON or by text, or returns its error.
func show[T any](c *cli, answer T, err error, text func(T)) error {
	if err != nil {
		return err
	}
	return c.Print(answer, func() { text(answer) })
}

// list is show for a list.
func list[T any](c *cli, answer api.List[T], err error, text func([]T)) error {
	return show(c, answer, err, func(l api.List[T]) { text(l.Items) })
}

// isList reports whether a command prints one table, which it can as CSV, once.
func isList(parsed *kong.Context) bool {
	again := slices.ContainsFunc(parsed.Flags(), func(f *kong.Flag) bool {
		return (f.Name == "follow" || f.Name == "watch" || f.Name == "stream") && f.Target.Bool()
	})
	return !again && slices.Contains([]string{
		"status", "errors", "routes", "services", "problems", "sources", "nodes", "events", "rules", "history", "commands", "stats", "audit", "token list", "config", "certs list", "owners list", "owners check",
		"notify channels", "notify outbox", "dns names", "fleet list", "fleet status", "fleet history",
	}, strings.TrimPrefix(parsed.Selected().Path(), "fairway "))
}

// orNote is a text for a list that may be empty: then it is a remark.
func orNote[T any](c *cli, none string, text func([]T)) func([]T) {
	return func(items []T) {
		if len(items) == 0 {
			c.Note("%s", none)
			if !c.CSV() { // of which there is the header
				return
			}
		}
		text(items)
	}
}

// done is show for what was done and is described in a line.
func (c *cli) done(answer api.Done, err error) error {
	return show(c, answer, err, func(d api.Done) { c.Printf("%s\n", d.Text) })
}

// noIf ends a command that has printed its answer: with errNo when the answer is no.
func noIf(err error, no bool) error {
	if err == nil && no {
		return errNo
	}
	return err
}
