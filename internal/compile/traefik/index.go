package traefik

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"fairway/internal/catalog"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// index has the middlewares that services define, for the routers of others. It is immutable.
type index struct {
	services map[*catalog.Service]defined
	all      map[string]*found // by keyOfOwner
	record   func(*catalog.Service) string
}

// defined are the middlewares of a service, by name, and the record of its owner.
type defined struct {
	parts  map[string]*part
	record string
}

// keyOfOwner is the key of a definition. Owners do not share definitions, so that none of
// them decides what protects another.
func keyOfOwner(record, name string) string { return record + "\x00" + name }

// found is what the services of one snapshot define under one name.
type found struct {
	part      *part
	text      string
	ambiguous bool // several define it differently
}

// shared is the index of the newest snapshot.
type shared struct{ atomic.Pointer[index] }

// Learn takes in what the services define. Those that did not change are not read again.
// record names the record of the owner of a service; empty for one that none is for, whose
// definitions everybody may use.
func (x *Dialect) Learn(services []*catalog.Service, record func(*catalog.Service) string) {
	before := x.shared.Load()
	if before == nil {
		before = &index{}
	}
	next := &index{services: make(map[*catalog.Service]defined), all: make(map[string]*found), record: record}
	same := true
	for _, s := range services {
		defines, known := before.services[s]
		if !known {
			same = false
			defines.parts = x.defines(s)
		}
		if len(defines.parts) > 0 {
			of := record(s)
			same = same && of == defines.record
			defines.record = of
		}
		next.services[s] = defines
		for name, p := range defines.parts {
			next.add(keyOfOwner(defines.record, name), p)
		}
	}
	if same && len(next.services) == len(before.services) {
		next.services, next.all = before.services, before.all
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
	has, by := r.foreign(kind + "." + bare)
	if has == nil {
		return missing(" by any service"+by, "write it in a label, on any service that has traefik.enable=true")
	}
	if has.ambiguous {
		return nil, draft.Refuse(route.CodeContradicts, "the middleware "+name+" is defined differently by several services", "give each its own name, or define it on this service")
	}
	p := has.part
	for _, f := range p.fields { // its labels make the route again, when it is gone
		r.borrowed[f.raw] = f.value
	}
	return p, nil
}

// foreign finds what services of the same owner define, else those that have none; by says
// whose were looked at.
func (r *reader) foreign(name string) (has *found, by string) {
	i := r.shared.Load()
	if i == nil {
		i = &index{}
	}
	records := []string{""}
	if i.record != nil && i.record(r.service) != "" {
		own := i.record(r.service)
		records, by = []string{own, ""}, " of its owner"
	}
	for _, record := range records {
		key := keyOfOwner(record, name)
		r.uses = append(r.uses, draft.Use{Name: usePrefix + key, Found: r.look(key)})
		if has = i.all[key]; has != nil {
			break
		}
	}
	return has, by
}

// skips says whether the operator has a middleware left out: by its name as it is written,
// or without the provider where that is the own one.
func (r *reader) skips(name string) bool {
	bare, provider, _ := strings.Cut(name, "@")
	own := provider == "" || provider == "docker" || provider == "swarm"
	return slices.Contains(r.Skip, name) || own && slices.Contains(r.Skip, bare)
}

// remembered are the labels that make the routes again.
//
// What should be a hash and is none may be a password. It is forgotten.
func (r *reader) remembered(labels map[string]string, builders []*draft.Builder) map[string]string {
	all := labels
	if len(r.borrowed) > 0 {
		all = maps.Clone(r.borrowed)
		maps.Copy(all, labels)
	}
	for _, b := range builders {
		for _, f := range b.Faults {
			if f.Code == route.CodeBadValue && strings.HasSuffix(strings.ToLower(f.Label), ".users") {
				all = maps.Clone(all)
				delete(all, strings.TrimSpace(f.Label))
			}
		}
	}
	return all
}
