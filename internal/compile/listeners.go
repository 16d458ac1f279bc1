package compile

import (
	"slices"
	"strconv"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// Reopened returns the listeners of the settings, and of last, the listeners of a
// table of an earlier run, those that labels opened and may open today.
func (s Settings) Reopened(last []route.Listener) []route.Listener {
	p, list := s.ports(), slices.Clone(s.Listeners)
	for _, l := range last {
		digits, ours := strings.CutPrefix(l.Name, draft.OpenedPrefix)
		port, err := strconv.ParseUint(digits, 10, 16)
		if !ours || err != nil || p.Has(uint16(port)) {
			continue
		}
		if _, err := p.TCP(uint16(port)); err == nil {
			list = append(list, l)
		}
	}
	return list
}

// Fitted returns the table of an earlier run as the engine and the listeners of
// these settings can serve it: a route that they cannot is refused, and so is one without a
// default that protects it and is locked today. t is not changed, and keeps its listeners.
func (s Settings) Fitted(t *route.Table) (*route.Table, error) {
	const noEngine = "this engine cannot serve it: "
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
				why = noEngine + err.Error()
			}
		}
		if why == "" && s.Unsupported != nil && r.Refused == "" {
			if said := s.Unsupported(r, backend); said != "" {
				why = noEngine + said
			}
		}
		if why == "" && r.Refused == "" {
			if key := s.Defaults.Lacks(r, backend != nil && backend.Scheme == route.SchemeTCP); key != "" {
				why = "it is from before the default for " + key + " was locked (defaults.locked)"
			}
		}
		if why == "" {
			used[r.Backend] = true
			continue
		}
		routes[i] = &route.Route{
			ID: r.ID, Service: r.Service, Matches: r.Matches, Priority: r.Priority, Claim: r.Claim,
			Refused: chars.Printable(why), Origin: r.Origin,
		}
		routes[i].Origin.Labels = nil // refused, so there is no last good form
	}
	if slices.Equal(routes, t.Routes) {
		return t, nil
	}
	backends := slices.DeleteFunc(slices.Clone(t.Backends), func(b *route.Backend) bool { return !used[b.ID] })
	return route.New(t.Revision, t.Listeners, routes, backends, t.Remarks())
}
