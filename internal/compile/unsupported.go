package compile

import (
	"slices"

	"fairway/internal/compile/chars"
	"fairway/internal/route"
)

// Fitted returns the table of an earlier run as the engine and the listeners of
// these settings can serve it: a route that they cannot is refused. t is not
// changed, and keeps its listeners.
func (s Settings) Fitted(t *route.Table) (*route.Table, error) {
	listeners := s.Reopened(t.Listeners)
	_, misfit := route.New(t.Revision, listeners, t.Routes, t.Backends, nil)
	routes, used := slices.Clone(t.Routes), map[string]bool{}
	for i, r := range routes {
		var backends []*route.Backend
		backend := t.Backend(r.Backend)
		if backend != nil {
			backends = append(backends, backend)
		}
		why := ""
		if misfit != nil && r.Refused == "" {
			if _, err := route.New(t.Revision, listeners, []*route.Route{r}, backends, nil); err != nil {
				why = err.Error()
			}
		}
		if why == "" && s.Unsupported != nil && r.Refused == "" {
			why = s.Unsupported(r, backend)
		}
		if why == "" {
			used[r.Backend] = true
			continue
		}
		routes[i] = &route.Route{
			ID: r.ID, Service: r.Service, Matches: r.Matches, Priority: r.Priority, Claim: r.Claim,
			Refused: "this engine cannot serve it: " + chars.Printable(why), Origin: r.Origin,
		}
		routes[i].Origin.Labels = nil // refused, so there is no last good form
	}
	if slices.Equal(routes, t.Routes) {
		return t, nil
	}
	backends := slices.DeleteFunc(slices.Clone(t.Backends), func(b *route.Backend) bool { return !used[b.ID] })
	return route.New(t.Revision, t.Listeners, routes, backends, t.Problems)
}
