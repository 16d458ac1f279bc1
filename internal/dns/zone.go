package dns

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
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

	services  index[string, []*catalog.Service] // by every spelling of the name
	instances index[string, []at]
	hosts     index[string, []at]               // by host name
	ids       index[string, []at]               // by short ID
	projects  index[string, []*catalog.Service] // by SERVICE.PROJECT
	short     index[string, claim]              // by short name
	explicit  index[string, claim]              // by the names that labels ask for
	stars     index[string, claim]              // of names below which any name is the service's
	foreign   index[string, claim]              // asked for by labels, and in no zone, or reserved
	above     index[string, int]                // names that have others below them: how many
	askers    index[netip.Addr, []at]           // the last one asks
	pointers  index[netip.Addr, []at]
	near      map[netip.Prefix]int // addresses that ask, by the network of this machine
	nodes     map[string]*catalog.Node
	nodesByID map[string]*catalog.Node

	unsure   string    // why it is not known that a name is not there; empty for known
	since    time.Time // when the first of the sources answered last; zero for never
	starting bool      // nothing is known of a source at all
	stale    map[string]bool

	takenOnce sync.Once
	taken     []Taken
}

// claim is a name that one service may have, with all that ask for it, the oldest first.
type claim struct {
	holder *catalog.Service
	by     []*catalog.Service
}

// at is an instance and its service.
type at struct {
	service  *catalog.Service
	instance *catalog.Instance
}

// Taken is a name that a service asks for and does not get.
type Taken struct {
	Name    string
	Holder  string // ID of the service that has it; empty for a name in no zone, or one that is reserved
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

// last is the newest of those that have a key.
func last[K comparable](x index[K, []at], key K) (at, bool) {
	list := x.at(key)
	if len(list) == 0 {
		return at{}, false
	}
	return list[len(list)-1], true
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

// near reports whether an address is on a network of this machine: what asks from it is the
// instance.
func near(a catalog.Address) bool {
	return a.Reach == catalog.ReachShared || a.Reach == catalog.ReachBridge || a.Link
}

// hostNetwork is the network of containers that have the machine's own.
const hostNetwork = "host"

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
func (z *Zone) Len() int { return z.services.len() + z.instances.len() }

// Taken returns the names that are asked for and not given.
func (z *Zone) Taken() []Taken {
	z.takenOnce.Do(func() {
		for _, names := range []index[string, claim]{z.explicit, z.stars, z.short, z.foreign} {
			label := names != z.short
			for name, c := range names.all() {
				if names == z.stars {
					name = "*." + name
				}
				holder := ""
				if c.holder != nil {
					holder = c.holder.ID
				}
				for _, svc := range c.by {
					if svc != c.holder {
						z.taken = append(z.taken, Taken{name, holder, svc.ID, label})
					}
				}
			}
		}
		slices.SortFunc(z.taken, func(a, b Taken) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Service, b.Service))
		})
	})
	return z.taken
}

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
	if x, ok := last(z.askers, a); ok {
		return x.instance.Name
	}
	return ""
}

// Own reports whether this machine or a container of it asks.
func (z *Zone) Own(a netip.Addr) bool {
	_, instance := z.askers.get(a)
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
