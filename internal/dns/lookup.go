package dns

import (
	"cmp"
	"encoding/hex"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/catalog"
)

// found is what a name means.
type found struct {
	form    string // in words
	members []at   // instances that it may stand for
	// service is true where only instances that are ready answer, and weights count.
	service  bool
	services []*catalog.Service // whose virtual addresses answer; none for those forms that never have them
	node     *catalog.Node
	addr     netip.Addr
	host, ns bool
	apex     bool
	srv      bool   // the name has records of type SRV
	protocol string // of the ports that count; empty for any
	number   uint16 // of the one port that counts; zero for the chosen one
}

// empty is a name that is there because of others below it.
func empty() (found, bool) { return found{form: "a name with others below it"}, true }

// lookup finds what a name below a zone means.
func (z *Zone) lookup(rel string) (found, bool) {
	if f, ok := z.exact(rel); ok {
		return f, true
	}
	for name := rel; ; {
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			return found{}, false
		}
		if svc := z.stars.at(parent).holder; svc != nil {
			return z.service("name by label, *."+parent, svc), true
		}
		if _, there := z.exact(parent); there {
			return found{}, false // a wildcard above an existing name does not count
		}
		name = parent
	}
}

// exact is lookup without wildcards.
func (z *Zone) exact(rel string) (found, bool) {
	switch {
	case rel == "":
		return found{form: "the zone", apex: true}, true
	case z.explicit.at(rel).holder != nil:
		return z.service("name by label", z.explicit.at(rel).holder), true
	case rel == "host":
		return found{form: "this machine", host: true}, true
	case rel == "ns":
		return found{form: "the name server", ns: true}, true
	case slices.Contains(reserved, rel):
		return empty()
	case strings.HasPrefix(rel, "_"):
		return z.underscored(rel)
	}
	if f, ok := z.kind(rel); ok {
		return f, true
	}
	if f, ok := z.plain(rel); ok {
		return f, true
	}
	if z.above.at(rel) > 0 {
		return empty()
	}
	return found{}, false
}

// kind finds names that say what kind of thing they mean.
func (z *Zone) kind(rel string) (found, bool) {
	if first, rest, ok := strings.Cut(rel, "."); ok && (first == "tasks" || first == "all") {
		if f, ok := z.named(rest); ok {
			f.services, f.service = nil, first == "tasks"
			f.form = map[string]string{"tasks": "instances of a service that are ready", "all": "instances of a service that run"}[first]
			return f, true
		}
	}
	if base, ok := strings.CutSuffix(rel, ".node"); ok {
		n := z.nodes[base]
		return found{form: "machine", node: n}, n != nil
	}
	if base, ok := strings.CutSuffix(rel, ".addr"); ok {
		raw, err := hex.DecodeString(base)
		addr, valid := netip.AddrFromSlice(raw)
		return found{form: "address", addr: addr}, err == nil && valid
	}
	base, kind, source := rel, "", ""
	for _, k := range []string{"service", "instance"} {
		if b, ok := strings.CutSuffix(rel, "."+k); ok {
			base, kind = b, k
		} else if b, s, ok := strings.Cut(rel, "."+k+"."); ok && !strings.Contains(s, ".") {
			base, kind, source = b, k, s
		}
	}
	of := func(list []at) []at {
		return slices.DeleteFunc(slices.Clone(list), func(x at) bool {
			return source != "" && !slices.Contains(spellings(strings.ReplaceAll(cmp.Or(x.instance.Source, x.service.Source), ":", "-")), source)
		})
	}
	switch kind {
	case "instance":
		list := of(z.instances.at(base))
		return found{form: "instance", members: list}, len(list) > 0
	case "service":
		if f, ok := z.named(base); ok {
			f.members = of(f.members)
			return f, len(f.members) > 0 || source == ""
		}
		tag, name, ok := cutTag(base)
		if f, there := z.named(name); ok && there {
			f = f.tagged(tag)
			f.members = of(f.members)
			return f, len(f.members) > 0
		}
	}
	return found{}, false
}

// cutTag parts TAG.SERVICE at the last dot: tags may have dots.
func cutTag(base string) (tag, name string, ok bool) {
	i := strings.LastIndexByte(base, '.')
	if i < 0 {
		return "", base, false
	}
	return base[:i], base[i+1:], true
}

// tagged keeps the members with a tag.
func (f found) tagged(tag string) found {
	f.form, f.services = f.form+" with the tag "+tag, nil
	f.members = slices.DeleteFunc(slices.Clone(f.members), func(x at) bool { return !slices.Contains(tags(x.instance), tag) })
	return f
}

// named finds a service by its own name.
func (z *Zone) named(name string) (found, bool) {
	list := z.services.at(name)
	if len(list) == 0 {
		return found{}, false
	}
	return z.service("service", list...), true
}

func (z *Zone) service(form string, list ...*catalog.Service) found {
	f := found{form: form, service: true, services: list}
	for _, svc := range list {
		for _, in := range svc.Instances {
			if enabled(in.Labels) {
				f.members = append(f.members, at{svc, in})
			}
		}
	}
	return f
}

// plain finds names without a kind, in their order.
func (z *Zone) plain(rel string) (found, bool) {
	if f, ok := z.named(rel); ok {
		return f, true
	}
	if list := z.instances.at(rel); len(list) > 0 {
		return found{form: "instance", members: list}, true
	}
	if list := z.hosts.at(rel); len(list) > 0 {
		return found{form: "host name", members: list}, true
	}
	if svc := z.short.at(rel).holder; svc != nil {
		return z.service("service by its short name", svc), true
	}
	if x, ok := last(z.ids, rel); ok {
		return found{form: "instance by its ID", members: []at{x}}, true
	}
	if list := z.projects.at(rel); len(list) > 0 {
		return z.service("service of a project", list...), true
	}
	return found{}, false
}

// underscored finds names of type SRV.
func (z *Zone) underscored(rel string) (found, bool) {
	first, rest, _ := strings.Cut(rel[1:], ".")
	protocol := func(s string) bool { return s == "tcp" || s == "udp" }
	if !strings.HasPrefix(rest, "_") {
		if f, ok := z.named(rest); protocol(first) && (rest == "" || ok && f.speaks(first)) {
			return empty()
		}
		return found{}, false
	}
	second, rest, _ := strings.Cut(rest[1:], ".")
	switch {
	case rest == "" || rest == "service" && protocol(second):
		f, ok := z.named(first)
		f.srv, f.protocol = true, second
		return f, ok && protocol(second) && f.speaks(second)
	case rest == "service":
		f, ok := z.named(first)
		f = f.tagged(second)
		f.srv = true
		return f, ok && len(f.members) > 0
	}
	f, ok := z.plain(rest)
	f.srv, f.protocol = true, second
	n, err := strconv.ParseUint(first, 10, 16)
	if !ok || err != nil || !protocol(second) {
		return found{}, false
	}
	f.number = uint16(n)
	return f, f.speaks(second)
}

// speaks reports whether a member has a port of a protocol, and of the number that counts.
func (f found) speaks(protocol string) bool {
	return slices.ContainsFunc(f.members, func(x at) bool {
		if number, chosen := port(x.service, x.instance); chosen == protocol && (f.number == 0 || f.number == number) {
			return true
		}
		return slices.ContainsFunc(x.instance.Ports, func(p catalog.Port) bool {
			return p.Protocol == protocol && (f.number == 0 || p.Number == f.number)
		})
	})
}

// portOf is the port of a member that a name of type SRV stands for; zero for none.
func (f found) portOf(x at) (number uint16, protocol string) {
	number, protocol = port(x.service, x.instance)
	if f.number == 0 && (f.protocol == "" || f.protocol == protocol) {
		return number, protocol
	}
	for _, p := range x.instance.Ports {
		if p.Protocol == f.protocol && (f.number == 0 || f.number == p.Number) {
			return p.Number, p.Protocol
		}
	}
	if f.number != 0 && f.number == number {
		return number, protocol
	}
	return 0, ""
}
