package compile

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"fairway/internal/catalog"
	"fairway/internal/nearest"
	"fairway/internal/route"
)

// prefix is what every label of the native dialect begins with, in any case.
const prefix = catalog.LabelPrefix

// dialect reads labels by the table of keys.
type dialect struct {
	index map[string]*key
	words map[string]bool // first segments of keys, which cannot name routes
}

func newDialect() *dialect {
	index, words := keyIndex()
	return &dialect{index, words}
}

// label is one label of ours.
type label struct {
	raw    string // the key as it was written
	local  string // what stands behind the route's name, in lower case
	key    *key   // nil when there is no such key
	header string // for keys that take the name of a header
	value  string // trimmed
	fault  *refusal
}

// labelSet is what the labels of a service or an instance say, by route.
type labelSet struct {
	service []label       // keys of the service as a whole
	routes  []routeLabels // the unnamed one first, then by name
}

// routeLabels are the labels of one route, sorted by key.
type routeLabels struct {
	name   string // empty for the unnamed route
	labels []label
}

// empty says whether there is no label of ours at all.
func (s *labelSet) empty() bool { return len(s.service) == 0 && len(s.routes) == 0 }

// route returns the labels of a route, or nil.
func (s *labelSet) route(name string) *routeLabels {
	i, ok := slices.BinarySearchFunc(s.routes, name, func(r routeLabels, name string) int { return strings.Compare(r.name, name) })
	if !ok {
		return nil
	}
	return &s.routes[i]
}

// enabled returns whether the set asks to be looked at.
func (s *labelSet) enabled() bool {
	d := newDraft()
	for i := range s.service {
		s.service[i].read(d)
	}
	return d.enable || slices.ContainsFunc(s.service, func(l label) bool { return l.fault != nil })
}

// hasLabels says whether any label has the prefix of a dialect. It costs little for
// services that have none.
func hasLabels(labels map[string]string, prefix string) bool {
	for k := range labels {
		if hasPrefix(k, prefix) {
			return true
		}
	}
	return false
}

// hasPrefix says whether a key begins with the prefix of a dialect, in any case.
func hasPrefix(key, prefix string) bool {
	key = strings.TrimSpace(key)
	return len(key) >= len(prefix) && strings.EqualFold(key[:len(prefix)], prefix)
}

// read sorts labels by route and finds the keys that do not exist, that are
// there twice and whose values are no text.
func (d *dialect) read(labels map[string]string) *labelSet {
	var ours []string
	for k := range labels {
		if hasPrefix(k, prefix) {
			ours = append(ours, k)
		}
	}
	slices.Sort(ours)
	byName := map[string]*routeLabels{}
	seen := map[[2]string]string{}
	set := &labelSet{}
	for _, raw := range ours {
		l, name := d.readOne(raw, labels[raw])
		if first, twice := seen[[2]string{name, l.local}]; twice {
			l.fault = &refusal{route.CodeContradicts, fmt.Sprintf("it is there twice, as %s too", excerpt(first)), "keep one of them"}
		} else {
			seen[[2]string{name, l.local}] = raw
		}
		if l.key != nil && l.key.scope == scopeService {
			set.service = append(set.service, l)
			continue
		}
		r := byName[name]
		if r == nil {
			r = &routeLabels{name: name}
			byName[name] = r
		}
		r.labels = append(r.labels, l)
	}
	for _, r := range byName {
		slices.SortStableFunc(r.labels, func(a, b label) int { return strings.Compare(a.local, b.local) })
		set.routes = append(set.routes, *r)
	}
	slices.SortFunc(set.routes, func(a, b routeLabels) int { return strings.Compare(a.name, b.name) })
	return set
}

// readOne reads one label and says which route it belongs to.
func (d *dialect) readOne(raw, value string) (l label, name string) {
	written := strings.TrimSpace(raw)[len(prefix):]
	l = label{raw: raw, value: strings.TrimSpace(value)}
	l.local = strings.ToLower(written)
	if len(l.local) != len(written) || !utf8.ValidString(written) {
		written = l.local // foreign letters, so there is no such key anyway
	}
	if l.key, l.header = lookupKey(d.index, l.local, written); l.key == nil {
		first, rest, dotted := strings.Cut(l.local, ".")
		if dotted && isRouteName(first) && !d.words[first] {
			name, l.local = first, rest
			l.key, l.header = lookupKey(d.index, rest, written[len(first)+1:])
			if l.key != nil && l.key.scope == scopeService {
				l.key = nil
			}
		}
	}
	switch {
	case l.key == nil:
		l.fault = &refusal{route.CodeUnknownLabel, "there is no such label", d.suggest(name, l.local)}
	case len(l.value) > maxLabelBytes:
		l.fault = &refusal{route.CodeBadValue, fmt.Sprintf("the value is longer than %d bytes", maxLabelBytes), ""}
	case !utf8.ValidString(l.value):
		l.fault = &refusal{route.CodeBadValue, "the value is not UTF-8", ""}
	case hasControl(l.value) && l.key.name != "rule":
		l.fault = &refusal{route.CodeBadValue, "the value has control characters", ""}
	}
	return l, name
}

// isRouteName says whether s can name a route: [a-z0-9][a-z0-9_-]*.
func isRouteName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '_' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// suggest finds what an unknown key was meant to be.
func (d *dialect) suggest(name, local string) string {
	front := prefix
	if name != "" {
		front += name + "."
	}
	if len(local) > 64 {
		return ""
	}
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		if name == "" || k.scope != scopeService {
			names = append(names, strings.TrimSuffix(k.name, "."))
		}
	}
	if near := nearest.Word(local, names); near != "" {
		return didYouMean(front, near, d)
	}
	if name != "" { // the name may be the mistake: fairway.helth.path
		if near := nearest.Word(name+"."+local, names); near != "" {
			return didYouMean(prefix, near, d)
		}
	}
	// A wrong word in front of the name of a header.
	for _, whole := range []struct{ front, local string }{{front, local}, {prefix, name + "." + local}} {
		i := strings.LastIndex(whole.local, ".")
		if near := nearest.Word(whole.local[:max(i, 0)], names); near != "" && d.index[near+"."] != nil {
			return "did you mean " + whole.front + near + whole.local[i:] + "?"
		}
	}
	first, _, dotted := strings.Cut(local, ".")
	if name == "" && dotted && d.words[first] && d.index[first] != nil {
		return fmt.Sprintf("%s is a key and cannot name a route", first)
	}
	if name == "" && dotted && !isRouteName(first) {
		return "the name of a route consists of a-z, 0-9, - and _"
	}
	return "docs/labels.md lists all labels"
}

func didYouMean(front, near string, d *dialect) string {
	if d.index[near] == nil {
		near += ".<name>"
	}
	return "did you mean " + front + near + "?"
}

// read puts the label into the draft; what is wrong with it is kept in fault.
func (l *label) read(d *draft) {
	if l.fault != nil {
		return
	}
	err := l.key.read(d, l.header, l.value)
	if err == nil {
		switch l.key.name {
		case "network":
			d.wishes.networkLabel = l.raw
		case "via":
			d.wishes.virtualLabel = l.raw
		}
		return
	}
	l.fault = asRefusal(err)
}

// asRefusal makes a refusal of an error of a reader.
func asRefusal(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	if r, ok := errors.AsType[*ruleError](err); ok {
		return &refusal{route.CodeBadRule, r.Error(), r.hint}
	}
	return &refusal{route.CodeBadValue, err.Error(), ""}
}

// asked is the route that the labels ask for, by the draft that was made of them.
func (r *routeLabels) asked(d *draft, matchKnown bool, from origin, members []member) asked {
	a := asked{name: r.name, draft: d, matchKnown: matchKnown, from: from, members: members, labels: map[string]string{}}
	for _, l := range r.labels {
		if a.label == "" && l.key != nil && l.key.scope == scopeMatch && l.key.name != "priority" {
			a.label = l.raw
		}
		if l.fault == nil {
			a.labels[l.raw] = l.value
		}
	}
	return a
}

// read makes a draft of the route's labels. matchKnown says whether everything
// that says which requests the route takes could be read.
func (r *routeLabels) read(p planner) (d *draft, matchKnown bool) {
	d = newDraft()
	byKey := map[string]*label{}
	matchKnown = true
	for i := range r.labels {
		l := &r.labels[i]
		l.read(d)
		if l.key == nil {
			continue
		}
		if l.fault != nil && l.key.scope == scopeMatch && l.key.name != "priority" {
			matchKnown = false
		}
		if l.fault == nil || byKey[l.key.name] == nil {
			byKey[l.key.name] = l
		}
	}
	has := func(key string) bool { return byKey[key] != nil }
	sound := func(key string) bool { return byKey[key] == nil || byKey[key].fault == nil }
	if !matchKnown {
		d.stripOwn = false
	}
	if !sound("scheme") {
		d.backend.Scheme = route.SchemeHTTPS // nothing is known that could contradict
		has = func(key string) bool { return byKey[key] != nil && !slices.Contains(l4Keys, key) }
	}
	d.check(p, has, func(key string, err *refusal) {
		if l := byKey[key]; l != nil && l.fault == nil {
			l.fault = err
		}
	})
	if !sound("listen") {
		matchKnown = false
	}
	return d, matchKnown && d.matches() != nil
}

// faulty returns the labels that are refused.
func (r *routeLabels) faulty() []label {
	var list []label
	for _, l := range r.labels {
		if l.fault != nil {
			list = append(list, l)
		}
	}
	return list
}
