package render

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"fairway/internal/route"
)

// work is what a table asks for.
type work struct {
	profiles map[string]*profile
	// sections are those in use: shared ones, each once, and dedicated ones.
	sections []Section
	// own are the routes that have a dedicated section.
	own    []*route.Route
	claims []claim
	// tcpClaims are those of connections.
	tcpClaims []claim
	services  []MapEntry
	hosts     []MapEntry
	users     []MapEntry
	shared    map[slotKey]string // sections of backends; empty: not handed out yet
	sticky    map[string]bool    // sections whose backends tie clients to endpoints
	slots     *slots
}

// plan decides for every route how it is served.
func (r *renderer) plan(previous *Config) *work {
	requests, connections := r.table.Split()
	routes := slices.Concat(requests, connections)
	w := &work{
		profiles: map[string]*profile{}, sticky: map[string]bool{}, shared: make(map[slotKey]string, len(r.table.Backends)),
		claims: make([]claim, 0, 2*len(routes)),
	}
	r.isTCP = make(map[*route.Route]bool, len(connections))
	for _, q := range connections {
		r.isTCP[q] = true
	}
	w.profile(profileOf(&route.Backend{Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}, 0))
	profiles := make([]*profile, len(routes)) // of the sections that routes share; nil when they do not
	for i, q := range routes {
		if b := r.table.Backend(q.Backend); b != nil && q.Refused == "" && isShareable(q) {
			profiles[i] = w.profile(profileOf(b, r.idle(q)))
			w.shared[slotKey{profiles[i].name, b.ID}] = ""
		}
	}
	w.slots = newSlots(previous, r.o.Resting, w.shared)
	for i, q := range routes {
		name, b := answersSection, r.table.Backend(q.Backend)
		switch {
		case q.Refused != "":
		case profiles[i] != nil:
			name = w.share(r, profiles[i], b)
		case !isShareable(q):
			name = dedicatedName(q.ID)
			w.addOwn(r, name, q, b)
		}
		r.addRoute(w, q, b, name)
	}
	r.features = r.features.with(Features{})
	for _, guards := range [][]claim{r.guards, r.tcpGuards} {
		slices.SortFunc(guards, func(a, b claim) int { return route.Compare(a.route, a.match, b.route, b.match) })
	}
	return w
}

// share is the section for the backend, which its plain routes share.
func (w *work) share(r *renderer, p *profile, b *route.Backend) string {
	key := slotKey{p.name, b.ID}
	if w.shared[key] == "" {
		s := w.slots.take(p, b)
		s.Servers = r.servers(b)
		w.sections = append(w.sections, s)
		w.sticky[s.Name] = b.Sticky != ""
		w.shared[key] = s.Name
	}
	return w.shared[key]
}

// idle is how long a connection that is passed through may be silent.
func (r *renderer) idle(q *route.Route) time.Duration { return cmp.Or(q.Idle, r.o.TunnelTimeout) }

func (w *work) profile(p profile) *profile {
	known := w.profiles[p.name]
	if known == nil {
		known = &p
		w.profiles[p.name] = known
	}
	return known
}

func (w *work) addOwn(r *renderer, name string, q *route.Route, b *route.Backend) {
	w.own = append(w.own, q)
	s := Section{Name: name, Route: q.ID, Service: q.Service, Used: true}
	if b != nil {
		s.Backend, s.Service, s.Servers = b.ID, b.Service, r.servers(b)
		w.sticky[name] = b.Sticky != ""
	}
	w.sections = append(w.sections, s)
	for i := range q.Filters {
		if f := q.Filters[i].BasicAuth; f != nil {
			users, _ := r.usersOf(f)
			w.users = append(w.users, userEntries(authToken(q.ID, i), users)...)
		}
	}
}

// isShareable is true for routes whose filters are no more than fields of a value
// in the map of routes: a redirect to https, then a prefix to strip which every
// path that the route takes begins with.
func isShareable(q *route.Route) bool {
	filters := q.Filters
	if len(filters) > 0 && filters[0].RedirectHTTPS != nil {
		filters = filters[1:]
	}
	if len(filters) > 0 && filters[0].StripPrefix != nil {
		prefix := filters[0].StripPrefix.Prefix
		if prefix == "/" || strings.Count(prefix, "/") > maxStrip || strings.HasSuffix(prefix, "/") {
			return false
		}
		for i := range q.Matches {
			p := q.Matches[i].Path
			rest, below := strings.CutPrefix(p.Value, prefix)
			if !below || rest != "" && rest[0] != '/' || p.Kind != route.PathPrefix && p.Kind != route.PathExact {
				return false
			}
		}
		filters = filters[1:]
	}
	return len(filters) == 0
}

// addRoute adds the matches of a route, with its backend or nil.
func (r *renderer) addRoute(w *work, q *route.Route, b *route.Backend, section string) {
	token := RouteKey(q.ID)
	value := knobsOf(q, b).value(section, token, q.Priority)
	w.services = append(w.services, MapEntry{Key: token, Value: mapWord(q.Service)})
	var keys []string
	for i := range q.Matches {
		m := &q.Matches[i]
		if m.Host.Kind != route.HostRegexp && !r.isTCP[q] {
			w.hosts = append(w.hosts, MapEntry{Key: hostKey(m.Host), Value: "1"})
		}
		if m.Host.Kind == route.HostDeep {
			r.features.Deep = append(r.features.Deep, strings.Count(m.Host.Value, ".")+1)
		}
		if r.isTCP[q] {
			r.addConnection(w, q, i, value)
			continue
		}
		if !isSimple(m) {
			r.guards = append(r.guards, claim{"", q, i, value})
			for j := range m.Conditions {
				kind := m.Conditions[j].Kind
				r.asksQuery = r.asksQuery || kind == route.ConditionQuery || kind == route.ConditionQueryRegexp
			}
			continue
		}
		r.features.Priorities = r.features.Priorities || q.Priority != 0
		keys = appendKeys(keys[:0], m)
		for _, key := range keys {
			w.claims = append(w.claims, claim{key, q, i, value})
		}
	}
}

func (r *renderer) addConnection(w *work, q *route.Route, i int, value string) {
	m := &q.Matches[i]
	if !isSimpleTCP(m) {
		r.tcpGuards = append(r.tcpGuards, claim{"", q, i, value})
		return
	}
	r.features.Priorities = r.features.Priorities || q.Priority != 0
	for _, key := range tcpKeys(m) {
		w.tcpClaims = append(w.tcpClaims, claim{key, q, i, value})
	}
}

// knobsOf are the settings of a route, with its backend or nil.
func knobsOf(q *route.Route, b *route.Backend) knobs {
	if q.Refused != "" {
		return knobs{err: "route-refused"}
	}
	k := knobs{timeout: q.Timeout.Milliseconds(), hold: q.Hold.Milliseconds(), tunnel: q.Idle.Milliseconds(), pause: q.BodyTimeout.Milliseconds()}
	if b != nil {
		k.upgrade = strings.Join(b.Upgrade, ",")
	}
	if !isShareable(q) {
		return k // its section has the rest
	}
	for i := range q.Filters {
		if f := q.Filters[i].StripPrefix; f != nil {
			k.strip = strings.Count(f.Prefix, "/")
		}
		if f := q.Filters[i].RedirectHTTPS; f != nil {
			k.https = httpsKnob(f)
		}
	}
	if q.Backend == "" {
		k.err = "no-backend"
	}
	return k
}

func httpsKnob(f *route.RedirectHTTPS) string {
	status, kind := "", "own"
	if f.Status != 0 {
		status = itoa(f.Status)
	}
	switch f.Forwarded {
	case route.ForwardedWhenHTTP:
		kind = "when"
	case route.ForwardedUnlessHTTPS:
		kind = "unless"
	}
	return status + "." + httpsPort(f) + "." + kind
}

// httpsPort is what stands behind the host of a redirect.
func httpsPort(f *route.RedirectHTTPS) string {
	if f.Port == 0 || f.Port == 443 {
		return ""
	}
	return ":" + itoa(int(f.Port))
}

func (r *renderer) addSections(c *Config, w *work, previous *Config, fresh bool) {
	c.Sections = slices.Clone(w.sections)
	used, most := map[string]int{}, 1
	for i := range w.sections {
		if p := w.sections[i].Profile; p != "" {
			used[p]++
			most = max(most, used[p])
		}
	}
	if fresh {
		for name, p := range w.profiles {
			want := max(r.o.Spares/10, used[name]/10, 2)
			if used[name] == most || name == defaultProfile {
				want = max(want, r.o.Spares)
			}
			c.Sections = append(c.Sections, w.slots.refill(p, want)...)
		}
	} else {
		c.Sections = append(c.Sections, w.slots.spares()...)
		if previous != nil {
			c.keepDedicated(w, previous)
		}
	}
	slices.SortFunc(c.Sections, func(a, b Section) int { return cmp.Compare(a.Name, b.Name) })
}

// keepDedicated takes over dedicated sections that are not needed any more, empty.
func (c *Config) keepDedicated(w *work, previous *Config) {
	needed := map[string]bool{}
	for i := range w.sections {
		needed[w.sections[i].Name] = true
	}
	for i := range previous.Sections {
		if s := previous.Sections[i]; s.Profile == "" && !needed[s.Name] {
			s.Backend, s.Servers = "", nil
			c.Sections = append(c.Sections, s)
		}
	}
}

func (r *renderer) maps(w *work) []Map {
	var settings, sticky, cookies, checks []MapEntry
	if r.table.Revision == 0 && len(r.table.Routes) == 0 {
		settings = []MapEntry{{Key: "starting", Value: "1"}}
	}
	for i := range w.sections {
		s := &w.sections[i]
		for j := range s.Servers {
			if v := &s.Servers[j]; v.Health != nil {
				checks = append(checks, MapEntry{Key: v.Name, Value: checkHost(v.Health, v.Address)})
			}
		}
		if !w.sticky[s.Name] {
			continue
		}
		for j := range s.Servers {
			v := &s.Servers[j]
			value := route.StickyValue(s.Backend, v.Endpoint)
			cookies = append(cookies, MapEntry{Key: v.Name, Value: value})
			if v.State == route.EndpointReady {
				sticky = append(sticky, MapEntry{Key: value, Value: v.Name})
			}
		}
	}
	entries := map[string][]MapEntry{
		mapRoutes: routeEntries(w.claims, r.guards), mapGuarded: guardedEntries(r.guards),
		mapConnections: routeEntries(w.tcpClaims, r.tcpGuards), mapGuardedTCP: guardedEntries(r.tcpGuards),
		mapGroups: groupEntries(slices.Concat(r.guards, r.tcpGuards)),
		mapHosts:  w.hosts, mapSettings: settings, mapServices: w.services, mapSticky: sticky, mapCookies: cookies, mapChecks: checks, mapUsers: w.users,
	}
	var all []Map
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		all = append(all, Map{Name: name, Path: r.o.mapPath(name), Entries: sortedEntries(entries[name])})
	}
	return all
}

func (r *renderer) addCertificates(c *Config) {
	for i := range r.table.Listeners {
		l := &r.table.Listeners[i]
		if !l.TLS || r.o.Leave[l.Name] {
			continue
		}
		list := CertList{Listener: l.Name, Path: r.o.certListPath(l.Name)}
		for _, pair := range l.Certificates {
			list.Certificates = append(list.Certificates, Certificate{Path: r.o.certPath(pair), Pair: pair})
		}
		c.CertLists = append(c.CertLists, list)
	}
}
