package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/human"
)

type tokenCommand struct {
	Create tokenCreateCommand `cmd:"" help:"Make a token and print it."`
	List   tokenListCommand   `cmd:"" help:"List the tokens; what to send is not kept."`
	Revoke tokenRevokeCommand `cmd:"" help:"Make a token of no use, and end its sessions."`
}

type tokenCreateCommand struct {
	Name string `arg:"" help:"Whose it is; stands in the audit log."`
	Role string `name:"role" placeholder:"ROLE" enum:"viewer,operator,admin" default:"viewer" help:"viewer sees, operator changes what is served, admin says who may do what."`
	Days int    `name:"days" placeholder:"N" help:"How many days it holds, from 1 to 3650. Default: for good."`
}

// Help implements kong.HelpProvider.
func (tokenCreateCommand) Help() string {
	return `The token is printed once; Fairway keeps its SHA-256 alone.

    fairway token create grafana
    fairway token create deploy --role operator --days 90 > deploy.token`
}

// Run makes a token. What goes to standard output is the token alone, so that it
// can be sent into a file.
func (t *tokenCreateCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	made, err := client.CreateToken(ctx, api.NewToken{Name: t.Name, Role: t.Role, Days: t.Days})
	if err != nil {
		return err
	}
	return c.print(made, func() {
		c.printf("%s\n", made.Secret)
		c.note("%s is %s%s", made.Name, made.Role, until(made.Expires))
	})
}

// until says when something expires.
func until(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " until " + human.Time(t)
}

type tokenListCommand struct{}

// Help implements kong.HelpProvider.
func (tokenListCommand) Help() string {
	return `Examples:

    fairway token list`
}

// Run prints the tokens.
func (*tokenListCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.Tokens(ctx)
	if err != nil {
		return err
	}
	return c.print(list, func() {
		var rows [][]cell
		for _, t := range list.Items {
			expires := "never"
			if !t.Expires.IsZero() {
				expires = human.Time(t.Expires)
			}
			rows = append(rows, []cell{text(t.Name), text(t.Role), text(human.Time(t.Created)), text(t.By), text(expires)})
		}
		c.table("", []string{"TOKEN", "ROLE", "CREATED", "BY", "EXPIRES"}, rows)
	})
}

type tokenRevokeCommand struct {
	Name string `arg:"" help:"The token's name."`
}

// Help implements kong.HelpProvider.
func (tokenRevokeCommand) Help() string {
	return `Examples:

    fairway token revoke deploy`
}

// Run makes a token of no use.
func (t *tokenRevokeCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	done, err := client.RevokeToken(ctx, t.Name)
	if err != nil {
		return err
	}
	return c.print(done, func() { c.printf("%s\n", done.Text) })
}

type auditCommand struct {
	Limit int `name:"limit" short:"n" placeholder:"N" default:"50" help:"How many, from 1 to 1000."`
}

// Help implements kong.HelpProvider.
func (auditCommand) Help() string {
	return `The newest comes first. What was refused is there, too.

    fairway audit
    fairway audit -n 1000 -o json`
}

// Run prints who did what.
func (a *auditCommand) Run(ctx context.Context, c *console) error {
	if a.Limit < 1 || a.Limit > 1000 {
		return usageError{fmt.Errorf("--limit: want 1 to 1000, not %d", a.Limit)}
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.Deeds(ctx, a.Limit)
	if err != nil {
		return err
	}
	return c.print(list, func() { c.deeds(list.Items) })
}

func (c *console) deeds(deeds []api.Deed) {
	header := []string{"WHEN", "WHO", "ROLE", "FROM", "STATUS", "WHAT"}
	if c.wide() {
		header = append(header, "OPERATION")
	}
	var rows [][]cell
	for _, d := range deeds {
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
