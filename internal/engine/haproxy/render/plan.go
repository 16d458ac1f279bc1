package render

import (
	"fmt"
	"slices"
	"strings"

	"fairway/internal/route"
)

// work is what a table asks for.
type work struct {
	profiles map[string]*profile
	// shared are the sections of plain routes, by profile and backend.
	shared   map[string]Section
	order    []string // of the keys of shared
	claims   []claim
	services []MapEntry
	hosts    []MapEntry
	slots    *slots
}

// plan decides for every route how it is served.
func (r *renderer) plan(previous *Config) *work {
	w := &work{profiles: map[string]*profile{}, shared: map[string]Section{}, slots: newSlots(previous)}
	requests, _ := r.table.Split()
	type want struct {
		p *profile
		b *route.Backend
	}
	wanted := map[string]bool{}
	wants := make([]want, len(requests))
	for i, q := range requests {
		b := r.table.Backend(q.Backend)
		if b == nil || q.Refused != "" {
			continue
		}
		p := profileOf(b, 0)
		known := w.profiles[p.name]
		if known == nil {
			known = &p
			w.profiles[p.name] = known
		}
		wants[i] = want{known, b}
		wanted[p.name+" "+b.ID] = true
	}
	if w.profiles[defaultProfile] == nil {
		p := profileOf(&route.Backend{Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}, 0)
		w.profiles[p.name] = &p
	}
	w.slots.release(wanted)
	deep := map[int]bool{}
	for i, q := range requests {
		section := answersSection
		if b := wants[i].b; b != nil {
			key := wants[i].p.name + " " + b.ID
			s, ok := w.shared[key]
			if !ok {
				s = w.slots.take(wants[i].p, b)
				s.Servers = r.servers(b)
				w.shared[key] = s
				w.order = append(w.order, key)
			}
			section = s.Name
		}
		r.addRoute(w, q, section, deep)
	}
	for n := range deep {
		r.features.Deep = append(r.features.Deep, n)
	}
	r.features = Features{Priorities: r.features.Priorities}.with(r.features)
	slices.SortFunc(r.guards, func(a, b guard) int { return route.Compare(a.route, a.match, b.route, b.match) })
	return w
}

// addRoute adds the matches of a route.
func (r *renderer) addRoute(w *work, q *route.Route, section string, deep map[int]bool) {
	k := r.knobsOf(q)
	token := routeToken(q.ID)
	value := k.value(section, token, q.Priority)
	w.services = append(w.services, MapEntry{token, mapWord(q.Service)})
	var keys []string
	for i := range q.Matches {
		m := &q.Matches[i]
		if m.Host.Kind != route.HostRegexp {
			w.hosts = append(w.hosts, MapEntry{hostKey(m.Host), "1"})
		}
		if m.Host.Kind == route.HostDeep {
			deep[strings.Count(m.Host.Value, ".")+1] = true
		}
		if !isSimple(m) {
			r.guards = append(r.guards, guard{q, i, value})
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

// knobsOf are the settings of a route in a shared section.
func (r *renderer) knobsOf(q *route.Route) knobs {
	k := knobs{timeout: q.Timeout.Milliseconds(), hold: q.Hold.Milliseconds(), tunnel: q.Idle.Milliseconds()}
	if q.Refused != "" {
		return knobs{err: "route-refused"}
	}
	for i := range q.Filters {
		f := &q.Filters[i]
		switch {
		case f.StripPrefix != nil:
			k.strip = strings.Count(f.StripPrefix.Prefix, "/")
		case f.RedirectHTTPS != nil:
			k.https = httpsKnob(f.RedirectHTTPS)
		default:
			return knobs{err: "route-refused"}
		}
	}
	if q.Backend == "" {
		k.err = "no-backend"
	}
	return k
}

// httpsKnob is a redirect as a field.
func httpsKnob(f *route.RedirectHTTPS) string {
	port, status, kind := "", "", "own"
	if f.Port != 0 && f.Port != 443 {
		port = ":" + itoa(int(f.Port))
	}
	if f.Status != 0 {
		status = itoa(f.Status)
	}
	switch f.Forwarded {
	case route.ForwardedWhenHTTP:
		kind = "when"
	case route.ForwardedUnlessHTTPS:
		kind = "unless"
	}
	return fmt.Sprintf("%s.%s.%s", status, port, kind)
}

// addSections adds the backend sections with their servers.
func (r *renderer) addSections(c *Config, w *work, _ *Config, fresh bool) {
	used := map[string]int{}
	most := 0
	for _, key := range w.order {
		s := w.shared[key]
		c.Sections = append(c.Sections, s)
		used[s.Profile]++
		most = max(most, used[s.Profile])
	}
	for _, s := range w.slots.spares() {
		if !fresh || w.profiles[s.Profile] != nil {
			c.Sections = append(c.Sections, s)
		}
	}
	if fresh {
		for name, p := range w.profiles {
			c.Sections = append(c.Sections, w.slots.refill(p, used[name], max(most, 1), r.o.Spares)...)
		}
	}
	sortSections(c.Sections)
}

// maps makes the maps.
func (r *renderer) maps(w *work) []Map {
	var settings, sticky, cookies []MapEntry
	if r.table.Revision == 0 && len(r.table.Routes) == 0 {
		settings = []MapEntry{{"starting", "1"}}
	}
	for _, key := range w.order {
		s := w.shared[key]
		if w.profiles[s.Profile].sticky == "" {
			continue
		}
		for i := range s.Servers {
			v := &s.Servers[i]
			value := stickyValue(s.Backend, v.Endpoint)
			cookies = append(cookies, MapEntry{v.Name, value})
			if v.State == route.EndpointReady {
				sticky = append(sticky, MapEntry{value, v.Name})
			}
		}
	}
	all := []Map{
		{Name: mapRoutes, Entries: routeEntries(w.claims, r.guards)},
		{Name: mapHosts, Entries: sortedEntries(w.hosts)},
		{Name: mapSettings, Entries: settings},
		{Name: mapGroups, Entries: groupEntries(r.guards)},
		{Name: mapGuarded, Entries: guardedEntries(r.guards)},
		{Name: mapServices, Entries: sortedEntries(w.services)},
		{Name: mapSticky, Entries: sortedEntries(sticky)},
		{Name: mapCookies, Entries: sortedEntries(cookies)},
	}
	for i := range all {
		all[i].Path = r.o.mapPath(all[i].Name)
	}
	slices.SortFunc(all, func(a, b Map) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// addCertificates adds the lists of certificates.
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
