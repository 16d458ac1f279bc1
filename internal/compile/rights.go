package compile

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/owners"
	"fairway/internal/route"
)

// judge says why the owner of a claimant may not claim what it asks for; nil when it may.
func (p planner) judge(c *claimant) *owners.Refusal {
	if c.plan.rights == nil {
		return nil
	}
	return c.plan.rights.Judge(p.askOf(&c.route, c.backend))
}

// askOf is what a route with a backend, which may be nil, takes.
func (s Settings) askOf(r *route.Route, b *route.Backend) owners.Ask {
	certificate := ""
	switch r.TLS {
	case route.TLSAuto, route.TLSOff:
	case route.TLSInternal:
		certificate = owners.CertInternal
	default:
		certificate = owners.CertFile
	}
	matches := r.Matches
	for _, name := range r.Certified {
		for _, m := range r.Matches[:min(len(r.Matches), 1)] {
			m.Host = route.Host{Kind: route.HostExact, Value: name}
			matches = append(slices.Clip(matches), m)
		}
	}
	return owners.Ask{
		Outbound:    b != nil && slices.ContainsFunc(b.Endpoints, func(e route.Endpoint) bool { return strings.HasPrefix(e.ID, hostID+":") }),
		Certificate: certificate, Matches: matches, TCPPorts: s.tcpPortsOf(r), Priority: r.Priority,
		Snippet: slices.ContainsFunc(r.Filters, func(f route.Filter) bool { return f.Snippet != nil }),
	}
}

// tcpPortsOf are the ports whose connections a route takes; nil for one that may take
// requests.
func (s Settings) tcpPortsOf(r *route.Route) (list []uint16) {
	for _, m := range r.Matches {
		i := slices.IndexFunc(m.Conditions, func(c route.Condition) bool { return c.Kind == route.ConditionListener && !c.Not })
		if i < 0 {
			return nil
		}
		for _, name := range m.Conditions[i].Values {
			port := s.tcpPort(name)
			if port == 0 {
				return nil
			}
			list = append(list, port)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// tcpPort is the port of a listener that passes connections through; zero for any other.
func (s Settings) tcpPort(listener string) uint16 {
	digits, isTCP := strings.CutPrefix(listener, draft.OpenedPrefix)
	if i := slices.IndexFunc(s.Listeners, func(l route.Listener) bool { return l.Name == listener }); i >= 0 {
		_, digits, _ = net.SplitHostPort(s.Listeners[i].Address)
		isTCP = s.Listeners[i].TCP
	}
	port, err := strconv.ParseUint(digits, 10, 16)
	if !isTCP || err != nil {
		return 0
	}
	return uint16(port)
}

// denied is a claimant whose owner may not claim what it asks for, with a problem. What it
// asks for beyond that never gets into the table. Where only its priority or what is done with
// requests is too much it takes its requests and answers 503. Else they are for others to take, and what it
// was to protect of the same service is closed, as for a route whose labels cannot be read.
func (p planner) denied(c *claimant, asked *draft.Draft, why *owners.Refusal) *claimant {
	label := c.draft.Label
	if why.Key != owners.KeyHosts {
		label = p.blame(c, func(c *claimant) string {
			if now := c.plan.rights.JudgeBy(why.Key, p.askOf(&c.route, c.backend)); now != nil {
				return now.Why()
			}
			return ""
		})
	}
	fault := draft.Refuse(route.CodeNotAllowed, chars.Printable(why.Why()), chars.Printable(why.Hint()))
	c.plan.problems = append(c.plan.problems, c.problem(label, fault))
	d := *asked
	d.Refused = fault.Reason(label)
	d.Rank, d.Group = "", ""
	d.Priority = c.plan.rights.Priority(d.Priority)
	ask := p.askOf(&c.route, c.backend)
	if ask.Priority, ask.Snippet, ask.Outbound, ask.Certificate = d.Priority, false, false, ""; c.plan.rights.Judge(ask) != nil {
		d.MatchKnown, d.Unread = false, unreadOf(c, asked)
	}
	refused := newClaimant(c.plan, c.asked, &d)
	refused.route.Refused = d.Refused
	return refused
}

// unreadOf is what a claimant protects, by what it takes; nil where it lets everybody in.
func unreadOf(c *claimant, asked *draft.Draft) *draft.Unread {
	u := draft.NewUnread(asked, asked.Refused != "")
	if u == nil {
		return nil
	}
	u.HTTP = asked.Backend.Scheme != route.SchemeTCP
	u.TCP = !u.HTTP
	for _, m := range c.route.Matches {
		if !slices.Contains(u.Hosts, m.Host) {
			u.Hosts = append(u.Hosts, m.Host)
		}
		if !slices.Contains(u.Paths, m.Path) {
			u.Paths = append(u.Paths, m.Path)
		}
	}
	return u
}

// Allowed returns a table of an earlier run without the routes that owners of today may not
// claim, and without the certificates that none is to be obtained for. Who they are is in s, the snapshot that it was made of; what s does not have is
// kept. t is not changed.
func (s Settings) Allowed(t *route.Table, snapshot *catalog.Snapshot) (*route.Table, error) {
	if s.Owners == nil || snapshot == nil {
		return t, nil
	}
	machines, rights := s.Owners.Machines(snapshot.Nodes), map[string]*owners.Rights{}
	for _, service := range snapshot.Services {
		rights[service.ID] = s.Owners.Of(owners.WhoHas(service, machines))
	}
	var routes []*route.Route
	used := map[string]bool{}
	for _, r := range t.Routes {
		if rights[r.Service].Judge(s.askOf(r, t.Backend(r.Backend))) != nil {
			continue
		}
		used[r.Backend] = true
		if r.TLS == route.TLSAuto && r.Refused == "" && !rights[r.Service].Auto() {
			without := *r
			without.TLS, r = route.TLSOff, &without
		}
		routes = append(routes, r)
	}
	if slices.Equal(routes, t.Routes) {
		return t, nil
	}
	backends := slices.DeleteFunc(slices.Clone(t.Backends), func(b *route.Backend) bool { return !used[b.ID] })
	return route.New(t.Revision, t.Listeners, routes, backends, t.Remarks())
}

// FittedTo returns Fitted for what is Allowed, by the snapshot of the moment; nil for none.
func (s Settings) FittedTo(snapshot func() *catalog.Snapshot) func(*route.Table) (*route.Table, error) {
	return func(t *route.Table) (*route.Table, error) {
		allowed, err := s.Allowed(t, snapshot())
		if err != nil {
			return nil, err
		}
		return s.Fitted(allowed)
	}
}

// maxRecordProblems is how many problems the services of one record of owners may have in a
// table, together. What is beyond is counted in one more.
const maxRecordProblems = 1000

// bounded is the problems of a table.
type bounded struct {
	all   []route.Problem
	count map[*owners.Rights]int
	first map[*owners.Rights]route.Problem // that is not listed
}

func (b *bounded) add(pl *plan, list []route.Problem) {
	if pl.rights == nil || len(list) == 0 {
		b.all = append(b.all, list...)
		return
	}
	if b.count == nil {
		b.count, b.first = map[*owners.Rights]int{}, map[*owners.Rights]route.Problem{}
	}
	before := b.count[pl.rights]
	b.count[pl.rights] = before + len(list)
	room := max(0, min(len(list), maxRecordProblems-before))
	b.all = append(b.all, list[:room]...)
	if before <= maxRecordProblems && room < len(list) {
		b.first[pl.rights] = list[room]
	}
}

// list returns the problems, with one for each record that has more than are listed.
func (b *bounded) list(by *owners.List) []route.Problem {
	for _, g := range by.All() {
		if p, more := b.first[g]; more {
			p.Route, p.Label, p.Instance, p.Hint = "", "", "", "mend those that are listed first"
			p.Text = fmt.Sprintf("%d more problems of what the record %s of owners is for are not listed", b.count[g]-maxRecordProblems, g.Record().Name)
			b.all = append(b.all, p)
		}
	}
	return b.all
}
