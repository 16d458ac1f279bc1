package draft

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	"fairway/internal/route"
)

// PortRange is a range of ports, First and Last included.
type PortRange struct{ First, Last uint16 }

// OpenedPrefix begins the names of the listeners that labels open.
const OpenedPrefix = "tcp-"

// Ports knows which listener a port that a label names belongs to.
type Ports struct {
	byNumber map[uint16][]route.Listener
	allowed  []PortRange
	reserved map[uint16]string
}

// NewPorts reads the ports out of the addresses of the listeners. Labels may open those
// that are allowed, and never those that are reserved, each for a configuration key.
func NewPorts(listeners []route.Listener, allowed []PortRange, reserved map[uint16]string) *Ports {
	p := &Ports{byNumber: map[uint16][]route.Listener{}, allowed: allowed, reserved: reserved}
	for _, l := range listeners {
		if _, digits, err := net.SplitHostPort(l.Address); err == nil {
			if n, err := strconv.ParseUint(digits, 10, 16); err == nil && n != 0 {
				p.byNumber[uint16(n)] = append(p.byNumber[uint16(n)], l)
			}
		}
	}
	return p
}

// Named returns the ports with other listeners for some of them, by their names.
func (p *Ports) Named(listeners []route.Listener, names map[uint16]string) *Ports {
	named := &Ports{maps.Clone(p.byNumber), p.allowed, p.reserved}
	for number, name := range names {
		for _, l := range listeners {
			if l.Name == name {
				named.byNumber[number] = []route.Listener{l}
			}
		}
	}
	return named
}

// Has reports whether a listener has a port.
func (p *Ports) Has(port uint16) bool { return len(p.byNumber[port]) > 0 }

// at returns the sorted names of the listeners of a port that pass connections through,
// or of those that do not, and one of the others.
func (p *Ports) at(port uint16, tcp bool) (names []string, other string) {
	for _, l := range p.byNumber[port] {
		if l.TCP == tcp {
			names = append(names, l.Name)
		} else if other == "" {
			other = l.Name
		}
	}
	slices.Sort(names)
	return names, other
}

// HTTP returns the names of the listeners that take HTTP at a port.
func (p *Ports) HTTP(port uint16) ([]string, error) {
	names, other := p.at(port, false)
	switch {
	case names != nil:
		return names, nil
	case other != "":
		text := fmt.Sprintf("port %d belongs to listener %s, which passes connections through", port, other)
		return nil, Refuse(route.CodeContradicts, text, "use the port of a listener for HTTP")
	}
	return nil, Refuse(route.CodeUnsupported, fmt.Sprintf("no listener has port %d", port), fmt.Sprintf("configure a listener with the address :%d", port))
}

// TCP returns the names of the listeners that pass connections at a port through: those
// of the settings, or else the one that a label may open.
func (p *Ports) TCP(port uint16) ([]string, error) {
	names, other := p.at(port, true)
	switch {
	case other != "":
		text := fmt.Sprintf("port %d belongs to listener %s, which takes HTTP", port, other)
		return nil, Refuse(route.CodeContradicts, text, "use another port; what is passed through needs one of its own")
	case names != nil:
		return names, nil
	}
	if key := p.reserved[port]; key != "" {
		return nil, Refuse(route.CodeUnsupported, fmt.Sprintf("port %d is that of %s", port, key), "use another port, or move "+key)
	}
	if !slices.ContainsFunc(p.allowed, func(r PortRange) bool { return r.First <= port && port <= r.Last }) {
		return nil, Refuse(route.CodeUnsupported, fmt.Sprintf("labels may not open port %d", port), "the operator allows ports with tcp-ports")
	}
	return []string{OpenedPrefix + strconv.Itoa(int(port))}, nil
}
