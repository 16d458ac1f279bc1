package main

import (
	"context"
	"strings"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
)

type certsCommand struct{}

// Run prints the certificates.
func (*certsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Certificates(ctx)
	return noIf(show(c, found, err, c.certificates), found.Wrong())
}

func (c *cli) certificates(all api.Certificates) {
	for _, u := range all.Uncovered {
		c.Raw(c.Paint(console.Bad, "no certificate") + "  " + c.Paint(console.Bold, u.Host) + "  " + human.Escape(strings.Join(u.Routes, ", ")))
		c.Raw("  " + human.Escape(u.Text))
		c.Hint("  ", u.Hint)
		c.Printf("\n")
	}
	if len(all.Certificates) == 0 {
		c.Note("No certificates. Give them with tls.certificates: fairway run --tls.certificates CERT.PEM,KEY.PEM")
		if !c.CSV() {
			return
		}
	}
	c.Certificates(all.Certificates, all.At)
}
