// Package compile turns what exists into what is to be served: a catalog.Snapshot into
// a route.Table. It is deterministic: the same snapshot, table before and answers of
// Settings make the same table. Those answers are the one way in for what only an engine
// knows; engines give them from what they have found out, with a bounded wait. It never
// fails; what it must refuse becomes a route.Problem that names the label at fault and
// says what to do.
//
// The order of things:
//
//  1. The labels of each service are read into a plan: the routes it asks for,
//     with their endpoints (plan.go, address.go). Each dialect reads its own
//     labels: native.go and labels.go those of Fairway, dockerflow*.go those of
//     Docker Flow; a service may use both.
//  2. A route whose labels are refused takes its last good form, which the table
//     before remembers; else it is kept as refused, so that nothing wider serves
//     what it was meant to protect (docs/decisions/003-refused-routes.md).
//  3. Routes that ask for the same requests contest them; the incumbent wins
//     (claims.go, docs/decisions/004-claims.md).
//  4. What is left is put into a table. Routes and backends that say the same as
//     in the table before are the same pointers.
package compile

import (
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// Settings are what a table needs besides the snapshot.
type Settings struct {
	// Listeners go into every table, those with TLS with the certificates of the
	// snapshot behind their own, and not without any. Their names are unique.
	Listeners []route.Listener
	// HTTPSPort is the port that redirects to https name; zero names none, which
	// means 443.
	HTTPSPort uint16
	// TCPPorts are the ports that labels may open for connections that are passed
	// through. The ports of Listeners with TCP may be used in any case.
	TCPPorts []PortRange
	// Reserved are ports that labels may never open, each with the configuration
	// key that has it.
	Reserved map[uint16]string
	// DockerFlow says how labels that begin with com.df. are read; nil ignores
	// them.
	DockerFlow *DockerFlow
	// Unsupported says why the engine cannot serve a route as its table means it,
	// in a short phrase such as "PCRE reads (?U) differently"; empty when it can.
	// The backend is nil for a route without one; the claim of the route and the
	// ID of the backend are not known yet. It gives the same answer each time, as long
	// as Answers does. A nil function means that the engine can serve everything.
	Unsupported func(*route.Route, *route.Backend) string
	// Answers counts how often Unsupported has got another answer than before; nil
	// means never.
	Answers func() uint64
	// UserDirs are the directories below which labels may name user files. Engines
	// have the last word; nil refuses nothing here.
	UserDirs []string
	// UserFile reports what is known to be wrong with the user file of a filter: why
	// it cannot be read, or which of its lines let nobody in. It does not wait for the
	// file. A nil function knows of nothing.
	UserFile func(*route.BasicAuth) (unreadable string, faults []string)
}

// Compiler turns snapshots into tables. It remembers what it made of each
// service, by pointer, so that a change costs what changed; results never depend
// on that memory. One goroutine may use it at a time.
type Compiler struct {
	settings  Settings
	listeners []route.Listener // of the settings, with the certificates of the last snapshot
	planner   planner
	plans     map[string]*plan // by service ID, of the last snapshot
	answers   uint64           // of Settings.Answers, when they were made
}

// New returns a compiler.
func New(s Settings) *Compiler {
	return &Compiler{settings: s, planner: newPlanner(s)}
}

// Compile makes the table of a snapshot. previous is the table compiled before,
// or restored from the last run, or nil: claims and last good forms of routes are
// handed down from it. It never fails. Of services with the same ID the first
// counts.
func (c *Compiler) Compile(s *catalog.Snapshot, previous *route.Table) *route.Table {
	if previous == nil {
		previous = &route.Table{}
	}
	c.listeners = WithCertificates(c.settings.Listeners, s.Certificates)
	if c.settings.Answers != nil {
		if now := c.settings.Answers(); now != c.answers {
			c.answers, c.plans = now, nil
		}
	}
	plans := make(map[string]*plan, len(s.Services))
	var (
		contestants = make([]contestant, 0, len(s.Services))
		problems    []route.Problem
	)
	for _, service := range s.Services {
		if plans[service.ID] != nil {
			continue
		}
		pl := c.plans[service.ID]
		if pl == nil || pl.service != service {
			pl = c.planner.plan(service)
		}
		plans[service.ID] = pl
		problems = append(problems, pl.problems...)
		contestants = c.enter(contestants, pl, previous)
	}
	c.plans = plans

	var newest uint64
	for _, r := range previous.Routes {
		newest = max(newest, r.Claim)
	}
	contest(contestants, newest)

	var (
		routes   = make([]*route.Route, 0, len(contestants))
		backends = make([]*route.Backend, 0, len(contestants))
	)
	for start, end := 0, 0; start < len(contestants); start = end {
		pl := contestants[start].plan
		for end = start; end < len(contestants) && contestants[end].plan == pl; end++ {
		}
		mine := contestants[start:end]
		problems = append(problems, outcomeProblems(mine)...)
		pl.make(mine, previous)
		routes = append(routes, pl.routes...)
		backends = append(backends, pl.backends...)
		for _, r := range pl.routes {
			problems = append(problems, c.planner.userFileProblems(r)...)
		}
	}
	return c.table(s.Revision, routes, backends, problems)
}

// enter adds the routes that a plan wants in the table, each in the form in which
// it can be served.
func (c *Compiler) enter(list []contestant, pl *plan, previous *route.Table) []contestant {
	start := len(list)
	var hidden []*candidate
	for _, want := range pl.candidates {
		f := want.good
		if f == nil {
			f = c.planner.lastGood(pl, want, pl.before(want, previous))
		}
		if f == nil {
			f = want.refused
		}
		if f == nil && want.unread != nil {
			hidden = append(hidden, want)
		} else if f != nil {
			list = append(list, contestant{plan: pl, form: f, before: pl.before(want, previous)})
		}
	}
	for _, h := range hidden {
		if cover := h.close(pl, list[start:]); cover != nil {
			list = append(list, contestant{plan: pl, form: cover, before: pl.before(h, previous)})
		}
	}
	for i := start; i < len(list); i++ {
		x := &list[i]
		x.kept = x.before != nil && (x.before == x.form.made || slices.Equal(claimsOf(x.before), x.form.claims))
	}
	return list
}

// before returns the route of a candidate in the table before; nil for none.
func (pl *plan) before(c *candidate, previous *route.Table) *route.Route {
	r := previous.Route(pl.routeID(c.name))
	if r == nil || r.Service != pl.service.ID {
		return nil
	}
	return r
}

// outcomeProblems are the problems that only show once it is known which forms
// are served: those of instances, each told once for all routes of the service,
// and lost contests.
func outcomeProblems(mine []contestant) []route.Problem {
	var (
		list []route.Problem
		told map[route.Problem]bool
	)
	for i := range mine {
		if mine[i].winner != nil && !mine[i].joins() {
			list = append(list, mine[i].conflict())
			continue
		}
		for _, p := range mine[i].form.problems {
			same := p
			same.Route = ""
			if told[same] {
				continue
			}
			if told == nil {
				told = map[route.Problem]bool{}
			}
			told[same] = true
			list = append(list, p)
		}
	}
	return capProblems(list)
}

// make fills in the routes and backends of the plan that are in the table. They
// stay the same pointers while they say the same.
func (pl *plan) make(mine []contestant, previous *route.Table) {
	survivors := make([]survivor, 0, len(mine))
	for i := range mine {
		if mine[i].winner == nil {
			survivors = append(survivors, survivor{mine[i].form, mine[i].members, mine[i].number})
		}
	}
	if pl.survivors != nil && slices.EqualFunc(survivors, pl.survivors, survivor.equal) {
		return
	}
	pl.survivors, pl.routes, pl.backends = survivors, nil, nil
	wanted := wantedBackends(survivors)
	shared := map[string]*route.Backend{}
	for i, s := range survivors {
		r := s.form.route
		r.Claim = s.number
		if wanted[i] != nil {
			r.Backend = pl.backend(r.ID, wanted[i], shared, previous).ID
		}
		made := &r
		before := previous.Route(r.ID)
		if before != nil && before.Text() == r.Text() && maps.Equal(before.Origin.Labels, r.Origin.Labels) {
			made = before
		}
		s.form.made = made
		pl.routes = append(pl.routes, made)
	}
}

// table puts everything together. Should a service break a rule of tables that
// its labels were not checked for, it is left out and named, so that the others
// are served all the same.
func (c *Compiler) table(revision uint64, routes []*route.Route, backends []*route.Backend, problems []route.Problem) *route.Table {
	listeners := func() []route.Listener {
		return append(slices.Clone(c.listeners), opened(c.settings.Listeners, routes)...)
	}
	t, err := route.New(revision, listeners(), routes, backends, problems)
	if err == nil {
		return t
	}
	byService := map[string]*plan{}
	for _, r := range routes {
		byService[r.Service] = c.plans[r.Service]
	}
	for _, id := range slices.Sorted(maps.Keys(byService)) {
		pl := byService[id]
		if _, err := route.New(revision, listeners(), pl.routes, pl.backends, nil); err == nil {
			continue
		} else {
			problems = append(problems, pl.problem(origin{source: printable(pl.service.Source)}, "", "",
				&refusal{route.CodeUnsupported, printable("the routes of this service fit into no table: " + err.Error()), ""}))
		}
		routes = slices.DeleteFunc(routes, func(r *route.Route) bool { return r.Service == id })
		backends = slices.DeleteFunc(backends, func(b *route.Backend) bool { return b.Service == id })
	}
	if t, err = route.New(revision, listeners(), routes, backends, problems); err == nil {
		return t
	}
	// Only the listeners are left to be at fault, and whoever wires the program
	// has checked them.
	text := printable("the table could not be made: " + err.Error())
	t, _ = route.New(revision, nil, nil, nil, append(problems, route.Problem{Code: route.CodeUnsupported, Text: strings.TrimSpace(text)}))
	return t
}
