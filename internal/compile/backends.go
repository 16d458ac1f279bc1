package compile

import (
	"slices"
	"strings"

	"fairway/internal/route"
)

// wantedBackends are the backends of claimants that are served, without IDs; nil for none. A check
// that names no host asks for the first name that a route of the same backend takes:
// many applications answer no other.
func wantedBackends(served []*claimant) []*route.Backend {
	wanted := make([]*route.Backend, len(served))
	hosts := map[string]string{} // by the text of a backend whose check names none
	for i, s := range served {
		if s.backend == nil {
			continue
		}
		wanted[i] = s.wanted()
		if text := wanted[i].Text(); asksNoHost(wanted[i]) && hosts[text] == "" {
			hosts[text] = firstName(s.route.Matches)
		}
	}
	for _, b := range wanted {
		if b == nil || !asksNoHost(b) {
			continue
		}
		health := *b.Health
		health.Host = hosts[b.Text()]
		b.Health = &health
	}
	return wanted
}

// asksNoHost says whether the check of a backend could name a host and does not.
func asksNoHost(b *route.Backend) bool {
	return b.Health != nil && b.Health.Host == "" && b.Scheme != route.SchemeTCP
}

// firstName is the first host that is a name; empty for none.
func firstName(matches []route.Match) string {
	for i := range matches {
		if h := matches[i].Host; h.Kind == route.HostExact {
			return h.Value
		}
	}
	return ""
}

func (s *claimant) wanted() *route.Backend {
	b := *s.backend
	for _, m := range s.members {
		b.Endpoints = slices.Concat(b.Endpoints, m.backend.Endpoints)
	}
	if len(s.members) > 0 {
		slices.SortStableFunc(b.Endpoints, func(x, y route.Endpoint) int { return strings.Compare(x.ID, y.ID) })
		b.Endpoints = slices.CompactFunc(b.Endpoints, func(x, y route.Endpoint) bool { return x.ID == y.ID })
	}
	return &b
}

// backend returns the backend for a route: one that another route of the service
// has already, when it is equal in everything but the ID, else b under the ID of the
// route. shared holds those by their text without ID.
func (pl *plan) backend(id string, b *route.Backend, shared map[string]*route.Backend, previous *route.Table) *route.Backend {
	text := b.Text()
	if has := shared[text]; has != nil {
		return has
	}
	b.ID = id
	made := b
	if before := previous.Backend(b.ID); before != nil && before.Text() == b.Text() {
		made = before
	}
	shared[text] = made
	pl.backends = append(pl.backends, made)
	return made
}
