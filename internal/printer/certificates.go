package printer

import (
	"cmp"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/console"
)

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
