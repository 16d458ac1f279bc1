// Package match finds the route that takes a request, and says why it is this one and
// not another.
package match

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"fairway/internal/route"
)

// Matcher finds the route that takes a request. It is immutable: any number of
// goroutines may use it at the same time.
//
// A lookup costs the same however many routes there are. The host leads to its paths:
// one lookup for the exact name, and one for each kind of wildcard and label. Paths are
// looked up whole, by each of their prefixes, and by each length of a start. Only routes
// for the same host and path, and regular expressions, are tried one by one, best first.
//
// Of all matches that hold, the winner is the first in this order: higher
// priority; exact host before wildcard, deep, expression and any; longer host
// value; longer path (of an expression, what it begins with literally); exact path
// before expression, prefix and start; more conditions; lower claim; ID; place in
// the route.
type Matcher struct {
	entries   []*entry              // all matches of all routes, best first
	hosts     map[route.Host]*paths // by the host of the matches
	wildcards bool                  // hosts has wildcards, of either kind
	regexps   []hostRegexp          // those of hosts that are expressions, best first
}

// entry is one match of one route.
type entry struct {
	route      *route.Route
	rank       int   // place among all entries; lower wins
	index      int32 // which match of the route
	match      *route.Compiled
	conditions []route.CompiledCondition // of match, kept here for speed
}

// hostRegexp is an expression for hosts and what is asked for on them.
type hostRegexp struct {
	takes func(name string) bool
	paths *paths
}

// paths are the entries for one host; every list has the best first.
type paths struct {
	best    int                     // lowest rank in it
	all     []*entry                // for the prefix "/"
	some    map[route.Path][]*entry // for other prefixes, exact paths and starts
	longest int                     // of the prefixes in some
	starts  []int                   // lengths of the starts in some, each once
	regexps []*entry
}

// New makes a matcher for routes in any order. It fails only for routes that were
// in no table, whose matches it has to check and make ready first.
func New(routes []*route.Route) (*Matcher, error) {
	m := &Matcher{hosts: map[route.Host]*paths{}}
	for _, r := range routes {
		matches, err := r.Compiled()
		if err != nil {
			return nil, fmt.Errorf("matcher: route %q: %w", r.ID, err)
		}
		for i, c := range matches {
			m.entries = append(m.entries, &entry{route: r, index: int32(i), match: c, conditions: c.Conditions})
		}
	}
	slices.SortFunc(m.entries, func(a, b *entry) int {
		n, _ := compareEntries(a, b)
		return n
	})
	for i, e := range m.entries {
		e.rank = i
		m.place(e)
	}
	return m, nil
}

// place puts an entry into the index; entries come best first.
func (m *Matcher) place(e *entry) {
	host := e.match.Match.Host
	p := m.hosts[host]
	if p == nil {
		p = &paths{best: e.rank}
		m.hosts[host] = p
		if host.Kind == route.HostRegexp {
			m.regexps = append(m.regexps, hostRegexp{e.match.Host, p})
		}
		m.wildcards = m.wildcards || host.Kind == route.HostWildcard || host.Kind == route.HostDeep
	}
	p.place(e)
}

func (p *paths) place(e *entry) {
	path := e.match.Match.Path
	switch n := len(path.Value); {
	case path.Kind == route.PathRegexp:
		p.regexps = append(p.regexps, e)
		return
	case path == route.Path{Kind: route.PathPrefix, Value: "/"}:
		p.all = append(p.all, e)
		return
	case path.Kind == route.PathPrefix:
		p.longest = max(p.longest, n)
	case path.Kind == route.PathStart && !slices.Contains(p.starts, n):
		p.starts = append(p.starts, n)
	}
	if p.some == nil {
		p.some = map[route.Path][]*entry{}
	}
	p.some[path] = append(p.some[path], e)
}

// Find returns the route that takes the request, or nil when none does. It
// allocates nothing unless the request's query is looked at and encoded.
func (m *Matcher) Find(r *route.Request) *route.Route {
	if e := m.find(r); e != nil {
		return e.route
	}
	return nil
}

// NamesHost reports whether a route names the canonical host, itself or by a wildcard,
// or takes every host. Expressions do not count.
func (m *Matcher) NamesHost(host string) bool {
	found := m.hosts[route.Host{Kind: route.HostExact, Value: host}] != nil || m.hosts[route.Host{Kind: route.HostAny}] != nil
	m.parents(host, func(p *paths) { found = found || p != nil })
	return found
}

// TakesBoth says whether a request that found takes belongs to that route by its Other
// path, too. Else its backend may read it as one that another route decides about.
func (m *Matcher) TakesBoth(r *route.Request, found *route.Route) bool {
	if r.Other == "" {
		return true
	}
	other := *r
	other.Path = r.Other
	again := m.Find(&other)
	return again != nil && again.ID == found.ID
}

func (m *Matcher) find(r *route.Request) *entry {
	if r.Path == "" || r.Path[0] != '/' {
		return nil // not a canonical path; no route takes it
	}
	s := search{request: r, rank: math.MaxInt}
	s.try(m.hosts[route.Host{Kind: route.HostExact, Value: r.Host}])
	m.parents(r.Host, s.try)
	for i := range m.regexps {
		x := &m.regexps[i]
		if x.paths.best >= s.rank {
			break
		}
		if x.takes(r.Host) {
			s.try(x.paths)
		}
	}
	s.try(m.hosts[route.Host{Kind: route.HostAny}])
	return s.found
}

// parents calls try with the paths of each wildcard that takes a name, nil for none.
func (m *Matcher) parents(name string, try func(*paths)) {
	_, parent, more := strings.Cut(name, ".")
	if !more || !m.wildcards {
		return
	}
	try(m.hosts[route.Host{Kind: route.HostWildcard, Value: parent}])
	for ; more; _, parent, more = strings.Cut(parent, ".") {
		try(m.hosts[route.Host{Kind: route.HostDeep, Value: parent}])
	}
}

type search struct {
	request *route.Request
	rank    int
	found   *entry
}

// try looks for something better among the paths of one host.
func (s *search) try(p *paths) {
	if p == nil || p.best >= s.rank {
		return
	}
	path := s.request.Path
	s.first(p.all)
	s.first(p.some[route.Path{Kind: route.PathExact, Value: path}])
	for n := 2; n <= min(p.longest, len(path)); n++ {
		if n == len(path) || path[n] == '/' {
			s.first(p.some[route.Path{Kind: route.PathPrefix, Value: path[:n]}])
		}
	}
	for _, n := range p.starts {
		if n <= len(path) {
			s.first(p.some[route.Path{Kind: route.PathStart, Value: path[:n]}])
		}
	}
	for _, e := range p.regexps {
		if e.rank >= s.rank {
			break
		}
		if e.match.Path(path) && s.holds(e) {
			s.rank, s.found = e.rank, e
		}
	}
}

// first looks for the first entry whose conditions hold, as long as it would be better
// than what was found.
func (s *search) first(entries []*entry) {
	for _, e := range entries {
		if e.rank >= s.rank {
			return
		}
		if s.holds(e) {
			s.rank, s.found = e.rank, e
			return
		}
	}
}

func (s *search) holds(e *entry) bool {
	for i := range e.conditions {
		if !e.conditions[i].Holds(s.request) {
			return false
		}
	}
	return true
}

// Compare is the order of precedence (see Matcher) of two matches, the one at index i of a
// and the one at index j of b: negative when a's goes first, zero only for one and the
// same. Routes that cannot be in a table are zero.
func Compare(a *route.Route, i int, b *route.Route, j int) int {
	ofA, errA := a.Compiled()
	ofB, errB := b.Compiled()
	if errA != nil || errB != nil {
		return 0
	}
	n, _ := compareEntries(
		&entry{route: a, index: int32(i), match: ofA[i]},
		&entry{route: b, index: int32(j), match: ofB[j]},
	)
	return n
}

// matchReasons are what the numbers of route.Compiled.Order stand for.
var matchReasons = [...]Reason{ReasonHost, ReasonHost, ReasonPath, ReasonPathKind, ReasonConditions}

// compareEntries is the order of precedence: negative when a goes before b, and by
// what. It is zero only for an entry and itself.
func compareEntries(a, b *entry) (int, Reason) {
	if n := cmp.Compare(b.route.Priority, a.route.Priority); n != 0 {
		return n, ReasonPriority
	}
	for i, reason := range matchReasons {
		if n := cmp.Compare(a.match.Order[i], b.match.Order[i]); n != 0 {
			return n, reason
		}
	}
	if n := cmp.Compare(a.route.Claim, b.route.Claim); n != 0 {
		return n, ReasonClaim
	}
	return cmp.Or(strings.Compare(a.route.ID, b.route.ID), cmp.Compare(a.index, b.index)), ReasonID
}
