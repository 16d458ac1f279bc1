package render

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
)

// plan decides for every route how it is served.
func (r *renderer) plan(previous *Config) {
	requests, connections := r.table.Split()
	routes := slices.Concat(requests, connections)
	r.profiles, r.shared, r.isTCP = map[string]profile{}, map[slotKey]string{}, map[*route.Route]bool{}
	for _, q := range connections {
		r.isTCP[q] = true
	}
	r.profiles[defaultProfile] = profileOf(&route.Backend{}, 0)
	profiles := make([]string, len(routes)) // of the sections that routes share; empty when they do not
	for i, q := range routes {
		if b := r.table.Backend(q.Backend); b != nil && q.Refused == "" && isShareable(q) {
			p := profileOf(b, r.idle(q))
			profiles[i], r.profiles[p.name] = p.name, p
			r.shared[slotKey{p.name, b.ID}] = ""
		}
	}
	r.slots = newSlots(previous, r.o.Resting, r.shared)
	for i, q := range routes {
		name, b := answersSection, r.table.Backend(q.Backend)
		switch {
		case q.Refused != "":
		case profiles[i] != "":
			name = r.share(profiles[i], b)
		case !isShareable(q):
			name = dedicatedName(q.ID)
			r.addOwn(name, q, b)
		}
		r.addRoute(q, b, name)
	}
	r.features = r.features.with(Features{})
	slices.SortFunc(r.requests.guarded, claim.compare)
	slices.SortFunc(r.connections.guarded, claim.compare)
}

// share is the section for the backend, which its plain routes share.
func (r *renderer) share(profile string, b *route.Backend) string {
	key := slotKey{profile, b.ID}
	if r.shared[key] == "" {
		s := r.slots.take(key, b)
		s.Servers = r.servers(b)
		r.sections = append(r.sections, s)
		r.shared[key] = s.Name
	}
	return r.shared[key]
}

// idle is how long a connection that is passed through may be silent.
func (r *renderer) idle(q *route.Route) time.Duration { return cmp.Or(q.Idle, r.o.TunnelTimeout) }

func (r *renderer) addOwn(name string, q *route.Route, b *route.Backend) {
	r.own = append(r.own, q)
	s := Section{Name: name, Route: q.ID, Service: q.Service, Used: true}
	if b != nil {
		s.Backend, s.Service, s.Servers = b.ID, b.Service, r.servers(b)
	}
	r.sections = append(r.sections, s)
	for i := range q.Filters {
		if f := q.Filters[i].BasicAuth; f != nil {
			users, _ := r.usersOf(f)
			r.users = append(r.users, userEntries(authToken(q.ID, i), users)...)
		}
	}
}

// isShareable is true for routes whose filters are no more than fields of a value in the
// map: a redirect to https, then a prefix to strip that all its paths begin with.
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

// inAnswers takes out of the name of a service what JSON or HTML would read.
var inAnswers = strings.NewReplacer("<", "?", ">", "?", "&", "?", `"`, "?", `\`, "?")

// addRoute adds the matches of a route, with its backend or nil.
func (r *renderer) addRoute(q *route.Route, b *route.Backend, section string) {
	value := valueOf(q, b, section)
	r.services = append(r.services, MapEntry{Key: RouteKey(q.ID), Value: quote.MapWord(inAnswers.Replace(q.Service))})
	to, keysOf := &r.requests, keysOf
	if r.isTCP[q] {
		to, keysOf = &r.connections, tcpKeysOf
	}
	for i := range q.Matches {
		m := &q.Matches[i]
		if m.Host.Kind != route.HostRegexp && !r.isTCP[q] {
			r.hosts = append(r.hosts, MapEntry{Key: hostKey(m.Host), Value: "1"})
		}
		if m.Host.Kind == route.HostDeep {
			r.features.Deep = append(r.features.Deep, strings.Count(m.Host.Value, ".")+1)
		}
		keys := keysOf(m)
		if len(keys) == 0 {
			to.guarded = append(to.guarded, claim{"", q, i, value})
			r.asksQuery = r.asksQuery || slices.ContainsFunc(m.Conditions, func(c route.Condition) bool {
				return c.Kind == route.ConditionQuery || c.Kind == route.ConditionQueryRegexp
			})
			continue
		}
		r.features.Priorities = r.features.Priorities || q.Priority != 0
		for _, key := range keys {
			to.simple = append(to.simple, claim{key, q, i, value})
		}
	}
}

// httpsPort is what stands behind the host of a redirect.
func httpsPort(f *route.RedirectHTTPS) string {
	if f.Port == 0 || f.Port == 443 {
		return ""
	}
	return ":" + itoa(int(f.Port))
}

// allSections are the sections in use, and the spare ones.
func (r *renderer) allSections(fresh bool) []Section {
	all := slices.Clone(r.sections)
	if !fresh {
		lists := slices.AppendSeq(slices.Collect(maps.Values(r.slots.free)), maps.Values(r.slots.resting))
		return append(all, slices.Concat(lists...)...)
	}
	used, most := map[string]int{}, 1
	for i := range r.sections {
		if p := r.sections[i].Profile; p != "" {
			used[p]++
			most = max(most, used[p])
		}
	}
	for name := range r.profiles {
		want := max(r.o.Spares/10, used[name]/10, 2)
		if used[name] == most || name == defaultProfile {
			want = max(want, r.o.Spares)
		}
		if r.o.Spares < 0 {
			want = 0
		}
		all = append(all, r.slots.refill(name, want)...)
	}
	return all
}

func (r *renderer) maps() []Map {
	var settings, sticky, cookies, checks []MapEntry
	if r.table.Revision == 0 && len(r.table.Routes) == 0 {
		settings = []MapEntry{{Key: "starting", Value: "1"}}
	}
	for i := range r.sections {
		s := &r.sections[i]
		b := r.table.Backend(s.Backend)
		for j := range s.Servers {
			v := &s.Servers[j]
			if v.Health != nil {
				checks = append(checks, MapEntry{Key: v.Name, Value: checkHost(v.Health, v.Address)})
			}
			if b.Sticky == "" {
				continue
			}
			value := route.StickyValue(s.Backend, v.Endpoint)
			cookies = append(cookies, MapEntry{Key: v.Name, Value: value})
			if v.State == route.EndpointReady {
				sticky = append(sticky, MapEntry{Key: value, Value: v.Name})
			}
		}
	}
	entries := map[string][]MapEntry{
		mapRoutes:      routeEntries(r.requests),
		mapHosts:       r.hosts,
		mapSettings:    settings,
		mapGroups:      groupEntries(slices.Concat(r.requests.guarded, r.connections.guarded)),
		mapGuarded:     guardedEntries(r.requests.guarded),
		mapServices:    r.services,
		mapSticky:      sticky,
		mapCookies:     cookies,
		mapChecks:      checks,
		mapConnections: routeEntries(r.connections),
		mapGuardedTCP:  guardedEntries(r.connections.guarded),
		mapUsers:       r.users,
	}
	var all []Map
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		all = append(all, Map{Name: name, Path: r.o.mapPath(name), Entries: sortedEntries(entries[name])})
	}
	return all
}

func (r *renderer) certLists() (lists []CertList) {
	for i := range r.table.Listeners {
		l := &r.table.Listeners[i]
		if !l.TLS || r.o.Leave[l.Name] {
			continue
		}
		list := CertList{Listener: l.Name, Path: r.o.certListPath(l.Name), Fixed: len(l.Hosts) > 0}
		for _, pair := range l.Certificates {
			list.Certificates = append(list.Certificates, Certificate{Path: r.o.certPath(pair), Pair: pair})
		}
		lists = append(lists, list)
	}
	return lists
}
