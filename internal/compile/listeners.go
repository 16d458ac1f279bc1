package compile

import (
	"slices"
	"strconv"
	"strings"

	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// opened returns the listeners that routes name and that are not configured: the
// ones that their labels open.
func opened(configured []route.Listener, routes []*route.Route) []route.Listener {
	var list []route.Listener
	has := map[string]bool{}
	for _, l := range configured {
		has[l.Name] = true
	}
	for _, r := range routes {
		for _, m := range r.Matches {
			for _, c := range m.Conditions {
				if c.Kind != route.ConditionListener {
					continue
				}
				for _, name := range c.Values {
					port, ours := strings.CutPrefix(name, draft.OpenedPrefix)
					if ours && !has[name] {
						has[name] = true
						list = append(list, route.Listener{Name: name, Address: ":" + port, TCP: true, Optional: true})
					}
				}
			}
		}
	}
	return list
}

// Reopened returns the listeners of the settings, and of last, the listeners of a
// table of an earlier run, those that labels opened and may open today.
func (s Settings) Reopened(last []route.Listener) []route.Listener {
	p, list := s.ports(), slices.Clone(s.Listeners)
	for _, l := range last {
		digits, ours := strings.CutPrefix(l.Name, draft.OpenedPrefix)
		port, err := strconv.ParseUint(digits, 10, 16)
		if !ours || err != nil || p.Has(uint16(port)) {
			continue
		}
		if _, err := p.TCP(uint16(port)); err == nil {
			list = append(list, l)
		}
	}
	return list
}
