package dockerflow

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
	"fairway/internal/route/canonical"
)

// indices are the indices that destinations may have, in their order.
var indices = []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}

// routes returns the routes that the labels ask for.
func (l *labelSet) routes() []*dest {
	var (
		list []*dest
		last *dest // of the default backend
		bare []*dest
	)
	for _, index := range l.destinations() {
		d := l.destination(index)
		switch mode := strings.ToLower(d.text("reqMode")); mode {
		case "", "http":
			if d.get("servicePath", index) == nil && d.get("serviceDomain", index) == nil {
				if d.get("port", index) != nil || d.get("httpsPort", index) != nil {
					d.fault("port", draft.Refuse(route.CodeIncomplete, "no label says which requests are taken", "add servicePath or serviceDomain"))
					d.MatchKnown = false
					bare = append(bare, d)
				}
				continue
			}
			made := l.http(index)
			list = append(list, made...)
			if made[0].Wishes.Port != 0 {
				last = l.defaultBackend(index)
			}
		case "tcp", "sni":
			d.passThrough(mode)
			list = append(list, d)
		default:
			d.fault("reqMode", draft.Bad("use http, tcp or sni", "%s is no mode", chars.Excerpt(mode)))
			list = append(list, d)
		}
	}
	if list == nil {
		return nil // it is only watched, by a monitor for instance
	}
	list = append(list, bare...)
	if last != nil {
		list = append(list, last)
	}
	outside(list)
	return append(list, l.redirects()...)
}

// outside notes names that are to have certificates and that no route takes.
func outside(list []*dest) {
	noted := map[string]bool{}
	for _, d := range list {
		for _, name := range d.Certified {
			if noted[name] || !d.MatchKnown || slices.ContainsFunc(list, func(d *dest) bool {
				return slices.Contains(d.Certified, name) && slices.ContainsFunc(d.Rule, func(m route.Match) bool { return m.Host.Matches(name) })
			}) {
				continue
			}
			noted[name] = true
			d.note("letsencrypt.host", draft.Bad("name it in serviceDomain, too, or a star that it is below", "no serviceDomain of the service takes %s: it gets no certificate", name))
		}
	}
}

// Destinations returns the indices of the destinations that are there, up to the first
// gap, or 0 for none.
func Destinations(has func(name string, index int) bool) (list []int) {
	names := []string{"servicePath", "port", "serviceDomain", "httpsPort"}
	for i := 1; i <= len(indices) && slices.ContainsFunc(names, func(name string) bool { return has(name, i) }); i++ {
		list = append(list, i)
	}
	if list == nil {
		return []int{0}
	}
	return list
}

func (l *labelSet) destinations() []int {
	return Destinations(func(name string, index int) bool { return l.all[parameter{name, index}] != nil })
}

// dest reads the labels of one destination into one route.
type dest struct {
	*labelSet
	*draft.Draft
	index  int
	faults []draft.Problem // the route is refused because of them
	notes  []draft.Problem // the route is served without their effect
	blind  bool            // one of those that decide who may ask is at fault
}

// destination begins a route of a destination; suffix parts it from others.
func (l *labelSet) destination(index int, suffix ...string) *dest {
	name := []string{ownName}
	if index > 0 {
		name = append(name, strconv.Itoa(index))
	}
	d := &dest{labelSet: l, Draft: draft.New(strings.Join(append(name, suffix...), ".")), index: index}
	d.Rank = d.text("aclName")
	return d
}

// text returns the value of a label that is sound, or nothing; a fault is noted.
func (d *dest) text(name string) string {
	index := d.index
	if !d.known[name].Indexed {
		index = 0
	}
	l := d.get(name, index)
	switch {
	case l == nil:
		return ""
	case l.fault != nil:
		d.fault(name, l.fault)
		return ""
	}
	return l.value
}

// list returns the items of a label, trimmed, without those that are empty.
func (d *dest) list(name string) []string {
	var items []string
	for item := range strings.SplitSeq(d.text(name), d.Separator) {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	if len(items) > draft.MaxListItems {
		d.fault(name, draft.Bad("", "the list has more than %d items", draft.MaxListItems))
		return nil
	}
	return items
}

// value reads the value of a label; zero when there is none.
func value[T any](d *dest, name string, read func(string) (T, error)) (v T) {
	text := d.text(name)
	if text == "" {
		return v
	}
	v, err := read(text)
	d.fault(name, err)
	return v
}

func (d *dest) bool(name string) bool { return value(d, name, readBool) }

func (d *dest) number(name string, least, most int) int {
	return value(d, name, func(text string) (int, error) { return draft.ReadInt(text, least, most) })
}

func (d *dest) seconds(name string) time.Duration {
	const week = 7 * 24 * 60 * 60
	return time.Duration(d.number(name, 0, week)) * time.Second
}

// raw is the label of a name as it was written, or as it could be.
func (d *dest) raw(name string) string {
	if l := d.get(name, d.index); l != nil {
		return l.raw
	}
	if d.index > 0 && d.known[name].Indexed {
		return fmt.Sprintf("%s%s.%d", prefix, name, d.index)
	}
	return prefix + name
}

// fault notes that a label refuses the route, unless err is nil.
func (d *dest) fault(name string, err error) {
	if err == nil {
		return
	}
	if d.known[name].match {
		d.MatchKnown = false
	}
	d.blind = d.blind || d.known[name].check
	f := d.problem(name, err)
	if !slices.ContainsFunc(d.faults, func(has draft.Problem) bool { return has.Label == f.Label }) {
		d.faults = append(d.faults, f)
	}
}

// note reports that a label has no effect, unless err is nil.
func (d *dest) note(name string, err error) {
	if err != nil {
		d.notes = append(d.notes, d.problem(name, err))
	}
}

func (d *dest) problem(name string, err error) draft.Problem {
	return draft.Problem{Route: d.Draft.Name, Label: d.raw(name), Refusal: draft.AsRefusal(err)}
}

// http returns the routes of a destination to its port and to its httpsPort.
func (l *labelSet) http(index int) []*dest {
	plain, secure := l.destination(index), l.destination(index, "https")
	var list []*dest
	if plain.text("port") != "" || plain.text("httpsPort") == "" {
		plain.readHTTP(false)
		list = append(list, plain)
	}
	if secure.text("httpsPort") != "" {
		secure.readHTTP(true)
		list = append(list, secure)
	}
	return list
}

func (d *dest) readHTTP(secure bool) {
	d.Rule = d.matchHTTP(secure)
	d.MatchKnown = d.MatchKnown && d.Rule != nil
	d.useHTTP(secure)
}

func (d *dest) useHTTP(secure bool) {
	port := "port"
	if secure {
		port = "httpsPort"
	}
	if d.text(port) == "" {
		d.fault(port, draft.Refuse(route.CodeIncomplete, "no label says on which port the service listens", "add port"))
	}
	d.Wishes.Port = uint16(d.number(port, 1, 65535))
	d.outbound()
	d.Timeout, d.Idle = d.seconds("timeoutServer"), d.seconds("timeoutTunnel")
	if d.bool("sslVerifyNone") {
		d.Backend.Scheme, d.TLS.SkipVerify = route.SchemeHTTPS, true
	}
	if strings.EqualFold(d.text("sessionType"), "sticky-server") {
		if d.Backend.Sticky = d.service; !chars.IsToken(d.service) {
			d.fault("sessionType", draft.Bad("", "the name of the service, %s, cannot be the name of a cookie", chars.Excerpt(d.service)))
		}
	}
	if !secure {
		d.redirectHTTPS()
	}
	d.certificates()
	d.filters(secure)
	d.unsupported()
}

// certificates reads the labels of the companions for Let's Encrypt. What is wrong with them
// is no reason not to serve.
func (d *dest) certificates() {
	for _, name := range d.list("letsencrypt.host") {
		host, err := canonical.Host(name)
		if err != nil {
			d.note("letsencrypt.host", draft.Bad("write names like www.example.com", "%v", err))
			continue
		}
		d.Certified = append(d.Certified, host)
	}
	slices.Sort(d.Certified)
	d.Certified = slices.Compact(d.Certified)
	if testing, err := readBool(cmp.Or(d.text("letsencrypt.testing"), "false")); err != nil {
		d.note("letsencrypt.testing", err)
	} else if testing {
		d.TLSFrom = route.TLSInternal
	}
}

func (d *dest) outbound() {
	name := d.text("outboundHostname")
	if name == "" {
		return
	}
	host, err := canonical.Host(name)
	if err == nil && strings.Contains(name, ":") && !strings.Contains(host, ":") {
		err = draft.Bad("the port goes into a label of its own", "%s has a port", chars.Excerpt(name))
	}
	d.fault("outboundHostname", err)
	d.Via.Host = host
}

// passThrough reads the route of a destination for connections.
func (d *dest) passThrough(mode string) {
	d.Label = d.raw("srcPort")
	b := &d.Backend
	b.Scheme = route.SchemeTCP
	for _, name := range []string{"port", "srcPort"} {
		if d.text(name) == "" {
			d.fault(name, draft.Refuse(route.CodeIncomplete, "a service with reqMode "+mode+" needs port and srcPort", "add "+name))
		}
	}
	d.Wishes.Port = uint16(d.number("port", 1, 65535))
	if port := d.number("srcPort", 1, 65535); port != 0 {
		names, err := d.ports.TCP(uint16(port))
		d.fault("srcPort", err)
		d.L4 = draft.L4{Port: uint16(port), Listeners: names}
	}
	d.L4.Check = d.bool("checkTcp")
	d.Health = route.Health{Interval: 2 * time.Second, Timeout: 2 * time.Second} // as HAProxy does
	d.serverNames(mode)
	d.outbound()
	d.Idle = cmp.Or(d.seconds("timeoutTunnel"), max(d.seconds("timeoutClient"), d.seconds("timeoutServer")))
	b.Balance = cmp.Or(value(d, "balanceGroup", readBalance), b.Balance)
	d.Group = d.text("serviceGroup")
	d.unsupported()
	d.MatchKnown = d.MatchKnown && d.Matches() != nil
}

// defaultBackend is the route that takes what no other route takes; nil for none.
func (l *labelSet) defaultBackend(index int) *dest {
	d := l.destination(index, "default")
	on := d.bool("isDefaultBackend")
	d.Label = d.raw("isDefaultBackend")
	if !on && d.faults == nil {
		return nil
	}
	if on { // else it is there only to report what is wrong
		d.Priority = -draft.MaxPriority
		d.Rule = []route.Match{{Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathStart, Value: "/"}}}
		d.useHTTP(false)
	}
	return d
}

// redirects are the routes that send other domains to the service's own: one for
// each of its names, whichever destinations ask for it.
func (l *labelSet) redirects() []*dest {
	var list []*dest
	seen := map[route.Host]bool{}
	for _, index := range l.destinations() {
		d := l.destination(index, "redirect")
		if mode := strings.ToLower(d.text("reqMode")); d.text("redirectFromDomain") == "" || mode != "" && mode != "http" {
			continue
		}
		list = append(list, d)
		to, err := d.redirectHost()
		if err != nil {
			d.note("redirectFromDomain", err)
			continue
		}
		d.Label = d.raw("redirectFromDomain")
		d.Filter.Redirect = &route.Redirect{Status: 301, Host: to}
		for _, h := range d.hosts("redirectFromDomain") {
			if !seen[h] {
				seen[h] = true
				d.Rule = append(d.Rule, route.Match{Host: h, Path: route.Path{Kind: route.PathPrefix, Value: "/"}})
			}
		}
	}
	return list
}

// redirectHost is the first domain of the destination, to which others are sent.
func (d *dest) redirectHost() (string, error) {
	domains := d.list("serviceDomain")
	if domains == nil {
		return "", draft.Refuse(route.CodeIncomplete, "there is no serviceDomain to send requests to", "add serviceDomain")
	}
	h, err := route.ParseHost(domains[0])
	if err == nil && h.Kind != route.HostExact {
		err = draft.Bad("put a name without a star first", "%s, the first serviceDomain, is not one name", chars.Excerpt(domains[0]))
	}
	return h.Value, err
}

// unsupported reports labels that cannot be had here; all but noted ones refuse the route.
func (d *dest) unsupported() {
	for _, k := range parameters {
		if k.refused == "" || d.text(k.Name) == "" {
			continue
		}
		if d.takes(k.Name) && d.Backend.Scheme != route.SchemeTCP {
			d.Filter.Snippet = &route.Snippet{Lines: []string{d.text(k.Name)}}
			continue
		}
		r := draft.Refuse(route.CodeUnsupported, k.refused, k.native)
		if k.noted {
			d.note(k.Name, r)
		} else {
			d.fault(k.Name, r)
		}
	}
}

// takes says whether the operator lets the service have text of HAProxy's.
func (l *labelSet) takes(name string) bool {
	return name == "backendExtra" && slices.ContainsFunc(l.Snippets, func(s string) bool { return s == "*" || s == l.service })
}

// readBool reads the words for true and false that Docker Flow knows.
func readBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "t", "1", "on":
		return true, nil
	case "false", "f", "0", "off":
		return false, nil
	}
	return false, draft.Bad("write true or false", "%s is neither true nor false", chars.Excerpt(s))
}

// readBalance reads a policy by the name that HAProxy has for it.
func readBalance(s string) (route.Balance, error) {
	switch s {
	case "roundrobin", "static-rr":
		return route.Balance{Policy: route.BalanceRoundRobin}, nil
	case "leastconn":
		return route.Balance{Policy: route.BalanceLeastConn}, nil
	case "random", "random(2)":
		return route.Balance{Policy: route.BalanceRandom2}, nil
	case "source":
		return route.Balance{Policy: route.BalanceHash, On: route.HashClientIP}, nil
	}
	return route.Balance{}, draft.Bad("use roundrobin, leastconn, random or source", "%s is not a balance policy", chars.Excerpt(s))
}
