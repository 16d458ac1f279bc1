package compile

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// claimant is a route as it can be served, or refused, with what it claims. It is kept
// as long as its service stays the same.
type claimant struct {
	plan    *plan
	asked   *asked
	draft   draft.Lasting
	route   route.Route    // without Claim and Backend
	backend *route.Backend // without ID; nil for none
	claims  []claim        // sorted, each once
	// problems are those of the instances; they count when the route is served.
	problems []route.Problem
	// made is the route of the last compile, as it went into the table; nil when others
	// shared its backend.
	made *route.Route
	// redirected: made redirects to https by default.
	redirected bool

	contest
}

// newClaimant makes what a route takes, and nothing else of it.
func newClaimant(pl *plan, a *asked, d *draft.Draft) *claimant {
	return claimantFor(pl, a, d.Lasting, d.Matches())
}

// claimantFor is newClaimant for matches that are known.
func claimantFor(pl *plan, a *asked, d draft.Lasting, matches []route.Match) *claimant {
	c := &claimant{plan: pl, asked: a, draft: d, route: route.Route{
		ID: pl.routeID(d.Name), Service: pl.service.ID, Matches: matches, Priority: d.Priority, Origin: a.origin,
	}}
	c.route.Origin.Labels, c.route.Origin.Defaults = d.Labels, d.Defaults
	c.claims = claimsOf(&c.route)
	return c
}

func (c *claimant) problem(label string, fault *draft.Refusal) route.Problem {
	return c.plan.problem(c.route.Origin, c.route.ID, label, fault)
}

// build makes of a draft what it can be served as: as its labels ask for it, or refused.
func (p planner) build(pl *plan, a *asked, d *draft.Draft) *claimant {
	c := p.asAsked(pl, a, d)
	if c.route.Refused != "" && !d.MatchKnown { // it takes nothing, and may only close
		c.route.Priority = pl.rights.Priority(c.route.Priority)
		return c
	}
	if why := p.judge(c); why != nil {
		return p.denied(c, d, why)
	}
	return c
}

// asAsked is build without a look at what the owner may claim.
func (p planner) asAsked(pl *plan, a *asked, d *draft.Draft) *claimant {
	refused := newClaimant(pl, a, d)
	refused.route.Refused = d.Refused
	if d.Refused != "" {
		return refused
	}
	c := p.served(pl, a, d)
	why := p.unserved(c)
	if why == "" {
		return c
	}
	label := p.blame(c, p.unserved)
	fault := draft.Refuse(route.CodeUnsupported, "this engine cannot serve it: "+why, "leave it out, or run Fairway with another engine")
	pl.problems = append(pl.problems, c.problem(label, fault))
	refused.route.Refused = fault.Reason(label)
	return refused
}

// served makes a route and its backend of labels that are all right.
func (p planner) served(pl *plan, a *asked, d *draft.Draft) *claimant {
	c := newClaimant(pl, a, d)
	for _, r := range d.Redirects() {
		if r.Port == 0 {
			r.Port = p.HTTPSPort
		}
	}
	c.route.Filters = d.Filters()
	c.route.Hold, c.route.Timeout, c.route.BodyTimeout, c.route.Idle = d.Hold, d.Timeout, d.BodyTimeout, d.Idle
	c.route.ErrorPages, c.route.TLS, c.route.Certified = d.ErrorPages, d.TLSFrom, d.Certified
	if c.route.TLS == route.TLSAuto && !pl.rights.Auto() {
		c.route.TLS = route.TLSOff
	}
	if d.Filter.Redirect != nil {
		return c
	}
	b := d.Backend
	b.Service = pl.service.ID
	b.Health = d.HealthCheck()
	if d.TLS != (route.TLS{}) {
		tls := d.TLS
		b.TLS = &tls
	}
	b.Endpoints, c.problems = c.endpoints()
	c.backend = &b
	return c
}

// lastGood makes the route of the labels that the table before remembers, with the
// instances of today; nil for none.
func (p planner) lastGood(c *claimant, before *route.Route) *claimant {
	if before == nil || before.Refused != "" {
		return nil
	}
	again := p.remade(c, before.Origin)
	if again == nil || p.unserved(again) != "" || p.judge(again) != nil {
		return nil // the last run had another engine, or other owners
	}
	again.route.Origin.Stale = true
	return again
}

// remade makes the route of the labels of an origin; nil when that cannot be done.
func (p planner) remade(c *claimant, from route.Origin) *claimant {
	then := *c.asked
	then.origin, then.again = route.Origin{Source: from.Source, Instance: from.Instance}, true
	reading := then.dialect.Read(c.plan.service, from.Labels)
	d := reading.Draft(c.draft.Name)
	if d == nil || d.Refused != "" || d.Matches() == nil {
		return nil
	}
	return p.served(c.plan, &then, d)
}

// maxBlamed is how many labels of a route blame tries.
const maxBlamed = 64

func (p planner) unserved(c *claimant) string {
	return chars.Printable(p.Unsupported(&c.route, c.backend))
}

// blame finds the label by which a route may not be as it is: the first one without which
// there is another reason why; else the one that says which requests are taken.
func (p planner) blame(c *claimant, why func(*claimant) string) string {
	now, keys := why(c), slices.Sorted(maps.Keys(c.draft.Labels))
	for _, key := range keys[:min(len(keys), maxBlamed)] {
		fewer := c.route.Origin
		fewer.Labels = maps.Clone(c.draft.Labels)
		delete(fewer.Labels, key)
		if again := p.remade(c, fewer); again != nil && why(again) != now {
			return key
		}
	}
	return c.draft.Label
}

// wantedBackends are the backends of claimants that are served, without IDs; nil for none.
// A check that names no host asks for the first name that a route of the backend takes.
func wantedBackends(served []*claimant) []*route.Backend {
	wanted := make([]*route.Backend, len(served))
	hosts := map[[sha256.Size]byte]string{} // by the digest of a backend whose check names none
	for i, s := range served {
		if s.backend == nil {
			continue
		}
		wanted[i] = s.wanted()
		if !asksNoHost(wanted[i]) {
			continue
		}
		if digest := wanted[i].Digest(); hosts[digest] == "" {
			hosts[digest] = firstName(s.route.Matches)
		}
	}
	for _, b := range wanted {
		if b == nil || !asksNoHost(b) {
			continue
		}
		health := *b.Health
		health.Host = hosts[b.Digest()]
		b.Health = &health
	}
	return wanted
}

// asksNoHost says whether the check of a backend could name a host and does not.
func asksNoHost(b *route.Backend) bool {
	return b.Health != nil && b.Health.Host == "" && b.Scheme != route.SchemeTCP
}

// firstName is the first host that is a name; empty for none.
func firstName(matches []route.Match) string {
	if i := slices.IndexFunc(matches, func(m route.Match) bool { return m.Host.Kind == route.HostExact }); i >= 0 {
		return matches[i].Host.Value
	}
	return ""
}

func (s *claimant) wanted() *route.Backend {
	b := *s.backend
	for _, m := range s.members {
		b.Endpoints = slices.Concat(b.Endpoints, m.backend.Endpoints)
	}
	if len(s.members) > 0 {
		slices.SortStableFunc(b.Endpoints, func(x, y route.Endpoint) int { return strings.Compare(x.ID, y.ID) })
		b.Endpoints = slices.CompactFunc(b.Endpoints, func(x, y route.Endpoint) bool { return x.ID == y.ID })
	}
	return &b
}

// backend returns the backend for a route: one of shared, by its digest without ID, that
// another route of the service has already, else b under the ID of the route.
func (pl *plan) backend(id string, b *route.Backend, shared map[[sha256.Size]byte]*route.Backend, previous *route.Table) *route.Backend {
	digest := b.Digest()
	if has := shared[digest]; has != nil {
		return has
	}
	b.ID = id
	if before := previous.Backend(b.ID); before != nil && before.Digest() == b.Digest() {
		b = before
	}
	shared[digest] = b
	pl.backends = append(pl.backends, b)
	return b
}

func (p planner) userFileProblems(r *route.Route, label string) (list []route.Problem) {
	if p.UserFile == nil || r.Refused != "" {
		return nil
	}
	for i := range r.Filters {
		a := r.Filters[i].BasicAuth
		if a == nil || a.File == "" {
			continue
		}
		problem := route.Problem{Source: r.Origin.Source, Service: r.Service, Instance: r.Origin.Instance, Route: r.ID, Label: chars.Printable(label)}
		switch unreadable, faults := p.UserFile(a); {
		case unreadable != "":
			problem.Code = route.CodeUserFile
			problem.Text = chars.Printable("requests get 503, for the user file cannot be read: " + unreadable)
			problem.Hint = "put a regular file in htpasswd form there that Fairway may read; it is reread within seconds"
		case len(faults) > 0:
			problem.Code = route.CodeLockedUsers
			problem.Text = chars.Printable("the user file " + a.File + " has lines that lock their user: " + strings.Join(faults, "; "))
			problem.Hint = "write them anew with htpasswd -B"
		default:
			continue
		}
		list = append(list, problem)
	}
	return list
}

// userFileOf says why the user file of a route cannot be read; empty when it can.
func userFileOf(p planner, r *route.Route) string {
	for _, problem := range p.userFileProblems(r, "") {
		if problem.Code == route.CodeUserFile {
			return problem.Text
		}
	}
	return ""
}
