package compile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"fairway/internal/catalog"
	"fairway/internal/nearest"
	"fairway/internal/route"
)

// maxProblems is how many problems one service may have in a table. What is
// beyond is counted in one more problem, so that no label set fills a table.
const maxProblems = 100

// plan is what one service asks for. It is a function of the service alone, so
// it is kept as long as the service is the same pointer.
type plan struct {
	service *catalog.Service
	// idle is true while nothing of the service runs or starts: then its claims are
	// worth nothing to others.
	idle       bool
	candidates []*candidate // of one dialect after the other; the unnamed route first, then by name
	problems   []route.Problem

	// What was made of the plan in the last compile, and of which survivors.
	survivors []survivor
	routes    []*route.Route
	backends  []*route.Backend
}

// member is an instance that may serve, with the labels it brings itself; nil
// when the labels that were read hold for all instances.
type member struct {
	instance *catalog.Instance
	labels   *labelSet
}

// asked is a route as a dialect reads it out of labels.
type asked struct {
	name    string
	draft   *draft
	from    origin
	members []member
	// matchKnown says whether everything that says which requests the route
	// takes could be read.
	matchKnown bool
	// unread is set when they could not, of a route that decides who may ask.
	unread *unread
	// label is the one that first says what is taken; labels are those that the
	// route can be made from again.
	label  string
	labels map[string]string
}

// candidate is a route that a service asks for.
type candidate struct {
	name    string
	members []member
	// good is the route as its labels want it; nil when they are refused.
	good *form
	// refused is the route that answers 503 in the place of good, and nil when
	// it is not known which requests that would take.
	refused *form
	// unread is what is known of it, when not even that is; nil for a route that
	// lets everybody in.
	unread *unread

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
	label   string         // the label that first says what is taken
	rank    string         // decides between Docker Flow's services; see favoured
	group   string         // of Docker Flow's services that share a backend; see joins
	// problems are those of the instances; they count when the form is used.
	problems []route.Problem

	// made is the route of the last compile, as it went into the table; closed is the
	// form that took its place last, see closedBy.
	made   *route.Route
	closed *form
}

// planner makes plans.
type planner struct {
	dialect *dialect
	flow    *flow // nil: labels of Docker Flow are ignored
	ports   *ports
	// httpsPort is the port that redirect-https names; zero for none.
	httpsPort uint16
	// unsupported is that of the settings; never nil.
	unsupported func(*route.Route, *route.Backend) string
	userDirs    []string
	userFile    func(*route.BasicAuth) (unreadable string, faults []string)
}

func newPlanner(s Settings) planner {
	p := planner{dialect: newDialect(), ports: newPorts(s), httpsPort: s.HTTPSPort, unsupported: s.Unsupported, userDirs: s.UserDirs, userFile: s.UserFile}
	if p.unsupported == nil {
		p.unsupported = func(*route.Route, *route.Backend) string { return "" }
	}
	if s.DockerFlow != nil {
		p.flow = newFlow(*s.DockerFlow, p.ports)
	}
	return p
}

// plan reads the labels of a service.
func (p planner) plan(s *catalog.Service) *plan {
	pl := &plan{service: s, idle: isIdle(s)}
	if s.ID == "" || !utf8.ValidString(s.ID) {
		pl.problems = []route.Problem{{
			Code: route.CodeBadValue, Source: printable(s.Source), Service: printable(s.ID),
			Text: "the name of the service is empty or not UTF-8", Hint: "give it another name",
		}}
		return pl
	}
	p.misplaced(pl)
	p.planNative(pl)
	if p.flow != nil {
		p.planFlow(pl)
	} else {
		p.flowIsOff(pl)
	}
	pl.problems = capProblems(pl.problems)
	return pl
}

// isIdle says whether nothing of a service runs, starts or ran a moment ago.
func isIdle(s *catalog.Service) bool {
	return !s.RanLately && !slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return in.State != catalog.StateStopped })
}

// planNative reads the labels of Fairway.
func (p planner) planNative(pl *plan) {
	set, from, members := p.decide(pl)
	if set == nil {
		return
	}
	problem := func(routeName string, l *label, fault *refusal) {
		raw := ""
		if l != nil {
			raw = l.raw
		}
		pl.problems = append(pl.problems, pl.problem(from, pl.problemRoute(routeName, set), raw, fault))
	}
	disabled := ""
	for i := range set.service {
		if l := &set.service[i]; l.fault != nil {
			problem("", l, l.fault)
			disabled = refusedReason(l.raw, l.fault)
		}
	}
	if len(set.routes) == 0 && disabled == "" {
		problem("", nil, &refusal{route.CodeIncomplete, "no label says which requests are taken", "add a label such as " + prefix + "host"})
	}
	var unranked []*form
	for i := range set.routes {
		r := &set.routes[i]
		d, matchKnown := r.read(p)
		reason := disabled
		for _, l := range r.faulty() {
			problem(r.name, &l, l.fault)
			reason = cmp.Or(reason, refusedReason(l.raw, l.fault))
		}
		misspelt := p.dialect.looksLikeKey(r, d)
		a := r.asked(d, matchKnown && !misspelt, from, members)
		if !a.matchKnown {
			a.unread = r.unread(d)
		}
		if reason == "" && (d.matches() == nil || misspelt) {
			fault := p.dialect.incomplete(r, set)
			problem(r.name, nil, fault)
			if a.unread == nil {
				continue
			}
			reason = fault.text
		}
		p.candidate(pl, a, reason)
		if c := pl.candidates[len(pl.candidates)-1]; c.refused != nil && slices.ContainsFunc(r.faulty(), func(l label) bool { return l.local == "priority" }) {
			unranked = append(unranked, c.refused)
		}
	}
	for _, f := range unranked { // nothing of the service goes before them
		for _, c := range pl.candidates {
			if c.good != nil {
				f.route.Priority = max(f.route.Priority, c.good.route.Priority)
			}
		}
	}
}

// candidate adds a route to the plan: as it is asked for, or refused for a reason.
func (p planner) candidate(pl *plan, a asked, reason string) {
	c := &candidate{name: a.name, members: a.members}
	if reason == "" {
		c.good = p.form(pl, a, false)
		if why := p.unserved(c.good); why != "" {
			c.good, reason = nil, p.refuseUnserved(pl, a, why)
		}
	}
	switch {
	case c.good != nil:
	case a.matchKnown:
		c.refused = refusedForm(pl, a, reason)
	case a.unread != nil:
		c.unread = a.unread
		c.unread.id, c.unread.label, c.unread.reason = pl.routeID(a.name), printable(a.label), reason
		c.unread.origin = route.Origin{Source: a.from.source, Instance: a.from.instance, Labels: a.labels}
		c.unread.priority = a.draft.priority
	}
	pl.candidates = append(pl.candidates, c)
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
		if d.index[key] != nil && nearest.Word(r.name, []string{word}) != "" && (meant == "" || key < meant) {
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
	if slices.ContainsFunc(r.labels, func(l label) bool { return l.key != nil && strings.HasPrefix(l.key.name, "path") }) {
		text = "the route has no host or rule"
	}
	return &refusal{route.CodeIncomplete, text, hint}
}

// refusedReason is what requests are told while a route is refused.
func refusedReason(label string, fault *refusal) string { return printable(label) + ": " + fault.text }

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

// problem makes a problem of a refusal. label is the key as it was written; empty
// when no single label is at fault.
func (pl *plan) problem(o origin, routeID, label string, fault *refusal) route.Problem {
	return route.Problem{
		Code: fault.code, Source: o.source, Service: pl.service.ID, Instance: o.instance, Route: routeID,
		Label: printable(label), Text: fault.text, Hint: fault.hint,
	}
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
