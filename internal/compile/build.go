package compile

import (
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// build makes what a route can be served as: as its labels ask for it, or refused.
func (p planner) build(w *want) {
	if w.reason == "" {
		w.good = p.claimant(w, w.draft, false)
		if why := p.unserved(w.good); why != "" {
			w.good, w.reason = nil, p.refuseUnserved(w, why)
		}
	}
	if w.good == nil && w.draft.MatchKnown {
		// Labels that are refused are not in its origin: they may hold secrets in the wrong
		// place.
		w.refused = w.newClaimant(w.draft)
		w.refused.route.Refused = w.reason
	}
}

// newClaimant makes what all claimants of a route have in common.
func (w *want) newClaimant(d *draft.Draft) *claimant {
	c := &claimant{
		plan: w.plan,
		route: route.Route{
			ID: w.plan.routeID(d.Name), Service: w.plan.service.ID, Matches: d.Matches(), Priority: d.Priority,
			Origin: route.Origin{Source: w.from.source, Instance: w.from.instance, Labels: d.Labels},
		},
		label: chars.Printable(d.Label), user: d.UserLabel, rank: d.Rank, group: d.Group,
	}
	c.claims = claimsOf(&c.route)
	return c
}

// claimant makes a route and its backend of labels that are all right; again says that
// they are not today's.
func (p planner) claimant(w *want, d *draft.Draft, again bool) *claimant {
	c := w.newClaimant(d)
	for _, r := range d.Redirects() {
		r.Port = p.HTTPSPort
	}
	c.route.Filters = d.Filters()
	c.route.Hold, c.route.Timeout, c.route.BodyTimeout, c.route.Idle = d.Hold, d.Timeout, d.BodyTimeout, d.Idle
	if d.Filter.Redirect != nil {
		return c
	}
	b := d.Backend
	b.Service = w.plan.service.ID
	b.Health = d.HealthCheck()
	if d.TLS != (route.TLS{}) {
		tls := d.TLS
		b.TLS = &tls
	}
	b.Endpoints, c.problems = w.endpoints(d, again)
	c.backend = &b
	return c
}

// lastGood makes the route as it was before its labels went bad, from the labels that
// the table before remembers, with the instances of today. It is nil when there was
// none.
func (p planner) lastGood(w *want, before *route.Route) *claimant {
	if before == nil || before.Refused != "" || before.Service != w.plan.service.ID {
		return nil
	}
	if w.againFrom == before || w.again != nil && w.again.made == before {
		return w.again
	}
	w.againFrom, w.again = before, nil
	d := w.remembered(before.Origin.Labels)
	if d == nil {
		return nil
	}
	then := *w
	then.from = origin{before.Origin.Source, before.Origin.Instance}
	c := p.claimant(&then, d, true)
	if p.unserved(c) != "" {
		return nil // the last run had another engine
	}
	c.route.Origin.Stale = true
	w.again = c
	return c
}

// remembered reads the route out of labels that it remembers; nil when it cannot be
// made of them any more.
func (w *want) remembered(labels map[string]string) *draft.Draft {
	reading := w.dialect.Read(w.plan.service, labels)
	d := reading.Draft(w.draft.Name)
	if d == nil || d.Refused != "" || d.Matches() == nil {
		return nil
	}
	return d
}
