package compile

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"unicode/utf8"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/draft"
	"fairway/internal/owners"
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
	idle     bool
	asks     []*claimant // of one dialect after the other; the unnamed route first, then by name
	problems []route.Problem
	uses     []draft.Use    // of definitions of other services
	rights   *owners.Rights // what the owner may claim; nil for everything

	// mine are the claimants of this compile. The others are what was made of the plan
	// in the last one, and of which of them.
	mine, served []*claimant
	routes       []*route.Route
	backends     []*route.Backend
}

// asked is what a dialect has read in the labels of a service.
type asked struct {
	dialect dialect
	reading *draft.Reading // nil once the claimants are made
	origin  route.Origin   // of the labels that count, without them; without an instance when they are the service's own
	members []member
	again   bool // the labels are those of an earlier day
}

// member is an instance that may serve, with how it is reached for each route by its own
// labels; nil when the labels that count hold for all instances.
type member struct {
	instance *catalog.Instance
	own      []draft.Own
}

type planner struct {
	Settings
	dialects []dialect         // of which one service may have several
	others   []other           // of which it has one
	machines map[string]string // names of nodes by ID, where records of owners ask for them
}

func (p planner) plan(s *catalog.Service) *plan {
	pl := &plan{service: s, idle: isIdle(s)}
	if p.Owners != nil {
		pl.rights = p.Owners.Of(owners.WhoHas(s, p.machines))
	}
	if s.ID == "" || !utf8.ValidString(s.ID) {
		pl.problems = []route.Problem{{
			Code: route.CodeBadValue, Source: chars.Printable(s.Source), Service: chars.Printable(s.ID),
			Text: "the name of the service is empty or not UTF-8", Hint: "give it another name",
		}}
		return pl
	}
	p.misplaced(pl)
	if s.Holder != "" {
		pl.problems = append(pl.problems, strangerProblem(pl))
	}
	chosen := p.own(pl)
	if p.DockerFlow == nil {
		p.flowIsOff(pl)
	}
	p.foreign(pl, chosen)
	pl.problems = capProblems(pl.problems)
	return pl
}

// own reads the labels of Fairway, and those of Docker Flow unless a dialect of another proxy
// is chosen. It returns the one that is.
func (p planner) own(pl *plan) dialect {
	asks := make([]*asked, len(p.dialects))
	for i, d := range p.dialects {
		asks[i] = choose(pl, d)
	}
	chosen := p.chosen(pl.service, p.DockerFlow != nil && asks[1] != nil)
	for i, a := range asks {
		switch {
		case a == nil:
		case i > 0 && chosen != nil && chosen != a.dialect && !pl.service.DecidesItself():
			p.notRead(pl, a.dialect, route.CodeIgnored, "it goes by those of "+chosen.Title(), "put "+a.dialect.Name()+" first in dialects to go by them")
		default:
			p.ask(pl, a)
		}
	}
	return chosen
}

// strangerProblem says that another owner has the name that instances give their service.
func strangerProblem(pl *plan) route.Problem {
	s := pl.service
	of := func(owner string) string {
		if owner == catalog.NoOwner {
			return "containers without a Compose project"
		}
		return "the Compose project " + chars.Printable(owner)
	}
	name, other := chars.Printable(s.Name), ""
	if s.Holder == s.Owner {
		other = ", for which another record of owners is"
	}
	return pl.problem(route.Origin{Source: chars.Printable(s.Source)}, "", catalog.ServiceLabel, draft.Refuse(
		route.CodeNameTaken,
		fmt.Sprintf("the service %s is of %s%s; the instances of %s are no part of it, but the service %s", name, of(s.Holder), other, of(s.Owner), chars.Printable(s.ID)),
		"choose another name; or, if both are to be one service, allow that with shared-services: "+name,
	))
}

// isIdle says whether nothing of a service runs, starts or ran a moment ago.
func isIdle(s *catalog.Service) bool {
	return !s.RanLately && !slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return in.State != catalog.StateStopped })
}

// ask adds what a dialect has read to the plan.
func (p planner) ask(pl *plan, a *asked) {
	for _, f := range a.reading.Problems {
		id := ""
		if !f.OfService {
			id = pl.routeID(f.Route)
		}
		pl.problems = append(pl.problems, pl.problem(a.origin, id, f.Label, f.Refusal))
	}
	first, highest := len(pl.asks), -draft.MaxPriority
	for _, d := range a.reading.Drafts {
		c := p.build(pl, a, d)
		if pl.asks = append(pl.asks, c); c.route.Refused == "" {
			highest = max(highest, c.route.Priority)
		}
	}
	for _, c := range pl.asks[first:] {
		if c.route.Refused != "" && c.draft.OpenPriority { // nothing of the service goes before it
			c.route.Priority = max(c.route.Priority, highest)
		}
	}
	pl.uses = append(pl.uses, a.reading.Uses...)
	a.reading = nil // the plan is kept, and the claimants have what is needed of it
}

func (pl *plan) routeID(name string) string {
	if name == "" {
		return pl.service.ID
	}
	return pl.service.ID + "/" + name
}

// problem makes a problem of a refusal. label is the key as it was written; empty
// when no single label is at fault.
func (pl *plan) problem(o route.Origin, routeID, label string, fault *draft.Refusal) route.Problem {
	return route.Problem{
		Code: fault.Code, Source: o.Source, Service: pl.service.ID, Instance: o.Instance, Route: routeID,
		Label: chars.Printable(label), Text: fault.Text, Hint: fault.Hint,
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

// originOf is where the labels of an instance of the plan are from.
func (pl *plan) originOf(in *catalog.Instance) route.Origin {
	return route.Origin{Source: chars.Printable(cmp.Or(in.Source, pl.service.Source)), Instance: chars.Printable(in.Name)}
}

// choose reads the labels of a dialect that count: the service's own, or else those of
// the newest instance. It returns nil when the service asks for nothing.
func choose(pl *plan, by dialect) *asked {
	s := pl.service
	a := &asked{dialect: by, origin: route.Origin{Source: chars.Printable(s.Source)}}
	if own := s.Declared(); have(own, by) || s.OwnLabels && readsAll(by) {
		a.reading = new(by.Read(s, own))
		a.members = make([]member, 0, len(s.Instances))
		for _, in := range s.Instances {
			a.members = append(a.members, member{in, nil})
		}
	} else if decider := decidingInstance(s, by); decider != nil && !s.OwnLabels {
		a.reading, a.origin = new(by.Read(s, decider.Declared())), pl.originOf(decider)
		a.compare(pl, decider)
	}
	if a.reading == nil || !a.reading.Wanted {
		return nil
	}
	return a
}

// compare reads the labels of all instances, and notes which of them may serve.
func (a *asked) compare(pl *plan, decider *catalog.Instance) {
	a.members = make([]member, 0, len(pl.service.Instances)) // they are kept
	for _, in := range pl.service.Instances {
		theirs := *a.reading
		if in != decider {
			theirs = a.dialect.Read(pl.service, in.Declared())
		}
		serves := theirs.Wanted && a.reading.Wanted
		if serves {
			own := theirs.Own
			if reflect.DeepEqual(own, a.reading.Own) {
				own = a.reading.Own // held once
			}
			a.members = append(a.members, member{in, own})
		}
		if key, differs := firstDifference(a.reading.Says, theirs.Says); differs && in.Runs() && (a.reading.Wanted || theirs.Wanted) {
			pl.problems = append(pl.problems, differProblem(pl, in, decider, key, serves))
		}
	}
}

// decidingInstance returns the instance whose labels count: the newest of those
// that are best off. It is nil when none has a label of the dialect.
func decidingInstance(s *catalog.Service, by dialect) *catalog.Instance {
	if !readsAll(by) && !slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return have(in.Declared(), by) }) {
		return nil
	}
	return s.Newest()
}

// misplaced reports labels of instances that have no effect because those of the
// service count, as in Swarm; once for a service.
func (p planner) misplaced(pl *plan) {
	if !pl.service.OwnLabels {
		return
	}
	for _, in := range pl.service.Instances {
		for _, key := range slices.Sorted(maps.Keys(in.Labels)) {
			code := p.codeOf(key)
			if code == "" {
				continue
			}
			pl.problems = append(pl.problems, pl.problem(pl.originOf(in), "", key, draft.Refuse(
				code, "labels of containers are not read in Swarm, where they belong to the service",
				"in a stack file write them under deploy.labels, or run: docker service update --label-add "+chars.Printable(key)+"=… "+chars.Printable(pl.service.Name),
			)))
			return
		}
	}
}

// firstDifference returns the first key that is not the same: those of a in the
// alphabet, then those of b.
func firstDifference(a, b map[string]string) (key string, differs bool) {
	for _, k := range slices.Concat(slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b))) {
		x, inA := a[k]
		y, inB := b[k]
		if inA != inB || x != y {
			return k, true
		}
	}
	return "", false
}

func differProblem(pl *plan, in, decider *catalog.Instance, key string, serves bool) route.Problem {
	text := fmt.Sprintf("its labels differ from those of %s, which is newer and decides: %s", chars.Printable(decider.Name), chars.Printable(key))
	if !serves {
		text += "; this instance gets no requests"
	}
	hint := "give all instances the same labels; this goes away by itself at the end of an update"
	return pl.problem(pl.originOf(in), "", "", draft.Refuse(route.CodeDiffer, text, hint))
}

// flowIsOff reports labels of Docker Flow that ask for something while they are not
// read, once for a service that runs. One that has labels of Fairway goes by those.
func (p planner) flowIsOff(pl *plan) {
	s := pl.service
	runs := false
	for _, in := range s.Instances {
		if catalog.HaveLabels(in.Labels, catalog.LabelPrefix) {
			return
		}
		runs = runs || in.Runs()
	}
	if !runs || catalog.HaveLabels(s.Labels, catalog.LabelPrefix) {
		return
	}
	a := choose(&plan{service: s}, dockerflow.New(dockerflow.Options{}, p.ports(), nil))
	if a == nil {
		return
	}
	key := slices.Min(slices.Collect(maps.Keys(a.reading.Says)))
	pl.problems = append(pl.problems, pl.problem(a.origin, "", key, draft.Refuse(
		route.CodeUnsupported, "labels of Docker Flow are not read", hintFlowIsOff,
	)))
}

// hintFlowIsOff says how labels of Docker Flow are read.
const hintFlowIsOff = "set dockerflow.labels to true (--dockerflow.labels), write labels of Fairway, or take these off"
