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
	asks     []*claimant // of one dialect after the other; the unnamed route first, then by name
	problems []route.Problem

	// mine are the claimants of this compile. The others are what was made of the plan
	// in the last one, and of which of them.
	mine, served []*claimant
	routes       []*route.Route
	backends     []*route.Backend
}

// asked is what a dialect has read in the labels of a service.
type asked struct {
	dialect dialect
	reading draft.Reading
	origin  route.Origin // of the labels that count, without them; without an instance when they are the service's own
	members []member
	again   bool // the labels are those of an earlier day
}

// member is an instance that may serve, with how it is reached by its own labels, by
// route; nil when the labels that count hold for all instances.
type member struct {
	instance *catalog.Instance
	own      map[string]draft.Own
}

type planner struct {
	Settings
	dialects []dialect
}

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
		if a := choose(pl, d); a != nil {
			p.ask(pl, a)
		}
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

// ask adds what a dialect has read to the plan.
func (p planner) ask(pl *plan, a *asked) {
	for _, f := range a.reading.Problems {
		id := ""
		if !f.OfService {
			id = pl.routeID(f.Route)
		}
		pl.problems = append(pl.problems, pl.problem(a.origin, id, f.Label, f.Refusal))
	}
	first, highest := len(pl.asks), 0
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
