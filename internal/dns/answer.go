package dns

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/api/names"
	"fairway/internal/catalog"

	"github.com/miekg/dns"
)

// Answer is what is said to a question.
type Answer struct {
	// Rcode is that of DNS.
	Rcode int
	// Records answer; Extra are beside them.
	Records, Extra []dns.RR
	// SOA is beside an answer that says that something is not there; nil for none.
	SOA dns.RR
	// Code and Text are the extended error; zero for none.
	Code uint16
	Text string
	// Foreign is a name of others: nothing else is set.
	Foreign bool
	// Authoritative is true for what is answered out of the zone.
	Authoritative bool

	weighted bool // some instances come first more often than others
}

// question is one that is being answered.
type question struct {
	z     *Zone
	name  string // as it was asked
	qtype uint16
	v     view
	why   *names.NameExplanation // nil where it is not asked for
}

// Answer answers a question of class IN. The name ends in a dot and is echoed as it is. why,
// which may be nil, is filled in.
func (z *Zone) Answer(name string, qtype uint16, from Asker, why *names.NameExplanation) Answer {
	q := question{z: z, name: name, qtype: qtype, v: z.view(from), why: why}
	lower := strings.ToLower(name)
	if why != nil {
		why.View = q.v.String()
	}
	apex := z.apex(lower)
	if apex == "" {
		return q.outside(lower)
	}
	if why != nil {
		why.Zone = strings.TrimSuffix(apex, ".")
	}
	rel, _ := z.relative(lower)
	f, ok := z.lookup(rel)
	if !ok {
		return q.missing(apex, rel)
	}
	return q.answer(apex, f)
}

// missing answers for a name that is not there.
func (q question) missing(apex, rel string) Answer {
	z := q.z
	labels := strings.Count(rel, ".") + 1
	kind := rel[strings.LastIndexByte(rel, '.')+1:]
	if a, unknown := q.unknown(); unknown && (z.starting || labels <= 2 || slices.Contains(reserved, kind)) {
		return a
	}
	q.say("there is no such name")
	return Answer{Rcode: dns.RcodeNameError, SOA: z.soa(apex), Authoritative: true}
}

// unknown answers where it cannot be said that a name is not there.
func (q question) unknown() (Answer, bool) {
	z := q.z
	switch {
	case z.starting:
		q.say("nothing is known yet: a source has not answered")
		return Answer{Rcode: dns.RcodeServerFailure, Code: dns.ExtendedErrorCodeNotReady, Text: "a source has not answered yet"}, true
	case z.unsure == "" || z.settings.Deny:
		return Answer{}, false
	}
	text := z.unsure
	if !z.since.IsZero() {
		text += ", for " + time.Since(z.since).Round(time.Second).String()
	}
	q.say("it is not known whether the name is there: " + text)
	return Answer{Rcode: dns.RcodeServerFailure, Code: dns.ExtendedErrorCodeNetworkError, Text: text}, true
}

func (q question) say(text string) {
	if q.why != nil {
		q.why.Text = text
	}
}

// outside answers for names in no zone, as far as they are not of others.
func (q question) outside(lower string) Answer {
	if ip, ok := reversed(lower); ok {
		return q.pointer(ip)
	}
	label := strings.TrimSuffix(lower, ".")
	if label == "" || strings.Contains(label, ".") {
		q.say("a name of others")
		return Answer{Foreign: true}
	}
	mayBe := q.z.settings.SingleLabel && label != "localhost" && label != "wpad" && label != "isatap"
	if list := q.z.hosts.at(label); mayBe && len(list) > 0 && q.z.mayRecurse(q.v.from.Addr) {
		return q.answer(".", found{form: "host name without a zone", members: list})
	}
	if slices.Contains(q.z.settings.Forwarded, label) || !slices.Contains(hostTypes, q.qtype) {
		q.say("a name of others")
		return Answer{Foreign: true}
	}
	if a, unknown := q.unknown(); mayBe && unknown {
		return a
	}
	q.say("a name of one label, which is no host name of a container")
	return Answer{Rcode: dns.RcodeNameError, SOA: q.z.soa("."), Authoritative: true}
}

// hostTypes are what programs ask for to reach a host. Names of one label are looked up
// elsewhere for other types: they are top-level domains then.
var hostTypes = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeMX, dns.TypeANY}

// reversed reads the address out of a name below in-addr.arpa or ip6.arpa.
func reversed(name string) (netip.Addr, bool) {
	if base, ok := strings.CutSuffix(name, ".in-addr.arpa."); ok {
		parts := strings.Split(base, ".")
		slices.Reverse(parts)
		ip, err := netip.ParseAddr(strings.Join(parts, "."))
		return ip, err == nil && ip.Is4()
	}
	base, ok := strings.CutSuffix(name, ".ip6.arpa.")
	if !ok || len(base) != 63 {
		return netip.Addr{}, false
	}
	digits := []byte(strings.ReplaceAll(base, ".", ""))
	slices.Reverse(digits)
	raw, err := hex.DecodeString(string(digits))
	ip, valid := netip.AddrFromSlice(raw)
	return ip, err == nil && valid && ip.Is6()
}

// pointer answers for the name of an address.
func (q question) pointer(ip netip.Addr) Answer {
	x, known := last(q.z.pointers, ip)
	_, near := q.z.localOf(ip)
	if !known && !contains(q.z.bridges, ip) && (q.z.snapshot != nil || !near) {
		q.say("an address of others")
		return Answer{Foreign: true}
	}
	if q.why != nil {
		q.why.Form = "name of an address"
	}
	if !known {
		if a, unknown := q.unknown(); unknown {
			return a
		}
		q.say("no instance has the address")
		return Answer{Rcode: dns.RcodeNameError, SOA: q.z.soa(q.name), Authoritative: true}
	}
	out := Answer{Authoritative: true}
	if q.qtype == dns.TypePTR || q.qtype == dns.TypeANY {
		out.Records = []dns.RR{&dns.PTR{Hdr: q.header(q.name, dns.TypePTR), Ptr: q.z.nameOf(x)}}
		return q.stale(out, []at{x})
	}
	out.SOA = q.z.soa(q.name)
	return out
}

// nameOf is the one name of an instance: the short one where it means no other.
func (z *Zone) nameOf(x at) string {
	names := spellings(x.instance.Name)
	if len(names) == 0 {
		return z.fqdn(x.instance.ShortID())
	}
	if f, ok := z.exact(names[0]); ok && len(f.members) == 1 && f.members[0].instance == x.instance {
		return z.fqdn(names[0])
	}
	return z.instanceName(x)
}

// instanceName is a name that means an instance alone.
func (z *Zone) instanceName(x at) string {
	names := spellings(x.instance.Name)
	if len(names) == 0 {
		return z.fqdn(x.instance.ShortID())
	}
	if len(z.instances.at(names[0])) == 1 {
		return z.fqdn(names[0] + ".instance")
	}
	source := spellings(strings.ReplaceAll(x.instance.Source, ":", "-"))
	return z.fqdn(names[0] + ".instance." + strings.Join(source[:min(1, len(source))], ""))
}

// answer answers for a name that is there.
func (q question) answer(apex string, f found) Answer {
	if q.why != nil {
		q.why.Form = f.form
	}
	out := Answer{Authoritative: true}
	types := []uint16{q.qtype}
	if q.qtype == dns.TypeANY {
		types = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeSOA}
	}
	for _, t := range types {
		q.qtype = t
		switch {
		case f.apex && t == dns.TypeSOA:
			out.Records = []dns.RR{q.z.soa(apex)}
			out.Records[0].Header().Name = q.name
		case f.apex && t == dns.TypeNS:
			out.Records = []dns.RR{&dns.NS{Hdr: q.header(q.name, t), Ns: "ns." + apex}}
		case t == dns.TypeSRV:
			out.Records, out.Extra = q.services(f)
		case (t == dns.TypeA || t == dns.TypeAAAA) && !f.srv:
			out.Records = q.addresses(f)
			out.weighted = f.uneven()
		}
		if len(out.Records) > 0 {
			return q.stale(out, f.members)
		}
	}
	out.SOA = q.z.soa(apex)
	if q.why != nil && q.why.Text == "" {
		q.say("the name is there, and has no record of this type for this asker")
	}
	return q.stale(out, f.members)
}

// stale notes that a source of an answer cannot be asked.
func (q question) stale(out Answer, members []at) Answer {
	for _, x := range members {
		if q.z.stale[x.instance.Source] {
			out.Code, out.Text = dns.ExtendedErrorCodeStaleAnswer, q.z.unsure
		}
	}
	return out
}

func (q question) header(name string, t uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: t, Class: dns.ClassINET, Ttl: uint32(max(0, q.z.settings.TTL) / time.Second)}
}

// record makes a record of an address; nil for the other family.
func (q question) record(name string, t uint16, ip netip.Addr) dns.RR {
	switch {
	case t == dns.TypeA && ip.Is4():
		return &dns.A{Hdr: q.header(name, t), A: ip.AsSlice()}
	case t == dns.TypeAAAA && ip.Is6():
		return &dns.AAAA{Hdr: q.header(name, t), AAAA: ip.AsSlice()}
	}
	return nil
}

// soa is beside what is not there.
func (z *Zone) soa(apex string) dns.RR {
	ns, mail := "ns."+apex, "hostmaster."+apex
	if z.apex(apex) == "" { // the root, or an address
		ns, mail = z.fqdn("ns"), z.fqdn("hostmaster")
	}
	negative := uint32(max(0, z.settings.NegativeTTL) / time.Second)
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: apex, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: negative},
		Ns:  ns, Mbox: mail, Serial: z.serial, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: negative,
	}
}

// counts says why an instance does not answer for a name; empty where it does.
func (f found) counts(in *catalog.Instance) string {
	reason := func(text string) string {
		if in.StateReason != "" {
			return text + " (" + in.StateReason + ")"
		}
		return text
	}
	switch {
	case in.State == catalog.StateStopped:
		return reason("it does not run")
	case !f.service:
		return ""
	case in.State == catalog.StateStarting && strings.EqualFold(strings.TrimSpace(in.Labels[labelUnready]), "true"):
	case in.State != catalog.StateReady:
		return reason("it is " + string(in.State))
	}
	if weight(in) == 0 {
		return "its weight is 0"
	}
	return ""
}

// reached is an instance that answers, and where.
type reached struct {
	x      at
	places []place
	number uint16
}

// reach returns the instances that answer, and says of the others why not.
func (q question) reach(f found) (list []reached) {
	for _, x := range f.members {
		number, protocol := f.portOf(x)
		why := f.counts(x.instance)
		var places []place
		if why == "" {
			places, why = q.v.places(x, number, protocol)
		}
		if len(places) == 0 {
			q.note(x, "", why)
			continue
		}
		list = append(list, reached{x, places, number})
	}
	return shuffled(list, f.service)
}

func (q question) note(x at, address, why string) {
	if q.why != nil {
		q.why.Members = append(q.why.Members, names.NameMember{Service: x.service.Name, Instance: x.instance.Name, Address: address, Why: why})
	}
}

// uneven reports whether the weights of the instances differ.
func (f found) uneven() bool {
	return f.service && slices.ContainsFunc(f.members, func(x at) bool { return weight(x.instance) != weight(f.members[0].instance) })
}

// shuffled puts instances in a random order, the first by weight.
func shuffled(list []reached, weighted bool) []reached {
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	if !weighted || len(list) < 2 {
		return list
	}
	total := 0
	for _, r := range list {
		total += weight(r.x.instance)
	}
	at := rand.IntN(max(total, 1))
	for i, r := range list {
		if at -= weight(r.x.instance); at < 0 {
			list[0], list[i] = list[i], list[0]
			break
		}
	}
	return list
}

// addresses answers with A or AAAA: of the lowest rung that any instance has.
func (q question) addresses(f found) (records []dns.RR) {
	add := func(ip netip.Addr) bool {
		rr := q.record(q.name, q.qtype, ip)
		if rr == nil {
			return false
		}
		if !slices.ContainsFunc(records, func(other dns.RR) bool { return dns.IsDuplicate(rr, other) }) {
			records = append(records, rr)
		}
		return true
	}
	switch {
	case f.host:
		add(q.v.gateway())
		return records
	case f.ns:
		add(q.v.from.Asked)
		return records
	case f.addr.IsValid():
		add(f.addr)
		return records
	case f.node != nil:
		add(q.v.node(f.node.ID))
		return records
	}
	for _, svc := range f.services {
		for _, a := range svc.Virtual {
			if ip, err := netip.ParseAddr(a.Host); err == nil && q.v.sees(a) {
				add(ip)
			}
		}
	}
	if len(records) > 0 {
		q.rung("virtual address")
		return records
	}
	list := q.reach(f)
	lowest := rungNone
	for _, r := range list {
		if lowest == rungNone || r.places[0].rung < lowest {
			lowest = r.places[0].rung
		}
	}
	q.rung(lowest.String())
	for _, r := range list {
		if r.places[0].rung != lowest {
			q.note(r.x, "", "others are reached by their "+lowest.String()+", and an address cannot say that the port differs")
			continue
		}
		given := ""
		for _, p := range r.places {
			if p.name != "" && len(list) == 1 {
				records = append(records, &dns.CNAME{Hdr: q.header(q.name, dns.TypeCNAME), Target: dns.Fqdn(p.name)})
				given = p.name
			} else if add(p.addr) {
				given = p.addr.String()
			}
			if given != "" {
				q.note(r.x, given, p.where)
				break
			}
		}
		if given == "" {
			q.note(r.x, "", "it has no address of this type")
		}
	}
	return records
}

func (q question) rung(text string) {
	if q.why != nil {
		q.why.Rung = text
	}
}

// sees reports whether an asker is on the network of an address.
func (v view) sees(a catalog.Address) bool {
	return near(a) && (v.machine || slices.Contains(v.networks, a.Network))
}

// services answers with SRV, by every rung, and with the addresses of what it names.
func (q question) services(f found) (records, extra []dns.RR) {
	if len(f.members) == 0 {
		return nil, nil
	}
	for _, r := range q.reach(f) {
		p := r.places[0]
		number := p.port
		if number == 0 {
			number = r.number
		}
		if number == 0 || q.v.mode == ModeProxy {
			q.note(r.x, "", "it has no port of its own for this asker")
			continue
		}
		target := q.target(r.x, p)
		srv := &dns.SRV{Hdr: q.header(q.name, dns.TypeSRV), Priority: 1, Weight: uint16(max(weight(r.x.instance), 1)), Port: number, Target: target}
		if slices.ContainsFunc(records, func(other dns.RR) bool { return dns.IsDuplicate(srv, other) }) {
			continue
		}
		records = append(records, srv)
		q.note(r.x, net.JoinHostPort(cmp.Or(p.name, p.addr.String()), strconv.Itoa(int(number))), p.where)
		for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
			rr := q.record(target, t, p.addr)
			if rr != nil && !slices.ContainsFunc(extra, func(other dns.RR) bool { return dns.IsDuplicate(rr, other) }) {
				extra = append(extra, rr)
			}
		}
	}
	return records, extra
}

// target is the name of a place: of the instance, of its machine, or of the address.
func (q question) target(x at, p place) string {
	node := q.z.nodesByID[x.instance.Node]
	switch {
	case p.name != "":
		return dns.Fqdn(p.name)
	case p.rung == rungOwn && p.where != "fixed by its source":
		return q.z.instanceName(x)
	case node != nil && p.addr == q.v.node(node.ID) && len(spellings(node.Name)) > 0:
		return q.z.fqdn(spellings(node.Name)[0] + ".node")
	}
	return q.z.fqdn(hex.EncodeToString(p.addr.AsSlice()) + ".addr")
}

// RcodeText is an rcode as people know it.
func RcodeText(rcode int) string {
	if text, ok := dns.RcodeToString[rcode]; ok {
		return text
	}
	return fmt.Sprint(rcode)
}
