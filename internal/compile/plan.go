package compile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// maxProblems is how many problems one service may have in a table. What is
// beyond is counted in one more problem, so that no label set fills a table.
const maxProblems = 100

// plan is what one service asks for. It is a function of the service alone, so
// it is kept as long as the service is the same pointer.
type plan struct {
	service    *catalog.Service
	members    []member
	candidates []*candidate // the unnamed route first, then by name
	problems   []route.Problem

	// What was made of the plan in the last compile, and of which survivors.
	survivors []survivor
	routes    []*route.Route
	backends  []*route.Backend
}

// member is an instance that may serve, with the labels it brings itself; nil
// when the labels of the service hold for all instances.
type member struct {
	instance *catalog.Instance
	labels   *labelSet
}

// candidate is a route that a service asks for.
type candidate struct {
	name string
	// good is the route as its labels want it; nil when they are refused.
	good *form
	// refused is the route that answers 503 in the place of good, and nil when
	// it is not known which requests that would take.
	refused *form

	// again is the last good form, made from the labels of the route againFrom.
	againFrom *route.Route
	again     *form
}

// form is one way a candidate can be served.
type form struct {
	route   route.Route    // without Claim and Backend
	backend *route.Backend // without ID; nil for none
	claims  []claim        // sorted, each once
	said    wishes         // what its labels say about instances
	// problems are those of the instances; they count when the form is used.
	problems []route.Problem

	// made is the route of the last compile, as it went into the table.
	made *route.Route
}

// planner makes plans.
type planner struct {
	dialect *dialect
	// httpsPort is the port that redirect-https names; zero for none.
	httpsPort uint16
}

// plan reads the labels of a service.
func (p planner) plan(s *catalog.Service) *plan {
	pl := &plan{service: s}
	if s.ID == "" || !utf8.ValidString(s.ID) {
		pl.problems = []route.Problem{{
			Code: route.CodeBadValue, Source: printable(s.Source), Service: printable(s.ID),
			Text: "the name of the service is empty or not UTF-8", Hint: "give it another name",
		}}
		return pl
	}
	set, from := p.decide(s, pl)
	if set == nil {
		return pl
	}
	problem := func(routeName string, l *label, fault *refusal) {
		pl.problems = append(pl.problems, pl.problem(from, pl.problemRoute(routeName, set), l, fault))
	}
	disabled := ""
	for i := range set.service {
		if l := &set.service[i]; l.fault != nil {
			problem("", l, l.fault)
			disabled = refusedReason(l)
		}
	}
	if len(set.routes) == 0 && disabled == "" {
		problem("", nil, &refusal{route.CodeIncomplete, "no label says which requests are taken", "add a label such as " + prefix + "host"})
	}
	for i := range set.routes {
		r := &set.routes[i]
		d, matchKnown := r.read()
		faulty := r.faulty()
		c := &candidate{name: r.name}
		reason := disabled
		for i := range faulty {
			problem(r.name, &faulty[i], faulty[i].fault)
			reason = cmp.Or(reason, refusedReason(&faulty[i]))
		}
		if reason == "" && (d.matches() == nil || p.dialect.looksLikeKey(r, d)) {
			problem(r.name, nil, p.dialect.incomplete(r, set))
			continue
		}
		switch {
		case reason == "":
			c.good = p.form(pl, r, d, from, false)
		case matchKnown:
			c.refused = refusedForm(pl, r, d, from, reason)
		}
		pl.candidates = append(pl.candidates, c)
	}
	pl.problems = capProblems(pl.problems)
	return pl
}

// origin is where the labels of a service are from. instance is empty when they
// are the service's own.
type origin struct{ source, instance string }

// originOf is where the labels of an instance of the plan are from.
func (pl *plan) originOf(in *catalog.Instance) origin {
	return origin{printable(cmp.Or(in.Source, pl.service.Source)), printable(in.Name)}
}

// decide finds the labels that count: the service's own, or else those of the
// newest instance. It fills in the members, and the problems of instances whose
// labels differ. The set is nil when the service asks for nothing.
func (p planner) decide(s *catalog.Service, pl *plan) (*labelSet, origin) {
	if hasLabels(s.Labels) {
		set := p.dialect.read(s.Labels)
		if !set.enabled() {
			return nil, origin{}
		}
		for _, in := range s.Instances {
			pl.members = append(pl.members, member{in, nil})
		}
		return set, origin{source: printable(s.Source)}
	}
	var decider *catalog.Instance
	labelled := false
	for _, in := range s.Instances {
		labelled = labelled || hasLabels(in.Labels)
		if decider == nil || compareInstances(in, decider) > 0 {
			decider = in
		}
	}
	if !labelled {
		return nil, origin{}
	}
	set := p.dialect.read(decider.Labels)
	decides := set.enabled() && !set.empty()
	asked := routeLevel(set)
	for _, in := range s.Instances {
		theirs := set
		if in != decider {
			theirs = p.dialect.read(in.Labels)
		}
		serves := theirs.enabled() && !theirs.empty()
		if serves && decides {
			pl.members = append(pl.members, member{in, theirs})
		}
		if key, differs := firstDifference(asked, routeLevel(theirs)); differs && rank(in) == rankRunning {
			pl.problems = append(pl.problems, differProblem(pl, in, decider, key, serves && decides))
		}
	}
	if !decides {
		return nil, origin{}
	}
	return set, pl.originOf(decider)
}

// The ranks of instances: the newest of the highest rank decides.
const (
	rankStopped = iota
	rankLeaving
	rankRunning
)

func rank(in *catalog.Instance) int {
	switch in.State {
	case catalog.StateStopped:
		return rankStopped
	case catalog.StateLeaving:
		return rankLeaving
	}
	return rankRunning
}

// compareInstances orders instances by how much their labels count.
func compareInstances(a, b *catalog.Instance) int {
	return cmp.Or(
		cmp.Compare(rank(a), rank(b)),
		a.Created.Compare(b.Created),
		strings.Compare(a.ID, b.ID),
		strings.Compare(a.Source, b.Source),
	)
}

// routeLevel is what labels say about routes, and not about their own instance,
// by key.
func routeLevel(set *labelSet) map[string]string {
	all := map[string]string{}
	for _, l := range set.service {
		if l.local != "service" {
			all[l.local] = l.value
		}
	}
	for _, r := range set.routes {
		front := ""
		if r.name != "" {
			front = r.name + "."
		}
		for _, l := range r.labels {
			if l.key == nil || l.key.scope != scopeInstance {
				all[front+l.local] = l.value
			}
		}
	}
	return all
}

// firstDifference returns the first key, in the alphabet, that is not the same.
func firstDifference(a, b map[string]string) (key string, differs bool) {
	if maps.Equal(a, b) {
		return "", false
	}
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if v, has := b[k]; !has || v != a[k] {
			return k, true
		}
	}
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if _, has := a[k]; !has {
			return k, true
		}
	}
	return "", false
}

func differProblem(pl *plan, in, decider *catalog.Instance, key string, serves bool) route.Problem {
	text := fmt.Sprintf("its labels differ from those of %s, which is newer and decides: %s", printable(decider.Name), printable(prefix+key))
	hint := "give all instances the same labels; this goes away by itself at the end of an update"
	if !serves {
		text += "; this instance gets no requests"
	}
	return pl.problem(pl.originOf(in), "", nil,
		&refusal{route.CodeDiffer, text, hint})
}

// looksLikeKey says whether what stands for the name of a route is rather a
// misspelt key, as in fairway.helth.path: such a route would take a path on every
// host, and nobody meant it to.
func (d *dialect) looksLikeKey(r *routeLabels, dr *draft) bool {
	if r.name == "" || dr.hosts != nil || dr.rule != nil {
		return false
	}
	return d.meantKey(r) != ""
}

// meantKey is the key that the first label of a named route was meant to be, or
// nothing.
func (d *dialect) meantKey(r *routeLabels) (meant string) {
	for word := range d.words {
		key := word + "." + r.labels[0].local
		if d.index[key] != nil && nearest(r.name, []string{word}) != "" && (meant == "" || key < meant) {
			meant = key
		}
	}
	return meant
}

// incomplete explains a route that takes no requests.
func (d *dialect) incomplete(r *routeLabels, set *labelSet) *refusal {
	front := prefix
	if r.name != "" {
		front += r.name + "."
	}
	hint := "add " + front + "host"
	if meant := d.meantKey(r); r.name != "" && meant != "" {
		hint = "did you mean " + prefix + meant + "? Otherwise " + hint
	}
	if r.name == "" && len(set.routes) > 1 {
		named := set.routes[1].name
		hint += ", or write " + prefix + named + "." + r.labels[0].local + " for the route " + named
	}
	text := "the route has no host, path or rule"
	if slices.ContainsFunc(r.labels, func(l label) bool { return l.key != nil && l.key.scope == scopeMatch }) {
		text = "the route has no host or rule"
	}
	return &refusal{route.CodeIncomplete, text, hint}
}

// refusedReason is what requests are told while a route is refused.
func refusedReason(l *label) string { return printable(l.raw) + ": " + l.fault.text }

// routeID is the ID of a route of the service.
func (pl *plan) routeID(name string) string {
	if name == "" {
		return pl.service.ID
	}
	return pl.service.ID + "/" + name
}

// problemRoute is the ID of the route that a problem is about; empty when there
// are no labels of such a route.
func (pl *plan) problemRoute(name string, set *labelSet) string {
	if set.route(name) == nil {
		return ""
	}
	return pl.routeID(name)
}

// problem makes a problem of a refusal.
func (pl *plan) problem(o origin, routeID string, l *label, fault *refusal) route.Problem {
	p := route.Problem{
		Code: fault.code, Source: o.source, Service: pl.service.ID, Instance: o.instance, Route: routeID,
		Text: fault.text, Hint: fault.hint,
	}
	if l != nil {
		p.Label = printable(l.raw)
	}
	return p
}

// capProblems cuts a list of problems and says so in its last one.
func capProblems(list []route.Problem) []route.Problem {
	more := len(list) - maxProblems
	if more <= 0 {
		return list
	}
	last := list[maxProblems]
	last.Route, last.Label, last.Hint = "", "", "mend those that are listed first"
	last.Text = fmt.Sprintf("%d more problems of this service are not listed", more)
	return append(list[:maxProblems:maxProblems], last)
}

// form makes a route and its backend of labels that are all right; again says
// that they are not today's.
func (p planner) form(pl *plan, r *routeLabels, d *draft, o origin, again bool) *form {
	f := newForm(pl, r, d, o)
	if d.filter.RedirectHTTPS != nil {
		d.filter.RedirectHTTPS.Port = p.httpsPort
	}
	f.route.Filters = d.filters()
	f.route.Hold, f.route.Timeout = d.hold, d.timeout
	if d.filter.Redirect != nil {
		return f
	}
	f.said = d.wishes
	b := d.backend
	b.Service = pl.service.ID
	if d.health.Path != "" {
		health := d.health
		b.Health = &health
	}
	if d.tls != (route.TLS{}) {
		tls := d.tls
		b.TLS = &tls
	}
	b.Endpoints, f.problems = pl.endpoints(f.route.ID, r.name, d.wishes, again)
	f.backend = &b
	return f
}

// refusedForm makes the route that answers 503. Labels that are refused are not
// kept in its origin: they may hold secrets in the wrong place.
func refusedForm(pl *plan, r *routeLabels, d *draft, o origin, reason string) *form {
	f := newForm(pl, r, d, o)
	f.route.Refused = reason
	return f
}

// newForm makes what all forms have in common.
func newForm(pl *plan, r *routeLabels, d *draft, o origin) *form {
	f := &form{route: route.Route{
		ID:       pl.routeID(r.name),
		Service:  pl.service.ID,
		Matches:  d.matches(),
		Priority: d.priority,
		Origin:   route.Origin{Source: o.source, Instance: o.instance, Labels: map[string]string{}},
	}}
	for _, l := range r.labels {
		if l.fault == nil {
			f.route.Origin.Labels[l.raw] = l.value
		}
	}
	f.claims = claimsOf(&f.route)
	return f
}

// lastGood makes the form that a candidate had before its labels went bad, from
// the labels that the table before remembers, with the instances of today. It is
// nil when there was none.
func (p planner) lastGood(pl *plan, c *candidate, before *route.Route) *form {
	if before == nil || before.Refused != "" || before.Service != pl.service.ID {
		return nil
	}
	if c.againFrom == before || c.again != nil && c.again.made == before {
		return c.again
	}
	c.againFrom, c.again = before, nil
	set := p.dialect.read(before.Origin.Labels)
	r := set.route(c.name)
	if r == nil {
		return nil
	}
	d, _ := r.read()
	if len(r.faulty()) > 0 || d.matches() == nil {
		return nil
	}
	f := p.form(pl, r, d, origin{before.Origin.Source, before.Origin.Instance}, true)
	f.route.Origin.Stale = true
	c.again = f
	return f
}
