package main

import (
	"cmp"
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
	t := c.Columns("NAMES", "EXPIRES", "-ISSUER", "+KEY", "FILE", "+LISTENERS", "+ROUTES")
	for _, one := range all.Certificates {
		colour := console.Good
		if one.State == api.CertificateExpiring {
			colour = console.Doubt
		} else if one.Wrong() {
			colour = console.Bad
		}
		t.Add(strings.Join(one.Names, ", "), colour.Cell(cmp.Or(one.Error, one.Ends(all.At))), one.Issuer, one.Key, one.File, strings.Join(one.Listeners, ", "), strings.Join(one.Routes, ", "))
	}
	t.Print()
}
