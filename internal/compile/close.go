package compile

import (
	"reflect"
	"slices"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

func passedBy(u *draft.Unread, f *claimant) bool {
	if f.route.Refused != "" {
		return false
	}
	isTCP := f.backend != nil && f.backend.Scheme == route.SchemeTCP
	if isTCP && !u.TCP || !isTCP && !u.HTTP {
		return false
	}
	return u.Blind || slices.ContainsFunc(u.Checks, func(check route.Filter) bool {
		return !slices.ContainsFunc(f.route.Filters, func(has route.Filter) bool { return reflect.DeepEqual(has, check) })
	})
}

// closes returns what of a route's matches has to be closed: a part, or all.
func closes(u *draft.Unread, matches []route.Match) (part []route.Match, all bool) {
	for i := range matches {
		m := &matches[i]
		hosts, paths := u.Hosts, u.Paths
		if hosts == nil {
			hosts = []route.Host{m.Host}
		}
		if paths == nil {
			paths = []route.Path{m.Path}
		}
		for _, h := range hosts {
			host, hostsMeet, sameHost := narrowerHost(h, m.Host)
			for _, p := range paths {
				path, pathsMeet, samePath := narrowerPath(p, m.Path)
				switch {
				case !hostsMeet || !pathsMeet:
				case sameHost && samePath:
					return nil, true
				default:
					part = append(part, route.Match{Host: host, Path: path, Conditions: m.Conditions})
				}
			}
		}
	}
	return part, false
}

// narrowerHost returns what an unread host and that of a match have in common, whether
// they can have anything, and whether that is the match's host. Where it is not clear,
// it is.
func narrowerHost(h, own route.Host) (common route.Host, meet, same bool) {
	below := func(a, b string) bool { return a == b || strings.HasSuffix(a, "."+b) }
	switch {
	case own.Kind == route.HostAny:
		return h, true, h.Kind == route.HostAny || h.Kind == route.HostRegexp
	case h.Kind == route.HostAny || h.Kind == route.HostRegexp || own.Kind == route.HostRegexp || h == own:
		return own, true, true
	case h.Kind == route.HostExact && own.Kind != route.HostExact:
		return h, below(h.Value, own.Value), false
	case own.Kind == route.HostExact && h.Kind == route.HostExact:
		return own, false, false
	}
	return own, below(h.Value, own.Value) || below(own.Value, h.Value), true
}

// narrowerPath is narrowerHost for paths.
func narrowerPath(p, own route.Path) (common route.Path, meet, same bool) {
	switch {
	case p == own || p.Kind == route.PathRegexp || own.Kind == route.PathRegexp:
		return own, true, true
	case own.Kind == route.PathPrefix && p.Kind != route.PathStart && len(p.Value) > len(own.Value):
		return p, own.Value == "/" || strings.HasPrefix(p.Value, own.Value+"/"), false
	}
	below := func(a, b route.Path) bool {
		if b.Kind == route.PathStart || b.Value == "/" {
			return strings.HasPrefix(a.Value, b.Value)
		}
		return a.Value == b.Value || strings.HasPrefix(a.Value, b.Value+"/") || a.Kind == route.PathStart && strings.HasPrefix(b.Value, a.Value)
	}
	return own, below(p, own) || below(own, p), true
}

// close closes what a route that cannot be read was to protect: routes of the same
// service as a whole, and parts of others, which the claimant that is returned takes;
// nil for none.
func (c *claimant) close(mine []*claimant) *claimant {
	var part []route.Match
	priority := c.route.Priority
	for i, other := range mine {
		if !passedBy(c.draft.Unread, other) {
			continue
		}
		some, all := closes(c.draft.Unread, other.route.Matches)
		// The claimant that is returned must not lose a part to another route of the service.
		contested := slices.ContainsFunc(some, func(m route.Match) bool {
			return slices.ContainsFunc(mine, func(x *claimant) bool { return slices.Contains(x.claims, claim(m.Key())) })
		})
		if all || contested || len(part)+len(some) > draft.MaxMatches {
			mine[i] = other.closedBy(c)
			continue
		}
		part = append(part, some...)
		priority = max(priority, other.route.Priority)
	}
	if len(part) == 0 {
		return nil
	}
	d := c.draft
	d.Rank, d.Group = "", ""
	cover := claimantFor(c.plan, c.asked, d, part)
	cover.route.Priority, cover.route.Refused = priority, c.route.Refused
	return cover
}

// closedBy is the claimant that answers 503 in the place of c.
func (c *claimant) closedBy(unread *claimant) *claimant {
	closed := claimantFor(c.plan, c.asked, c.draft, c.route.Matches)
	closed.route.Origin, closed.route.Refused = c.route.Origin, unread.route.Refused
	closed.problems = []route.Problem{c.problem(unread.draft.Label, draft.Refuse(
		route.CodeIncomplete, "it answers 503: route "+chars.Printable(unread.route.ID)+" of the service decides who may ask, and which requests it takes cannot be read",
		"mend that route, whose problems are listed too, or remove its labels",
	))}
	return closed
}
