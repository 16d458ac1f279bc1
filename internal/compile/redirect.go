package compile

import (
	"fairway/internal/compile/certified"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// redirects says whether a route that does not decide about redirects to https has one: each
// of its hosts has a certificate that was obtained, and none of its matches is for certain
// listeners. With RedirectCertified a certificate of anybody does.
func (c *claimant) redirects(names certified.Names) bool {
	d := c.draft
	switch {
	case c.route.Refused != "" || c.backend != nil && c.backend.Scheme == route.SchemeTCP:
		return false
	case d.RedirectCertified:
		return names.Cover(c.route.Matches, false)
	}
	return !d.RedirectDecided && (d.TLSFrom == route.TLSAuto || d.TLSFrom == route.TLSInternal) && names.Cover(c.route.Matches, true)
}

// filters are those of a route, with a redirect to https where it has one by default.
func (c *claimant) filters(port uint16, redirect bool) []route.Filter {
	if !redirect {
		return c.route.Filters
	}
	return draft.WithRedirect(c.route.Filters, &route.RedirectHTTPS{Port: port, Obtained: !c.draft.RedirectCertified})
}
