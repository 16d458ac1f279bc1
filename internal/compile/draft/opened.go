package draft

import (
	"strings"

	"fairway/internal/route"
)

// Opened returns the listeners that routes name and that are not configured: the
// ones that their labels open.
func Opened(configured []route.Listener, routes []*route.Route) []route.Listener {
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
					port, ours := strings.CutPrefix(name, OpenedPrefix)
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
