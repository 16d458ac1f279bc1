package compile

import (
	"cmp"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// lost is a host whose certificate a route does not decide about, for the winner was there first.
type lost struct {
	route  *route.Route
	host   string
	winner *route.Route
}

// bound are the certificates that labels name, each for one host of its routes, sorted by host.
// Of a host that several services have, the incumbent decides: the service with the lowest
// claim. A name in a file that is no host of the route gets nothing of it.
func bound(routes []*route.Route) (list []route.Certificate, losers []lost) {
	first := map[string]*route.Route{} // by host, of all services
	for _, r := range routes {
		if path.IsAbs(r.TLS) {
			for _, host := range certifiable(r) {
				first[host] = r
			}
		}
	}
	if len(first) == 0 {
		return nil, nil
	}
	byClaim := slices.SortedFunc(slices.Values(routes), func(a, b *route.Route) int {
		return cmp.Or(cmp.Compare(a.Claim, b.Claim), strings.Compare(a.ID, b.ID))
	})
	for _, r := range slices.Backward(byClaim) {
		for _, host := range certifiable(r) {
			if first[host] != nil {
				first[host] = r
			}
		}
	}
	files := map[string]string{}
	for _, r := range byClaim {
		if !path.IsAbs(r.TLS) {
			continue
		}
		for _, host := range certifiable(r) {
			if winner := first[host]; winner.Service != r.Service {
				losers = append(losers, lost{r, host, winner})
			} else if files[host] == "" {
				files[host] = r.TLS
			}
		}
	}
	for _, host := range slices.Sorted(maps.Keys(files)) {
		list = append(list, route.Certificate{CertFile: files[host], KeyFile: files[host], Host: host})
	}
	return list, losers
}

// certifiable are the hosts of a route that a certificate can be for, each once.
func certifiable(r *route.Route) (hosts []string) {
	for _, m := range r.Matches {
		host := m.Host.CertificateName()
		_, notName := netip.ParseAddr(host) // clients send no address as server name
		if host != "" && notName != nil && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// problem says whose labels decide.
func (l lost) problem(pl *plan) route.Problem {
	label := ""
	for key, value := range l.route.Origin.Labels { // the one that names the file
		if strings.HasSuffix(strings.ToLower(key), ".tls") && strings.TrimSpace(value) == "file:"+l.route.TLS && (label == "" || key < label) {
			label = key
		}
	}
	return pl.problem(l.route.Origin, l.route.ID, label, draft.Refuse(
		route.CodeConflict, "the certificate of "+l.host+" is not taken from this label, for the route "+l.winner.ID+" had the host first",
		"write the label on the service of that route",
	))
}

// WithCertificates gives the certificates of a snapshot to every listener with TLS, behind
// those that it was configured with, and those that labels of the routes name, behind the
// first of all. A listener that has none then is left out: no client could use it. It comes
// with the first certificate.
func WithCertificates(listeners []route.Listener, certificates []catalog.Certificate, routes []*route.Route) []route.Listener {
	named, _ := bound(routes)
	return withCertificates(listeners, certificates, named)
}

func withCertificates(listeners []route.Listener, certificates []catalog.Certificate, named []route.Certificate) []route.Listener {
	list := make([]route.Listener, 0, len(listeners))
	for _, l := range listeners {
		if !l.TLS {
			list = append(list, l)
			continue
		}
		l.Certificates = slices.Clone(l.Certificates)
		has := map[route.Certificate]bool{}
		for _, pair := range l.Certificates {
			has[pair] = true
		}
		for _, c := range certificates {
			pair := route.Certificate{CertFile: c.File, KeyFile: c.File}
			if !has[pair] {
				has[pair] = true
				l.Certificates = append(l.Certificates, pair)
			}
		}
		l.Certificates = slices.Insert(l.Certificates, min(1, len(l.Certificates)), named...)
		if len(l.Certificates) > 0 {
			list = append(list, l)
		}
	}
	return list
}
