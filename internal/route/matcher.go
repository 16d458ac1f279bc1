package route

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// Request is what the matcher sees; Host and Path are canonical (canonical.Host, canonical.ReadPath).
type Request struct {
	Method string
	Host   string
	Path   string
	// Other is another way in which a backend could read the path; empty when
	// there is none. Find does not look at it; see TakesBoth.
	Other string
	// Query is the raw query, without the question mark.
	Query string
	// Header may be nil, which means no headers.
	Header Header
	// Client is behind trusted proxies; IPv4-mapped addresses are unmapped.
	Client netip.Addr
	// TLS is true when the client came by TLS.
	TLS bool
	// Listener is the name of the listener it came in by.
	Listener string
}

// Header gives the values of a header by its canonical name. http.Header is one.
type Header interface {
	Values(name string) []string
}

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
	entries   []*entry        // all matches of all routes, best first
	hosts     map[Host]*paths // by the host of the matches
	wildcards bool            // hosts has wildcards, of either kind
	regexps   []hostRegexp    // those of hosts that are expressions, best first
}

// entry is one match of one route.
type entry struct {
	route      *Route
	rank       int   // place among all entries; lower wins
	index      int32 // which match of the route
	match      *compiledMatch
	conditions []condition // of match, kept here for speed
}

// hostRegexp is an expression for hosts and what is asked for on them.
type hostRegexp struct {
	takes func(name string) bool
	paths *paths
}

// paths are the entries for one host; every list has the best first.
type paths struct {
	best    int               // lowest rank in it
	all     []*entry          // for the prefix "/"
	some    map[Path][]*entry // for other prefixes, exact paths and starts
	longest int               // of the prefixes in some
	starts  []int             // lengths of the starts in some, each once
	regexps []*entry
}

// NewMatcher makes a matcher for routes in any order. It fails only for routes that were
// in no table, whose matches it has to check and make ready first.
func NewMatcher(routes []*Route) (*Matcher, error) {
	m := &Matcher{hosts: map[Host]*paths{}}
	for _, r := range routes {
		matches, err := r.ready()
		if err != nil {
			return nil, fmt.Errorf("matcher: route %s: %w", excerpt(r.ID), err)
		}
		for i, c := range matches {
			m.entries = append(m.entries, &entry{route: r, index: int32(i), match: c, conditions: c.conditions})
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

func (r *Route) ready() ([]*compiledMatch, error) {
	if r.seal.of(r) {
		return r.seal.matches, nil
	}
	return compileMatches(r)
}

// place puts an entry into the index; entries come best first.
func (m *Matcher) place(e *entry) {
	host := e.match.match.Host
	p := m.hosts[host]
	if p == nil {
		p = &paths{best: e.rank}
		m.hosts[host] = p
		if host.Kind == HostRegexp {
			m.regexps = append(m.regexps, hostRegexp{e.match.host, p})
		}
		m.wildcards = m.wildcards || host.Kind == HostWildcard || host.Kind == HostDeep
	}
	p.place(e)
}

func (p *paths) place(e *entry) {
	path := e.match.match.Path
	switch n := len(path.Value); {
	case path.Kind == PathRegexp:
		p.regexps = append(p.regexps, e)
		return
	case path == Path{PathPrefix, "/"}:
		p.all = append(p.all, e)
		return
	case path.Kind == PathPrefix:
		p.longest = max(p.longest, n)
	case path.Kind == PathStart && !slices.Contains(p.starts, n):
		p.starts = append(p.starts, n)
	}
	if p.some == nil {
		p.some = map[Path][]*entry{}
	}
	p.some[path] = append(p.some[path], e)
}

// Find returns the route that takes the request, or nil when none does. It
// allocates nothing unless the request's query is looked at and encoded.
func (m *Matcher) Find(r *Request) *Route {
	if e := m.find(r); e != nil {
		return e.route
	}
	return nil
}

// NamesHost reports whether a route names the canonical host, itself or by a wildcard,
// or takes every host. Expressions do not count.
func (m *Matcher) NamesHost(host string) bool {
	found := m.hosts[Host{HostExact, host}] != nil || m.hosts[Host{Kind: HostAny}] != nil
	m.parents(host, func(p *paths) { found = found || p != nil })
	return found
}

// TakesBoth says whether a request that found takes belongs to that route by its Other
// path, too. Else its backend may read it as one that another route decides about.
func (m *Matcher) TakesBoth(r *Request, found *Route) bool {
	if r.Other == "" {
		return true
	}
	other := *r
	other.Path = r.Other
	again := m.Find(&other)
	return again != nil && again.ID == found.ID
}

func (m *Matcher) find(r *Request) *entry {
	if r.Path == "" || r.Path[0] != '/' {
		return nil // not a canonical path; no route takes it
	}
	s := search{request: r, rank: math.MaxInt}
	s.try(m.hosts[Host{HostExact, r.Host}])
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
	s.try(m.hosts[Host{Kind: HostAny}])
	return s.found
}

// parents calls try with the paths of each wildcard that takes a name, nil for none.
func (m *Matcher) parents(name string, try func(*paths)) {
	_, parent, more := strings.Cut(name, ".")
	if !more || !m.wildcards {
		return
	}
	try(m.hosts[Host{HostWildcard, parent}])
	for ; more; _, parent, more = strings.Cut(parent, ".") {
		try(m.hosts[Host{HostDeep, parent}])
	}
}

type search struct {
	request *Request
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
	s.first(p.some[Path{PathExact, path}])
	for n := 2; n <= min(p.longest, len(path)); n++ {
		if n == len(path) || path[n] == '/' {
			s.first(p.some[Path{PathPrefix, path[:n]}])
		}
	}
	for _, n := range p.starts {
		if n <= len(path) {
			s.first(p.some[Path{PathStart, path[:n]}])
		}
	}
	for _, e := range p.regexps {
		if e.rank >= s.rank {
			break
		}
		if e.match.path(path) && failing(e.conditions, s.request) == nil {
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
		if failing(e.conditions, s.request) == nil {
			s.rank, s.found = e.rank, e
			return
		}
	}
}

// Compare is the order of precedence (see Matcher) of two matches, the one at index i of a
// and the one at index j of b: negative when a's goes first, zero only for one and the
// same. Routes that were in no table are zero.
func Compare(a *Route, i int, b *Route, j int) int {
	if !a.seal.of(a) || !b.seal.of(b) {
		return 0
	}
	n, _ := compareEntries(
		&entry{route: a, index: int32(i), match: a.seal.matches[i]},
		&entry{route: b, index: int32(j), match: b.seal.matches[j]},
	)
	return n
}

// compareEntries is the order of precedence: negative when a goes before b, and by
// what. It is zero only for an entry and itself.
func compareEntries(a, b *entry) (int, Reason) {
	if n := cmp.Compare(b.route.Priority, a.route.Priority); n != 0 {
		return n, ReasonPriority
	}
	for i, reason := range matchReasons {
		if n := cmp.Compare(a.match.order[i], b.match.order[i]); n != 0 {
			return n, reason
		}
	}
	if n := cmp.Compare(a.route.Claim, b.route.Claim); n != 0 {
		return n, ReasonClaim
	}
	return cmp.Or(strings.Compare(a.route.ID, b.route.ID), cmp.Compare(a.index, b.index)), ReasonID
}
