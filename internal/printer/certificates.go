package printer

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/api/automatic"
	"fairway/internal/console"
	"fairway/internal/human"
)

// CertificatesInFull prints certificates, and before them the hosts that have none.
func (c *Printer) CertificatesInFull(all api.Certificates) {
	c.lacking(all)
	gets := len(all.Automatic) > 0 || all.Authority != nil
	some := len(all.Certificates) > 0
	switch {
	case !some && gets:
		c.Note("No certificates yet: Fairway gets them by itself")
	case !some:
		c.Note("No certificates. To get them: fairway run --acme EMAIL; your own: fairway run --tls.certificates CERT.PEM,KEY.PEM")
	}
	if some || c.CSV() { // of which there is the header
		c.Certificates(all.Certificates, all.At)
	}
	shown := slices.DeleteFunc(slices.Clone(all.Automatic), func(one automatic.Managed) bool { return some && !one.Wrong() })
	if c.CSV() || len(shown) == 0 {
		return
	}
	if some {
		c.Printf("\n")
	}
	c.Automatic(shown, all.At)
}

// lacking prints the hosts that have no certificate, and what is wrong with the authority.
func (c *Printer) lacking(all api.Certificates) {
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
	if t := all.Authority; t != nil {
		c.Note("The certificate authority cannot be used: %s", t.Error)
	}
}

// CertificatesOf prints what is known of a host, first what Fairway does about it.
func (c *Printer) CertificatesOf(all api.Certificates) {
	if len(all.Automatic) > 0 {
		c.Automatic(all.Automatic, all.At)
		for _, one := range all.Automatic {
			if one.OnDemand {
				c.Raw("  asked for by a client, and taken by " + human.Escape(one.Service) + " (acme.on-demand)")
			}
			if one.Label != "" {
				c.Raw("  wanted by the label " + human.Escape(one.Label) + " of " + human.Escape(one.Service))
			}
		}
		c.Printf("\n")
	}
	c.lacking(all)
	if len(all.Certificates) > 0 || c.CSV() && len(all.Automatic) == 0 {
		c.Certificates(all.Certificates, all.At)
	}
}

// Automatic prints the hosts that Fairway gets certificates for, as they are at a time.
func (c *Printer) Automatic(all []automatic.Managed, at time.Time) {
	t := c.Columns("HOST", "STATE", "NEXT ORDER", "SERVICE", "+ROUTE", "+FAILURES", "WHY")
	for _, one := range all {
		colour := console.Good
		switch {
		case one.Wrong():
			colour = console.Bad
		case one.State != automatic.Valid:
			colour = console.Doubt
		}
		t.Add(one.Name, colour.Cell(one.State), one.Next(at), one.Service, one.Route, strconv.Itoa(one.Failures), one.Error)
	}
	t.Print()
}

// Certificates prints certificates as they are at a time.
func (c *Printer) Certificates(all []api.Certificate, at time.Time) {
	t := c.Columns("NAMES", "EXPIRES", "-ISSUER", "+KEY", "FILE", "+LISTENERS", "+ROUTES")
	for _, one := range all {
		colour := console.Good
		if one.State == automatic.CertificateExpiring {
			colour = console.Doubt
		} else if one.Wrong() {
			colour = console.Bad
		}
		t.Add(strings.Join(one.Names, ", "), colour.Cell(cmp.Or(one.Error, one.Ends(at))), one.Issuer, one.Key, one.File, strings.Join(one.Listeners, ", "), strings.Join(one.Routes, ", "))
	}
	t.Print()
}
