// Package compile turns what exists into what is to be served: a catalog.Snapshot into
// a route.Table. The same snapshot, table before and answers of Settings make the same
// table; those answers are the one way in for what only an engine knows. It never fails:
// what it must refuse becomes a route.Problem.
//
//  1. Dialects read the labels of each service into a plan: the routes it asks for,
//     with their endpoints (plan.go, build.go, endpoints.go).
//     What its owner may not claim is refused (rights.go, docs/decisions/018-owners.md).
//  2. A route whose labels are refused takes its last good form; else it is kept as
//     refused, so that nothing wider serves what it was meant to protect
//     (docs/decisions/003-refused-routes.md).
//  3. Routes that ask for the same requests contest them; the incumbent wins
//     (claims.go, docs/decisions/004-claims.md).
//  4. What says the same as in the table before is the same pointer.
package compile

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/certified"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/native"
	"fairway/internal/compile/traefik"
	"fairway/internal/owners"
	"fairway/internal/route"
)

// Settings are what a table needs besides the snapshot.
type Settings struct {
	// Listeners go into every table, those with TLS with the certificates of the
	// snapshot behind their own, and not without any. Their names are unique.
	Listeners []route.Listener
	// HTTPSPort is the port that redirects to https name; zero names none.
	HTTPSPort uint16
	// TCPPorts are the ports that labels may open for connections that are passed
	// through. The ports of Listeners with TCP may be used in any case.
	TCPPorts []PortRange
	// RedirectObtained has routes redirect to https that do not decide about it, once Fairway
	// has obtained certificates for all their hosts.
	RedirectObtained bool
	// Reserved are ports that labels may never open, each with its configuration key.
	Reserved map[uint16]string
	// DockerFlow says how com.df.* labels are read; nil ignores them.
	DockerFlow *dockerflow.Options
	// Dialects are the names of the dialects of other proxies that are served, in their
	// order: of two that a service has labels of, the first is read.
	Dialects []string
	// Traefik says how labels of Traefik are read, beside what is here.
	Traefik traefik.Options
	// Certified are names that certificates of the operator are for, "*." in front of one for
	// a level.
	Certified []string
	// Unsupported says why the engine cannot serve a route, whose Claim is not known yet,
	// with its backend, if it has one; empty when it can. It gives the same answer as long
	// as Answers does; nil means that everything can be served.
	Unsupported func(*route.Route, *route.Backend) string
	// Answers counts how often Unsupported has got another answer; nil means never.
	Answers func() uint64
	// UserDirs are the directories below which labels may name user files; nil: any.
	UserDirs []string
	// ErrorPages are the names of the sets of error pages; nil: any.
	ErrorPages []string
	// Defaults are what every route has unless its own labels say otherwise; nil: nothing.
	Defaults *Defaults
	// Owners say who may claim what; nil lets everybody claim everything.
	Owners *owners.List
	// UserFile reports, without waiting for the file, why the user file of a filter cannot
	// be read, or which of its lines let no user in; nil knows of nothing.
	UserFile func(*route.BasicAuth) (unreadable string, faults []string)
	// Own is a route of Fairway's own beside these, and its backend; nil for none.
	Own func([]route.Listener, []*route.Route) (*route.Route, *route.Backend)
}

// Default is a label that every route has unless its own labels say otherwise.
type Default = native.Default

// Defaults are those of all routes.
type Defaults = native.Defaults

// NewDefaults reads defaults and the keys that no label may change; faults are those that
// cannot be used, and are left out. userDirs are as in Settings.
func NewDefaults(list []Default, locked, userDirs []string) (all *Defaults, faults []native.DefaultFault) {
	return native.NewDefaults(list, locked, userDirs)
}

// PortRange is a range of ports, First and Last included.
type PortRange = draft.PortRange

// FlowDialect is the name of the dialect of Docker Flow.
const FlowDialect = dockerflow.Name

// FlowSecrets is where Docker mounts secrets, among them the user files of Docker Flow.
const FlowSecrets = dockerflow.SecretsDir

func (s Settings) ports() *draft.Ports {
	return draft.NewPorts(s.Listeners, slices.Concat(s.TCPPorts, s.entryPorts()), s.Reserved)
}

// Compiler turns snapshots into tables. It remembers what it made of each service, so that
// a change costs what changed. One goroutine may use it at a time.
type Compiler struct {
	planner
	listeners []route.Listener // of the settings, with the certificates of the last snapshot
	plans     map[string]*plan // by service ID, of the last snapshot
	answers   uint64           // of Settings.Answers, when they were made
}

// New returns a compiler.
func New(s Settings) *Compiler {
	if s.Unsupported == nil {
		s.Unsupported = func(*route.Route, *route.Backend) string { return "" }
	}
	return &Compiler{planner: newPlanner(s)}
}

// Compile makes the table of a snapshot. Claims and last good forms are handed down from
// previous, the table compiled before or restored; nil for none. Of services with the
// same ID the first counts.
func (c *Compiler) Compile(s *catalog.Snapshot, previous *route.Table) *route.Table {
	if previous == nil {
		previous = &route.Table{}
	}
	if c.Answers != nil {
		if now := c.Answers(); now != c.answers {
			c.answers, c.plans = now, nil
		}
	}
	if machines := c.Owners.Machines(s.Nodes); !maps.Equal(machines, c.machines) {
		c.machines, c.plans = machines, nil
	}
	c.learn(s.Services)
	var (
		plans     = make(map[string]*plan, len(s.Services))
		inOrder   = make([]*plan, 0, len(s.Services))
		claimants = make([]*claimant, 0, len(s.Services))
		problems  bounded
		routes    = make([]*route.Route, 0, len(s.Services))
		backends  = make([]*route.Backend, 0, len(s.Services))
		newest    uint64
	)
	for _, service := range s.Services {
		if plans[service.ID] != nil {
			continue
		}
		pl := c.plans[service.ID]
		if pl == nil || pl.service != service || !c.stands(pl) {
			pl = c.plan(service)
		}
		plans[service.ID], inOrder = pl, append(inOrder, pl)
		problems.add(pl, pl.problems)
		c.enter(pl, previous)
		claimants = append(claimants, pl.mine...)
	}
	c.plans = plans

	for _, r := range previous.Routes {
		newest = max(newest, r.Claim)
	}
	decide(claimants, newest)
	names := certified.Of(c.Listeners, c.Certified, s.Certificates, c.RedirectObtained)

	for _, pl := range inOrder {
		problems.add(pl, outcomeProblems(pl.mine))
		pl.make(previous, names, c.HTTPSPort)
		routes = append(routes, pl.routes...)
		backends = append(backends, pl.backends...)
		for i, r := range pl.routes {
			problems.add(pl, c.userFileProblems(r, pl.served[i].draft.UserLabel))
		}
	}
	named, losers := bound(routes)
	c.listeners = withCertificates(c.Listeners, s.Certificates, named)
	for _, l := range losers {
		pl := plans[l.route.Service]
		problems.add(pl, []route.Problem{l.problem(pl)})
	}
	return c.table(s.Revision, routes, backends, problems.list(c.Owners))
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

// outcomeProblems are lost contests, and the problems of instances, each once for all
// routes of the service that are served.
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

// make fills in the routes and backends of the plan, the same pointers while they say the same.
// Names of certificates and the port for HTTPS are for redirects by default.
func (pl *plan) make(previous *route.Table, names certified.Names, port uint16) {
	served := slices.DeleteFunc(slices.Clone(pl.mine), func(c *claimant) bool { return c.winner != nil })
	changed := func(c *claimant) bool {
		return c.made == nil || c.made.Claim != c.number || len(c.members) > 0 || c.redirected != c.redirects(names)
	}
	if slices.Equal(served, pl.served) && !slices.ContainsFunc(served, changed) {
		return
	}
	pl.served, pl.routes, pl.backends = served, nil, nil
	wanted := wantedBackends(served)
	shared := map[[sha256.Size]byte]*route.Backend{}
	for i, c := range served {
		r := c.route
		r.Claim = c.number
		c.redirected = c.redirects(names)
		r.Filters = c.filters(port, c.redirected)
		if wanted[i] != nil {
			r.Backend = pl.backend(r.ID, wanted[i], shared, previous).ID
		}
		made := &r
		before := previous.Route(r.ID)
		if before != nil && before.Digest() == r.Digest() && maps.Equal(before.Origin.Labels, r.Origin.Labels) && maps.Equal(before.Origin.Defaults, r.Origin.Defaults) {
			made = before
		}
		if c.made = made; len(c.members) > 0 {
			c.made = nil
		}
		pl.routes = append(pl.routes, made)
	}
}

// table puts everything together. A service that breaks a rule of tables is left out and
// named, so that the others are served.
func (c *Compiler) table(revision uint64, routes []*route.Route, backends []*route.Backend, problems []route.Problem) *route.Table {
	listeners := func() []route.Listener {
		return append(slices.Clone(c.listeners), draft.Opened(c.Listeners, routes)...)
	}
	if c.Own != nil {
		if r, b := c.Own(c.listeners, routes); r != nil {
			routes, backends = append(routes, r), append(backends, b)
		}
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
	// Only the listeners are left to be at fault, which were checked at start.
	text := chars.Printable("the table could not be made: " + err.Error())
	t, _ = route.New(revision, nil, nil, nil, append(problems, route.Problem{Code: route.CodeUnsupported, Text: strings.TrimSpace(text)}))
	return t
}
