// Package certified knows which names have a certificate, for redirects to https.
package certified

import (
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// Names are names with a certificate, "*." in front of one for a level.
type Names struct {
	all, obtained map[string]bool
}

// Of returns the names of own, and those that certificates were obtained for; none where no
// listener takes HTTPS. With redirect what was obtained makes routes redirect to https.
func Of(listeners []route.Listener, own []string, certificates []catalog.Certificate, redirect bool) (n Names) {
	if !slices.ContainsFunc(listeners, func(l route.Listener) bool { return l.TLS }) {
		return n
	}
	n.all = make(map[string]bool, len(own)+len(certificates))
	for _, name := range own {
		n.all[name] = true
	}
	if redirect {
		n.obtained = make(map[string]bool, len(certificates))
	}
	for _, c := range certificates {
		if c.Name == "" {
			continue
		}
		n.all[c.Name] = true
		if redirect {
			n.obtained[c.Name] = true
		}
	}
	return n
}

// Cover says whether every host of the matches has a certificate; with obtained one that
// redirects by itself, of matches that are for no certain listener.
func (n Names) Cover(matches []route.Match, obtained bool) bool {
	names := n.all
	if obtained {
		names = n.obtained
	}
	return len(names) > 0 && !slices.ContainsFunc(matches, func(m route.Match) bool {
		listener := func(c route.Condition) bool { return c.Kind == route.ConditionListener }
		return !covers(names, m.Host) || obtained && slices.ContainsFunc(m.Conditions, listener)
	})
}

// covers says whether one of the names is that of a host, or a wildcard above it.
func covers(names map[string]bool, h route.Host) bool {
	name := h.CertificateName()
	_, parent, _ := strings.Cut(name, ".") // of a wildcard what it is the wildcard of
	return name != "" && (names[name] || names["*."+parent])
}
