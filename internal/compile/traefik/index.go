package traefik

import (
	"maps"
	"strings"
	"sync/atomic"

	"fairway/internal/catalog"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// index has the middlewares that services define, for the routers of others. It is immutable.
type index struct {
	services map[*catalog.Service]map[string]*part // of each service, by name
	all      map[string]*found
}

// found is what the services of one snapshot define under one name.
type found struct {
	part      *part
	text      string
	ambiguous bool // several define it differently
}

// shared is the index of the newest snapshot.
type shared struct{ atomic.Pointer[index] }

// Learn takes in what the services define. Those that did not change are not read again.
func (x *Dialect) Learn(services []*catalog.Service) {
	before := x.shared.Load()
	if before == nil {
		before = &index{}
	}
	next := &index{services: make(map[*catalog.Service]map[string]*part), all: make(map[string]*found)}
	same := true
	for _, s := range services {
		defines, known := before.services[s]
		if !known {
			same = false
			defines = x.defines(s)
		}
		next.services[s] = defines
		for name, p := range defines {
			next.add(name, p)
		}
	}
	if same && len(next.services) == len(before.services) {
		return
	}
	x.shared.Store(next)
}

func (i *index) add(name string, p *part) {
	has, text := i.all[name], p.text()
	switch {
	case has == nil:
		i.all[name] = &found{part: p, text: text}
	case has.text != text:
		has.ambiguous, has.text = true, "\x00" // its users look again once it is clear
	}
}

// defines are the middlewares of a service; nil for none.
func (x *Dialect) defines(s *catalog.Service) map[string]*part {
	labels := s.Labels
	if !s.OwnLabels && !catalog.HaveLabels(labels, catalog.TraefikPrefix) {
		in := s.Newest()
		if in == nil {
			return nil
		}
		labels = in.Labels
	}
	if !catalog.HaveLabels(labels, catalog.TraefikPrefix+"http.middlewares") && !catalog.HaveLabels(labels, catalog.TraefikPrefix+"tcp.middlewares") {
		return nil
	}
	d := parse(labels, draft.MaxListItems)
	if on, err := x.enabled(d); err != nil || !on {
		return nil
	}
	list := map[string]*part{}
	for _, kind := range []string{"http.middlewares", "tcp.middlewares"} {
		for name, p := range d.parts[kind] {
			p.own = false
			list[kind+"."+name] = p
		}
	}
	return list
}

// usePrefix begins the names of uses of this dialect.
const usePrefix = "traefik "

// Stands says whether what a reading has used is what it would find today.
func (x *Dialect) Stands(uses []draft.Use) bool {
	for _, u := range uses {
		if name, ours := strings.CutPrefix(u.Name, usePrefix); ours && x.look(name) != u.Found {
			return false
		}
	}
	return true
}

// look returns the text of a definition, or nil.
func (x *Dialect) look(name string) any {
	if i := x.shared.Load(); i != nil && i.all[name] != nil {
		return i.all[name].text
	}
	return nil
}

// resolve finds a middleware by the name that a router, or a chain, has for it: in the own
// service first, then in those of others; with @file in the file of the operator.
func (r *reader) resolve(kind, name string) (*part, *draft.Refusal) {
	bare, provider, named := strings.Cut(name, "@")
	missing := func(where, hint string) (*part, *draft.Refusal) {
		return nil, draft.Refuse(route.CodeIncomplete, "the middleware "+name+" is not defined"+where, hint)
	}
	switch {
	case named && provider == "file":
		if p := r.file.parts[kind][bare]; p != nil {
			return p, nil
		}
		if !r.hasFile {
			return missing(": the file of Traefik is not known", "name it with traefik.file, or write the middleware in a label; traefik.skip serves the route without it")
		}
		return missing(" in the file of Traefik", "write it there; traefik.skip serves the route without it")
	case named && provider != "docker" && provider != "swarm":
		return missing(" here: there is no "+provider, "write it in a label; traefik.skip serves the route without it")
	}
	if p := r.doc.parts[kind][bare]; p != nil {
		return p, nil
	}
	key := kind + "." + bare
	r.uses = append(r.uses, draft.Use{Name: usePrefix + key, Found: r.look(key)})
	i := r.shared.Load()
	if i == nil || i.all[key] == nil {
		return missing(" by any service", "write it in a label, on any service that has traefik.enable=true")
	}
	if i.all[key].ambiguous {
		return nil, draft.Refuse(route.CodeContradicts, "the middleware "+name+" is defined differently by several services", "give each its own name, or define it on this service")
	}
	p := i.all[key].part
	for _, f := range p.fields { // its labels make the route again, when it is gone
		r.borrowed[f.raw] = f.value
	}
	return p, nil
}

// remembered are the labels that make the routes again.
func (r *reader) remembered(labels map[string]string) map[string]string {
	if len(r.borrowed) == 0 {
		return labels
	}
	all := maps.Clone(r.borrowed)
	maps.Copy(all, labels)
	return all
}
