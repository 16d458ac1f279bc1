package ui

import (
	"slices"
	"strings"
	"time"

	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
)

// certificatesData is the certificates, and the hosts that have none.
type certificatesData struct {
	listing.List[api.Certificate]
	api.Certificates
	Wrong int // certificates that cannot be used, or not for long
}

func readCertificates(c *call) (any, error) {
	d := certificatesData{Certificates: must(c.ask.Certificates(c))}
	d.Wrong = count(d.Certificates.Certificates, troubled)
	d.List = listing.New(c.r.URL.Path, c.q, d.Certificates.Certificates, func(one api.Certificate, words []string, filter string) bool {
		texts := slices.Concat(one.Names, one.Listeners, one.Routes, []string{one.File, one.Issuer, one.Key, one.State})
		return (filter != "trouble" || troubled(one)) && listing.Has(words, texts...)
	},
		listing.Text("name", func(one api.Certificate) string { return strings.Join(one.Names, " ") }),
		listing.Text("expires", func(one api.Certificate) string { return one.NotAfter.UTC().Format(time.RFC3339) }),
		listing.Text("issuer", func(one api.Certificate) string { return one.Issuer }),
		listing.Text("file", func(one api.Certificate) string { return one.File }))
	return d, nil
}

func troubled(one api.Certificate) bool { return one.Wrong() || one.State == api.CertificateExpiring }
