package native

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/nearest"
	"fairway/internal/route"
)

// prefix begins the labels of the dialect, in any case.
const prefix = catalog.LabelPrefix

// label is one label of ours.
type label struct {
	raw    string // the key as it was written
	local  string // what stands behind the route's name, in lower case
	key    *Key   // nil when there is no such key
	header string // for keys that take the name of a header
	value  string // trimmed
	fault  *draft.Refusal
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
	d := newReading("")
	for i := range s.service {
		s.service[i].read(d)
	}
	return d.enable || slices.ContainsFunc(s.service, func(l label) bool { return l.fault != nil })
}

// sort sorts labels by route and finds the keys that do not exist, that are
// there twice and whose values are no text.
func (x *Dialect) sort(labels map[string]string) *labelSet {
	var ours []string
	for k := range labels {
		if catalog.HasPrefix(k, prefix) {
			ours = append(ours, k)
		}
	}
	slices.Sort(ours)
	byName := map[string]*routeLabels{}
	seen := map[[2]string]string{}
	set := &labelSet{}
	for _, raw := range ours {
		l, name := x.readOne(raw, labels[raw])
		if first, twice := seen[[2]string{name, l.local}]; twice {
			l.fault = draft.Refuse(route.CodeContradicts, fmt.Sprintf("it is there twice, as %s too", chars.Excerpt(first)), "keep one of them")
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
func (x *Dialect) readOne(raw, value string) (l label, name string) {
	written := strings.TrimSpace(raw)[len(prefix):]
	l = label{raw: raw, value: strings.TrimSpace(value)}
	l.local = strings.ToLower(written)
	if len(l.local) != len(written) || !utf8.ValidString(written) {
		written = l.local // foreign letters, so there is no such key anyway
	}
	if l.key, l.header = lookupKey(x.index, l.local, written); l.key == nil {
		first, rest, dotted := strings.Cut(l.local, ".")
		if dotted && isRouteName(first) && !x.words[first] {
			name, l.local = first, rest
			l.key, l.header = lookupKey(x.index, rest, written[len(first)+1:])
			if l.key != nil && l.key.scope == scopeService {
				l.key = nil
			}
		}
	}
	switch {
	case l.key == nil:
		l.fault = draft.Refuse(route.CodeUnknownLabel, "there is no such label", x.suggest(name, l.local))
	default:
		l.fault = draft.CheckText(l.value, l.key.Name == "rule")
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
func (x *Dialect) suggest(name, local string) string {
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
			names = append(names, strings.TrimSuffix(k.Name, "."))
		}
	}
	if near := nearest.Word(local, names); near != "" {
		return didYouMean(front, near, x)
	}
	if name != "" { // the name may be the mistake: fairway.helth.path
		if near := nearest.Word(name+"."+local, names); near != "" {
			return didYouMean(prefix, near, x)
		}
	}
	// A wrong word in front of the name of a header.
	for _, whole := range []struct{ front, local string }{{front, local}, {prefix, name + "." + local}} {
		i := strings.LastIndex(whole.local, ".")
		if near := nearest.Word(whole.local[:max(i, 0)], names); near != "" && x.index[near+"."] != nil {
			return "did you mean " + whole.front + near + whole.local[i:] + "?"
		}
	}
	first, _, dotted := strings.Cut(local, ".")
	if name == "" && dotted && x.words[first] && x.index[first] != nil {
		return fmt.Sprintf("%s is a key and cannot name a route", first)
	}
	if name == "" && dotted && !isRouteName(first) {
		return "the name of a route consists of a-z, 0-9, - and _"
	}
	return "docs/labels.md lists all labels"
}

func didYouMean(front, near string, x *Dialect) string {
	if x.index[near] == nil {
		near += ".<name>"
	}
	return "did you mean " + front + near + "?"
}

// read puts the label into the reading; what is wrong with it is kept in fault.
func (l *label) read(d *reading) {
	if l.fault != nil {
		return
	}
	if err := l.key.read(d, l.header, l.value); err != nil {
		l.fault = draft.AsRefusal(err)
		return
	}
	switch l.key.Name {
	case "network":
		d.Wishes.NetworkLabel = l.raw
	case "via":
		d.Via.Label = l.raw
	case "basic-auth":
		d.UserLabel = l.raw
	}
}

// saysMatch reports whether the label is one of those that say which requests a route
// takes.
func (l *label) saysMatch() bool {
	return l.key != nil && l.key.scope == scopeMatch && l.key.Name != "priority"
}

// read makes a draft of the route's labels.
func (r *routeLabels) read(x *Dialect) *reading {
	d := newReading(r.name)
	byKey := map[string]*label{}
	for i := range r.labels {
		l := &r.labels[i]
		l.read(d)
		if l.key == nil {
			continue
		}
		if l.fault != nil && l.saysMatch() {
			d.MatchKnown = false
		}
		if l.fault == nil || byKey[l.key.Name] == nil {
			byKey[l.key.Name] = l
		}
	}
	has := func(key string) bool { return byKey[key] != nil }
	sound := func(key string) bool { return byKey[key] == nil || byKey[key].fault == nil }
	if !d.MatchKnown {
		d.stripOwn = false
	}
	if !sound("scheme") {
		d.Backend.Scheme = route.SchemeHTTPS // nothing is known that could contradict
		has = func(key string) bool { return byKey[key] != nil && !slices.Contains(l4Keys, key) }
	}
	d.check(x, has, func(key string, err *draft.Refusal) {
		if l := byKey[key]; l != nil && l.fault == nil {
			l.fault = err
		}
	})
	d.MatchKnown = d.MatchKnown && sound("listen") && d.Matches() != nil
	d.Labels = map[string]string{}
	for i := range r.labels {
		l := &r.labels[i]
		if d.Label == "" && l.saysMatch() {
			d.Label = l.raw
		}
		if l.fault == nil {
			d.Labels[l.raw] = l.value
		} else if l.key != nil && l.key.scope == scopeInstance && d.wishFault == nil {
			d.wishFault = &draft.Problem{Route: r.name, Label: l.raw, Refusal: l.fault}
		}
	}
	return d
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

// says is what the labels say about routes, and not about their own instance, by key.
func (s *labelSet) says() map[string]string {
	all := map[string]string{}
	for _, l := range s.service {
		if l.local != "service" {
			all[prefix+l.local] = l.value
		}
	}
	for _, r := range s.routes {
		front := prefix
		if r.name != "" {
			front += r.name + "."
		}
		for _, l := range r.labels {
			if l.key == nil || l.key.scope != scopeInstance {
				all[front+l.local] = l.value
			}
		}
	}
	return all
}
