package compile

import (
	"reflect"
	"slices"
	"strings"

	"fairway/internal/nearest"
	"fairway/internal/route"
)

// unread is what may be known of a route that decides who may ask, when its labels do
// not say which requests it takes. Until they do, what the service's other routes
// would take of them is closed (docs/decisions/011-what-cannot-be-read-is-closed.md).
type unread struct {
	// hosts and paths are those that could be read; nil means that it can be any.
	hosts []route.Host
	paths []route.Path
	// http and tcp say whether it can be for requests and for connections.
	http, tcp bool
	// checks are the filters that decide who may ask; blind is true when one of them
	// could not be read. A route with the same checks need not be closed.
	checks []route.Filter
	blind  bool
	// What follows is that of the route itself.
	id, label, reason string
	origin            route.Origin
	priority          int

	cover *form // what it closed in the last compile; see coverOf
}

// newUnread returns nil for a route that lets everybody in, as far as can be read.
func newUnread(d *draft, blind bool) *unread {
	checks := slices.DeleteFunc(d.filters(), func(f route.Filter) bool {
		return f.IPAllow == nil && f.Methods == nil && f.RequireTLS == nil && f.RequireClientCert == nil && f.BasicAuth == nil
	})
	if len(checks) == 0 && !blind {
		return nil
	}
	return &unread{http: true, tcp: true, checks: checks, blind: blind}
}

// unread is what is known of a route of the native dialect that cannot be read.
func (r *routeLabels) unread(d *draft) *unread {
	checks := []string{"ip-allow", "basic-auth"}
	fault, blind := map[string]bool{}, false
	for _, l := range r.faulty() {
		if l.key == nil {
			blind = blind || nearest.Word(l.local, checks) != "" || protects(l.local)
			continue
		}
		fault[l.key.name] = true
		blind = blind || slices.Contains(checks, l.key.name)
	}
	u := newUnread(d, blind)
	if u == nil {
		return nil
	}
	if !fault["scheme"] {
		u.tcp = d.backend.Scheme == route.SchemeTCP
		u.http = !u.tcp
	}
	if slices.ContainsFunc(r.labels, func(l label) bool { return l.local == "rule" }) {
		return u
	}
	if !fault["host"] {
		u.hosts = d.hosts
	}
	if !fault["path"] && !fault["path-exact"] && !fault["path-regexp"] {
		u.paths = d.paths
	}
	return u
}

// protects is true of a key that is none of ours and speaks of who may come in, as those
// of other proxies do: basicauth.users, ipallowlist, forward-auth.
func protects(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"auth", "allow", "whitelist", "deny", "user", "passw", "cert"}, func(word string) bool {
		return strings.Contains(key, word)
	})
}

// passedBy says whether f lets in whom the unread route was to keep out.
func (u *unread) passedBy(f *form) bool {
	if f.route.Refused != "" {
		return false
	}
	isTCP := f.backend != nil && f.backend.Scheme == route.SchemeTCP
	if isTCP && !u.tcp || !isTCP && !u.http {
		return false
	}
	return u.blind || slices.ContainsFunc(u.checks, func(check route.Filter) bool {
		return !slices.ContainsFunc(f.route.Filters, func(has route.Filter) bool { return reflect.DeepEqual(has, check) })
	})
}

// closes returns what of a route's matches has to be closed: matches that go before
// them, or all of it.
func (u *unread) closes(matches []route.Match) (part []route.Match, all bool) {
	for i := range matches {
		m := &matches[i]
		hosts, paths := u.hosts, u.paths
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
// service as a whole, and parts of others, which the form that is returned takes; nil
// for none.
func (c *candidate) close(pl *plan, mine []contestant) *form {
	var part []route.Match
	priority := c.unread.priority
	for i := range mine {
		f := mine[i].form
		if !c.unread.passedBy(f) {
			continue
		}
		some, all := c.unread.closes(f.route.Matches)
		// The form that is returned must not lose a part to another route of the service.
		contested := slices.ContainsFunc(some, func(m route.Match) bool {
			return slices.ContainsFunc(mine, func(x contestant) bool { return slices.Contains(x.form.claims, claim(m.Key())) })
		})
		if all || contested || len(part)+len(some) > maxMatches {
			mine[i].form = f.closedBy(pl, c.unread)
			continue
		}
		part = append(part, some...)
		priority = max(priority, f.route.Priority)
	}
	if len(part) == 0 {
		return nil
	}
	return c.coverOf(pl, part, priority)
}

// closedBy is the form that answers 503 in the place of f.
func (f *form) closedBy(pl *plan, u *unread) *form {
	if f.closed == nil || f.closed.route.Refused != u.reason {
		closed := &form{route: f.route, claims: f.claims, label: f.label, rank: f.rank, group: f.group}
		closed.route.Filters, closed.route.Hold, closed.route.Timeout, closed.route.Idle = nil, 0, 0, 0
		closed.route.Refused = u.reason
		o := f.route.Origin
		closed.problems = []route.Problem{pl.problem(origin{o.Source, o.Instance}, f.route.ID, u.label, &refusal{
			route.CodeIncomplete, "it answers 503: route " + printable(u.id) + " of the service decides who may ask, and which requests it takes cannot be read",
			"mend that route, whose problems are listed too, or remove its labels",
		})}
		f.closed = closed
	}
	return f.closed
}

// coverOf is the form that takes the place of a route that cannot be read.
func (c *candidate) coverOf(pl *plan, matches []route.Match, priority int) *form {
	u := c.unread
	f := &form{
		route: route.Route{ID: pl.routeID(c.name), Service: pl.service.ID, Matches: matches, Priority: priority, Refused: u.reason, Origin: u.origin},
		label: u.label,
	}
	f.claims = claimsOf(&f.route)
	if u.cover == nil || !slices.Equal(u.cover.claims, f.claims) || u.cover.route.Priority != priority {
		u.cover = f
	}
	return u.cover
}
