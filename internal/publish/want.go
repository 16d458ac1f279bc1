// Package publish decides which entries of a registry the catalogue asks for: one for each
// published port of each instance. It is a pure function of a snapshot and the settings; the
// packages below it write.
package publish

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"fairway/internal/catalog"
)

// The forms of entries, and the addresses in them.
const (
	// Fairway has the names of services and IDs that belong to their owner.
	Fairway = "fairway"
	// Registrator has the IDs, names and tags that gliderlabs/registrator gives.
	Registrator = "registrator"

	// Published is where a port is published on the host, Container the address and port of
	// the instance itself.
	Published = "published"
	Container = "container"
)

// Settings say what is published, and how.
type Settings struct {
	// Owner is the ID of this Fairway in entries; 32 hexadecimal digits.
	Owner string
	// All publishes every instance; otherwise those that a label or variable asks for.
	All bool
	// None publishes nothing.
	None bool
	// Dialect is Fairway or Registrator; empty is Fairway.
	Dialect string
	// Address is Published or Container; empty is Published.
	Address string
	// IP is the address of this machine in entries; with Registrator that of every entry.
	IP string
	// IPLabel is a label that has the address of an entry.
	IPLabel string
	// Host is the first part of the IDs of Registrator.
	Host string
	// Tags are those that every entry has.
	Tags []string
	// CheckTCP gives every TCP entry a check that connects.
	CheckTCP bool
	// Foreign reports whether a source is one of a registry, whose services are not published.
	Foreign func(source string) bool
}

// Entry is what a registry is to have.
type Entry struct {
	ID       string
	Name     string
	Address  string
	Port     uint16
	Tags     []string
	Meta     map[string]string
	Weight   int // zero is not said
	Override bool
	// Ready is the state; Output says why it is another one, or what is not known.
	Ready  bool
	Output string
	// Quiet is true where what is known of it may be old: it is not written but for its lease.
	Quiet  bool
	Checks []Check

	// Service and Instance are IDs, InstanceName what people call it, Source who sees it.
	Service, Instance, InstanceName, Source string
}

// Check is one that the registry makes itself.
type Check struct {
	// Kind is http, tcp, grpc or ttl.
	Kind string
	// URL is that of http; HOST:PORT, with a path for the service of gRPC, otherwise; empty for ttl.
	Target     string
	Method     string
	TLS        bool // of grpc
	SkipVerify bool
	Interval   time.Duration
	Timeout    time.Duration // zero is not said
	TTL        time.Duration
	Initial    string // passing, warning, critical; empty is not said
	Forget     time.Duration
}

// Problem is why something is not published, or not as it is asked for.
type Problem struct {
	Service  string
	Instance string // its name
	Text     string
}

// Want returns the entries, sorted by ID, and the problems.
func Want(s *catalog.Snapshot, o Settings) ([]Entry, []Problem) {
	w := wanting{o: o, nodes: map[string]*catalog.Node{}, seen: map[string]string{}}
	for _, n := range s.Nodes {
		w.nodes[n.ID] = n
	}
	silent, held := map[string]string{}, map[string]bool{}
	for _, src := range s.Sources {
		switch {
		case src.Stale:
			silent[src.Name] = fmt.Sprintf("source %s has been silent since %s", src.Name, src.LastSuccess.UTC().Format("15:04 MST"))
		case !src.Synced:
			silent[src.Name] = fmt.Sprintf("source %s has not answered yet", src.Name)
		}
		for _, id := range src.Held {
			held[id] = true
		}
	}
	for _, svc := range s.Services {
		for _, in := range svc.Instances {
			source := cmp.Or(in.Source, svc.Source)
			if in.State == catalog.StateStopped || o.Foreign != nil && o.Foreign(source) {
				continue
			}
			for _, e := range w.instance(svc, in) {
				e.Source = source
				if text := silent[source]; text != "" {
					e.Quiet, e.Output = true, text
				} else if held[svc.ID] {
					e.Quiet, e.Output = true, "source "+source+" no longer shows it, which is to be confirmed"
				}
				w.add(e)
			}
		}
	}
	slices.SortFunc(w.entries, func(a, b Entry) int { return strings.Compare(a.ID, b.ID) })
	return w.entries, w.problems
}

type wanting struct {
	o        Settings
	nodes    map[string]*catalog.Node
	entries  []Entry
	problems []Problem
	seen     map[string]string // who has an ID
}

func (w *wanting) problem(svc *catalog.Service, in *catalog.Instance, format string, args ...any) {
	w.problems = append(w.problems, Problem{svc.ID, in.Name, fmt.Sprintf(format, args...)})
}

// add keeps IDs apart: of two entries with one ID the second gets its port behind it.
func (w *wanting) add(e Entry) {
	if other, taken := w.seen[e.ID]; taken {
		id := e.ID
		if e.ID = id + suffix(e); w.seen[e.ID] != "" {
			w.problems = append(w.problems, Problem{e.Service, e.InstanceName, "the ID " + id + " is that of " + other + ", and it is not published"})
			return
		}
		w.problems = append(w.problems, Problem{e.Service, e.InstanceName, "the ID " + id + " is that of " + other + "; here it is " + e.ID})
	}
	w.seen[e.ID] = e.InstanceName
	w.entries = append(w.entries, e)
}

func suffix(e Entry) string {
	if slices.Contains(e.Tags, "udp") {
		return ":udp"
	}
	return ":" + strconv.Itoa(int(e.Port))
}

// place is a port with where it is reached.
type place struct {
	number   uint16
	protocol string
	host     string
	port     uint16
}

func (w *wanting) instance(svc *catalog.Service, in *catalog.Instance) []Entry {
	l := readLabels(svc, in)
	if !w.asked(l) {
		return nil
	}
	places := w.places(svc, in, l)
	var list []Entry
	for _, p := range places {
		v := l.of(p.number)
		if v["ignore"] != "" {
			if v["ignore"] == "false" || v["ignore"] == "0" {
				w.problem(svc, in, "SERVICE_IGNORE=%s leaves it out: any value does", v["ignore"])
			}
			continue
		}
		e := Entry{
			Name: w.name(svc, in, l, p, len(places) > 1), Address: p.host, Port: p.port,
			Service: svc.ID, Instance: in.ID, InstanceName: in.Name, Ready: in.State == catalog.StateReady, Output: in.StateReason,
			Override: isTrue(l.own("publish.tag-override")) || isTrue(v["enable_tag_override"]),
		}
		if !e.Ready {
			e.Output = strings.TrimSuffix(string(in.State)+": "+in.StateReason, ": ")
		}
		if weight, err := strconv.Atoi(l.own("weight")); err == nil {
			e.Weight = weight
			if weight <= 0 {
				e.Weight, e.Ready, e.Output = 0, false, "weight 0"
			}
		}
		if e.Name == "" {
			w.problem(svc, in, "it has no name that Consul takes: set SERVICE_NAME or fairway.publish.name")
			continue
		}
		e.ID = cmp.Or(v["id"], w.id(in, p))
		if path.Clean("/"+e.ID) != "/"+e.ID || strings.ContainsFunc(e.ID, func(r rune) bool { return !unicode.IsPrint(r) }) {
			w.problem(svc, in, "the ID %q is none that Consul removes again: set SERVICE_ID without //, dot segments, a slash at an end and control characters", e.ID)
			continue
		}
		e.Tags = tags(l.own("tags"), v["tags"], w.o.Tags, p.protocol == "udp")
		var faults []string
		e.Meta, faults = meta(v)
		e.Checks = checks(v, e, p.protocol, l.own("health.path"), w.o.CheckTCP, &faults)
		for _, fault := range faults {
			w.problem(svc, in, "%s", fault)
		}
		list = append(list, e)
	}
	return list
}

// asked reports whether an instance is to be published.
func (w *wanting) asked(l labels) bool {
	if w.o.None {
		return false
	}
	if wish := l.own("publish"); wish != "" {
		return isTrue(wish)
	}
	return w.o.All || l.named
}

func isTrue(s string) bool { yes, _ := strconv.ParseBool(s); return yes }

// name is that of an entry; with several ports the port is behind it, but for the port that
// requests go to.
func (w *wanting) name(svc *catalog.Service, in *catalog.Instance, l labels, p place, group bool) string {
	if name := l.byPort[p.number]["name"]; name != "" {
		return name
	}
	if w.o.Dialect == Registrator {
		name := cmp.Or(l.general["name"], imageName(in.Image))
		if group && name != "" {
			name += "-" + strconv.Itoa(int(p.number))
		}
		return name
	}
	name := cmp.Or(l.own("publish.name"), l.general["name"], label(svc.Name))
	if group && name != "" && l.own("port") != strconv.Itoa(int(p.number)) && (l.own("port") != "" || p.number != 80) {
		name += "-" + strconv.Itoa(int(p.number))
	}
	return name
}

func (w *wanting) id(in *catalog.Instance, p place) string {
	tail := ":" + strconv.Itoa(int(p.number))
	if p.protocol != "tcp" {
		tail += ":" + p.protocol
	}
	if w.o.Dialect == Registrator {
		return w.o.Host + ":" + in.Name + tail
	}
	return "fairway:" + w.o.Owner[:min(8, len(w.o.Owner))] + ":" + in.ShortID() + tail
}

// places are the ports of an instance that are reached from elsewhere, sorted.
func (w *wanting) places(svc *catalog.Service, in *catalog.Instance, l labels) (list []place) {
	fixed := cmp.Or(l.own("publish.address"), address(l.all[w.o.IPLabel]))
	if w.o.Dialect == Registrator {
		fixed = cmp.Or(fixed, w.o.IP)
	}
	at := func(number uint16, protocol, host string, port uint16) {
		list = append(list, place{number, protocol, cmp.Or(fixed, host), port})
	}
	for _, a := range in.Addresses {
		if a.Reach == catalog.ReachFixed && a.Port != 0 {
			at(a.Port, "tcp", a.Host, a.Port)
			return list
		}
	}
	onHost := slices.ContainsFunc(in.Addresses, func(a catalog.Address) bool { return a.Network == "host" })
	host := w.machine(in)
	unpublished := 0
	for _, port := range in.Ports {
		switch {
		case onHost:
			if cmp.Or(fixed, host) == "" {
				w.problem(svc, in, "%s", noAddress)
				return nil
			}
			at(port.Number, port.Protocol, host, port.Number)
		case w.o.Address == Container:
			if own := ownAddress(in, l.own("network")); own == "" {
				w.problem(svc, in, "it has no address of its own")
			} else {
				at(port.Number, port.Protocol, own, port.Number)
			}
		default:
			bound, digits, err := net.SplitHostPort(cmp.Or(port.Bound, port.Published))
			if err != nil {
				unpublished++
				continue
			}
			number, _ := strconv.ParseUint(digits, 10, 16)
			ip, _ := netip.ParseAddr(bound)
			switch {
			case ip.IsLoopback():
				w.problem(svc, in, "port %d is published on %s alone, and no other machine reaches it", port.Number, bound)
				continue
			case ip.IsUnspecified():
				bound = cmp.Or(reachable(port.Published), host)
			}
			if cmp.Or(fixed, bound) == "" {
				w.problem(svc, in, "%s", noAddress)
				continue
			}
			at(port.Number, port.Protocol, bound, uint16(number))
		}
	}
	if len(list) == 0 && unpublished > 0 {
		w.problem(svc, in, "none of its ports is published: publish one, or set consul.publish.address to container")
	}
	return list
}

const noAddress = "the address of its machine is not known: set consul.publish.ip"

// machine is the address of the machine that an instance is on, as others see it; empty for
// not known.
func (w *wanting) machine(in *catalog.Instance) string {
	if n := w.nodes[in.Node]; n != nil {
		if ip, err := netip.ParseAddr(n.Address); err == nil && !ip.IsLoopback() && !ip.IsUnspecified() {
			return n.Address
		}
	}
	return w.o.IP
}

// reachable is the host of an address that leads beyond this machine; empty for none.
func reachable(at string) string {
	host, _, err := net.SplitHostPort(at)
	if ip, parsed := netip.ParseAddr(host); err != nil || parsed != nil || ip.IsLoopback() || ip.IsUnspecified() {
		return ""
	}
	return host
}

// ownAddress is the instance's own, on a network if one is named; the first by network.
func ownAddress(in *catalog.Instance, network string) string {
	for _, a := range in.Addresses {
		if a.Network != "host" && (network == "" || a.Network == network) {
			return a.Host
		}
	}
	return ""
}

// address is one of a label, without the length of a prefix.
func address(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "/")
	return text
}

// imageName is the last part of an image's name, without its tag.
func imageName(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndex(image, "/")+1:]
	image, _, _ = strings.Cut(image, ":")
	return image
}

// label makes a name that DNS takes.
func label(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	return strings.Trim(name[:min(len(name), 56)], "-") // a port may follow
}
