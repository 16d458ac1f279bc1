package ui

import (
	"slices"
	"strings"
	"time"

	"fairway/internal/admin/ui/listing"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
)

// certificatesData is the certificates, and the hosts that have none.
type certificatesData struct {
	listing.List[certificate]
	At        time.Time // of the answer
	Uncovered []api.UncoveredHost
	Wrong     int // certificates that cannot be used, or not for long
}

type certificate struct {
	api.Certificate
	Health string
	Ends   string
}

func readCertificates(c *call) (any, error) {
	found := must(c.ask.Certificates(c))
	d := certificatesData{At: found.At, Uncovered: found.Uncovered}
	var all []certificate
	for _, one := range found.Certificates {
		out := certificate{Certificate: one, Health: signs.Fine, Ends: one.Ends(found.At)}
		if one.Wrong() {
			out.Health = signs.Broken
		} else if one.State == api.CertificateExpiring {
			out.Health = signs.Faulty
		}
		all = append(all, out)
	}
	d.Wrong = count(all, func(one certificate) bool { return one.Health != signs.Fine })
	d.List = listing.New(c.r.URL.Path, c.q, all, func(one certificate, words []string, filter string) bool {
		texts := slices.Concat(one.Names, one.Listeners, one.Routes, []string{one.File, one.Issuer, one.Key, one.State})
		return (filter != "trouble" || one.Health != signs.Fine) && listing.Has(words, texts...)
	},
		listing.Text("name", func(one certificate) string { return strings.Join(one.Names, " ") }),
		listing.Text("expires", func(one certificate) string { return one.NotAfter.UTC().Format(time.RFC3339) }),
		listing.Text("issuer", func(one certificate) string { return one.Issuer }),
		listing.Text("file", func(one certificate) string { return one.File }))
	return d, nil
}
