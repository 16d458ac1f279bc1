package printer

import (
	"cmp"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
)

// CertificatesInFull prints certificates, and before them the hosts that have none.
func (c *Printer) CertificatesInFull(all api.Certificates) {
	for _, u := range all.Uncovered {
		if c.CSV() {
			c.Note("no certificate: %s: %s", u.Host, u.Text)
			continue
		}
		c.Raw(c.Paint(console.Bad, "no certificate") + "  " + c.Paint(console.Bold, u.Host) + "  " + human.Escape(strings.Join(u.Routes, ", ")))
		c.Raw("  " + human.Escape(u.Text))
		c.Hint("  ", u.Hint)
		c.Printf("\n")
	}
	if len(all.Certificates) == 0 {
		c.Note("No certificates. Give them with tls.certificates: fairway run --tls.certificates CERT.PEM,KEY.PEM")
		if !c.CSV() { // of which there is the header
			return
		}
	}
	c.Certificates(all.Certificates, all.At)
}

// Certificates prints certificates as they are at a time.
func (c *Printer) Certificates(all []api.Certificate, at time.Time) {
	t := c.Columns("NAMES", "EXPIRES", "-ISSUER", "+KEY", "FILE", "+LISTENERS", "+ROUTES")
	for _, one := range all {
		colour := console.Good
		if one.State == api.CertificateExpiring {
			colour = console.Doubt
		} else if one.Wrong() {
			colour = console.Bad
		}
		t.Add(strings.Join(one.Names, ", "), colour.Cell(cmp.Or(one.Error, one.Ends(at))), one.Issuer, one.Key, one.File, strings.Join(one.Listeners, ", "), strings.Join(one.Routes, ", "))
	}
	t.Print()
}
