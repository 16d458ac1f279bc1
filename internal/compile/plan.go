package compile

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
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
	wants    []*want // of one dialect after the other; the unnamed route first, then by name
	problems []route.Problem

	// What was made of the plan in the last compile, and of which claimants.
	served   []*claimant
	routes   []*route.Route
	backends []*route.Backend
}

// member is an instance that may serve, with what its own labels say; nil when the
// labels that were read hold for all instances.
type member struct {
	instance *catalog.Instance
	reading  *draft.Reading
}

// want is a route that a service asks for, with what can be made of it.
type want struct {
	plan    *plan
	draft   *draft.Draft
	dialect dialect
	from    origin
	members []member
	// good is the route as its labels want it; nil when they are refused, for reason.
	// refused is the route that answers 503 in its place; nil when it is not known which
	// requests that would take.
	good, refused *claimant
	reason        string
	// again is the last good form, made from the labels of the route againFrom; cover is
	// what it closed in the last compile, see close.
	againFrom    *route.Route
	again, cover *claimant
}

// planner makes plans.
type planner struct {
	Settings
	dialects []dialect
}

func newPlanner(s Settings) planner {
	if s.Unsupported == nil {
		s.Unsupported = func(*route.Route, *route.Backend) string { return "" }
	}
	return planner{s, s.dialects()}
}

// plan reads the labels of a service.
func (p planner) plan(s *catalog.Service) *plan {
	pl := &plan{service: s, idle: isIdle(s)}
	if s.ID == "" || !utf8.ValidString(s.ID) {
		pl.problems = []route.Problem{{
			Code: route.CodeBadValue, Source: chars.Printable(s.Source), Service: chars.Printable(s.ID),
			Text: "the name of the service is empty or not UTF-8", Hint: "give it another name",
		}}
		return pl
	}
	p.misplaced(pl)
	for _, d := range p.dialects {
		p.read(pl, d)
	}
	if p.DockerFlow == nil {
		p.flowIsOff(pl)
	}
	pl.problems = capProblems(pl.problems)
	return pl
}

// isIdle says whether nothing of a service runs, starts or ran a moment ago.
func isIdle(s *catalog.Service) bool {
	return !s.RanLately && !slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return in.State != catalog.StateStopped })
}

// read reads the labels of one dialect.
func (p planner) read(pl *plan, by dialect) {
	reading, from, members := choose(pl, by)
	if reading == nil {
		return
	}
	for _, f := range reading.Problems {
		id := ""
		if !f.OfService {
			id = pl.routeID(f.Route)
		}
		pl.problems = append(pl.problems, pl.problem(from, id, f.Label, f.Refusal))
	}
	var open []*claimant
	first := len(pl.wants)
	for _, d := range reading.Drafts {
		w := &want{plan: pl, draft: d, dialect: by, from: from, members: members, reason: d.Refused}
		p.build(w)
		pl.wants = append(pl.wants, w)
		if w.refused != nil && d.OpenPriority {
			open = append(open, w.refused)
		}
	}
	for _, c := range open { // nothing of the service goes before them
		for _, w := range pl.wants[first:] {
			if w.good != nil {
				c.route.Priority = max(c.route.Priority, w.good.route.Priority)
			}
		}
	}
}

// routeID is the ID of a route of the service.
func (pl *plan) routeID(name string) string {
	if name == "" {
		return pl.service.ID
	}
	return pl.service.ID + "/" + name
}

// problem makes a problem of a refusal. label is the key as it was written; empty
// when no single label is at fault.
func (pl *plan) problem(o origin, routeID, label string, fault *draft.Refusal) route.Problem {
	return route.Problem{
		Code: fault.Code, Source: o.source, Service: pl.service.ID, Instance: o.instance, Route: routeID,
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
