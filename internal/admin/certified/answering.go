package certified

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"fairway/internal/acme"
	"fairway/internal/admin/show"
	"fairway/internal/api"
	"fairway/internal/api/automatic"
	"fairway/internal/condition"
	"fairway/internal/engine/certs"
	"fairway/internal/route"
	"fairway/internal/route/tlsoption"
)

// Explain adds to an explanation of a request over HTTPS which certificate the client is shown
// that comes in by a listener; empty is "https".
func (c Certificates) Explain(x *api.Explanation, listener string) {
	if x.Request.Scheme != "https" {
		return
	}
	name, t := cmp.Or(x.Request.ServerName, x.Request.Host), c.table()
	text, hint := c.Inventory().Shown(name)
	at := slices.IndexFunc(t.Listeners, func(l route.Listener) bool { return l.Name == cmp.Or(listener, "https") && l.TLS })
	if at >= 0 {
		a := c.answering(t, t.Listeners[at], name)
		x.Certificate, text, hint = &a, a.Text, a.Hint
	}
	if text != "" {
		x.Text += "; " + text + ": " + hint
	}
}

func (c Certificates) table() *route.Table { return cmp.Or(c.Table(), &route.Table{}) }

func (c Certificates) view() *acme.View {
	if c.Automatic == nil {
		return &acme.View{}
	}
	return c.Automatic.View()
}

// answering is what a listener with TLS shows to a client that asks for a name.
func (c Certificates) answering(t *route.Table, l route.Listener, name string) automatic.Answering {
	i, v := c.Inventory(), c.view()
	a := automatic.Answering{Listener: l.Name, ServerName: serverName(name), Handshake: handshake(l, name)}
	u, covers := i.Answering(l, name)
	if u != nil {
		shown := show.Certificate(*u, i.At)
		a.File, a.State, a.Error, a.Names, a.Issuer, a.Key = shown.File, shown.State, shown.Error, shown.Names, shown.Issuer, shown.Key
		a.NotAfter, a.Ends, a.Covers, a.From = shown.NotAfter, shown.Ends(i.At), covers, from(*u, v)
	}
	switch a.Text, a.Hint = i.Shown(name); {
	case a.Text != "":
	case a.Error != "":
		a.Text, a.Hint = a.Error, "it is reread within seconds once it is mended"
	case !covers:
		if at := slices.IndexFunc(i.Certificates, func(u certs.Use) bool { return u.NotAfter.IsZero() && u.Host == "" }); at >= 0 {
			a.Text, a.Hint = "it is not known which certificate is shown, for one cannot be read: "+i.Certificates[at].Error, "put a PEM file there that Fairway may read, or see: fairway certs"
		}
	}
	if n := wish(v, name); n != nil {
		order := wire(t, *n)
		a.Order, a.Next = &order, order.Next(i.At)
		if v.Error != "" && !n.Internal {
			a.Authority = trouble(v)
		}
		if !covers {
			a.Text, a.Hint = instead(order, i.At, a.Text, a.Hint)
		}
	} else {
		a.NoOrder = c.noOrder(t, a, name)
	}
	return a
}

// serverName is what clients ask for in a handshake: no address (RFC 6066, 3).
func serverName(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return ""
	}
	return host
}

func from(u certs.Use, v *acme.View) string {
	if slices.Contains(u.Names, certs.Placeholder) {
		return automatic.FromPlaceholder
	}
	if u.Host != "" {
		return automatic.FromLabel
	}
	for _, n := range v.Names {
		switch {
		case n.File == "" || n.File != u.File:
		case n.Internal:
			return automatic.FromInternal
		default:
			return automatic.FromACME
		}
	}
	return automatic.FromFile
}

// wish is the host that Fairway gets a certificate for, by its name or the wildcard above it.
func wish(v *acme.View, host string) *acme.NameView {
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range []string{host, "*." + parent} {
		at, found := slices.BinarySearchFunc(v.Names, name, func(n acme.NameView, name string) int { return strings.Compare(n.Name, name) })
		if found {
			return &v.Names[at]
		}
	}
	return nil
}

// noOrder says why Fairway gets no certificate for a host; empty where that is not known.
func (c Certificates) noOrder(t *route.Table, a automatic.Answering, host string) string {
	var of *route.Route
	for _, r := range t.Routes {
		if slices.ContainsFunc(r.Matches, func(m route.Match) bool { return m.Host.Matches(host) }) {
			of = r
			break
		}
	}
	switch {
	case a.ServerName == "":
		return ""
	case c.Automatic == nil:
		return "Fairway gets no certificates here (acme.agree, acme.internal)"
	case of == nil:
		return "no route has the host"
	case of.TLS == route.TLSOff:
		return "the label fairway.tls=off of " + of.Service
	case path.IsAbs(of.TLS):
		return "the label fairway.tls of " + of.Service + " names a file: " + of.TLS
	case of.Refused != "":
		return "the route " + of.ID + " is refused: " + of.Refused
	case a.Covers:
		return "it has a certificate"
	}
	return ""
}

func handshake(l route.Listener, name string) automatic.Handshake {
	demanded := tlsoption.NewHosts(l.Hosts).Of(name)
	h := automatic.Handshake{
		MinVersion: cmp.Or(demanded.MinVersion, l.TLSOptions.MinVersion, tlsoption.Version12),
		Curves:     l.TLSOptions.Curves, Protocols: []string{tlsoption.HTTP2, tlsoption.HTTP11},
		ClientCA: cmp.Or(demanded.ClientCAFile, l.ClientCAFile), Record: demanded.Host,
	}
	if len(l.TLSOptions.ALPN) > 0 {
		h.Protocols = slices.Clone(l.TLSOptions.ALPN)
	}
	if l.QUIC.Address != "" {
		h.Protocols = append(h.Protocols, "h3")
	}
	switch {
	case demanded.Require:
		h.Client = automatic.ClientRequired
	case h.ClientCA != "":
		h.Client = automatic.ClientChecked
	}
	return h
}

// maxDiagnosed bounds how many hosts of a service a diagnosis names.
const maxDiagnosed = 10

// Diagnose adds to a diagnosis which certificates answer for the hosts of the service: those
// with which something is wrong for all, the others for the service as a whole.
func (c Certificates) Diagnose(v *show.View, d *api.Diagnosis) {
	wrong, sound := c.checks(v, d.Service)
	if d.Instance != "" {
		sound = nil
	}
	if len(wrong) > 0 { // in the place of what was said of them already
		d.Checks = slices.DeleteFunc(d.Checks, func(one api.Check) bool { return one.Name == condition.CodeCertificate })
	} else if slices.ContainsFunc(d.Checks, func(one api.Check) bool { return one.Name == condition.CodeCertificate }) {
		return
	}
	all := slices.Concat(wrong, sound)
	shown := all[:min(len(all), maxDiagnosed)]
	d.Checks = append(d.Checks, shown...)
	if more := len(all) - len(shown); more > 0 {
		d.Checks = append(d.Checks, api.Check{Name: condition.CodeCertificate, Outcome: api.CheckOK, Text: fmt.Sprintf("and %d more hosts: fairway certs show HOST", more)})
	}
}

// checks are the lines of a diagnosis about the hosts of a service.
func (c Certificates) checks(v *show.View, service string) (wrong, sound []api.Check) {
	seen, routes := map[string]bool{}, v.RoutesOf(service)
	for _, u := range c.List().Uncovered {
		if slices.ContainsFunc(routes, func(of *route.Route) bool { return slices.Contains(u.Routes, of.ID) }) {
			seen[u.Host] = true
			wrong = append(wrong, api.Check{Name: condition.CodeCertificate, Outcome: api.CheckDoubt, Text: u.Text, Hint: u.Hint})
		}
	}
	t := c.table()
	for _, r := range routes {
		for _, m := range r.Matches {
			host := m.Host.CertificateName()
			l, ok := overTLS(t, m)
			if host == "" || !ok || seen[host] {
				continue
			}
			seen[host] = true
			if check := checked(host, c.answering(t, l, host)); check.Outcome == api.CheckOK {
				sound = append(sound, check)
			} else if !slices.Contains(wrong, check) {
				wrong = append(wrong, check)
			}
		}
	}
	return wrong, sound
}

// overTLS is the first listener with TLS by which requests for a match come in.
func overTLS(t *route.Table, m route.Match) (route.Listener, bool) {
	for _, l := range t.Listeners {
		in := l.TLS && !l.TCP
		for _, c := range m.Conditions {
			in = in && (c.Kind != route.ConditionListener || slices.Contains(c.Values, l.Name) != c.Not)
		}
		if in {
			return l, true
		}
	}
	return route.Listener{}, false
}

// checked is the line of a diagnosis about a host.
func checked(host string, a automatic.Answering) api.Check {
	if a.Text != "" {
		return api.Check{Name: condition.CodeCertificate, Outcome: api.CheckDoubt, Text: a.Text, Hint: a.Hint}
	}
	text := host + ": " + a.Summary()
	if o := a.Order; o != nil && o.Error != "" {
		return api.Check{
			Name: condition.CodeCertificate, Outcome: api.CheckDoubt, Text: text + "; it could not be renewed: " + o.Error,
			Hint: "the next order is " + a.Next + "; to order at once: fairway certs renew " + o.Name,
		}
	}
	if demands := a.Handshake.Demands(); demands != "" {
		text += "; " + demands
	}
	return api.Check{Name: condition.CodeCertificate, Outcome: api.CheckOK, Text: text}
}
