package owners

import (
	"strings"

	"fairway/internal/route"
)

// within says whether every name that h takes is one that outer takes. Of an expression
// that is only known where outer takes every name.
func within(h, outer route.Host) bool {
	switch outer.Kind {
	case route.HostAny:
		return true
	case route.HostExact:
		return h == outer
	case route.HostWildcard:
		front, ok := strings.CutSuffix(h.Value, "."+outer.Value)
		return h.Kind == route.HostWildcard && h.Value == outer.Value ||
			h.Kind == route.HostExact && ok && front != "" && !strings.Contains(front, ".")
	case route.HostDeep:
		below := len(h.Value) > len(outer.Value)+1 && strings.HasSuffix(h.Value, "."+outer.Value)
		switch h.Kind {
		case route.HostExact:
			return below
		case route.HostWildcard, route.HostDeep:
			return below || h.Value == outer.Value
		}
	}
	return false
}

// meet says whether there can be a name that both take.
func meet(a, b route.Host) bool {
	open := func(h route.Host) bool { return h.Kind == route.HostAny || h.Kind == route.HostRegexp }
	if open(a) || open(b) {
		return true
	}
	if a.Kind == route.HostExact || b.Kind == route.HostExact {
		return within(a, b) || within(b, a)
	}
	below := func(x, y string) bool { return x == y || strings.HasSuffix(x, "."+y) }
	if a.Kind == route.HostWildcard && b.Kind == route.HostWildcard {
		return a.Value == b.Value
	}
	return a.Kind == route.HostDeep && below(b.Value, a.Value) || b.Kind == route.HostDeep && below(a.Value, b.Value)
}

// path says whether every path that p takes is allowed.
func (g *Rights) path(p route.Path) bool {
	if len(g.paths) == 0 {
		return true
	}
	for _, allowed := range g.paths {
		below := strings.HasPrefix(p.Value, allowed+"/")
		switch {
		case allowed == "",
			p.Kind == route.PathStart && below,
			(p.Kind == route.PathExact || p.Kind == route.PathPrefix) && (below || p.Value == allowed):
			return true
		}
	}
	return false
}
