package draft

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// Wishes are what labels say about each instance.
type Wishes struct {
	Port    uint16 // zero: not said
	Network string // empty: not said
	// NetworkLabel is the key of the label that says Network, as it was written.
	NetworkLabel string
	// Address is an IP address or a name; empty: not said. AddressLabel is its label.
	Address, AddressLabel string
	Weight                *int // nil: not said

	// PortChoice is how a port is chosen where none is said, PortLabel the label that would
	// say it; empty: fairway.port.
	PortChoice PortChoice
	PortLabel  string
	// Loose chooses networks as other proxies do: one of Compose is found without its
	// project, and of several that Fairway is on the first by name is good.
	Loose bool
}

// PortChoice is how the port of an instance is chosen.
type PortChoice int

// The ways to choose a port among those that an instance exposes.
const (
	PortClear  PortChoice = iota // the only one, or 80; otherwise none
	PortLowest                   // the lowest
	PortOr80                     // the only one; otherwise 80, exposed or not
)

// Or returns w with what it does not say taken from other.
func (w Wishes) Or(other Wishes) Wishes {
	w.Port, w.Network = cmp.Or(w.Port, other.Port), cmp.Or(w.Network, other.Network)
	w.NetworkLabel, w.Weight = cmp.Or(w.NetworkLabel, other.NetworkLabel), cmp.Or(w.Weight, other.Weight)
	w.Address, w.AddressLabel = cmp.Or(w.Address, other.Address), cmp.Or(w.AddressLabel, other.AddressLabel)
	w.PortChoice, w.PortLabel, w.Loose = cmp.Or(w.PortChoice, other.PortChoice), cmp.Or(w.PortLabel, other.PortLabel), w.Loose || other.Loose
	return w
}

// Choice is the address by which an instance is reached, and why it is this one.
type Choice struct {
	Host   string
	Port   uint16
	Reason string
}

// Address returns host:port as it is dialled.
func (c Choice) Address() string { return net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))) }

// ChooseAddress decides by which address and port an instance is reached. It is
// pure, and its answer does not depend on the order of anything. In this order:
//
//  1. an address that the source fixed, as it is;
//  2. the address that the label names;
//  3. the network that the label names;
//  4. the one network that Fairway itself is on; several need the label;
//  5. the host's own bridge networks, when Fairway runs on that host, the first
//     by name: all of them are reachable alike;
//  6. the port published on the host.
func ChooseAddress(in *catalog.Instance, w Wishes) (Choice, *Refusal) {
	if a := firstAddress(in, func(a catalog.Address) bool { return a.Reach == catalog.ReachFixed && a.Port != 0 }); a != nil {
		return Choice{a.Host, a.Port, "the address is fixed by the source"}, nil
	}
	port, why, fault := choosePort(in, w)
	if fault != nil {
		return Choice{}, fault
	}
	if a := firstAddress(in, func(a catalog.Address) bool { return a.Reach == catalog.ReachFixed }); a != nil {
		return Choice{a.Host, port, "the address is fixed by the source, " + why}, nil
	}
	if w.Address != "" {
		return atNamedAddress(in, w.Address, port, why)
	}
	if w.Network != "" {
		return onNamedNetwork(in, w.network(in), port, why)
	}
	if shared := networks(in, catalog.ReachShared); len(shared) > 1 && !w.Loose {
		return Choice{}, Refuse(route.CodeIncomplete, "it shares several networks with Fairway: "+strings.Join(shared, ", "), "say which one with a network label")
	}
	for _, reach := range []catalog.Reach{catalog.ReachShared, catalog.ReachBridge} {
		if a := firstAddress(in, func(a catalog.Address) bool { return a.Reach == reach }); a != nil {
			return Choice{a.Host, port, reachReason(*a) + ", " + why}, nil
		}
	}
	for _, p := range in.Ports {
		if p.Number != port || p.Protocol != "tcp" || p.Published == "" {
			continue
		}
		host, digits, _ := net.SplitHostPort(p.Published)
		if published, err := ReadPort(digits); err == nil && host != "" {
			return Choice{host, published, fmt.Sprintf("published on the host for port %d, %s", port, why)}, nil
		}
	}
	return Choice{}, unreachable(in)
}

func choosePort(in *catalog.Instance, w Wishes) (port uint16, why string, fault *Refusal) {
	if w.Port != 0 {
		return w.Port, "port by label", nil
	}
	exposed := Exposed(in)
	label := cmp.Or(w.PortLabel, catalog.LabelPrefix+"port")
	switch {
	case len(exposed) == 1:
		return exposed[0], "the only port", nil
	case w.PortChoice == PortOr80:
		return 80, "port 80, as it does not expose just one", nil
	case w.PortChoice == PortLowest && len(exposed) > 0:
		return exposed[0], "the lowest port", nil
	case slices.Contains(exposed, 80):
		return 80, "port 80 of several", nil
	case len(exposed) == 0:
		return 0, "", &Refusal{route.CodeNoPort, "it exposes no port", "set the label " + label + " to the port it listens on, such as " + label + "=8080"}
	}
	return 0, "", &Refusal{route.CodeNoPort, "it exposes several ports: " + PortList(exposed), fmt.Sprintf("set the label %s=%d, or to another of them", label, exposed[0])}
}

// Exposed returns the TCP ports that an instance exposes, sorted.
func Exposed(in *catalog.Instance) (ports []uint16) {
	for _, p := range in.Ports {
		if p.Protocol == "tcp" && !slices.Contains(ports, p.Number) {
			ports = append(ports, p.Number)
		}
	}
	slices.Sort(ports)
	return ports
}

// PortList writes ports for people, ten at most.
func PortList(ports []uint16) string {
	list := make([]string, 0, len(ports))
	for _, p := range ports[:min(len(ports), 10)] {
		list = append(list, strconv.Itoa(int(p)))
	}
	if len(ports) > 10 {
		list = append(list, "…")
	}
	return strings.Join(list, ", ")
}

// Labels in which Compose names the project of a container, and Swarm the stack.
const (
	composeProject = "com.docker.compose.project"
	stack          = "com.docker.stack.namespace"
)

// network is the name of the network that is wished for, as the instance has it.
func (w Wishes) network(in *catalog.Instance) string {
	has := func(name string) bool {
		return slices.ContainsFunc(in.Addresses, func(a catalog.Address) bool { return a.Network == name })
	}
	if !w.Loose || has(w.Network) {
		return w.Network
	}
	if own := cmp.Or(in.Labels[composeProject], in.Labels[stack]) + "_" + w.Network; has(own) {
		return own
	}
	return w.Network
}

func onNamedNetwork(in *catalog.Instance, network string, port uint16, why string) (Choice, *Refusal) {
	a := firstAddress(in, func(a catalog.Address) bool { return a.Network == network && a.Reach != catalog.ReachNone })
	if a != nil {
		return Choice{a.Host, port, fmt.Sprintf("network %s by label, %s", chars.Printable(network), why)}, nil
	}
	if firstAddress(in, func(a catalog.Address) bool { return a.Network == network }) != nil {
		return Choice{}, &Refusal{route.CodeNoAddress, "Fairway is not on the network " + chars.Printable(network), connectHint(network)}
	}
	text := fmt.Sprintf("it is not on the network %s", chars.Excerpt(network))
	if has := networks(in, ""); len(has) > 0 {
		text += ", but on " + strings.Join(has, ", ")
	}
	return Choice{}, &Refusal{route.CodeNoAddress, text, "name one of its networks in the network label, or leave the label out"}
}

// ReadAddress reads an IP address, or the name of a machine, by which an instance is reached.
// Fairway's own loopback is none.
func ReadAddress(s string) (string, error) {
	const hint = "write the address of the machine, such as 192.168.1.10; the port goes into fairway.port"
	if ip, err := netip.ParseAddr(s); err == nil {
		if ip = ip.Unmap(); ip.IsUnspecified() || ip.IsLoopback() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || ip.Zone() != "" {
			return "", Bad(hint, "%s is no address that instances are reached by", chars.Excerpt(s))
		}
		return ip.String(), nil
	}
	host, err := canonical.Host(s)
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, number := strconv.ParseUint(last, 0, 64) // some resolvers take it for an address: 127.1
	if err != nil || number == nil || strings.ContainsAny(s, ":[]*") {
		return "", Bad(hint, "%s is neither an IP address nor a name", chars.Excerpt(s))
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return "", Bad(hint, "%s is Fairway itself", chars.Excerpt(s))
	}
	return host, nil
}

// atNamedAddress reaches an instance by the address of a label: on its host's network by any,
// else by one of its own, so that nothing is reached that the instance is not.
func atNamedAddress(in *catalog.Instance, address string, port uint16, why string) (Choice, *Refusal) {
	onHost := func(a catalog.Address) bool {
		return a.Network == hostNetwork || a.Network == "" && a.Reach == catalog.ReachBridge
	}
	if firstAddress(in, func(a catalog.Address) bool { return a.Host == address || onHost(a) }) != nil {
		return Choice{address, port, "address by label, " + why}, nil
	}
	var own []string
	for _, a := range in.Addresses {
		own = append(own, chars.Printable(a.Host))
	}
	if len(own) == 0 {
		return Choice{}, &Refusal{route.CodeNoAddress, "it has no address, and so not " + chars.Printable(address), "attach it to a network; the label is for instances on their host's network"}
	}
	return Choice{}, &Refusal{route.CodeNoAddress, chars.Printable(address) + " is none of its addresses: " + strings.Join(own, ", "), "name one of them, or leave the label out"}
}

func unreachable(in *catalog.Instance) *Refusal {
	has := networks(in, "")
	switch {
	case slices.Equal(has, []string{hostNetwork}):
		return Refuse(route.CodeNoAddress, "it uses its host's network, and Fairway is on another", connectHint(hostNetwork))
	case len(has) == 0:
		return Refuse(route.CodeNoAddress, "it has no address", "attach it to a network, or publish the port")
	}
	return Refuse(route.CodeNoAddress, "Fairway is on none of its networks: "+strings.Join(has, ", "), connectHint(has[0]))
}

// hostNetwork is Docker's name for the network of the host itself.
const hostNetwork = "host"

func connectHint(network string) string {
	if network == hostNetwork {
		return "say by which address Fairway reaches that machine, with a label such as fairway.address=192.168.1.10; or run Fairway with host networking, too"
	}
	return "run: docker network connect " + chars.Printable(network) + " <fairway's container>"
}

func reachReason(a catalog.Address) string {
	switch {
	case a.Reach == catalog.ReachShared:
		return "Fairway is on its network " + chars.Printable(a.Network)
	case a.Network == "":
		return "it is on Fairway's own host"
	case a.Network == hostNetwork:
		return "it uses its host's network"
	}
	return "its bridge network " + chars.Printable(a.Network) + " is on Fairway's own host"
}

// firstAddress returns the first address by network, then host, that fits, or nil.
func firstAddress(in *catalog.Instance, fits func(catalog.Address) bool) *catalog.Address {
	var first *catalog.Address
	for _, a := range in.Addresses {
		before := first == nil || cmp.Or(strings.Compare(a.Network, first.Network), strings.Compare(a.Host, first.Host)) < 0
		if before && a.Host != "" && fits(a) {
			first = &a
		}
	}
	return first
}

// networks returns the names of the instance's networks with this reach, or of
// all for none; sorted, fit for a message.
func networks(in *catalog.Instance, reach catalog.Reach) []string {
	var names []string
	for _, a := range in.Addresses {
		if a.Network != "" && (reach == "" || a.Reach == reach) {
			names = append(names, chars.Printable(a.Network))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
