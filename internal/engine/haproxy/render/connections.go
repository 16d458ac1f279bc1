package render

import (
	"slices"

	"fairway/internal/route"
)

// writeConnections writes how the connections of a TCP listener find their routes.
// Where no route asks for a server name nothing is waited for: in many protocols it
// is the endpoint that speaks first.
func (r *renderer) writeConnections(t *text, l *route.Listener) {
	const directive = "tcp-request content"
	t.line("mode tcp")
	t.line("timeout client %s", span(r.o.TunnelTimeout))
	t.line("tcp-request session set-var(sess.listener) str(%s)", listenerWord(l.Name))
	if r.asksName(l.Name) {
		t.line("tcp-request inspect-delay %s", span(r.o.ServerNameTimeout))
		t.line("%s set-var(txn.host) req.ssl_sni,lower,rtrim(.) if { req.ssl_hello_type 1 }", directive)
		t.line("%s unset-var(txn.host) if !{ var(txn.host) -m reg -- %s }", directive, quoted(usualHost))
	}
	t.line("%s set-var(txn.client) src", directive)
	look := lookups{
		renderer: r, text: t, directive: directive, listener: listenerWord(l.Name) + listenerMark,
		table: "map_str(" + r.o.mapPath(mapConnections) + ")", route: "r", guard: "g",
	}
	look.write()
	look.writeGuarded(r.tcpGuards, mapGuardedTCP)
	t.line("%s reject if !{ var(txn.r) -m found }", directive)
	t.line("%s reject if { var(txn.r),field(%d,|) -m len gt 0 }", directive, fieldError)
	t.line("%s set-var(txn.hold,ifnotempty) var(txn.r),field(%d,|)", directive, fieldHold)
	t.line("use_backend %%[var(txn.r),field(%d,|)] if { var(txn.r) -m found }", fieldSection)
}

func (r *renderer) asksName(listener string) bool {
	for q := range r.isTCP {
		for i := range q.Matches {
			m := &q.Matches[i]
			asks, here := m.Host.Kind != route.HostAny, false
			for j := range m.Conditions {
				c := &m.Conditions[j]
				asks = asks || c.Kind == route.ConditionHost || c.Kind == route.ConditionHostRegexp
				here = here || c.Kind == route.ConditionListener && !c.Not && slices.Contains(c.Values, listener)
			}
			if asks && here {
				return true
			}
		}
	}
	return false
}

// writeDedicatedTCP writes the section of a route for connections with filters,
// without its servers.
func (r *renderer) writeDedicatedTCP(t *text, q *route.Route, b *route.Backend) {
	d := &dedicated{renderer: r, text: t, route: q}
	t.section("backend %s from base", dedicatedName(q.ID))
	t.note("route %s of service %s", q.ID, q.Service)
	p := profileOf(b, r.idle(q))
	r.writeBackend(t, &p)
	for i := range q.Filters {
		test := "{ always_false }"
		if f := q.Filters[i].IPAllow; f != nil {
			test = d.oneOf("var(txn.client) -m ip", trustedNets(f.Prefixes))
		}
		t.line("tcp-request content reject if !%s", test)
	}
	t.hold("tcp")
}
