package dns

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/catalog"

	"github.com/miekg/dns"
)

// Zone is everything that can be answered at one moment. It is immutable, and may be read
// by any number of goroutines.
type Zone struct {
	snapshot *catalog.Snapshot // that it was made of
	settings Settings
	local    []netip.Prefix // addresses of this machine with their networks
	bridges  []netip.Prefix // those of them that containers are on
	serial   uint32

	services  map[string][]*catalog.Service // by every spelling of the name
	instances map[string][]at
	hosts     map[string][]at // by host name
	ids       map[string]at   // by short ID
	projects  map[string]map[string][]*catalog.Service
	short     map[string]*catalog.Service // short name → the service that has it
	explicit  map[string]*catalog.Service
	stars     map[string]*catalog.Service // names below which any name is the service's
	nodes     map[string]*catalog.Node
	nodesByID map[string]*catalog.Node
	above     map[string]bool // names that have others below them
	askers    map[netip.Addr]at
	pointers  map[netip.Addr]at

	unsure   string    // why it is not known that a name is not there; empty for known
	since    time.Time // when the first of the sources answered last; zero for never
	starting bool      // nothing is known of a source at all
	stale    map[string]bool
	taken    []Taken
}

// at is an instance and its service.
type at struct {
	service  *catalog.Service
	instance *catalog.Instance
}

// Taken is a name that a service asks for and does not get.
type Taken struct {
	Name    string
	Holder  string // ID of the service that has it; empty for a name in no zone
	Service string // ID of the one that does not
	ByLabel bool   // a label asks for it
}

// The labels that are read.
const (
	labelName    = catalog.LabelPrefix + "dns.name"
	labelEnable  = catalog.LabelPrefix + "dns.enable"
	labelUnready = catalog.LabelPrefix + "dns.unready"
	labelTags    = catalog.LabelPrefix + "tags"
	labelPort    = catalog.LabelPrefix + "port"
	labelWeight  = catalog.LabelPrefix + "weight"
	// flowTags is the key that Registrator has for tags.
	flowTags = "SERVICE_TAGS"
)

// reserved are first labels below a zone that mean something of their own.
var reserved = []string{"service", "instance", "node", "addr", "tasks", "all", "host", "ns"}

// Build makes the zone of a snapshot, which may be nil. before is the zone until now, which
// says who has which name; local are the addresses of this machine with their networks.
func Build(before *Zone, s *catalog.Snapshot, settings Settings, local []netip.Prefix, now time.Time) *Zone {
	settings.Complete()
	for i, name := range settings.Zones {
		settings.Zones = slices.Clone(settings.Zones)
		settings.Zones[i] = strings.ToLower(strings.Trim(name, "."))
	}
	z := &Zone{
		snapshot: s, settings: settings, local: local, serial: uint32(now.Unix()),
		services: map[string][]*catalog.Service{}, instances: map[string][]at{}, hosts: map[string][]at{}, ids: map[string]at{},
		projects: map[string]map[string][]*catalog.Service{}, short: map[string]*catalog.Service{}, explicit: map[string]*catalog.Service{},
		stars: map[string]*catalog.Service{}, nodes: map[string]*catalog.Node{}, nodesByID: map[string]*catalog.Node{},
		above: map[string]bool{}, askers: map[netip.Addr]at{}, pointers: map[netip.Addr]at{}, stale: map[string]bool{},
	}
	if before != nil {
		z.serial = max(z.serial, before.serial)
	}
	if s == nil {
		z.starting = true
		return z
	}
	z.sources(s)
	for _, n := range s.Nodes {
		for _, name := range spellings(n.Name) {
			z.nodes[name] = cmp.Or(z.nodes[name], n)
		}
		z.nodesByID[n.ID] = n
	}
	// The older of two goes first, and keeps what it has.
	ordered := slices.Clone(s.Services)
	slices.SortStableFunc(ordered, func(a, b *catalog.Service) int { return a.Created.Compare(b.Created) })
	for _, svc := range ordered {
		shown := enabled(svc.Labels)
		if shown {
			z.addService(svc)
		}
		for _, in := range svc.Instances {
			shown := shown && enabled(in.Labels)
			if shown {
				z.addInstance(at{svc, in})
			}
			z.addAddresses(at{svc, in}, shown)
		}
	}
	z.claim(before, ordered)
	marked := map[netip.Prefix]bool{}
	for a, x := range z.askers {
		if onLink(x.instance, a) {
			continue // others are there, too
		}
		if p, ok := z.localOf(a); ok && p.Addr() != a {
			marked[p.Masked()] = true
		}
	}
	for _, p := range local {
		if marked[p.Masked()] && !slices.Contains(z.bridges, p.Masked()) {
			z.bridges = append(z.bridges, p.Masked())
		}
	}
	return z
}

// localOf returns the address of this machine on the smallest of its networks that has an address.
func (z *Zone) localOf(a netip.Addr) (best netip.Prefix, ok bool) {
	for _, p := range z.local {
		if p.Contains(a) && (!ok || p.Bits() > best.Bits()) {
			best, ok = p, true
		}
	}
	return best, ok
}

func enabled(labels map[string]string) bool {
	return !strings.EqualFold(strings.TrimSpace(labels[labelEnable]), "false")
}

// sources notes what is not known.
func (z *Zone) sources(s *catalog.Snapshot) {
	for _, src := range s.Sources {
		switch {
		case src.Stale:
			z.stale[src.Name] = true
			z.unsure = "source " + src.Name + " cannot be asked"
			if z.since.IsZero() || !src.LastSuccess.IsZero() && src.LastSuccess.Before(z.since) {
				z.since = src.LastSuccess
			}
		case !src.Synced && s.Restored:
			z.unsure = "source " + src.Name + " has not answered in this run"
		case !src.Synced:
			z.starting = true
		}
	}
	if s.Restored && z.unsure == "" && len(s.Sources) > 0 {
		z.unsure = "no source has answered in this run"
	}
}

func (z *Zone) addService(svc *catalog.Service) {
	for _, name := range spellings(svc.Name) {
		z.services[name] = append(z.services[name], svc)
		z.under(name)
	}
	project, short := svc.Project(), svc.ShortName()
	if project == "" || short == "" {
		return
	}
	for _, p := range spellings(project) {
		if z.projects[p] == nil {
			z.projects[p] = map[string][]*catalog.Service{}
			z.above[p] = true
			z.under(p)
		}
		for _, name := range spellings(short) {
			z.projects[p][name] = append(z.projects[p][name], svc)
			z.under(name + "." + p)
		}
	}
}

// under notes the names above a name, which are there because it is.
func (z *Zone) under(name string) {
	for {
		_, parent, ok := strings.Cut(name, ".")
		if !ok || z.above[parent] {
			return
		}
		z.above[parent], name = true, parent
	}
}

func (z *Zone) addInstance(x at) {
	for _, name := range spellings(x.instance.Name) {
		z.instances[name] = append(z.instances[name], x)
		z.under(name)
	}
	for _, name := range spellings(x.instance.Hostname) {
		z.hosts[name] = append(z.hosts[name], x)
		z.under(name)
	}
	if id := x.instance.ShortID(); catalog.IsShortID(id) {
		z.ids[id] = x
	}
}

// addAddresses notes who asks from the addresses of an instance. One that is hidden asks, too,
// but its addresses have no name.
func (z *Zone) addAddresses(x at, shown bool) {
	for _, a := range x.instance.Addresses {
		ip, err := netip.ParseAddr(a.Host)
		if err != nil || a.Network == hostNetwork {
			continue
		}
		if near(a) {
			z.askers[ip] = x
			if shown {
				z.pointers[ip] = x
			}
		}
	}
}

// near reports whether an address is on a network of this machine: what asks from it is the
// instance.
func near(a catalog.Address) bool {
	return a.Reach == catalog.ReachShared || a.Reach == catalog.ReachBridge || a.Link
}

func onLink(in *catalog.Instance, ip netip.Addr) bool {
	return slices.ContainsFunc(in.Addresses, func(a catalog.Address) bool { return a.Link && a.Host == ip.String() })
}

// hostNetwork is the network of containers that have the machine's own.
const hostNetwork = "host"

// claim gives out the names that only one may have: those that labels ask for, and short
// names. Who had one keeps it.
func (z *Zone) claim(before *Zone, ordered []*catalog.Service) {
	give := func(names, had map[string]*catalog.Service, name string, svc *catalog.Service, label bool) {
		holder := names[name]
		switch {
		case holder == nil || had[name] != nil && had[name].ID == svc.ID && holder.ID != svc.ID:
			names[name] = svc
			if holder != nil {
				z.taken = append(z.taken, Taken{name, svc.ID, holder.ID, label})
			}
			z.under(name)
		case holder.ID != svc.ID:
			z.taken = append(z.taken, Taken{name, holder.ID, svc.ID, label})
		}
	}
	if before == nil {
		before = &Zone{}
	}
	for _, svc := range ordered {
		if !enabled(svc.Labels) {
			continue
		}
		for _, name := range z.wished(svc) {
			if base, star := strings.CutPrefix(name, "*."); star {
				give(z.stars, before.stars, base, svc, true)
				z.under(name)
			} else {
				give(z.explicit, before.explicit, name, svc, true)
			}
		}
		for _, name := range spellings(svc.ShortName()) {
			give(z.short, before.short, name, svc, false)
		}
	}
}

// wished returns the names below a zone that the labels of a service ask for. What is no name
// in a zone of ours is noted.
func (z *Zone) wished(svc *catalog.Service) (names []string) {
	var seen []string
	read := func(labels map[string]string) {
		for text := range strings.SplitSeq(labels[labelName], ",") {
			text = strings.ToLower(strings.Trim(strings.TrimSpace(text), "."))
			rest, star := strings.CutPrefix(text, "*.")
			rel, ok := z.relative(rest + ".")
			if !ok || rel == "" || len(spellings(rel)) == 0 || slices.Contains(reserved, rel) {
				if text != "" {
					z.taken = append(z.taken, Taken{Name: text, Service: svc.ID, ByLabel: true})
				}
				continue
			}
			if star {
				rel = "*." + rel
			}
			if !slices.Contains(names, rel) {
				names = append(names, rel)
			}
		}
	}
	read(svc.Labels)
	for _, in := range svc.Instances {
		if text := in.Labels[labelName]; text != svc.Labels[labelName] && !slices.Contains(seen, text) {
			seen = append(seen, text)
			read(in.Labels)
		}
	}
	return names
}

// relative returns a name without its zone; false for a name in no zone. The name ends in a dot.
func (z *Zone) relative(name string) (rel string, ok bool) {
	for _, zone := range z.settings.Zones {
		if name == zone+"." {
			return "", true
		}
		if rel, ok := strings.CutSuffix(name, "."+zone+"."); ok {
			return rel, true
		}
	}
	return "", false
}

// apex is the zone that a name is in, with a dot at the end.
func (z *Zone) apex(name string) string {
	for _, zone := range z.settings.Zones {
		if name == zone+"." || strings.HasSuffix(name, "."+zone+".") {
			return zone + "."
		}
	}
	return ""
}

// Len is how many services and instances have names.
func (z *Zone) Len() int { return len(z.services) + len(z.instances) }

// Taken returns the names that are asked for and not given.
func (z *Zone) Taken() []Taken { return z.taken }

// Of reports whether the zone was made of a snapshot and of the addresses of this machine.
func (z *Zone) Of(s *catalog.Snapshot, local []netip.Prefix) bool {
	return z.snapshot == s && slices.Equal(z.local, local)
}

// Local are the addresses of this machine with their networks.
func (z *Zone) Local() []netip.Prefix { return z.local }

// Bridges are the networks of this machine that containers are on.
func (z *Zone) Bridges() []netip.Prefix { return z.bridges }

// InstanceAt is the name of the instance that asks from an address; empty for none.
func (z *Zone) InstanceAt(a netip.Addr) string {
	if x, ok := z.askers[a]; ok {
		return x.instance.Name
	}
	return ""
}

// Own reports whether this machine or a container of it asks.
func (z *Zone) Own(a netip.Addr) bool {
	_, instance := z.askers[a]
	return instance || z.isMachine(a) || contains(z.bridges, a)
}

// MayAsk reports whether an asker gets an answer at all.
func (z *Zone) MayAsk(a netip.Addr) bool { return contains(z.settings.Clients, a) || z.isMachine(a) }

// mayRecurse reports whether an asker may have names of others looked up.
func (z *Zone) mayRecurse(a netip.Addr) bool {
	if len(z.settings.Recursion) > 0 {
		return contains(z.settings.Recursion, a)
	}
	return z.Own(a)
}

func (z *Zone) isMachine(a netip.Addr) bool {
	return a.IsLoopback() || slices.ContainsFunc(z.local, func(p netip.Prefix) bool { return p.Addr() == a })
}

// isHere reports whether a node is this machine.
func (z *Zone) isHere(id string) bool {
	n := z.nodesByID[id]
	if n == nil || n.Address == "" || n.Address == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(n.Address)
	return err == nil && z.isMachine(ip)
}

// port is the one of an instance that names stand for: by label, the only one, or 80.
func port(svc *catalog.Service, in *catalog.Instance) (number uint16, protocol string) {
	if n, err := strconv.ParseUint(cmp.Or(in.Labels[labelPort], svc.Labels[labelPort]), 10, 16); err == nil && n > 0 {
		return uint16(n), "tcp"
	}
	if len(in.Ports) == 0 {
		for _, a := range in.Addresses {
			if a.Port > 0 {
				return a.Port, "tcp"
			}
		}
		return 0, ""
	}
	for _, p := range in.Ports {
		if p.Protocol == "tcp" && p.Number == 80 {
			return 80, "tcp"
		}
	}
	return in.Ports[0].Number, in.Ports[0].Protocol
}

// weight is the share of an instance; zero takes nothing new.
func weight(in *catalog.Instance) int {
	if n, err := strconv.Atoi(strings.TrimSpace(in.Labels[labelWeight])); err == nil && n >= 0 && n <= 256 {
		return n
	}
	return cmp.Or(in.Weight, 1)
}

// tags of an instance.
func tags(in *catalog.Instance) (list []string) {
	for _, text := range []string{in.Labels[labelTags], in.Labels[flowTags]} {
		for tag := range strings.SplitSeq(text, ",") {
			if tag = strings.ToLower(strings.TrimSpace(tag)); tag != "" {
				list = append(list, tag)
			}
		}
	}
	return list
}

// binding reads where the engine has published a port: the address may be unspecified.
func binding(p catalog.Port) (ip netip.Addr, number uint16, ok bool) {
	host, digits, err := net.SplitHostPort(cmp.Or(p.Bound, p.Published))
	if err != nil {
		return ip, 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return ip, 0, false
	}
	if ip, err = netip.ParseAddr(host); err != nil {
		ip = netip.IPv4Unspecified() // a name of the machine
	}
	return ip.Unmap(), uint16(n), true
}

// fqdn makes a name of the first zone.
func (z *Zone) fqdn(rel string) string { return dns.Fqdn(rel + "." + z.settings.Zones[0]) }
