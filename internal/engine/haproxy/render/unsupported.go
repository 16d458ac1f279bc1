package render

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"

	"fairway/internal/engine/haproxy/pcre"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// Capabilities are the version of a HAProxy, for Unsupported; zero is 2.6, the oldest.
type Capabilities struct{ Major, Minor int }

// maxWords is how many words the conditions of one match may be: HAProxy takes 64 in a
// line, of which 24 are the rule's and those of host and path.
const maxWords = 40

// Unsupported says why a route with its backend (nil for none) cannot be served on
// HAProxy exactly as the table means it; empty when it can.
func Unsupported(r *route.Route, b *route.Backend, c Capabilities) string {
	var u unsupported
	for i := range r.Matches {
		u.match(&r.Matches[i])
	}
	if r.BodyTimeout != 0 && (c.Major < 2 || c.Major == 2 && c.Minor < 9) {
		u.because("before 2.9 HAProxy has one body-timeout for all routes, that of fairway.yml")
	}
	limits := 0
	for i := range r.Filters {
		u.filter(&r.Filters[i])
		if r.Filters[i].RateLimit != nil {
			limits++
		}
	}
	if limits > 2 {
		u.because("more than two rate limits")
	}
	if b != nil {
		u.backend(b)
	}
	return u.why
}

// unsupported is the first reason that was found.
type unsupported struct{ why string }

func (u *unsupported) because(format string, args ...any) {
	if u.why == "" {
		u.why = fmt.Sprintf(format, args...)
	}
}

// text refuses what no rule can hold: control characters, which would end a header.
func (u *unsupported) text(texts ...string) {
	if slices.ContainsFunc(texts, func(s string) bool { return !quote.IsText(s) }) {
		u.because("a value has a control character")
	}
}

// name refuses names that have a meaning in HAProxy's expressions; none is fine.
func (u *unsupported) name(what, name string) {
	if name != "" && !quote.IsArgument(name) {
		u.because("the name of the %s %q has other characters than letters, digits, - and _", what, name)
	}
}

// expressions refuses those that HAProxy's library reads in another way.
func (u *unsupported) expressions(d pcre.Dialect, values ...string) {
	for _, v := range values {
		if _, err := pcre.Translate(v, d); err != nil {
			u.because("the expression %q: %v", v, err)
		}
	}
}

func (u *unsupported) filter(f *route.Filter) {
	switch {
	case f.RewritePath != nil:
		if _, _, why := pcre.Rewriting(f.RewritePath.Search, f.RewritePath.Replace); why != "" {
			u.because("%s", why)
		}
		u.text(f.RewritePath.Replace)
	case f.Redirect != nil:
		u.text(f.Redirect.Scheme, f.Redirect.Host, f.Redirect.Path)
	case f.BasicAuth != nil:
		for _, user := range f.BasicAuth.Users {
			if why := TooDear(user.Hash); why != "" {
				u.because("the password of the user %q: %s", user.Name, why)
			}
		}
		u.text(f.BasicAuth.Realm)
	case f.StripPrefix != nil:
		u.text(f.StripPrefix.Prefix)
	case f.AddPrefix != nil:
		u.text(f.AddPrefix.Prefix)
	case f.RequestHeaders != nil:
		u.headers(f.RequestHeaders)
	case f.ResponseHeaders != nil:
		u.headers(f.ResponseHeaders)
	}
}

func (u *unsupported) headers(h *route.HeaderOperation) {
	names := slices.Clone(h.Remove)
	for _, v := range slices.Concat(h.Set, h.Add) {
		u.text(v.Value)
		names = append(names, v.Name)
	}
	if i := slices.IndexFunc(names, func(name string) bool { return !route.IsToken(name) }); i >= 0 {
		u.because("%q is not the name of a header", names[i])
	}
}

func (u *unsupported) match(m *route.Match) {
	if m.Host.Kind == route.HostRegexp {
		u.expressions(pcre.Plain(), m.Host.Value)
	}
	if m.Path.Kind == route.PathRegexp {
		u.expressions(pcre.Plain(), m.Path.Value)
	}
	words := 0
	for i := range m.Conditions {
		c := &m.Conditions[i]
		words += 6
		var in unsupported // the condition
		switch c.Kind {
		case route.ConditionHostRegexp, route.ConditionPathRegexp:
			in.expressions(pcre.Plain(), c.Values...)
		case route.ConditionHeaderRegexp:
			words += len(c.Values)
			in.expressions(pcre.Plain(), c.Values...)
		case route.ConditionQueryRegexp:
			in.expressions(pcre.Query(), c.Values...)
		case route.ConditionMethod, route.ConditionHeader, route.ConditionQuery, route.ConditionClientIP, route.ConditionListener:
			words += len(c.Values)
		}
		if in.why != "" && c.Secret() {
			in.why = "an expression for " + c.Name + ", which is not repeated here, as it may be a credential"
		}
		if c.Kind == route.ConditionHeader || c.Kind == route.ConditionHeaderRegexp {
			in.name("header", c.Name)
		}
		u.why = cmp.Or(u.why, in.why)
	}
	if words > maxWords {
		u.because("a match has more conditions and values than a rule of HAProxy can hold")
	}
}

func (u *unsupported) backend(b *route.Backend) {
	if b.Health != nil && b.Scheme != route.SchemeTCP {
		if _, err := checkURI(b.Health.Path); err != nil {
			u.because("the path of the check %q: it is not a path", route.MaskQuery(b.Health.Path))
		}
		for _, v := range b.Health.Headers {
			if !route.IsToken(v.Name) || !quote.IsText(v.Value) {
				u.because("the header %q of the check is not one", v.Name)
			}
		}
	}
	if b.TLS != nil {
		u.name("server name", b.TLS.ServerName)
	}
	for i := range b.Endpoints {
		// Names are looked up by the caller of Render.
		_, port, err := net.SplitHostPort(b.Endpoints[i].Address)
		n, portErr := strconv.ParseUint(port, 10, 16)
		_, hostErr := canonical.Host(b.Endpoints[i].Address)
		if err != nil || portErr != nil || n == 0 || hostErr != nil {
			u.because("the endpoint %q is not an address or a name with a port", b.Endpoints[i].Address)
		}
	}
	u.name("cookie", b.Sticky)
	switch b.Balance.On {
	case route.HashHeader, route.HashCookie, route.HashQuery:
		u.name(string(b.Balance.On), b.Balance.Name)
	}
}
