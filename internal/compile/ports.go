package compile

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/route"
)

// PortRange is a range of ports, First and Last included.
type PortRange struct{ First, Last uint16 }

// openedPrefix begins the names of the listeners that labels open.
const openedPrefix = "tcp-"

// ports knows which listener a port that a label names belongs to.
type ports struct {
	byNumber map[uint16][]route.Listener
	allowed  []PortRange
	reserved map[uint16]string
}

// newPorts reads the ports out of the addresses of the listeners, and those that
// the settings name beside them.
func newPorts(s Settings) *ports {
	p := &ports{byNumber: map[uint16][]route.Listener{}, allowed: s.TCPPorts, reserved: s.Reserved}
	byName := map[string]route.Listener{}
	for _, l := range s.Listeners {
		byName[l.Name] = l
		if _, digits, err := net.SplitHostPort(l.Address); err == nil {
			if n, err := strconv.ParseUint(digits, 10, 16); err == nil && n != 0 {
				p.byNumber[uint16(n)] = append(p.byNumber[uint16(n)], l)
			}
		}
	}
	if s.DockerFlow == nil {
		return p
	}
	for number, name := range s.DockerFlow.Ports {
		if l, ok := byName[name]; ok {
			p.byNumber[number] = []route.Listener{l}
		}
	}
	return p
}

// http returns the names of the listeners that take HTTP at a port.
func (p *ports) http(port uint16) ([]string, error) {
	var names []string
	for _, l := range p.byNumber[port] {
		if !l.TCP {
			names = append(names, l.Name)
		}
	}
	switch {
	case len(p.byNumber[port]) == 0:
		return nil, &refusal{
			route.CodeUnsupported, fmt.Sprintf("no listener has port %d", port),
			fmt.Sprintf("configure a listener with the address :%d", port),
		}
	case names == nil:
		return nil, &refusal{
			route.CodeContradicts, fmt.Sprintf("port %d belongs to listener %s, which passes connections through", port, p.byNumber[port][0].Name),
			"use the port of a listener for HTTP",
		}
	}
	slices.Sort(names)
	return names, nil
}

// tcp returns the names of the listeners that pass connections at a port through:
// those of the settings, or else the one that is opened because a label asks
// for it, where that is allowed.
func (p *ports) tcp(port uint16) ([]string, error) {
	var names []string
	for _, l := range p.byNumber[port] {
		if !l.TCP {
			return nil, &refusal{
				route.CodeContradicts, fmt.Sprintf("port %d belongs to listener %s, which takes HTTP", port, l.Name),
				"use another port; what is passed through needs one of its own",
			}
		}
		names = append(names, l.Name)
	}
	if names != nil {
		slices.Sort(names)
		return names, nil
	}
	if key := p.reserved[port]; key != "" {
		return nil, &refusal{route.CodeUnsupported, fmt.Sprintf("port %d is that of %s", port, key), "use another port, or move " + key}
	}
	for _, r := range p.allowed {
		if r.First <= port && port <= r.Last {
			return []string{openedPrefix + strconv.Itoa(int(port))}, nil
		}
	}
	return nil, &refusal{
		route.CodeUnsupported, fmt.Sprintf("labels may not open port %d", port),
		"the operator allows ports with tcp-ports",
	}
}

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
					port, ours := strings.CutPrefix(name, openedPrefix)
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
	p, list := newPorts(s), slices.Clone(s.Listeners)
	for _, l := range last {
		digits, ours := strings.CutPrefix(l.Name, openedPrefix)
		port, err := strconv.ParseUint(digits, 10, 16)
		if !ours || err != nil || len(p.byNumber[uint16(port)]) > 0 {
			continue
		}
		if _, err := p.tcp(uint16(port)); err == nil {
			list = append(list, l)
		}
	}
	return list
}
