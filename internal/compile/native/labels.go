package native

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/nearest"
	"fairway/internal/route"
)

const prefix = catalog.LabelPrefix

type label struct {
	raw    string // the key as it was written
	local  string // what stands behind the route's name, in lower case
	key    *Key   // nil when there is no such key
	header string // for keys that take the name of a header
	value  string // trimmed
	fault  *draft.Refusal
}

func front(name string) string {
	if name == "" {
		return prefix
	}
	return prefix + name + "."
}

// sort sorts labels by route, the unnamed one first, then by name, with those of the
// service as a whole apart.
func (x *Dialect) sort(labels map[string]string) (service *reading, routes []*reading) {
	service = &reading{Draft: draft.New("")}
	byName := map[string]*reading{}
	seen := map[[2]string]string{}
	for _, raw := range slices.Sorted(maps.Keys(labels)) {
		if !catalog.HasPrefix(raw, prefix) {
			continue
		}
		l, name := x.readOne(raw, labels[raw])
		if first, twice := seen[[2]string{name, l.local}]; twice {
			l.fault = draft.Refuse(route.CodeContradicts, fmt.Sprintf("it is there twice, as %s too", chars.Excerpt(first)), "keep one of them")
		} else {
			seen[[2]string{name, l.local}] = raw
		}
		if l.key != nil && l.key.scope == scopeService {
			service.labels = append(service.labels, l)
			continue
		}
		d := byName[name]
		if d == nil {
			d = &reading{Draft: draft.New(name)}
			byName[name] = d
			routes = append(routes, d)
		}
		d.labels = append(d.labels, l)
	}
	for _, d := range routes {
		slices.SortStableFunc(d.labels, func(a, b *label) int { return strings.Compare(a.local, b.local) })
	}
	slices.SortFunc(routes, func(a, b *reading) int { return strings.Compare(a.Name, b.Name) })
	return service, routes
}

// readOne reads one label and says which route it belongs to.
func (x *Dialect) readOne(raw, value string) (l *label, name string) {
	written := strings.TrimSpace(raw)[len(prefix):]
	l = &label{raw: raw, value: strings.TrimSpace(value)}
	l.local = strings.ToLower(written)
	if len(l.local) != len(written) || !utf8.ValidString(written) {
		written = l.local // foreign letters, so there is no such key anyway
	}
	if l.key, l.header = x.lookup(l.local, written); l.key == nil {
		first, rest, dotted := strings.Cut(l.local, ".")
		if dotted && isRouteName(first) && !x.words[first] {
			name, l.local = first, rest
			l.key, l.header = x.lookup(rest, written[len(first)+1:])
			if l.key != nil && l.key.scope == scopeService {
				l.key = nil
			}
		}
	}
	if l.key == nil {
		l.fault = draft.Refuse(route.CodeUnknownLabel, "there is no such label", x.suggest(name, l.local))
	} else {
		l.fault = draft.CheckText(l.value, l.key.Name == "rule")
	}
	return l, name
}

// lookup finds a key by its name in lower case. written is the same text with the case
// as the user wrote it, for the names of headers.
func (x *Dialect) lookup(name, written string) (k *Key, header string) {
	if k := x.index[name]; k != nil {
		return k, ""
	}
	for i := range name {
		if name[i] == '.' && i+1 < len(name) {
			if k := x.index[name[:i+1]]; k != nil {
				return k, written[i+1:]
			}
		}
	}
	return nil, ""
}

// isRouteName says whether s can name a route: [a-z0-9][a-z0-9_-]*.
func isRouteName(s string) bool {
	const first = "abcdefghijklmnopqrstuvwxyz0123456789"
	return s != "" && len(s) <= 63 && strings.Contains(first, s[:1]) && strings.Trim(s, first+"_-") == ""
}

// suggest finds what an unknown key was meant to be.
func (x *Dialect) suggest(name, local string) string {
	if len(local) > 64 {
		return ""
	}
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		if name == "" || k.scope != scopeService {
			names = append(names, strings.TrimSuffix(k.Name, "."))
		}
	}
	// The name of the route may be the mistake, too: fairway.helth.path.
	tries := [][2]string{{front(name), local}}
	if name != "" {
		tries = append(tries, [2]string{prefix, name + "." + local})
	}
	for _, try := range tries {
		if near := nearest.Word(try[1], names); near != "" {
			if x.index[near] == nil {
				near += ".<name>"
			}
			return "did you mean " + try[0] + near + "?"
		}
	}
	for _, try := range tries { // a wrong word in front of the name of a header
		i := max(strings.LastIndex(try[1], "."), 0)
		if near := nearest.Word(try[1][:i], names); near != "" && x.index[near+"."] != nil {
			return "did you mean " + try[0] + near + try[1][i:] + "?"
		}
	}
	first, _, dotted := strings.Cut(local, ".")
	switch {
	case name == "" && dotted && x.words[first] && x.index[first] != nil:
		return fmt.Sprintf("%s is a key and cannot name a route", first)
	case name == "" && dotted && !isRouteName(first):
		return "the name of a route consists of a-z, 0-9, - and _"
	}
	return "docs/labels.md lists all labels"
}

// saysMatch reports whether the label is one of those that say which requests a route
// takes.
func (l *label) saysMatch() bool {
	return l.key != nil && l.key.scope == scopeMatch && l.key.Name != "priority"
}

// says is what the labels say about routes, and not about their own instance, by key.
func says(service *reading, routes []*reading) map[string]string {
	all := map[string]string{}
	for _, l := range service.labels {
		if l.local != "service" {
			all[prefix+l.local] = l.value
		}
	}
	for _, d := range routes {
		for _, l := range d.labels {
			if l.key == nil || l.key.scope != scopeInstance {
				all[front(d.Name)+l.local] = l.value
			}
		}
	}
	return all
}
