package acme

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fairway/internal/route"
)

// Want is a host that is to have a certificate.
type Want struct {
	// Name is the host in canonical form, with "*." for a wildcard.
	Name string
	// Route and Service are the IDs of the first route that has the host.
	Route, Service string
	// Demanded says that a client asked for it, and that acme.on-demand.ask is asked before
	// each order.
	Demanded bool
	// Internal says that no public authority issues for it.
	Internal bool
	// Refused is why no certificate can be had for it at all; empty where one can.
	Refused string
}

// maxName bounds names, in bytes: a file has to have room for it, with what is around it.
const maxName = 230

// wants are the hosts of a table that are served over HTTPS and that no certificate of
// others covers, sorted by name, MaxNames at most. A wildcard that is wanted or covered
// stands for the hosts below it, but an internal one for no host that is to have a public
// certificate. Without wildcards none is asked of a public authority. Of
// routes with one host, one that wants a public certificate counts.
func wants(t *route.Table, covered []string, private, wildcards bool) []Want {
	has := make(map[string]bool, len(covered))
	for _, name := range covered {
		has[name] = true
	}
	found := map[string]Want{}
	for _, r := range t.Routes {
		if r.Refused != "" || r.TLS != route.TLSAuto && r.TLS != route.TLSInternal {
			continue
		}
		for _, m := range wished(t, r) {
			name := m.Host.CertificateName()
			if name == "" || r.Service == challengeService || has[name] || !overTLS(t, m) {
				continue
			}
			w := Want{Name: name, Route: r.ID, Service: r.Service, Internal: r.TLS == route.TLSInternal || isInternal(name, private)}
			if !w.Internal && !wildcards && strings.HasPrefix(name, "*.") {
				continue
			}
			if len(name) > maxName {
				w.Refused = fmt.Sprintf("the name has %d characters; certificates are got for names of %d at most", len(name), maxName)
			}
			if other, known := found[name]; !known || other.Internal && !w.Internal {
				found[name] = w
			}
		}
	}
	list := make([]Want, 0, len(found))
	for name, w := range found {
		above := wildcardOf(name)
		up, wanted := found[above]
		stands := wanted && up.Refused == "" && (w.Internal || !up.Internal)
		if !stands && !has[above] {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b Want) int { return strings.Compare(a.Name, b.Name) })
	return list[:min(len(list), MaxNames)]
}

// wished are the matches of a route, and one for each name beside them that it takes, over TLS
// where there is a choice, and that is to have a certificate.
func wished(t *route.Table, r *route.Route) []route.Match {
	list := r.Matches
	for _, name := range r.Certified {
		at := slices.IndexFunc(r.Matches, func(m route.Match) bool { return m.Host.Matches(name) && overTLS(t, m) })
		if at >= 0 && r.Matches[at].Host.Value != name {
			m := r.Matches[at]
			m.Host = route.Host{Kind: route.HostExact, Value: name}
			list = append(slices.Clip(list), m)
		}
	}
	return list
}

// wildcardOf is the wildcard that covers a name; empty for a wildcard itself.
func wildcardOf(name string) string {
	_, parent, ok := strings.Cut(name, ".")
	if !ok || strings.HasPrefix(name, "*.") {
		return ""
	}
	return "*." + parent
}

// overTLS says whether requests for a match come in by a listener with TLS.
func overTLS(t *route.Table, m route.Match) bool { return by(t, m, true) }

// by says whether requests for a match come in by a listener for HTTP, with TLS or without.
func by(t *route.Table, m route.Match, tls bool) bool {
	return slices.ContainsFunc(t.Listeners, func(l route.Listener) bool {
		in := !l.TCP && l.TLS == tls
		for _, c := range m.Conditions {
			in = in && (c.Kind != route.ConditionListener || slices.Contains(c.Values, l.Name) != c.Not)
		}
		return in
	})
}

// isInternal says whether no authority outside issues for a name. A private one may for all
// names but those of the machine itself.
func isInternal(name string, private bool) bool {
	name = strings.TrimPrefix(name, "*.")
	if _, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return true
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if last == "localhost" {
		return true
	}
	if private {
		return false
	}
	return last == name || slices.Contains(notPublic, last) || strings.HasSuffix(name, ".home.arpa")
}

// notPublic are the top-level names that are reserved for use inside (RFC 2606, RFC 6762,
// RFC 7686, and .internal of ICANN).
var notPublic = []string{"internal", "local", "test", "example", "invalid", "onion", "lan", "home", "corp", "localdomain", "intranet", "private"}
