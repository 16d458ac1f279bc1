package dns

import (
	"cmp"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
)

// Build makes the zone of a snapshot, which may be nil. before is the zone until now, which
// says who has which name, and which the new one shares what did not change with; local are the
// addresses of this machine with their networks.
func Build(before *Zone, s *catalog.Snapshot, settings Settings, local []netip.Prefix, now time.Time) *Zone {
	settings.Complete()
	for i, name := range settings.Zones {
		settings.Zones = slices.Clone(settings.Zones)
		settings.Zones[i] = strings.ToLower(strings.Trim(name, "."))
	}
	z := &Zone{snapshot: s, settings: settings, local: local, serial: uint32(now.Unix()), nodes: map[string]*catalog.Node{}, nodesByID: map[string]*catalog.Node{}, stale: map[string]bool{}}
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
	b := &builder{Zone: z, before: before, claims: map[claimed]bool{}}
	b.begin()
	gone, come := b.changes()
	for _, svc := range gone {
		b.service(svc, false)
	}
	for _, svc := range come {
		b.service(svc, true)
	}
	b.settle()
	for _, p := range local { // in their order
		if z.near[p.Masked()] > 0 && !slices.Contains(z.bridges, p.Masked()) {
			z.bridges = append(z.bridges, p.Masked())
		}
	}
	return z
}

// builder makes a zone out of the one before it.
type builder struct {
	*Zone
	before *Zone            // nil for none
	same   bool             // the new zone begins as the one before
	claims map[claimed]bool // those that may have another holder now
}

// claimed is a name that is claimed, in one of the indices of claims.
type claimed struct {
	in   int
	name string
}

// claimsOf are the indices of claims.
func (z *Zone) claimsOf() [4]*index[string, claim] {
	return [4]*index[string, claim]{&z.short, &z.explicit, &z.stars, &z.foreign}
}

const (
	inShort = iota
	inExplicit
	inStars
	inForeign
)

// begin makes the indices: as those before, where that zone was made in the same way.
func (b *builder) begin() {
	from := &Zone{}
	if old := b.before; old != nil && old.snapshot != nil && slices.Equal(old.local, b.local) && reflect.DeepEqual(old.settings, b.settings) {
		from, b.same = old, true
	}
	b.services, b.instances, b.hosts, b.ids, b.projects = from.services.next(), from.instances.next(), from.hosts.next(), from.ids.next(), from.projects.next()
	b.short, b.explicit, b.stars, b.foreign = from.short.next(), from.explicit.next(), from.stars.next(), from.foreign.next()
	b.above, b.askers, b.pointers = from.above.next(), from.askers.next(), from.pointers.next()
	if b.near = maps.Clone(from.near); b.near == nil {
		b.near = map[netip.Prefix]int{}
	}
}

// changes are the services that are no more as they were, and those that are new or changed.
// Both snapshots are sorted by ID; a service that did not change is the same pointer.
func (b *builder) changes() (gone, come []*catalog.Service) {
	now := b.snapshot.Services
	if !b.same {
		return nil, now
	}
	old := b.before.snapshot.Services
	for len(old) > 0 && len(now) > 0 {
		order := strings.Compare(old[0].ID, now[0].ID)
		if old[0] == now[0] {
			old, now = old[1:], now[1:]
			continue
		}
		if order <= 0 {
			gone, old = append(gone, old[0]), old[1:]
		}
		if order >= 0 {
			come, now = append(come, now[0]), now[1:]
		}
	}
	return append(gone, old...), append(come, now...)
}

// older orders services by their age.
func older(a, b *catalog.Service) int {
	return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.ID, b.ID))
}

// list puts a service or an instance into a list of an index, in the order of their age, or
// takes it out.
func list[K comparable, T comparable](b *builder, x index[K, []T], key K, item T, add bool, compare func(a, b T) int) {
	next := listed(x.at(key), item, add, b.same, compare)
	x.set(key, next, len(next) > 0)
}

// listed is a list with an item more or less. Where it is shared the list itself stays as it is.
func listed[T comparable](was []T, item T, add, shared bool, compare func(a, b T) int) []T {
	if !add {
		return slices.DeleteFunc(slices.Clone(was), func(one T) bool { return one == item })
	}
	i := len(was)
	for i > 0 && compare(was[i-1], item) > 0 {
		i--
	}
	if i > 0 && was[i-1] == item {
		return was // by two spellings
	}
	if !shared {
		return slices.Insert(was, i, item)
	}
	next := make([]T, 0, len(was)+1)
	return append(append(append(next, was[:i]...), item), was[i:]...)
}

// under counts the names above a name, which are there because it is.
func (b *builder) under(name string, add bool) {
	for {
		_, parent, ok := strings.Cut(name, ".")
		if !ok {
			return
		}
		n := b.above.at(parent) + 1
		if !add {
			n -= 2
		}
		b.above.set(parent, n, n > 0)
		name = parent
	}
}

// service adds everything that a service has in the zone, or takes it out.
func (b *builder) service(svc *catalog.Service, add bool) {
	shown := enabled(svc.Labels)
	if shown {
		b.names(svc, add)
	}
	for _, in := range svc.Instances {
		x := at{svc, in}
		shown := shown && enabled(in.Labels)
		if shown {
			b.instance(x, add)
		}
		b.addresses(x, shown, add)
	}
}

func (b *builder) names(svc *catalog.Service, add bool) {
	for _, name := range spellings(svc.Name) {
		list(b, b.services, name, svc, add, older)
		b.under(name, add)
	}
	for _, name := range spellings(svc.ShortName()) {
		b.claim(inShort, name, svc, add)
		for _, p := range spellings(svc.Project()) {
			list(b, b.projects, name+"."+p, svc, add, older)
			b.under(name+"."+p, add)
		}
	}
	b.wished(svc, func(in int, name string) { b.claim(in, name, svc, add) })
}

// claim notes that a service asks for a name, or does no more.
func (b *builder) claim(in int, name string, svc *catalog.Service, add bool) {
	x := *b.claimsOf()[in]
	c := x.at(name)
	c.by = listed(c.by, svc, add, b.same, older)
	x.set(name, c, len(c.by) > 0)
	b.claims[claimed{in, name}] = true
	switch in {
	case inStars:
		b.under("*."+name, add)
	case inShort, inExplicit:
		b.under(name, add)
	}
}

// settle gives each name whose claims changed to the one who had it, or to the oldest.
func (b *builder) settle() {
	for at := range b.claims {
		x := *b.claimsOf()[at.in]
		c, ok := x.get(at.name)
		if !ok || at.in == inForeign {
			continue
		}
		c.holder = c.by[0]
		if b.before != nil {
			if had := b.before.claimsOf()[at.in].at(at.name).holder; had != nil {
				if i := slices.IndexFunc(c.by, func(svc *catalog.Service) bool { return svc.ID == had.ID }); i >= 0 {
					c.holder = c.by[i]
				}
			}
		}
		x.set(at.name, c, true)
	}
}

// wished gives what the labels of a service ask for: names below a zone, and what is no name
// in a zone of ours, or reserved.
func (z *Zone) wished(svc *catalog.Service, give func(in int, name string)) {
	done := map[claimed]bool{}
	read := func(labels map[string]string) {
		for text := range strings.SplitSeq(labels[labelName], ",") {
			text = strings.ToLower(strings.Trim(strings.TrimSpace(text), "."))
			rest, star := strings.CutPrefix(text, "*.")
			wish := claimed{inExplicit, ""}
			rel, ok := z.relative(rest + ".")
			switch {
			case text == "":
				continue
			case !ok || rel == "" || len(spellings(rel)) == 0 || slices.Contains(reserved, rel):
				wish = claimed{inForeign, text}
			case star:
				wish = claimed{inStars, rel}
			default:
				wish.name = rel
			}
			if !done[wish] {
				done[wish] = true
				give(wish.in, wish.name)
			}
		}
	}
	read(svc.Labels)
	for _, in := range svc.Instances {
		read(in.Labels)
	}
}

func (b *builder) instance(x at, add bool) {
	for _, name := range spellings(x.instance.Name) {
		list(b, b.instances, name, x, add, byAge)
		b.under(name, add)
	}
	for _, name := range spellings(x.instance.Hostname) {
		list(b, b.hosts, name, x, add, byAge)
		b.under(name, add)
	}
	if id := x.instance.ShortID(); catalog.IsShortID(id) {
		list(b, b.ids, id, x, add, byAge)
	}
}

// byAge orders instances by the age of their services; those of one service stay as they come.
func byAge(a, b at) int { return older(a.service, b.service) }

// addresses notes who asks from the addresses of an instance. One that is hidden asks, too, but
// its addresses have no name.
func (b *builder) addresses(x at, shown, add bool) {
	for _, a := range x.instance.Addresses {
		ip, err := netip.ParseAddr(a.Host)
		if err != nil || a.Network == hostNetwork || !near(a) {
			continue
		}
		list(b, b.askers, ip, x, add, byAge)
		if shown {
			list(b, b.pointers, ip, x, add, byAge)
		}
		if p, ok := b.localOf(ip); ok && p.Addr() != ip && !a.Link { // others are on a link, too
			if add {
				b.near[p.Masked()]++
			} else {
				b.near[p.Masked()]--
			}
		}
	}
}
