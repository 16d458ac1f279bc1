// Package routeurl says what a browser opens for a route.
package routeurl

import (
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"fairway/internal/api"
)

var plainHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$`)

// Of is what a browser opens for a route: its first host and path without
// wildcards, with the scheme and port of a listener that takes it. That is one with TLS
// where the route wants TLS or no other takes it. It is empty where there is none.
func Of(r api.Route, listeners []api.Listener) string {
	if r.Backend != nil && r.Backend.Scheme == "tcp" {
		return ""
	}
	for _, m := range r.Matches {
		if m.HostKind != "exact" || m.PathKind == "regexp" || !plainHost.MatchString(m.Host) || !strings.HasPrefix(m.Path, "/") {
			continue
		}
		wantsTLS := slices.ContainsFunc(r.Filters, func(f string) bool {
			return strings.HasPrefix(f, "redirect-https") || strings.HasPrefix(f, "require-tls") || strings.HasPrefix(f, "require-client-cert")
		})
		fit := slices.DeleteFunc(slices.Clone(listeners), func(l api.Listener) bool { return l.TCP || !takes(l, m) })
		if len(fit) == 0 {
			continue
		}
		best := max(0, slices.IndexFunc(fit, func(l api.Listener) bool { return l.TLS == wantsTLS }))
		return urlOf(m.Host, m.Path, fit[best])
	}
	return ""
}

// takes says whether a listener may be the one of a match.
func takes(l api.Listener, m api.Match) bool {
	return !slices.ContainsFunc(m.Conditions, func(c string) bool {
		names, ok := strings.CutPrefix(c, "listener ")
		return ok && !slices.Contains(strings.FieldsFunc(names, func(r rune) bool { return strings.ContainsRune(", |", r) }), l.Name)
	})
}

func urlOf(host, path string, l api.Listener) string {
	to, usual := url.URL{Scheme: "http", Host: host, Path: path}, "80"
	if l.TLS {
		to.Scheme, usual = "https", "443"
	}
	if _, port, err := net.SplitHostPort(l.Address); err == nil && port != usual && port != "0" {
		to.Host = net.JoinHostPort(host, port)
	}
	return to.String()
}
