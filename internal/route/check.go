package route

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"fairway/internal/route/canonical"
)

func (l *Listener) check() error {
	switch {
	case l.TCP && l.TLS:
		return errors.New("it passes connections through and terminates TLS")
	case l.ClientCAFile != "" && !l.TLS:
		return errors.New("it wants client certificates without TLS")
	}
	if l.QUIC.Address != "" && !l.TLS {
		return errors.New("it serves HTTP/3 without TLS")
	}
	for _, h := range l.Hosts {
		if err := h.Check(); err != nil {
			return err
		}
	}
	return l.TLSOptions.Check()
}

func (f *Filter) check() error {
	if v := f.Maintenance; v != nil && strings.ContainsFunc(v.Message, unicode.IsControl) {
		return errors.New("the message has control characters")
	}
	if v := f.RedirectHTTPS; v != nil {
		if v.Status != 0 && !slices.Contains([]int{301, 302, 303, 307, 308}, v.Status) {
			return fmt.Errorf("status %d is no redirect", v.Status)
		}
		switch v.Forwarded {
		case ForwardedNone, ForwardedWhenHTTP, ForwardedUnlessHTTPS:
		default:
			return fmt.Errorf("forwarded %s: no such way", excerpt(string(v.Forwarded)))
		}
	}
	if v := f.Snippet; v != nil {
		if len(v.Lines) == 0 {
			return errors.New("a snippet without lines")
		}
		for _, line := range v.Lines {
			if strings.TrimSpace(line) == "" || strings.ContainsAny(line, "\r\n\x00") {
				return errors.New("a line of a snippet is empty, or more than one")
			}
		}
	}
	if v := f.RewritePath; v != nil {
		if _, err := v.Compile(); err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) check() error {
	if b.SendProxy != 0 && (b.Scheme != SchemeTCP || b.SendProxy < 1 || b.SendProxy > 2) {
		return fmt.Errorf("PROXY protocol version %d is not for scheme %s", b.SendProxy, excerpt(string(b.Scheme)))
	}
	switch b.StickySameSite {
	case "", SameSiteLax, SameSiteStrict, SameSiteNone:
	default:
		return fmt.Errorf("SameSite %s: no such value", excerpt(string(b.StickySameSite)))
	}
	if b.StickyDomain != "" {
		if h, err := canonical.Host(b.StickyDomain); err != nil || h != b.StickyDomain {
			return fmt.Errorf("domain %s of the sticky cookie is not a canonical name", excerpt(b.StickyDomain))
		}
	}
	for i, p := range b.Upgrade {
		if !IsProtocol(p) || strings.ToLower(p) != p || i > 0 && p <= b.Upgrade[i-1] {
			return fmt.Errorf("upgrade %s: not a protocol in lower case, or not in order", excerpt(p))
		}
	}
	if len(b.Upgrade) > 0 && b.Scheme != SchemeHTTP && b.Scheme != SchemeHTTPS {
		return fmt.Errorf("an upgrade is not for scheme %s", excerpt(string(b.Scheme)))
	}
	if b.Health != nil && b.Health.Host != "" {
		if h, err := canonical.Host(b.Health.Host); err != nil || h != b.Health.Host {
			return fmt.Errorf("host %s of the check is not a canonical name", excerpt(b.Health.Host))
		}
	}
	return nil
}

// IsProtocol says whether s can name a protocol of the header Upgrade (RFC 9110, 7.8), with
// or without a version. Of the characters of tokens it takes those that are in use.
func IsProtocol(s string) bool {
	name, version, versioned := strings.Cut(s, "/")
	word := func(s string) bool {
		return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+") == ""
	}
	return len(s) <= 64 && word(name) && (!versioned || word(version))
}

// Split divides the routes: those for requests, and those for the connections of
// TCP listeners, which have a matcher each. Both keep the order of the table.
func (t *Table) Split() (requests, connections []*Route) {
	names := t.tcpNames()
	if len(names) == 0 {
		return t.Routes, nil
	}
	for _, r := range t.Routes {
		if all, _ := r.forTCP(names); all {
			connections = append(connections, r)
		} else {
			requests = append(requests, r)
		}
	}
	return requests, connections
}

func (t *Table) tcpNames() []string {
	var names []string
	for i := range t.Listeners {
		if t.Listeners[i].TCP {
			names = append(names, t.Listeners[i].Name)
		}
	}
	return names
}

// checkTCP checks that a route and its backend, nil for none, are both for
// connections or both not. names are those of the TCP listeners.
func (r *Route) checkTCP(names []string, backend *Backend) error {
	tcp, some := r.forTCP(names)
	if !tcp && some {
		return errors.New("it is for TCP listeners and for others")
	}
	passes := backend != nil && backend.Scheme == SchemeTCP
	switch {
	case passes && !tcp:
		return errors.New("its backend is for connections, but a match does not ask for a TCP listener")
	case !tcp:
		return nil
	case !passes && (backend != nil || r.Refused == ""):
		return errors.New("it is for a TCP listener, but its backend is not for connections")
	}
	for i := range r.Matches {
		if r.Matches[i].Path != (Path{PathPrefix, "/"}) {
			return fmt.Errorf("match %d asks for a path, which connections do not have", i+1)
		}
	}
	for i := range r.Filters {
		if r.Filters[i].IPAllow == nil && r.Filters[i].Maintenance == nil {
			return fmt.Errorf("filter %d is not for connections", i+1)
		}
	}
	return nil
}

// forTCP says whether all matches ask for TCP listeners alone, and whether any names one.
func (r *Route) forTCP(names []string) (all, some bool) {
	if len(names) == 0 {
		return false, false
	}
	all = true
	for i := range r.Matches {
		only := false
		for _, c := range r.Matches[i].Conditions {
			if c.Kind != ConditionListener || c.Not {
				continue
			}
			is := func(name string) bool { return slices.Contains(names, name) }
			isNot := func(name string) bool { return !is(name) }
			some = some || slices.ContainsFunc(c.Values, is)
			only = only || !slices.ContainsFunc(c.Values, isNot)
		}
		all = all && only
	}
	return all, some
}
