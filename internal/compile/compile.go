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
//     with their endpoints (plan.go, decide.go, endpoints.go). Each dialect reads its
//     own labels, in a package of its own; a service may use several.
//  2. A route whose labels are refused takes its last good form, which the table
//     before remembers; else it is kept as refused, so that nothing wider serves
//     what it was meant to protect (docs/decisions/003-refused-routes.md).
//  3. Routes that ask for the same requests contest them; the incumbent wins
//     (claims.go, docs/decisions/004-claims.md).
//  4. What is left is put into a table. Routes and backends that say the same as
//     in the table before are the same pointers.
package compile

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/native"
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
	DockerFlow *dockerflow.Options
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
	// it cannot be read, or which of its lines let no user in. It does not wait for the
	// file. A nil function knows of nothing.
	UserFile func(*route.BasicAuth) (unreadable string, faults []string)
}

// PortRange is a range of ports, First and Last included.
type PortRange = draft.PortRange

// FlowSecrets is where Docker mounts secrets, among them the user files of Docker Flow.
const FlowSecrets = dockerflow.SecretsDir

// dialect reads labels of one kind. Its methods are pure.
type dialect interface {
	// Prefix begins its labels, in lower case.
	Prefix() string
	// Read reads the labels of a service, which are its own or those of an instance.
	// Routes of no two dialects have the same name. What a draft remembers makes the same
	// draft again.
	Read(s *catalog.Service, labels map[string]string) draft.Reading
	// Shown returns what may be shown of the value of one of its labels.
	Shown(key, value string) string
}

// dialects are the kinds of labels that are read: Fairway's own first.
func (s Settings) dialects() []dialect {
	ports := s.ports()
	list := []dialect{native.New(ports, s.UserDirs)}
	if s.DockerFlow != nil {
		list = append(list, dockerflow.New(*s.DockerFlow, ports.Named(s.Listeners, s.DockerFlow.Ports)))
	}
	return list
}

// ports are those of the listeners, and those that labels may open.
func (s Settings) ports() *draft.Ports { return draft.NewPorts(s.Listeners, s.TCPPorts, s.Reserved) }

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
	var (
		plans     = make(map[string]*plan, len(s.Services))
		inOrder   = make([]*plan, 0, len(s.Services))
		claimants = make([]*claimant, 0, len(s.Services))
		problems  []route.Problem
		routes    = make([]*route.Route, 0, len(s.Services))
		backends  = make([]*route.Backend, 0, len(s.Services))
		newest    uint64
	)
	for _, service := range s.Services {
		if plans[service.ID] != nil {
			continue
		}
		pl := c.plans[service.ID]
		if pl == nil || pl.service != service {
			pl = c.planner.plan(service)
		}
		plans[service.ID], inOrder = pl, append(inOrder, pl)
		problems = append(problems, pl.problems...)
		c.planner.enter(pl, previous)
		claimants = append(claimants, pl.mine...)
	}
	c.plans = plans

	for _, r := range previous.Routes {
		newest = max(newest, r.Claim)
	}
	decide(claimants, newest)

	for _, pl := range inOrder {
		problems = append(problems, outcomeProblems(pl.mine)...)
		pl.make(previous)
		routes = append(routes, pl.routes...)
		backends = append(backends, pl.backends...)
		for i, r := range pl.routes {
			problems = append(problems, c.planner.userFileProblems(r, pl.served[i].draft.UserLabel)...)
		}
	}
	return c.table(s.Revision, routes, backends, problems)
}

// enter finds the form in which each route that a plan asks for can be served.
func (p planner) enter(pl *plan, previous *route.Table) {
	var hidden []*claimant
	pl.mine = nil
	for _, c := range pl.asks {
		form := c
		if c.route.Refused != "" {
			form = cmp.Or(p.lastGood(c, pl.before(c, previous)), c)
		}
		switch {
		case form.route.Refused == "" || c.draft.MatchKnown:
			pl.mine = append(pl.mine, form)
		case c.draft.Unread != nil:
			hidden = append(hidden, c)
		}
	}
	for _, c := range hidden {
		if cover := c.close(pl.mine); cover != nil {
			pl.mine = append(pl.mine, cover)
		}
	}
	for _, c := range pl.mine {
		c.contest = contest{before: pl.before(c, previous)}
		switch {
		case c.before == nil:
		case c.before == c.made:
			c.had, c.kept = c.claims, true
		default:
			c.had = claimsOf(c.before)
			c.kept = slices.Equal(c.had, c.claims)
		}
	}
}

// before returns the route of a claimant in the table before; nil for none.
func (pl *plan) before(c *claimant, previous *route.Table) *route.Route {
	r := previous.Route(c.route.ID)
	if r == nil || r.Service != pl.service.ID {
		return nil
	}
	return r
}

// outcomeProblems are the problems that only show once it is known which forms
// are served: those of instances, each once for all routes of the service,
// and lost contests.
func outcomeProblems(mine []*claimant) []route.Problem {
	var list []route.Problem
	seen := map[route.Problem]bool{}
	for _, c := range mine {
		if c.winner != nil && !c.joins() {
			list = append(list, c.conflict())
			continue
		}
		for _, p := range c.problems {
			same := p
			same.Route = ""
			if !seen[same] {
				seen[same] = true
				list = append(list, p)
			}
		}
	}
	return capProblems(list)
}

// make fills in the routes and backends of the plan that are in the table. They
// stay the same pointers while they say the same.
func (pl *plan) make(previous *route.Table) {
	served := slices.DeleteFunc(slices.Clone(pl.mine), func(c *claimant) bool { return c.winner != nil })
	changed := func(c *claimant) bool { return c.made == nil || c.made.Claim != c.number || len(c.members) > 0 }
	if slices.Equal(served, pl.served) && !slices.ContainsFunc(served, changed) {
		return
	}
	pl.served, pl.routes, pl.backends = served, nil, nil
	wanted := wantedBackends(served)
	shared := map[string]*route.Backend{}
	for i, c := range served {
		r := c.route
		r.Claim = c.number
		if wanted[i] != nil {
			r.Backend = pl.backend(r.ID, wanted[i], shared, previous).ID
		}
		made := &r
		before := previous.Route(r.ID)
		if before != nil && before.Text() == r.Text() && maps.Equal(before.Origin.Labels, r.Origin.Labels) {
			made = before
		}
		if c.made = made; len(c.members) > 0 {
			c.made = nil
		}
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
	for _, id := range slices.Sorted(maps.Keys(c.plans)) {
		pl := c.plans[id]
		_, err := route.New(revision, listeners(), pl.routes, pl.backends, nil)
		if err == nil {
			continue
		}
		problems = append(problems, pl.problem(route.Origin{Source: chars.Printable(pl.service.Source)}, "", "",
			draft.Refuse(route.CodeUnsupported, chars.Printable("the routes of this service fit into no table: "+err.Error()), "")))
		routes = slices.DeleteFunc(routes, func(r *route.Route) bool { return r.Service == id })
		backends = slices.DeleteFunc(backends, func(b *route.Backend) bool { return b.Service == id })
	}
	if t, err = route.New(revision, listeners(), routes, backends, problems); err == nil {
		return t
	}
	// Only the listeners are left to be at fault, and the program has checked them at
	// start.
	text := chars.Printable("the table could not be made: " + err.Error())
	t, _ = route.New(revision, nil, nil, nil, append(problems, route.Problem{Code: route.CodeUnsupported, Text: strings.TrimSpace(text)}))
	return t
}
