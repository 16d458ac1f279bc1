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
	defaults *Defaults
	pages    []string // names of sets of error pages; nil: any
	index    map[string]*Key
	words    map[string]bool // first segments of keys, which cannot name routes
}

// New returns the dialect. userDirs are the directories below which labels may name
// user files; nil allows every path. Every route has the defaults; nil for none. pages are
// the sets of error pages that labels may name; nil allows every name.
func New(ports *draft.Ports, userDirs []string, defaults *Defaults, pages []string) *Dialect {
	x := &Dialect{ports, userDirs, defaults, pages, map[string]*Key{}, map[string]bool{}}
	for i := range keys {
		x.index[keys[i].Name] = &keys[i]
		first, _, _ := strings.Cut(keys[i].Name, ".")
		x.words[first] = true
	}
	return x
}

// Name is that of the dialect.
func (*Dialect) Name() string { return "native" }

// Title is what people call it.
func (*Dialect) Title() string { return "Fairway" }

// Owns says whether a label is one of the dialect.
func (*Dialect) Owns(key string) bool { return catalog.HasPrefix(key, prefix) }

// Read reads labels.
func (x *Dialect) Read(_ *catalog.Service, labels map[string]string) draft.Reading {
	service, routes := x.sort(labels)
	service.read()
	r := draft.Reading{Wanted: service.enable, Says: says(service, routes), Own: make([]draft.Own, 0, len(routes))}
	disabled, count := "", len(service.labels)
	for _, l := range service.faulty() {
		disabled, r.Wanted = l.fault.Reason(l.raw), true
		r.Problems = append(r.Problems, draft.Problem{OfService: len(routes) == 0 || routes[0].Name != "", Label: l.raw, Refusal: l.fault})
	}
	if len(routes) == 0 && disabled == "" && !service.onlyNames() {
		r.Problems = append(r.Problems, draft.Problem{
			OfService: true, Refusal: draft.Refuse(route.CodeIncomplete, "no label says which requests are taken", "add a label such as "+prefix+"host"),
		})
	}
	for _, d := range routes {
		count += len(d.labels)
		d.readRoute(x)
		r.Own = append(r.Own, draft.Own{Route: d.Name, Wishes: d.Wishes, Fault: d.wishFault})
		served, faults := x.settle(d, routes, disabled)
		r.Problems = append(r.Problems, faults...)
		if served {
			r.Drafts = append(r.Drafts, d.Draft)
		}
	}
	r.Summary = human.Plural(count, "label") + " for " + human.Plural(len(routes), "route")
	switch {
	case !r.Wanted:
		r.Summary, r.Hint = prefix+"enable is false", "take the label off, or set it to true"
	case count == 0:
		r.Wanted = false
	}
	return r
}

// reading is a draft, of a route or of what the service as a whole has, while its
// labels are read.
type reading struct {
	*draft.Draft
	labels    []*label          // sorted by key
	byKey     map[string]*label // of several with one key, one that is right
	stripOwn  bool
	enable    bool           // of the service
	wishFault *draft.Problem // the first label about the instance that is at fault
}

// read puts the labels into the draft; what is wrong with one is kept in its fault.
func (d *reading) read() {
	d.byKey, d.enable = map[string]*label{}, true
	for _, l := range d.labels {
		if l.fault == nil && !l.isOff() {
			if err := l.key.read(d, l); err != nil {
				l.fault = draft.AsRefusal(err)
			}
		}
		if l.key != nil && (l.fault == nil || !d.has(l.key.Name)) {
			d.byKey[l.key.Name] = l
		}
	}
}

// onlyNames reports whether all labels are about DNS and registries, which ask for no route.
func (d *reading) onlyNames() bool {
	return len(d.labels) > 0 && !slices.ContainsFunc(d.labels, func(l *label) bool {
		first, _, _ := strings.Cut(l.key.Name, ".")
		return first != "tags" && first != "dns" && first != "publish"
	})
}

func (d *reading) has(key string) bool { return d.byKey[key] != nil }

func (d *reading) sound(key string) bool { return !d.has(key) || d.byKey[key].fault == nil }

// refuse finds fault with a label that is right by itself.
func (d *reading) refuse(key string, fault *draft.Refusal) {
	if l := d.byKey[key]; l != nil && l.fault == nil {
		l.fault = fault
	}
}

func (d *reading) contradicts(key, text, hint string) {
	d.refuse(key, draft.Refuse(route.CodeContradicts, text, hint))
}

// readRoute makes a draft of the route's labels.
func (d *reading) readRoute(x *Dialect) {
	d.read()
	for _, l := range d.faulty() {
		d.MatchKnown = d.MatchKnown && !l.saysMatch()
	}
	if !d.MatchKnown {
		d.stripOwn = false
	}
	if !d.sound("scheme") {
		d.Backend.Scheme = route.SchemeHTTPS // nothing is known that could contradict
		for _, k := range l4Keys {
			delete(d.byKey, k)
		}
	}
	d.RedirectDecided = d.has("redirect-https")
	d.check(x)
	x.defaults.lock(d)
	d.MatchKnown = d.MatchKnown && d.sound("listen") && d.Matches() != nil
	d.Labels = map[string]string{}
	for _, l := range d.labels {
		if d.Label == "" && l.saysMatch() {
			d.Label = l.raw
		}
		if l.fault == nil {
			d.Labels[l.raw] = l.value
		} else if l.key != nil && l.key.scope == scopeInstance && d.wishFault == nil {
			d.wishFault = &draft.Problem{Route: d.Name, Label: l.raw, Refusal: l.fault}
		}
	}
	d.applyDefaults(x)
}

// faulty returns the labels that are refused.
func (d *reading) faulty() []*label {
	return slices.DeleteFunc(slices.Clone(d.labels), func(l *label) bool { return l.fault == nil })
}

// settle decides what becomes of a route that was read: served is false for one that
// takes no requests and protects none. disabled is why the whole service is refused.
func (x *Dialect) settle(d *reading, routes []*reading, disabled string) (served bool, faults []draft.Problem) {
	d.Refused = disabled
	for _, l := range d.faulty() {
		faults = append(faults, draft.Problem{Route: d.Name, Label: l.raw, Refusal: l.fault})
		d.Refused = cmp.Or(d.Refused, l.fault.Reason(l.raw))
		d.OpenPriority = d.OpenPriority || l.local == "priority"
	}
	// A misspelt key as in fairway.helth.path would be a route that takes a path on every
	// host, which was not meant.
	meant := x.meantKey(d)
	misspelt := meant != "" && d.Hosts == nil && d.Rule == nil
	if d.MatchKnown = d.MatchKnown && !misspelt; !d.MatchKnown {
		d.Unread = d.unread()
	}
	if d.Refused == "" && (d.Matches() == nil || misspelt) {
		fault := d.incomplete(meant, routes)
		faults = append(faults, draft.Problem{Route: d.Name, Refusal: fault})
		if d.Unread == nil {
			return false, faults
		}
		d.Refused = fault.Text
	}
	return true, faults
}

// meantKey is the key that the name of a route with its first label was meant to be, or
// nothing.
func (x *Dialect) meantKey(d *reading) (meant string) {
	if d.Name == "" {
		return ""
	}
	for word := range x.words {
		key := word + "." + d.labels[0].local
		if x.index[key] != nil && nearest.Word(d.Name, []string{word}) != "" && (meant == "" || key < meant) {
			meant = key
		}
	}
	return meant
}

func (d *reading) incomplete(meant string, routes []*reading) *draft.Refusal {
	hint := "add " + front(d.Name) + "host"
	switch {
	case meant != "":
		hint = "did you mean " + prefix + meant + "? Otherwise " + hint
	case d.Name == "" && len(routes) > 1:
		named := routes[1].Name
		hint += ", or write " + front(named) + d.labels[0].local + " for the route " + named
	}
	text := "the route has no host, path or rule"
	if slices.ContainsFunc(d.labels, func(l *label) bool { return l.key != nil && strings.HasPrefix(l.key.Name, "path") }) {
		text = "the route has no host or rule"
	}
	return draft.Refuse(route.CodeIncomplete, text, hint)
}

// unread is what is known of a route that cannot be read.
func (d *reading) unread() *draft.Unread {
	fault, blind := map[string]bool{}, false
	for _, l := range d.faulty() {
		if l.key == nil {
			blind = blind || nearest.Word(l.local, checkKeys) != "" || protects(l.local)
			continue
		}
		fault[l.key.Name] = true
		blind = blind || slices.Contains(checkKeys, l.key.Name)
	}
	u := draft.NewUnread(d.Draft, blind)
	if u == nil {
		return nil
	}
	if !fault["scheme"] {
		u.TCP = d.Backend.Scheme == route.SchemeTCP
		u.HTTP = !u.TCP
	}
	if d.has("rule") {
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
	return slices.ContainsFunc([]string{"auth", "allow", "whitelist", "deny", "user", "passw", "cert"}, func(word string) bool {
		return strings.Contains(key, word)
	})
}
