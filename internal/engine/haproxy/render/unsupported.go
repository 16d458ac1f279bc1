package render

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"fairway/internal/engine/haproxy/pcre"
	"fairway/internal/route"
)

// Capabilities are what a HAProxy can do beyond 2.6, which is the least that is needed,
// for Unsupported. The zero value is that of 2.6.
type Capabilities struct{ Major, Minor int }

// maxWords is how many words the conditions of one match may be: HAProxy takes 64 in a
// line, of which 24 are the rule's and those of host and path.
const maxWords = 40

// Unsupported says why a route with its backend (nil for none) cannot be served on
// HAProxy exactly as the table means it; empty when it can.
func Unsupported(r *route.Route, b *route.Backend, c Capabilities) string {
	for i := range r.Matches {
		if why := unsupportedMatch(&r.Matches[i]); why != "" {
			return why
		}
	}
	if r.BodyTimeout != 0 && (c.Major < 2 || c.Major == 2 && c.Minor < 9) {
		return "before 2.9 HAProxy has one body-timeout for all routes, that of fairway.yml"
	}
	limits := 0
	for i := range r.Filters {
		if why := unsupportedFilter(&r.Filters[i]); why != "" {
			return why
		}
		if r.Filters[i].RateLimit != nil {
			limits++
		}
	}
	if limits > 2 {
		return "more than two rate limits"
	}
	if b == nil {
		return ""
	}
	return unsupportedBackend(b)
}

// unsupportedFilter refuses what no rule can hold: control characters, which would
// end a header, and names of headers that are none.
func unsupportedFilter(f *route.Filter) string {
	var texts, names []string
	switch {
	case f.RewritePath != nil:
		if _, _, why := rewriting(f.RewritePath); why != "" {
			return why
		}
		texts = []string{f.RewritePath.Replace}
	case f.Redirect != nil:
		texts = []string{f.Redirect.Scheme, f.Redirect.Host, f.Redirect.Path}
	case f.BasicAuth != nil:
		texts = []string{f.BasicAuth.Realm}
		for _, u := range f.BasicAuth.Users {
			if why := TooDear(u.Hash); why != "" {
				return fmt.Sprintf("the password of the user %q: %s", u.Name, why)
			}
		}
	case f.StripPrefix != nil:
		texts = []string{f.StripPrefix.Prefix}
	case f.AddPrefix != nil:
		texts = []string{f.AddPrefix.Prefix}
	}
	for _, h := range []*route.HeaderOperation{f.RequestHeaders, f.ResponseHeaders} {
		if h == nil {
			continue
		}
		names = append(names, h.Remove...)
		for _, v := range append(h.Set[:len(h.Set):len(h.Set)], h.Add...) {
			names, texts = append(names, v.Name), append(texts, v.Value)
		}
	}
	for _, text := range texts {
		if !isText(text) {
			return "a value has a control character"
		}
	}
	for _, name := range names {
		if !route.IsToken(name) {
			return fmt.Sprintf("%q is not the name of a header", name)
		}
	}
	return ""
}

func unsupportedMatch(m *route.Match) string {
	exprs := func(d pcre.Dialect, values ...string) string {
		for _, v := range values {
			if _, err := pcre.Translate(v, d); err != nil {
				return fmt.Sprintf("the expression %q: %v", v, err)
			}
		}
		return ""
	}
	if m.Host.Kind == route.HostRegexp {
		if why := exprs(pcre.Plain(), m.Host.Value); why != "" {
			return why
		}
	}
	if m.Path.Kind == route.PathRegexp {
		if why := exprs(pcre.Plain(), m.Path.Value); why != "" {
			return why
		}
	}
	words := 0
	for i := range m.Conditions {
		c := &m.Conditions[i]
		words += 6
		why := ""
		switch c.Kind {
		case route.ConditionHostRegexp, route.ConditionPathRegexp:
			why = exprs(pcre.Plain(), c.Values...)
		case route.ConditionHeaderRegexp:
			words += len(c.Values)
			why = exprs(pcre.Plain(), c.Values...)
		case route.ConditionQueryRegexp:
			why = exprs(pcre.Query(), c.Values...)
		case route.ConditionMethod, route.ConditionHeader, route.ConditionQuery, route.ConditionClientIP, route.ConditionListener:
			words += len(c.Values)
		}
		if why != "" && c.Secret() {
			why = "an expression for " + c.Name + ", which is not repeated here, as it may be a credential"
		}
		if why == "" && (c.Kind == route.ConditionHeader || c.Kind == route.ConditionHeaderRegexp) {
			why = unsupportedName("header", c.Name)
		}
		if why != "" {
			return why
		}
	}
	if words > maxWords {
		return "a match has more conditions and values than a rule of HAProxy can hold"
	}
	return ""
}

func unsupportedBackend(b *route.Backend) string {
	if b.Health != nil && b.Scheme != route.SchemeTCP {
		if _, err := checkURI(b.Health.Path); err != nil {
			return fmt.Sprintf("the path of the check %q: it is not a path", route.MaskQuery(b.Health.Path))
		}
		for _, v := range b.Health.Headers {
			if !route.IsToken(v.Name) || !isText(v.Value) {
				return fmt.Sprintf("the header %q of the check is not one", v.Name)
			}
		}
	}
	if b.TLS != nil && b.TLS.ServerName != "" {
		if why := unsupportedName("server name", b.TLS.ServerName); why != "" {
			return why
		}
	}
	for i := range b.Endpoints {
		// Names are looked up by the caller of Render.
		host, port, err := net.SplitHostPort(b.Endpoints[i].Address)
		n, numErr := strconv.ParseUint(port, 10, 16)
		_, nameErr := route.CanonicalHost(host)
		if _, err := netip.ParseAddr(host); err == nil && !strings.Contains(host, "%") {
			nameErr = nil
		}
		if err != nil || numErr != nil || n == 0 || nameErr != nil {
			return fmt.Sprintf("the endpoint %q is not an address or a name with a port", b.Endpoints[i].Address)
		}
	}
	if why := unsupportedName("cookie", b.Sticky); why != "" {
		return why
	}
	switch b.Balance.On {
	case route.HashHeader, route.HashCookie, route.HashQuery:
		return unsupportedName(string(b.Balance.On), b.Balance.Name)
	}
	return ""
}

// unsupportedName refuses names that have a meaning in HAProxy's expressions.
func unsupportedName(what, name string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
	if strings.Trim(name, plain) == "" {
		return ""
	}
	return fmt.Sprintf("the name of the %s %q has other characters than letters, digits, - and _", what, name)
}
