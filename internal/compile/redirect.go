package compile

import (
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// obtained are the names that Fairway itself has obtained certificates for, where that makes
// routes redirect to https: nil where it does not, and where nothing takes HTTPS.
func (s Settings) obtained(certificates []catalog.Certificate) map[string]bool {
	if !s.RedirectObtained || !slices.ContainsFunc(s.Listeners, func(l route.Listener) bool { return l.TLS }) {
		return nil
	}
	var names map[string]bool
	for _, c := range certificates {
		if c.Name == "" {
			continue
		}
		if names == nil {
			names = make(map[string]bool, len(certificates))
		}
		names[c.Name] = true
	}
	return names
}

// redirects says whether a route that does not decide about redirects to https has one: each
// of its hosts has a certificate that was obtained, and none of its matches is for certain
// listeners.
func (c *claimant) redirects(obtained map[string]bool) bool {
	d := c.draft
	if len(obtained) == 0 || d.RedirectDecided || c.route.Refused != "" || c.backend != nil && c.backend.Scheme == route.SchemeTCP ||
		d.TLSFrom != route.TLSAuto && d.TLSFrom != route.TLSInternal {
		return false
	}
	return !slices.ContainsFunc(c.route.Matches, func(m route.Match) bool {
		return !covers(obtained, m.Host) || slices.ContainsFunc(m.Conditions, func(c route.Condition) bool { return c.Kind == route.ConditionListener })
	})
}

// covers says whether one of the names is that of a host, or a wildcard above it.
func covers(names map[string]bool, h route.Host) bool {
	name := h.CertificateName()
	_, parent, _ := strings.Cut(name, ".") // of a wildcard what it is the wildcard of
	return name != "" && (names[name] || names["*."+parent])
}

// filters are those of a route, with a redirect to https where it has one by default.
func (c *claimant) filters(port uint16, redirect bool) []route.Filter {
	if !redirect {
		return c.route.Filters
	}
	at := slices.IndexFunc(c.route.Filters, func(f route.Filter) bool { return !draft.BeforeRedirect(f) })
	if at < 0 {
		at = len(c.route.Filters)
	}
	return slices.Insert(slices.Clone(c.route.Filters), at, route.Filter{RedirectHTTPS: &route.RedirectHTTPS{Port: port, Obtained: true}})
}
