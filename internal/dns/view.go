package dns

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"fairway/internal/catalog"
)

// Asker is who asks.
type Asker struct {
	// Addr is where the question comes from, Asked the address of Fairway that it came to.
	Addr, Asked netip.Addr
}

// view is how an asker sees instances.
type view struct {
	z        *Zone
	from     Asker
	instance *at      // that asks; nil for none
	networks []string // that it is on, the one it asked by first
	machine  bool     // this machine asks
	mode     string   // of askers from elsewhere
}

func (z *Zone) view(from Asker) view {
	from.Addr, from.Asked = from.Addr.Unmap().WithZone(""), from.Asked.Unmap().WithZone("")
	v := view{z: z, from: from}
	if z.isMachine(from.Addr) {
		v.machine = true
		return v
	}
	if x, ok := last(z.askers, from.Addr); ok {
		v.instance = &x
		first := ""
		for _, a := range x.instance.Addresses {
			if !near(a) {
				continue
			}
			if a.Host == from.Addr.String() {
				first = a.Network
			}
			if !slices.Contains(v.networks, a.Network) {
				v.networks = append(v.networks, a.Network)
			}
		}
		slices.SortStableFunc(v.networks, func(a, b string) int {
			switch {
			case a == first && b != first:
				return -1
			case b == first && a != first:
				return 1
			}
			return strings.Compare(a, b)
		})
		return v
	}
	v.mode = z.modeOf(from.Addr)
	return v
}

// AppendView appends what makes askers see alike: the answers to those of the same bytes are
// the same. It is false for those who may not ask.
func (z *Zone) AppendView(b []byte, from Asker) ([]byte, bool) {
	from.Addr, from.Asked = from.Addr.Unmap().WithZone(""), from.Asked.Unmap().WithZone("")
	if !z.MayAsk(from.Addr) {
		return b, false
	}
	asked := from.Asked.As16()
	if _, instance := z.askers.get(from.Addr); z.isMachine(from.Addr) {
		kind := byte('m')
		if from.Addr.Is6() {
			kind = 'M'
		}
		b = append(b, kind)
	} else if instance {
		own := from.Addr.As16()
		b = append(append(b, 'i'), own[:]...)
	} else {
		b = append(append(b, 'o'), z.modeOf(from.Addr)...)
	}
	recurse := byte('n')
	if z.mayRecurse(from.Addr) {
		recurse = 'r'
	}
	return append(append(b, recurse), asked[:]...), true
}

// modeOf is how an asker from elsewhere sees instances.
func (z *Zone) modeOf(a netip.Addr) string {
	for _, exception := range z.settings.Views {
		if exception.Network.Contains(a) {
			return exception.Mode
		}
	}
	return z.settings.Mode
}

// String says it for people.
func (v view) String() string {
	switch {
	case v.machine:
		return "this machine"
	case v.instance != nil:
		return "instance " + v.instance.instance.Name + " on " + strings.Join(v.networks, ", ")
	}
	return "another machine, by " + v.mode
}

// gateway is this machine as the asker sees it.
func (v view) gateway() netip.Addr {
	if v.machine {
		if v.from.Addr.Is6() {
			return netip.IPv6Loopback()
		}
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if p, ok := v.z.localOf(v.from.Addr); ok && v.instance != nil {
		return p.Addr()
	}
	return v.from.Asked
}

// node is a machine as the asker sees it; invalid where only a name is known.
func (v view) node(id string) netip.Addr {
	if v.z.isHere(id) {
		return v.gateway()
	}
	ip, _ := netip.ParseAddr(v.z.nodesByID[id].Address)
	return ip
}

// place is where an asker gets to an instance.
type place struct {
	addr  netip.Addr
	name  string // in place of the address, where the source knows only that
	port  uint16 // zero: the one of the instance
	rung  rung
	where string // the network, for people
}

// rung is a step of the ladder by which an address is chosen; the lowest that has one counts.
type rung int

const (
	rungNone      rung = iota
	rungOwn            // an address of the instance
	rungPublished      // a published port of its machine
)

// String says it for people.
func (r rung) String() string { return [...]string{"none", "own address", "published port"}[r] }

// places returns where the asker gets to an instance by one rung, the best first, with the
// chosen port; or says why not.
func (v view) places(x at, number uint16, protocol string) (list []place, why string) {
	in := x.instance
	for _, a := range in.Addresses {
		if a.Reach == catalog.ReachFixed {
			list = append(list, fixed(a))
		}
	}
	if len(list) > 0 {
		return list, ""
	}
	if slices.ContainsFunc(in.Addresses, func(a catalog.Address) bool { return a.Network == hostNetwork }) {
		if ip := v.node(in.Node); ip.IsValid() {
			return []place{{addr: ip, rung: rungOwn, where: "network of its machine"}}, ""
		}
		return nil, "it is on the network of its machine, whose address is not known"
	}
	switch {
	case v.instance != nil:
		for _, network := range v.networks {
			list = append(list, on(in, network)...)
		}
	case v.machine:
		list = own(in, func(a catalog.Address) bool { return a.Reach == catalog.ReachBridge || a.Reach == catalog.ReachShared })
	case v.mode == ModeInstance:
		list = own(in, func(catalog.Address) bool { return true })
	case v.mode == ModeProxy:
		return []place{{addr: v.from.Asked, rung: rungOwn, where: "Fairway"}}, ""
	}
	if len(list) > 0 {
		return list, ""
	}
	if v.mode == ModeInstance {
		return nil, "it has no address of its own"
	}
	if list = v.published(x, number, protocol); len(list) > 0 {
		return list, ""
	}
	return nil, v.unreachable(in)
}

func fixed(a catalog.Address) place {
	ip, err := netip.ParseAddr(a.Host)
	if err != nil {
		return place{name: a.Host, port: a.Port, rung: rungOwn, where: "fixed by its source"}
	}
	return place{addr: ip, port: a.Port, rung: rungOwn, where: "fixed by its source"}
}

// on returns the addresses of an instance on a network that Fairway's machine has.
func on(in *catalog.Instance, network string) []place {
	return own(in, func(a catalog.Address) bool {
		return a.Network == network && near(a)
	})
}

func own(in *catalog.Instance, is func(catalog.Address) bool) (list []place) {
	for _, a := range in.Addresses { // sorted by network
		if ip, err := netip.ParseAddr(a.Host); err == nil && is(a) {
			list = append(list, place{addr: ip, rung: rungOwn, where: "network " + a.Network})
		}
	}
	return list
}

// published returns where the ports of an instance are published that the asker can reach,
// the chosen port first.
func (v view) published(x at, number uint16, protocol string) (list []place) {
	ports := slices.Clone(x.instance.Ports)
	slices.SortStableFunc(ports, func(a, b catalog.Port) int {
		chosen := func(p catalog.Port) int {
			if p.Number == number && p.Protocol == protocol {
				return 0
			}
			return 1
		}
		return cmp.Compare(chosen(a), chosen(b))
	})
	for _, p := range ports {
		ip, n, ok := binding(p)
		if !ok {
			continue
		}
		switch {
		case ip.IsLoopback() && (!v.machine || !v.z.isHere(x.instance.Node)):
			continue
		case ip.IsUnspecified():
			ip = v.node(x.instance.Node)
		}
		if ip.IsValid() {
			list = append(list, place{addr: ip, port: n, rung: rungPublished, where: "port " + p.Protocol + " published by its machine"})
		}
	}
	return list
}

// unreachable says why an asker gets to none of an instance.
func (v view) unreachable(in *catalog.Instance) string {
	if len(in.Addresses) == 0 {
		return "it has no address"
	}
	var networks []string
	for _, a := range in.Addresses {
		if !slices.Contains(networks, a.Network) && a.Network != "" {
			networks = append(networks, a.Network)
		}
	}
	if v.instance != nil {
		return strings.Join(networks, ", ") + ": not shared, and no port is published for it"
	}
	return "on " + strings.Join(networks, ", ") + ", and no port is published for it"
}
