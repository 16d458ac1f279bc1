package render

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"

	"fairway/internal/engine/haproxy/handshake"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
)

func (r *renderer) writeListener(t *text, l *route.Listener) {
	base := requestSection
	if l.TCP {
		base = baseSection
	}
	t.section("frontend %s from %s", quote.Frontend(l.Name), base)
	r.writeBind(t, l)
	r.writeLog(t, l.TCP)
	r.writeTrust(t, l)
	if l.TCP {
		r.writeConnections(t, l)
		return
	}
	proto, port := "http", "80"
	if l.TLS {
		proto, port = "https", "443"
		t.lines(r.hostRules.Session())
	}
	t.line("tcp-request session set-var(sess.id) uuid()")
	t.line("tcp-request session set-var(sess.requests) int(0)")
	t.line("tcp-request session set-var(sess.client) src,concat()") // as text, once
	t.line("tcp-request session set-var(sess.listener) str(%s)", listenerWord(l.Name))
	t.line("tcp-request session set-var(sess.proto) str(%s)", proto)
	t.line("tcp-request session set-var(sess.port) str(%s)", port)
	r.writeExtraListener(t)
	// Without a route the name is empty, and the default backend answers.
	t.line("use_backend %%[var(txn.r),field(%d,|)] if !{ var(txn.err) -m found }", fieldSection)
}

// listenerWord is what stands for a listener in variables.
func listenerWord(name string) string {
	return strings.TrimPrefix(quote.Frontend(name), quote.FrontendPrefix)
}

func (r *renderer) writeTrust(t *text, l *route.Listener) {
	nets := strings.Join(trustedNets(l.TrustedProxies), " ")
	switch {
	case l.ProxyProtocol && nets == "":
		t.line("tcp-request connection reject")
	case l.ProxyProtocol:
		t.line("tcp-request connection expect-proxy layer4 if { src -- %s }", nets)
		t.line("tcp-request connection reject if !{ src -- %s }", nets)
	}
	if nets != "" && !l.TCP {
		t.line("tcp-request session set-var(sess.trusted) str(%s) if { src -- %s }", quote.Word(nets), nets)
	}
}

func trustedNets(prefixes []netip.Prefix) []string {
	nets := make([]string, 0, len(prefixes))
	for _, p := range prefixes {
		nets = append(nets, route.UnmappedPrefix(p).String())
	}
	return nets
}

func (r *renderer) writeBind(t *text, l *route.Listener) {
	options := ""
	if l.TLS {
		options = handshake.Bind(l, r.o.certListPath(l.Name), r.o.Authorities)
	}
	for _, a := range r.bindAddresses(l) {
		t.line("bind %s%s", a, options)
	}
}

// bindAddresses are the addresses of a listener; none where the table's has no meaning.
func (r *renderer) bindAddresses(l *route.Listener) []string {
	if a, ok := r.o.Bind[l.Name]; ok {
		return r.bindAddress(a)
	}
	host, port, err := net.SplitHostPort(l.Address)
	n, portErr := net.LookupPort("tcp", port)
	addr, addrErr := netip.ParseAddr(cmp.Or(host, "::"))
	if err != nil || portErr != nil || addrErr != nil {
		return nil
	}
	return r.bindAddress(netip.AddrPortFrom(addr, uint16(n))) //nolint:gosec // a port
}

func (r *renderer) bindAddress(a netip.AddrPort) []string {
	a = netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
	if a.Addr() != netip.IPv6Unspecified() {
		return []string{a.String()}
	}
	port := itoa(int(a.Port()))
	all := []string{"0.0.0.0:" + port}
	if r.o.IPv6 {
		all = append(all, "[::]:"+port+" v6only")
	}
	return all
}

// writeConnections writes how the connections of a TCP listener find their routes. A
// server name is waited for only where a route asks: often the endpoint speaks first.
func (r *renderer) writeConnections(t *text, l *route.Listener) {
	const directive = "tcp-request content"
	t.line("mode tcp")
	t.line("timeout client %s", span(r.o.TunnelTimeout))
	t.line("tcp-request session set-var(sess.listener) str(%s)", listenerWord(l.Name))
	if r.asksName(l.Name) {
		t.line("tcp-request inspect-delay %s", span(serverNameTimeout))
		t.line("%s set-var(txn.host) req.ssl_sni,lower,rtrim(.) if { req.ssl_hello_type 1 }", directive)
		t.line("%s unset-var(txn.host) if !{ var(txn.host) -m reg -- %s }", directive, quote.Word(usualHost))
	}
	t.line("%s set-var(txn.client) src", directive)
	look := lookups{
		renderer: r, text: t, directive: directive, listener: listenerWord(l.Name) + listenerMark,
		table: "map_str(" + r.o.mapPath(mapConnections) + ")", route: "r", guard: "g",
	}
	look.write()
	look.writeGuarded(r.connections.guarded, mapGuardedTCP)
	t.line("%s reject if !{ var(txn.r) -m found }", directive)
	t.line("%s reject if { var(txn.r),field(%d,|) -m len gt 0 }", directive, fieldError)
	t.line("%s set-var(txn.hold,ifnotempty) var(txn.r),field(%d,|)", directive, fieldHold)
	t.line("use_backend %%[var(txn.r),field(%d,|)] if { var(txn.r) -m found }", fieldSection)
}

// asksName says whether a route asks for the server name of connections to a listener.
func (r *renderer) asksName(listener string) bool {
	asks := func(c route.Condition) bool {
		return c.Kind == route.ConditionHost || c.Kind == route.ConditionHostRegexp
	}
	here := func(c route.Condition) bool {
		return c.Kind == route.ConditionListener && !c.Not && slices.Contains(c.Values, listener)
	}
	for q := range r.isTCP {
		for _, m := range q.Matches {
			if (m.Host.Kind != route.HostAny || slices.ContainsFunc(m.Conditions, asks)) && slices.ContainsFunc(m.Conditions, here) {
				return true
			}
		}
	}
	return false
}
