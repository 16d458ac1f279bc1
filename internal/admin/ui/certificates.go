package ui

import (
	"slices"
	"strings"
	"time"

	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
	"fairway/internal/api/automatic"
)

// certificatesData is the certificates, and the hosts that have none.
type certificatesData struct {
	listing.List[api.Certificate]
	api.Certificates
	Wrong int // certificates that cannot be used, or not for long
	// Automatic are the first of the hosts that are to be shown: all in trouble, then those
	// that are not sound yet, then the others. MoreAutomatic are left out.
	Automatic     []automatic.Managed
	MoreAutomatic int
	May           bool // renew and revoke
}

// maxAutomatic bounds the hosts on the page.
const maxAutomatic = 200

// automaticFirst sorts the hosts for the page and finds those that have the words.
func automaticFirst(all []automatic.Managed, words []string) (list []automatic.Managed, more int) {
	for _, one := range all {
		if listing.Has(words, one.Name, one.Service, one.Route, one.State, one.Error) {
			list = append(list, one)
		}
	}
	rank := func(one automatic.Managed) int {
		switch {
		case one.Wrong():
			return 0
		case one.State != automatic.Valid:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(list, func(a, b automatic.Managed) int { return rank(a) - rank(b) })
	shown := list[:min(len(list), maxAutomatic)]
	return shown, len(list) - len(shown)
}

func readCertificates(c *call) (any, error) {
	d := certificatesData{Certificates: must(c.ask.Certificates(c))}
	d.Wrong, d.May = count(d.Certificates.Certificates, troubled), c.may(api.RoleAdmin)
	d.Automatic, d.MoreAutomatic = automaticFirst(d.Certificates.Automatic, strings.Fields(strings.ToLower(c.q.Get("q"))))
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

func troubled(one api.Certificate) bool {
	return one.Wrong() || one.State == automatic.CertificateExpiring
}

// lifeLeft is the share of a certificate's life that is left, from 0 to 1.
func lifeLeft(c api.Certificate, now time.Time) float64 {
	life := c.NotAfter.Sub(c.NotBefore)
	if life <= 0 {
		return 0
	}
	return min(1, max(0, float64(c.NotAfter.Sub(now))/float64(life)))
}
