package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

type tokenCommand struct {
	Create tokenCreateCommand `cmd:"" help:"Create a token and print it."`
	List   tokenListCommand   `cmd:"" help:"List the tokens, without their secrets."`
	Revoke tokenRevokeCommand `cmd:"" help:"Revoke a token and end its sessions."`
}

type tokenCreateCommand struct {
	Name string `arg:"" help:"Name of the holder, for the audit log."`
	Role string `name:"role" placeholder:"ROLE" enum:"viewer,operator,admin" default:"viewer" help:"viewer reads, operator changes what is served, admin manages access."`
	Days int    `name:"days" placeholder:"N" help:"Days until it expires, from 1 to 3650. Default: never."`
}

// Help implements kong.HelpProvider.
func (tokenCreateCommand) Help() string {
	return `The token is printed once. Fairway keeps only its SHA-256.

    fairway token create grafana
    fairway token create deploy --role operator --days 90 > deploy.token`
}

// Run makes a token. Standard output gets the token alone, so that it can be
// redirected into a file.
func (t *tokenCreateCommand) Run(ctx context.Context, c *console) error {
	_, err := ask(c, func(a *api.Client) (api.MadeToken, error) {
		return a.CreateToken(ctx, api.NewToken{Name: t.Name, Role: t.Role, Days: t.Days})
	}, func(made api.MadeToken) {
		until := ""
		if !made.Expires.IsZero() {
			until = " until " + human.Time(made.Expires)
		}
		c.printf("%s\n", made.Secret)
		c.note("%s is %s%s", made.Name, made.Role, until)
	})
	return err
}

type tokenListCommand struct{}

// Help implements kong.HelpProvider.
func (tokenListCommand) Help() string {
	return `Examples:

    fairway token list`
}

// Run prints the tokens.
func (*tokenListCommand) Run(ctx context.Context, c *console) error {
	_, err := list(c, func(a *api.Client) (api.List[api.Token], error) { return a.Tokens(ctx) }, func(tokens []api.Token) {
		var rows [][]cell
		for _, t := range tokens {
			expires := "never"
			if !t.Expires.IsZero() {
				expires = human.Time(t.Expires)
			}
			rows = append(rows, []cell{text(t.Name), text(t.Role), text(human.Time(t.Created)), text(t.By), text(expires)})
		}
		c.table("", []string{"TOKEN", "ROLE", "CREATED", "BY", "EXPIRES"}, rows)
	})
	return err
}

type tokenRevokeCommand struct {
	Name string `arg:"" help:"Name of the token."`
}

// Help implements kong.HelpProvider.
func (tokenRevokeCommand) Help() string {
	return `Examples:

    fairway token revoke deploy`
}

// Run revokes a token.
func (t *tokenRevokeCommand) Run(ctx context.Context, c *console) error {
	return c.done(func(a *api.Client) (api.Done, error) { return a.RevokeToken(ctx, t.Name) })
}

type auditCommand struct {
	Limit int `name:"limit" short:"n" placeholder:"N" default:"50" help:"Maximum number of entries, up to 1000."`
}

// Help implements kong.HelpProvider.
func (auditCommand) Help() string {
	return `The newest comes first. Refused attempts are included.

    fairway audit
    fairway audit -n 1000 -o json`
}

// Run prints who did what.
func (a *auditCommand) Run(ctx context.Context, c *console) error {
	if a.Limit < 1 || a.Limit > 1000 {
		return usageError{fmt.Errorf("--limit: want 1 to 1000, not %d", a.Limit)}
	}
	_, err := list(c, func(client *api.Client) (api.List[api.AuditEntry], error) { return client.Audit(ctx, a.Limit) }, c.auditLog)
	return err
}

func (c *console) auditLog(entries []api.AuditEntry) {
	header := []string{"WHEN", "WHO", "ROLE", "FROM", "STATUS", "WHAT"}
	if c.wide() {
		header = append(header, "OPERATION")
	}
	var rows [][]cell
	for _, d := range entries {
		col := good
		if d.Status >= 400 {
			col = bad
		}
		who, what := d.Who, d.Text
		if who == "" {
			who = "-"
		}
		if what == "" {
			what = d.Operation
		}
		row := []cell{text(human.Time(d.At)), text(who), text(d.Role), text(d.From), {strconv.Itoa(d.Status), col}, text(strings.TrimSpace(what))}
		if c.wide() {
			row = append(row, text(d.Operation))
		}
		rows = append(rows, row)
	}
	c.table("", header, rows)
}
