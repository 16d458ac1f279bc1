package traefik

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/rule"
	"fairway/internal/route"
)

// http returns the routes of the routers for HTTP; a service that has none has one by its
// default rule.
func (r *reader) http() []*draft.Builder {
	routers := r.doc.parts["http.routers"]
	services := r.doc.names("http.services")
	if len(routers) == 0 {
		switch {
		case len(r.doc.parts["tcp.routers"])+len(r.doc.parts["udp.routers"]) > 0 && len(services) == 0:
			return nil
		case len(services) > 1:
			b := draft.NewBuilder("traefik", "")
			b.FaultOfMatch("", draft.Refuse(route.CodeIncomplete, "it has several services and no router", "add traefik.http.routers.<name>.rule and .service"))
			return []*draft.Builder{b}
		}
		name := normalize(r.name())
		if len(services) == 1 {
			name = services[0]
		}
		routers = map[string]*part{name: {kind: "http.routers", name: name, fields: map[string]*field{}, own: true}}
		r.doc.parts["http.routers"] = routers
	}
	r.secured = map[string]bool{}
	for _, p := range routers {
		if p.secure() {
			r.secured[p.get("rule")] = true
		}
	}
	var list []*draft.Builder
	r.each("http.routers", func(p *part) {
		if b := r.router(p); b != nil {
			list = append(list, b)
		}
	})
	return list
}

// router reads a router for HTTP; nil for one that is served nowhere.
func (r *reader) router(p *part) *draft.Builder {
	b := draft.NewBuilder("traefik."+chars.Printable(p.name), p.raw("rule"))
	r.refuseUnknown(b, p)
	text, err := p.get("rule"), error(nil)
	if text == "" {
		text, err = r.defaultRule()
	}
	var matches []route.Match
	if err == nil {
		matches, err = r.matches(b, p, text)
	}
	b.FaultOfMatch(p.raw("rule"), err)
	r.priority(b, p, text)
	listeners, served := r.listeners(b, p)
	if !served { // what it says protects nothing, then
		b.Faults, b.Notices, b.MatchKnown = nil, append(b.Notices, b.Faults...), true
		return b
	}
	if listeners != nil {
		for i := range matches {
			matches[i].Conditions = append(slices.Clone(matches[i].Conditions), route.Condition{Kind: route.ConditionListener, Values: listeners})
		}
	}
	b.Rule = matches
	if options := p.get("tls.options"); options != "" && options != "default" {
		b.FaultOfCheck(p.raw("tls.options"), draft.Refuse(route.CodeUnsupported, "options of TLS may demand certificates of clients, and are not known here", "use tls.hosts in fairway.yml, and take the label off"))
	}
	r.middlewares(b, p.get("middlewares"), p.raw("middlewares"))
	r.serve(b, p)
	return b
}

// negatives is how many priorities below zero keep their order.
const negatives = 1000

// priority gives a route Traefik's priority: the one that is said, unless that is 0, else the
// length of the rule. It is moved below zero, in the same order, so that labels of Traefik go
// before none of Fairway's, and every owner may have them.
func (r *reader) priority(b *draft.Builder, p *part, rule string) {
	n := len(rule)
	if text := p.get("priority"); text != "" {
		said, err := strconv.Atoi(text)
		if b.OpenPriority = err != nil; b.OpenPriority {
			b.Fault(p.raw("priority"), draft.Bad("write one such as 10", "%s is no number", chars.Excerpt(text)))
		}
		n = cmp.Or(said, n)
	}
	const moved = draft.MaxPriority - negatives
	b.Priority = max(-negatives, min(n, moved-1)) - moved
}

// matches reads which requests a router takes.
func (r *reader) matches(b *draft.Builder, p *part, text string) ([]route.Match, error) {
	syntax := strings.ToLower(p.get("rulesyntax"))
	switch syntax {
	case "", "v2", "v3":
	default:
		return nil, draft.Bad("write v3 or v2", "%s is no syntax of rules", chars.Excerpt(syntax))
	}
	if syntax == "v2" {
		return rule.Traefik(true).Matches(text)
	}
	matches, err := rule.Traefik(false).Matches(text)
	if syntax == "v3" || err == nil && !rule.OldTemplate(text) {
		return matches, err
	}
	old, oldErr := rule.Traefik(true).Matches(text)
	if oldErr != nil {
		return matches, err
	}
	b.Note(route.CodeApproximated, p.raw("rule"), "it is read as Traefik 2 does; Traefik 3 does not take it", "write it in today's form: one string a function, Go expressions in HostRegexp")
	return old, nil
}

// listeners are those that a router is served on; nil for all. served is false where there
// is none, which is then noted.
func (r *reader) listeners(b *draft.Builder, p *part) (names []string, served bool) {
	secure := p.secure()
	label := p.raw("entrypoints")
	note := func(text, hint string) {
		b.Notices = append(b.Notices, draft.Problem{Route: b.Name, Label: label, Refusal: draft.Refuse(route.CodeIncomplete, text, hint)})
	}
	points := items(b, label, p.get("entrypoints"))
	if len(points) == 0 {
		switch {
		case secure:
			names = r.secure
		case r.secured[p.get("rule")]: // it has a twin with TLS
			names = r.plain
		default:
			names = slices.Concat(r.plain, r.secure)
		}
	}
	for _, point := range points {
		found := r.listenersOf(point)
		if found == nil {
			note("the entry point "+chars.Excerpt(point)+" is no listener", "name it in traefik.entrypoints: "+chars.Printable(point)+"=https, or set up the listener")
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	switch {
	case len(names) == 0 && len(points) == 0:
		note("no listener takes it", "set up certificates, or take tls off the router")
		return nil, false
	case len(names) == 0:
		return nil, false
	case len(names) == len(r.plain)+len(r.secure):
		return nil, true
	}
	if !slices.ContainsFunc(names, func(name string) bool { return slices.Contains(r.secure, name) }) {
		b.TLSFrom = route.TLSOff
	}
	return names, true
}

// listenersOf are the listeners of an entry point; nil for none.
func (r *reader) listenersOf(point string) []string {
	name := cmp.Or(r.EntryPoints[point], point)
	switch {
	case slices.Contains(r.plain, name) || slices.Contains(r.secure, name):
		return []string{name}
	case slices.Contains([]string{"web", "http"}, name):
		return r.plain
	case slices.Contains([]string{"websecure", "web-secure", "https"}, name):
		return r.secure
	}
	return nil
}

// secure says whether a router has TLS.
func (p *part) secure() bool { return p.below("tls") && !strings.EqualFold(p.get("tls"), "false") }

// serve reads where a router leads.
func (r *reader) serve(b *draft.Builder, p *part) {
	label := p.raw("service")
	name, provider, _ := strings.Cut(p.get("service"), "@")
	services := r.doc.names("http.services")
	switch {
	case provider == "internal" && name == "noop":
		if b.Filter.RedirectHTTPS == nil && b.Filter.Redirect == nil {
			b.Fault(label, draft.Refuse(route.CodeUnsupported, "Fairway gives no answer of its own for noop@internal", "take the router off"))
		}
	case provider == "internal":
		b.Refused = label + ": " + name + " is a page of Traefik's own"
		b.Ignored(label, "pages of Traefik's own are not there; those of Fairway are at admin.listen")
		return
	case provider != "" && provider != "docker" && provider != "swarm":
		b.Fault(label, draft.Refuse(route.CodeIncomplete, "services of "+chars.Printable(provider)+" are not known here", "name a service that a label defines"))
		return
	case name == "" && len(services) == 1:
		name = services[0]
	case name == "" && slices.Contains(services, p.name):
		name = p.name
	case name == "" && len(services) > 1:
		b.Fault(label, draft.Refuse(route.CodeIncomplete, "it has several services, and the router names none", "say which with "+label))
		return
	case name != "" && !slices.Contains(services, name):
		b.Fault(label, draft.Refuse(route.CodeIncomplete, "the service "+chars.Printable(name)+" is not defined by the labels of this one", "add traefik.http.services."+chars.Printable(name)+".loadbalancer.server.port here, or put the router on the service that has it"))
		return
	}
	service := r.doc.parts["http.services"][name]
	r.refuseUnknown(b, service)
	r.loadBalancer(b, cmp.Or(service, &part{kind: "http.services", name: cmp.Or(name, p.name), fields: map[string]*field{}}))
	r.address(b, service, "http.services", cmp.Or(name, p.name))
	b.Group = group(b, name)
}

// address reads by which network, port and weight instances are reached.
func (r *reader) address(b *draft.Builder, service *part, kind, name string) {
	w := &b.Wishes
	w.PortChoice, w.Loose = draft.PortLowest, true
	w.PortLabel = "traefik." + kind + "." + name + ".loadbalancer.server.port"
	if text := service.get("loadbalancer.server.port"); text != "" {
		port, err := draft.ReadPort(text)
		b.Fault(service.raw("loadbalancer.server.port"), err)
		w.Port = port
	}
	if text := service.get("loadbalancer.server.weight"); text != "" {
		n, err := draft.ReadInt(text, 0, 256)
		b.Fault(service.raw("loadbalancer.server.weight"), err)
		w.Weight = &n
	}
	docker, swarm := r.doc.container["docker.network"], r.doc.container["swarm.network"]
	switch {
	case docker != nil && swarm != nil && docker.value != swarm.value:
		b.Fault(swarm.raw, draft.Refuse(route.CodeContradicts, "it names another network than "+docker.raw, "keep one of them"))
	case docker != nil:
		w.Network, w.NetworkLabel = docker.value, docker.raw
	case swarm != nil:
		w.Network, w.NetworkLabel = swarm.value, swarm.raw
	case r.Network != "":
		w.Network = r.Network
	}
	for _, key := range []string{"docker.lbswarm", "swarm.lbswarm"} {
		if f := r.doc.container[key]; f != nil && strings.EqualFold(f.value, "true") {
			b.Via.Virtual, b.Via.Label = true, f.raw
		}
	}
	b.Guesses(r.service)
}

// shownRule is what may be shown of a rule.
func shownRule(value string) string {
	for _, v2 := range []bool{false, true} {
		if shown, ok := rule.Traefik(v2).Shown(value); ok {
			return shown
		}
	}
	if strings.Contains(strings.ToLower(value), "header") {
		return route.Masked
	}
	return value
}
