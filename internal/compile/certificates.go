package compile

import (
	"slices"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// WithCertificates gives the certificates of a snapshot to every listener with TLS,
// behind those that it was configured with. A listener that has none then is left
// out: no client could use it. It comes with the first certificate.
func WithCertificates(listeners []route.Listener, certificates []catalog.Certificate) []route.Listener {
	list := make([]route.Listener, 0, len(listeners))
	for _, l := range listeners {
		if !l.TLS {
			list = append(list, l)
			continue
		}
		l.Certificates = slices.Clone(l.Certificates)
		for _, c := range certificates {
			pair := route.Certificate{CertFile: c.File, KeyFile: c.File}
			if !slices.Contains(l.Certificates, pair) {
				l.Certificates = append(l.Certificates, pair)
			}
		}
		if len(l.Certificates) > 0 {
			list = append(list, l)
		}
	}
	return list
}
