// Package native reads Fairway's own labels, those that begin with fairway., by one
// table of keys (keys.go), which docs/labels.md is printed from.
package native

import (
	"cmp"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/draft"
	"fairway/internal/human"
	"fairway/internal/nearest"
	"fairway/internal/route"
)

// Dialect reads Fairway's own labels. Any goroutine may use it.
type Dialect struct {
	ports    *draft.Ports
	userDirs []string
	index    map[string]*Key
	words    map[string]bool // first segments of keys, which cannot name routes
}

// New returns the dialect. userDirs are the directories below which labels may name
// user files; nil allows every path.
func New(ports *draft.Ports, userDirs []string) *Dialect {
	index, words := keyIndex()
	return &Dialect{ports, userDirs, index, words}
}

// Prefix begins the labels of the dialect.
func (*Dialect) Prefix() string { return prefix }

// reading is a draft while its labels are read.
type reading struct {
	*draft.Draft
	stripOwn  bool
	enable    bool           // of the service
	wishFault *draft.Problem // the first label about the instance that is at fault
}

func newReading(name string) *reading {
	d := draft.New(name)
	d.OwnWishes = true
	return &reading{Draft: d, enable: true}
}

// Read reads labels.
func (x *Dialect) Read(_ *catalog.Service, labels map[string]string) draft.Reading {
	set := x.sort(labels)
	r := draft.Reading{Says: set.says(), Wanted: set.enabled(), Own: map[string]draft.Own{}}
	problem := func(routeName, label string, fault *draft.Refusal) {
		r.Problems = append(r.Problems, draft.Problem{Route: routeName, OfService: set.route(routeName) == nil, Label: label, Refusal: fault})
	}
	disabled, count := "", len(set.service)
	for i := range set.service {
		if l := &set.service[i]; l.fault != nil {
			problem("", l.raw, l.fault)
			disabled = l.fault.Reason(l.raw)
		}
	}
	if len(set.routes) == 0 && disabled == "" {
		problem("", "", draft.Refuse(route.CodeIncomplete, "no label says which requests are taken", "add a label such as "+prefix+"host"))
	}
	for i := range set.routes {
		count += len(set.routes[i].labels)
		d := set.routes[i].read(x)
		r.Own[d.Name] = draft.Own{Wishes: d.Wishes, Fault: d.wishFault}
		served, faults := x.route(set, &set.routes[i], d, disabled)
		for _, f := range faults {
			problem(f.Route, f.Label, f.Refusal)
		}
		if served {
			r.Drafts = append(r.Drafts, d.Draft)
		}
	}
	r.Summary = human.Plural(count, "label") + " for " + human.Plural(len(set.routes), "route")
	switch {
	case !r.Wanted:
		r.Summary, r.Hint = prefix+"enable is false", "take the label off, or set it to true"
	case set.empty():
		r.Wanted = false
	}
	return r
}

// route decides what becomes of a route of a set that was read: served is false for one
// that takes no requests and protects none. disabled is why the whole service is refused.
func (x *Dialect) route(set *labelSet, r *routeLabels, d *reading, disabled string) (served bool, faults []draft.Problem) {
	d.Refused = disabled
	for _, l := range r.faulty() {
		faults = append(faults, draft.Problem{Route: r.name, Label: l.raw, Refusal: l.fault})
		d.Refused = cmp.Or(d.Refused, l.fault.Reason(l.raw))
		d.OpenPriority = d.OpenPriority || l.local == "priority"
	}
	misspelt := x.looksLikeKey(r, d)
	if d.MatchKnown = d.MatchKnown && !misspelt; !d.MatchKnown {
		d.Unread = r.unread(d)
	}
	if d.Refused == "" && (d.Matches() == nil || misspelt) {
		fault := x.incomplete(r, set)
		faults = append(faults, draft.Problem{Route: r.name, Refusal: fault})
		if d.Unread == nil {
			return false, faults
		}
		d.Refused = fault.Text
	}
	return true, faults
}

// looksLikeKey says whether what stands for the name of a route is rather a
// misspelt key, as in fairway.helth.path: such a route would take a path on every
// host, which was not meant.
func (x *Dialect) looksLikeKey(r *routeLabels, d *reading) bool {
	if r.name == "" || d.Hosts != nil || d.Rule != nil {
		return false
	}
	return x.meantKey(r) != ""
}

// meantKey is the key that the first label of a named route was meant to be, or
// nothing.
func (x *Dialect) meantKey(r *routeLabels) (meant string) {
	for word := range x.words {
		key := word + "." + r.labels[0].local
		if x.index[key] != nil && nearest.Word(r.name, []string{word}) != "" && (meant == "" || key < meant) {
			meant = key
		}
	}
	return meant
}

// incomplete explains a route that takes no requests.
func (x *Dialect) incomplete(r *routeLabels, set *labelSet) *draft.Refusal {
	front := prefix
	if r.name != "" {
		front += r.name + "."
	}
	hint := "add " + front + "host"
	if meant := x.meantKey(r); r.name != "" && meant != "" {
		hint = "did you mean " + prefix + meant + "? Otherwise " + hint
	}
	if r.name == "" && len(set.routes) > 1 {
		named := set.routes[1].name
		hint += ", or write " + prefix + named + "." + r.labels[0].local + " for the route " + named
	}
	text := "the route has no host, path or rule"
	if slices.ContainsFunc(r.labels, func(l label) bool { return l.key != nil && strings.HasPrefix(l.key.Name, "path") }) {
		text = "the route has no host or rule"
	}
	return draft.Refuse(route.CodeIncomplete, text, hint)
}

// unread is what is known of a route of the native dialect that cannot be read.
func (r *routeLabels) unread(d *reading) *draft.Unread {
	checks := []string{"ip-allow", "basic-auth"}
	fault, blind := map[string]bool{}, false
	for _, l := range r.faulty() {
		if l.key == nil {
			blind = blind || nearest.Word(l.local, checks) != "" || protects(l.local)
			continue
		}
		fault[l.key.Name] = true
		blind = blind || slices.Contains(checks, l.key.Name)
	}
	u := draft.NewUnread(d.Draft, blind)
	if u == nil {
		return nil
	}
	if !fault["scheme"] {
		u.TCP = d.Backend.Scheme == route.SchemeTCP
		u.HTTP = !u.TCP
	}
	if slices.ContainsFunc(r.labels, func(l label) bool { return l.local == "rule" }) {
		return u
	}
	if !fault["host"] {
		u.Hosts = d.Hosts
	}
	if !fault["path"] && !fault["path-exact"] && !fault["path-regexp"] {
		u.Paths = d.Paths
	}
	return u
}

// protects is true of a key that is none of ours and speaks of who may come in, as those
// of other proxies do: basicauth.users, ipallowlist, forward-auth.
func protects(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"auth", "allow", "whitelist", "deny", "user", "passw", "cert"}, func(word string) bool {
		return strings.Contains(key, word)
	})
}
