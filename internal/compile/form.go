package compile

import "fairway/internal/route"

// form makes a route and its backend of labels that are all right; again says
// that they are not today's.
func (p planner) form(pl *plan, r *routeLabels, d *draft, o origin, again bool) *form {
	f := newForm(pl, r, d, o)
	if d.filter.RedirectHTTPS != nil {
		d.filter.RedirectHTTPS.Port = p.httpsPort
	}
	f.route.Filters = d.filters()
	f.route.Hold, f.route.Timeout = d.hold, d.timeout
	if d.filter.Redirect != nil {
		return f
	}
	f.said = d.wishes
	b := d.backend
	b.Service = pl.service.ID
	if d.health.Path != "" {
		health := d.health
		b.Health = &health
	}
	if d.tls != (route.TLS{}) {
		tls := d.tls
		b.TLS = &tls
	}
	b.Endpoints, f.problems = pl.endpoints(f.route.ID, r.name, d.wishes, again)
	f.backend = &b
	return f
}

// refusedForm makes the route that answers 503. Labels that are refused are not
// kept in its origin: they may hold secrets in the wrong place.
func refusedForm(pl *plan, r *routeLabels, d *draft, o origin, reason string) *form {
	f := newForm(pl, r, d, o)
	f.route.Refused = reason
	return f
}

// newForm makes what all forms have in common.
func newForm(pl *plan, r *routeLabels, d *draft, o origin) *form {
	f := &form{route: route.Route{
		ID:       pl.routeID(r.name),
		Service:  pl.service.ID,
		Matches:  d.matches(),
		Priority: d.priority,
		Origin:   route.Origin{Source: o.source, Instance: o.instance, Labels: map[string]string{}},
	}}
	for _, l := range r.labels {
		if f.label == "" && l.key != nil && l.key.scope == scopeMatch && l.key.name != "priority" {
			f.label = printable(l.raw)
		}
		if l.fault == nil {
			f.route.Origin.Labels[l.raw] = l.value
		}
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
	set := p.dialect.read(before.Origin.Labels)
	r := set.route(c.name)
	if r == nil {
		return nil
	}
	d, _ := r.read()
	if len(r.faulty()) > 0 || d.matches() == nil {
		return nil
	}
	f := p.form(pl, r, d, origin{before.Origin.Source, before.Origin.Instance}, true)
	f.route.Origin.Stale = true
	c.again = f
	return f
}
