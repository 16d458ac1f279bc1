package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"fairway/internal/api/names"

	"github.com/miekg/dns"
)

// State says how the zone is doing: without what is listened on, and without resolvers.
func (z *Zone) State() names.Names {
	out := names.Names{Zones: z.settings.Zones, Serial: uint64(z.serial), Unsure: z.unsure, Taken: []names.TakenName{}, Resolvers: []names.Resolver{}}
	if z.starting {
		out.Unsure = cmp.Or(out.Unsure, "a source has not answered yet")
	}
	if z.snapshot != nil {
		out.Services = len(z.snapshot.Services)
		for _, svc := range z.snapshot.Services {
			out.Instances += len(svc.Instances)
		}
	}
	for _, t := range z.Taken() {
		name := t.Name
		if t.Holder != "" {
			name += "." + z.settings.Zones[0]
		}
		out.Taken = append(out.Taken, names.TakenName{Name: name, Holder: t.Holder, Service: t.Service, ByLabel: t.ByLabel})
	}
	slices.SortFunc(out.Taken, func(a, b names.TakenName) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Service, b.Service))
	})
	return out
}

// Names returns the names of the first zone that are answered, sorted. Those that follow by
// a rule, such as of kinds and ports, are left out.
func (z *Zone) Names() []names.Name {
	all := []names.Name{}
	add := func(name, kind, of string) {
		all = append(all, names.Name{Name: name + "." + z.settings.Zones[0], Kind: kind, Of: of})
	}
	for name, list := range z.services.all() {
		for _, svc := range list {
			add(name, "service", svc.ID)
		}
	}
	for name, list := range z.projects.all() {
		for _, svc := range list {
			add(name, "service", svc.ID)
		}
	}
	for name, c := range z.short.all() {
		if len(z.services.at(name)) == 0 {
			add(name, "service", c.holder.ID)
		}
	}
	for name, c := range z.explicit.all() {
		add(name, "label", c.holder.ID)
	}
	for name, c := range z.stars.all() {
		add("*."+name, "label", c.holder.ID)
	}
	for name, list := range z.instances.all() {
		for _, x := range list {
			add(name, "instance", x.instance.Name)
		}
	}
	for name, list := range z.hosts.all() {
		for _, x := range list {
			add(name, "host name", x.instance.Name)
		}
	}
	for name, n := range z.nodes {
		add(name+".node", "node", n.ID)
	}
	slices.SortFunc(all, func(a, b names.Name) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Of, b.Of))
	})
	return slices.Compact(all)
}

// Explain says what is answered to a question, and why. An empty type is A; a client that is
// empty is this machine. The error says which of them cannot be read.
func (z *Zone) Explain(name, qtype, client string) (names.NameExplanation, error) {
	from := Asker{Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	if client != "" {
		addr, err := netip.ParseAddr(client)
		if err != nil {
			return names.NameExplanation{}, fmt.Errorf("%q is no IP address", client)
		}
		from.Addr = addr.Unmap()
	}
	from.Asked = z.asked(from.Addr)
	t, ok := dns.StringToType[strings.ToUpper(cmp.Or(qtype, "A"))]
	if !ok {
		return names.NameExplanation{}, fmt.Errorf("there is no type %q: A, AAAA, SRV, PTR, SOA and others", qtype)
	}
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return names.NameExplanation{}, fmt.Errorf("%q is no name", name)
	}
	if addr, err := netip.ParseAddr(name); err == nil {
		name, _ = dns.ReverseAddr(addr.String())
		t = dns.TypePTR
	}
	out := names.NameExplanation{Name: strings.TrimSuffix(name, "."), Type: dns.TypeToString[t], Client: from.Addr.String(), Records: []string{}, Members: []names.NameMember{}}
	a := z.Answer(dns.Fqdn(name), t, from, &out)
	out.Rcode = RcodeText(a.Rcode)
	switch {
	case !z.MayAsk(from.Addr):
		out.Rcode, out.Text = RcodeText(dns.RcodeRefused), "the client may not ask: it is in none of dns.clients"
		return out, nil
	case a.Foreign && !z.mayRecurse(from.Addr):
		out.Rcode, out.Text = RcodeText(dns.RcodeRefused), "a name of others, which the client may not have looked up: it is in none of dns.recursion"
	case a.Foreign:
		out.Rcode = "FOREIGN"
	}
	for _, rr := range a.Records {
		out.Records = append(out.Records, rr.String())
	}
	for _, rr := range a.Extra {
		out.Extra = append(out.Extra, rr.String())
	}
	slices.Sort(out.Records)
	slices.Sort(out.Extra)
	if a.Code > 0 {
		out.Text = cmp.Or(out.Text, a.Text)
	}
	slices.SortFunc(out.Members, func(a, b names.NameMember) int {
		return cmp.Or(strings.Compare(a.Service, b.Service), strings.Compare(a.Instance, b.Instance), strings.Compare(a.Address, b.Address))
	})
	return out, nil
}

// asked is the address of this machine that a client most likely asks.
func (z *Zone) asked(client netip.Addr) netip.Addr {
	best := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if z.isMachine(client) {
		return best
	}
	if p, ok := z.localOf(client); ok {
		return p.Addr()
	}
	for _, p := range z.local {
		if p.Addr().Is4() == client.Is4() && !p.Addr().IsLoopback() && (best.IsLoopback() || slices.Contains(z.bridges, p.Masked())) && !slices.Contains(z.bridges, p.Masked()) {
			best = p.Addr()
		}
	}
	return best
}
