package compile

import (
	"maps"
	"slices"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// maxBlamed is how many labels of a route are tried to find the one that an engine
// cannot serve.
const maxBlamed = 64

// unserved says why the engine cannot serve a claimant; empty when it can.
func (p planner) unserved(c *claimant) string {
	return chars.Printable(p.Unsupported(&c.route, c.backend))
}

// refuseUnserved puts the problem of a route that the engine cannot serve into the
// plan, and returns what requests get.
func (p planner) refuseUnserved(w *want, why string) string {
	raw := p.blame(w, why)
	fault := draft.Refuse(route.CodeUnsupported, "this engine cannot serve it: "+why, "leave it out, or run Fairway with another engine")
	w.plan.problems = append(w.plan.problems, w.plan.problem(w.from, w.plan.routeID(w.draft.Name), raw, fault))
	return fault.Reason(raw)
}

// blame finds the label that an engine cannot serve: the first one without which
// it has no complaint, or another one. When it is none of those, it is what says
// which requests are taken, for no route is left without that.
func (p planner) blame(w *want, why string) string {
	labels := w.draft.Labels
	keys := slices.Sorted(maps.Keys(labels))
	for _, key := range keys[:min(len(keys), maxBlamed)] {
		fewer := maps.Clone(labels)
		delete(fewer, key)
		if d := w.remembered(fewer); d != nil && p.unserved(p.claimant(w, d, true)) != why {
			return key
		}
	}
	return w.draft.Label
}

// Fitted returns the table of an earlier run as the engine and the listeners of
// these settings can serve it: a route that they cannot is refused. t is not
// changed, and keeps its listeners.
func (s Settings) Fitted(t *route.Table) (*route.Table, error) {
	listeners := s.Reopened(t.Listeners)
	_, misfit := route.New(t.Revision, listeners, t.Routes, t.Backends, nil)
	return RefuseUnsupported(t, func(r *route.Route, b *route.Backend) string {
		if misfit != nil {
			var backends []*route.Backend
			if b != nil {
				backends = append(backends, b)
			}
			if _, err := route.New(t.Revision, listeners, []*route.Route{r}, backends, nil); err != nil {
				return err.Error()
			}
		}
		if s.Unsupported == nil {
			return ""
		}
		return s.Unsupported(r, b)
	})
}

// RefuseUnsupported returns the table of a run with another engine as this one can
// serve it: routes that it cannot are refused. unsupported is that of Settings; t is
// not changed. It fails only where route.New does.
func RefuseUnsupported(t *route.Table, unsupported func(*route.Route, *route.Backend) string) (*route.Table, error) {
	if unsupported == nil {
		return t, nil
	}
	routes := slices.Clone(t.Routes)
	same := true
	for i, r := range routes {
		why := ""
		if r.Refused == "" {
			why = chars.Printable(unsupported(r, t.Backend(r.Backend)))
		}
		if why == "" {
			continue
		}
		refused := route.Route{
			ID: r.ID, Service: r.Service, Matches: r.Matches, Priority: r.Priority, Claim: r.Claim,
			Refused: "this engine cannot serve it: " + why, Origin: r.Origin,
		}
		refused.Origin.Labels = nil // refused, so there is no last good form
		routes[i], same = &refused, false
	}
	if same {
		return t, nil
	}
	used := map[string]bool{}
	for _, r := range routes {
		used[r.Backend] = true
	}
	backends := slices.DeleteFunc(slices.Clone(t.Backends), func(b *route.Backend) bool { return !used[b.ID] })
	return route.New(t.Revision, t.Listeners, routes, backends, t.Problems)
}
