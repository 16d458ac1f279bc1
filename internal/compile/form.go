package compile

import "fairway/internal/route"

// form makes a route and its backend of labels that are all right; again says
// that they are not today's.
func (p planner) form(pl *plan, a asked, again bool) *form {
	d := a.draft
	f := newForm(pl, a)
	for _, r := range d.redirects() {
		r.Port = p.httpsPort
	}
	f.route.Filters = d.filters()
	f.route.Hold, f.route.Timeout, f.route.BodyTimeout, f.route.Idle = d.hold, d.timeout, d.bodyTimeout, d.idle
	if d.filter.Redirect != nil {
		return f
	}
	f.said = d.wishes
	b := d.backend
	b.Service = pl.service.ID
	if d.health.Path != "" || d.l4.check {
		health := d.health
		sortByName(health.Headers)
		b.Health = &health
	}
	if d.tls != (route.TLS{}) {
		tls := d.tls
		b.TLS = &tls
	}
	b.Endpoints, f.problems = pl.endpoints(f.route.ID, a, again)
	f.backend = &b
	return f
}

// refusedForm makes the route that answers 503. Labels that are refused are not
// kept in its origin: they may hold secrets in the wrong place.
func refusedForm(pl *plan, a asked, reason string) *form {
	f := newForm(pl, a)
	f.route.Refused = reason
	return f
}

// newForm makes what all forms have in common.
func newForm(pl *plan, a asked) *form {
	f := &form{
		route: route.Route{
			ID:       pl.routeID(a.name),
			Service:  pl.service.ID,
			Matches:  a.draft.matches(),
			Priority: a.draft.priority,
			Origin:   route.Origin{Source: a.from.source, Instance: a.from.instance, Labels: a.labels},
		},
		label: printable(a.label),
		rank:  a.draft.rank,
		group: a.draft.group,
	}
	f.claims = claimsOf(&f.route)
	return f
}

// lastGood makes the form that a candidate had before its labels went bad, from
// the labels that the table before remembers, with the instances of today. It is
// nil when there was none.
func (p planner) lastGood(pl *plan, c *candidate, before *route.Route) *form {
	if before == nil || before.Refused != "" || before.Service != pl.service.ID {
		return nil
	}
	if c.againFrom == before || c.again != nil && c.again.made == before {
		return c.again
	}
	c.againFrom, c.again = before, nil
	a := p.remembered(pl, c.name, before.Origin.Labels)
	if a == nil {
		return nil
	}
	a.from, a.members = origin{before.Origin.Source, before.Origin.Instance}, c.members
	f := p.form(pl, *a, true)
	if p.unserved(f) != "" {
		return nil // the last run had another engine
	}
	f.route.Origin.Stale = true
	c.again = f
	return f
}

// remembered reads a route out of the labels that it remembers; nil when it cannot
// be made of them any more.
func (p planner) remembered(pl *plan, name string, labels map[string]string) *asked {
	if isFlowRoute(name) {
		return p.flow.remembered(pl.service, name, labels)
	}
	r := p.dialect.read(labels).route(name)
	if r == nil {
		return nil
	}
	d, matchKnown := r.read(p)
	if len(r.faulty()) > 0 || d.matches() == nil {
		return nil
	}
	a := r.asked(d, matchKnown, origin{}, nil)
	return &a
}
