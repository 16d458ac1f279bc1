package embedded

import (
	"strings"
	"sync"

	"fairway/internal/route"
)

// hostIndex knows which hosts routes name, so that the 404 of a wrong path and
// the 404 of an unknown host can say different things.
type hostIndex struct {
	exact    map[string]struct{}
	wildcard map[string]struct{}
	deep     map[string]struct{}
	any      bool
}

// hostsOf returns the function that makes the index when first called: only a
// 404 needs it.
func hostsOf(routes []*route.Route) func() *hostIndex {
	return sync.OnceValue(func() *hostIndex {
		x := &hostIndex{map[string]struct{}{}, map[string]struct{}{}, map[string]struct{}{}, false}
		for _, r := range routes {
			for _, m := range r.Matches {
				switch m.Host.Kind {
				case route.HostExact:
					x.exact[m.Host.Value] = struct{}{}
				case route.HostWildcard:
					x.wildcard[m.Host.Value] = struct{}{}
				case route.HostDeep:
					x.deep[m.Host.Value] = struct{}{}
				case route.HostAny:
					x.any = true
				case route.HostRegexp: // not worth a run for the wording of a 404
				}
			}
		}
		return x
	})
}

// knows reports whether some route names the canonical host.
func (x *hostIndex) knows(host string) bool {
	if _, ok := x.exact[host]; ok || x.any {
		return true
	}
	_, rest, ok := strings.Cut(host, ".")
	if !ok {
		return false
	}
	if _, ok := x.wildcard[rest]; ok {
		return true
	}
	for ; ok; _, rest, ok = strings.Cut(rest, ".") {
		if _, deep := x.deep[rest]; deep {
			return true
		}
	}
	return false
}
