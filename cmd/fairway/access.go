package main

import (
	"cmp"
	"context"
	"fmt"

	"fairway/internal/api"
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

// Run makes a token. Standard output gets the token alone, so that it can be
// redirected into a file.
func (t *tokenCreateCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	made, err := a.CreateToken(ctx, api.NewToken{Name: t.Name, Role: t.Role, Days: t.Days})
	return show(c, made, err, func(made api.MadeToken) {
		until := ""
		if !made.Expires.IsZero() {
			until = " until " + c.Time(made.Expires)
		}
		c.Printf("%s\n", made.Secret)
		c.Note("%s is %s%s", made.Name, made.Role, until)
	})
}

type tokenListCommand struct{}

// Run prints the tokens.
func (*tokenListCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Tokens(ctx)
	return list(c, found, err, func(tokens []api.Token) {
		t := c.Columns("TOKEN", "ROLE", "-CREATED", "-BY", "EXPIRES")
		for _, k := range tokens {
			t.Add(k.Name, k.Role, k.Created, k.By, cmp.Or(c.Time(k.Expires), "never"))
		}
		t.Print()
	})
}

type tokenRevokeCommand struct {
	Name string `arg:"" help:"Name of the token."`
}

// Run revokes a token.
func (t *tokenRevokeCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return c.done(a.RevokeToken(ctx, t.Name))
}

type auditCommand struct {
	Limit int `name:"limit" short:"n" placeholder:"N" default:"50" help:"Maximum number of entries, up to 1000."`
}

// Run prints who did what.
func (f *auditCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if f.Limit < 1 || f.Limit > 1000 {
		return usageError{fmt.Errorf("--limit: want 1 to 1000, not %d", f.Limit)}
	}
	found, err := a.Audit(ctx, f.Limit)
	return list(c, found, err, c.Audit)
}
