package acme

import (
	"strings"

	"fairway/internal/route"
)

// takers are the routes over TLS of one table, by the hosts that they take.
type takers struct {
	first       map[route.Host]*route.Route // the first of each host
	expressions []expression                // in the order of the table
}

type expression struct {
	takes func(name string) bool
	route *route.Route
}

// newTakers are those of a table; nil has none.
func newTakers(t *route.Table) *takers {
	x := &takers{first: map[route.Host]*route.Route{}}
	if t == nil {
		return x
	}
	for _, r := range t.Routes {
		if r.Service == challengeService {
			continue
		}
		for _, m := range r.Matches {
			if x.first[m.Host] != nil || !overTLS(t, m) {
				continue
			}
			x.first[m.Host] = r
			if takes, err := m.Host.Compile(); err == nil && m.Host.Kind == route.HostRegexp {
				x.expressions = append(x.expressions, expression{takes, r})
			}
		}
	}
	return x
}

// of is the route whose host says most about a name; nil for none.
func (x *takers) of(name string) *route.Route {
	if r := x.first[route.Host{Kind: route.HostExact, Value: name}]; r != nil {
		return r
	}
	_, rest, ok := strings.Cut(name, ".")
	if r := x.first[route.Host{Kind: route.HostWildcard, Value: rest}]; r != nil {
		return r
	}
	for ; ok; _, rest, ok = strings.Cut(rest, ".") {
		if r := x.first[route.Host{Kind: route.HostDeep, Value: rest}]; r != nil {
			return r
		}
	}
	for _, e := range x.expressions {
		if e.takes(name) {
			return e.route
		}
	}
	return x.first[route.Host{Kind: route.HostAny}]
}

// want is that of a name that clients ask for.
func (x *takers) want(name string) (Want, bool) {
	r := x.of(name)
	if r == nil || r.Refused != "" || r.TLS != route.TLSAuto {
		return Want{}, false
	}
	return Want{Name: name, Route: r.ID, Service: r.Service, Demanded: true}, true
}
