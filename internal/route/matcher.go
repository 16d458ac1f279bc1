package route

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// Request is what the matcher sees; Host and Path are canonical (CanonicalHost, ReadPath).
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
// one lookup for the exact name, and one for each kind of wildcard and label. The path
// is walked down by segments; starts are looked up once for each of their lengths. Only
// routes for the same host and path, and regular expressions, are tried one by one, best
// first.
//
// Of all matches that hold, the winner is the first in this order: higher
// priority; exact host before wildcard, deep, expression and any; longer host
// value; longer path (of an expression, what it begins with literally); exact path
// before expression, prefix and start; more conditions; lower claim; ID; place in
// the route.
type Matcher struct {
	entries  []*entry // all matches of all routes, best first
	exact    map[string]*paths
	wildcard map[string]*paths // by what follows the first label
	deep     map[string]*paths // by what follows the first labels
	regexps  []hostRegexp      // best first
	any      *paths
}

// entry is one match of one route, and a link in a list of those for one host and path.
type entry struct {
	route      *Route
	rank       int   // place among all entries; lower wins
	index      int32 // which match of the route
	ends       ends  // where the path must end
	match      *compiledMatch
	conditions []condition // of match, kept here for speed
	next       *entry      // the next best in the same list
}

// hostRegexp is an expression for hosts and what is asked for on them.
type hostRegexp struct {
	takes func(name string) bool
	paths *paths
}

// paths are the entries for one host, ordered by path.
type paths struct {
	best    int // lowest rank in it
	root    segment
	starts  map[string]*list // of PathStart, by value
	lengths []int            // of the values in starts, each once
	regexps list
}

// list is a list of entries, best first.
type list struct{ first, last *entry }

// add adds an entry that is worse than those in the list.
func (l *list) add(e *entry) {
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
}

// ends says where a path ends, as seen from a segment: the paths /a and /a/ end at
// the segment a, in two ways.
type ends uint8

const (
	anywhere  ends = iota // at the segment or below: prefixes
	atSegment             // behind its name
	atSlash               // behind the slash that follows its name
)

// segment is a node of the tree of paths: the entries for the prefix and the exact
// paths that lead to it, best first, and what is below.
type segment struct {
	entries list
	below   map[string]*segment
}

// NewMatcher makes a matcher for routes in any order. Routes of a table cost no
// more than their place in the index; of others the matches are checked and made
// ready first, which can fail.
func NewMatcher(routes []*Route) (*Matcher, error) {
	m := &Matcher{
		exact:    map[string]*paths{},
		wildcard: map[string]*paths{},
		deep:     map[string]*paths{},
	}
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
	regexps := map[string]*paths{}
	for i, e := range m.entries {
		e.rank = i
		m.place(e, regexps)
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
func (m *Matcher) place(e *entry, regexps map[string]*paths) {
	host := e.match.match.Host
	at := func(index map[string]*paths) *paths {
		p := index[host.Value]
		if p == nil {
			p = &paths{best: e.rank}
			index[host.Value] = p
		}
		return p
	}
	switch host.Kind {
	case HostExact:
		at(m.exact).place(e)
	case HostWildcard:
		at(m.wildcard).place(e)
	case HostDeep:
		at(m.deep).place(e)
	case HostRegexp:
		known := len(regexps)
		p := at(regexps)
		if len(regexps) > known {
			m.regexps = append(m.regexps, hostRegexp{e.match.host, p})
		}
		p.place(e)
	case HostAny:
		if m.any == nil {
			m.any = &paths{best: e.rank}
		}
		m.any.place(e)
	}
}

func (p *paths) place(e *entry) {
	path := e.match.match.Path
	if path.Kind == PathRegexp {
		p.regexps.add(e)
		return
	}
	if path.Kind == PathStart {
		p.placeStart(path.Value, e)
		return
	}
	node := &p.root
	for rest := path.Value[1:]; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if node.below == nil {
			node.below = map[string]*segment{}
		}
		next := node.below[name]
		if next == nil {
			next = &segment{}
			node.below[name] = next
		}
		node = next
	}
	if path.Kind == PathExact {
		e.ends = endOf(path.Value)
	}
	node.entries.add(e)
}

func (p *paths) placeStart(value string, e *entry) {
	if p.starts == nil {
		p.starts = map[string]*list{}
	}
	l := p.starts[value]
	if l == nil {
		l = &list{}
		p.starts[value] = l
		if !slices.Contains(p.lengths, len(value)) {
			p.lengths = append(p.lengths, len(value))
		}
	}
	l.add(e)
}

// endOf says how a path ends at its last segment.
func endOf(path string) ends {
	if path[len(path)-1] == '/' {
		return atSlash
	}
	return atSegment
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
	if m.exact[host] != nil || m.any != nil {
		return true
	}
	_, parent, more := strings.Cut(host, ".")
	if more && m.wildcard[parent] != nil {
		return true
	}
	for ; more; _, parent, more = strings.Cut(parent, ".") {
		if m.deep[parent] != nil {
			return true
		}
	}
	return false
}

// TakesBoth says whether a request that found takes belongs to that route by its
// Other path, too. One that does not may be read by the backend as a request that
// another route decides about, or none.
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
	s.try(m.exact[r.Host])
	if len(m.wildcard) > 0 || len(m.deep) > 0 {
		m.tryParents(&s, r.Host)
	}
	for i := range m.regexps {
		x := &m.regexps[i]
		if x.paths.best >= s.rank {
			break
		}
		if x.takes(r.Host) {
			s.try(x.paths)
		}
	}
	s.try(m.any)
	return s.found
}

// tryParents tries the wildcards, and deep ones by what follows any label.
func (m *Matcher) tryParents(s *search, host string) {
	for first := true; ; first = false {
		dot := strings.IndexByte(host, '.')
		if dot < 0 {
			return
		}
		parent := host[dot+1:]
		if first && dot > 0 {
			s.try(m.wildcard[parent])
		}
		if len(m.deep) == 0 {
			return
		}
		if !first || dot > 0 {
			s.try(m.deep[parent])
		}
		host = parent
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
	node := &p.root
	for rest := s.request.Path[1:]; rest != ""; {
		s.first(node.entries, anywhere)
		if node.below == nil {
			node = nil
			break
		}
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if node = node.below[name]; node == nil {
			break
		}
	}
	if node != nil {
		s.first(node.entries, endOf(s.request.Path))
	}
	for _, n := range p.lengths {
		if n > len(s.request.Path) {
			continue
		}
		if l := p.starts[s.request.Path[:n]]; l != nil {
			s.first(*l, anywhere)
		}
	}
	for e := p.regexps.first; e != nil && e.rank < s.rank; e = e.next {
		if e.match.path(s.request.Path) && failing(e.conditions, s.request) == nil {
			s.rank, s.found = e.rank, e
		}
	}
}

// first looks for the first entry whose conditions hold, as long as it would be
// better than what was found. end says where the path ends, as seen from the
// segment of the entries: below it, or at it.
func (s *search) first(entries list, end ends) {
	for e := entries.first; e != nil && e.rank < s.rank; e = e.next {
		if (e.ends == anywhere || e.ends == end) && failing(e.conditions, s.request) == nil {
			s.rank, s.found = e.rank, e
			return
		}
	}
}

// Compare is the order of precedence of two matches, the one at index i of a and
// the one at index j of b: negative when a's goes before b's for a request that
// both take, zero only for one and the same. It does not depend on the request;
// Matcher says how it goes. Routes that were in no table are zero.
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
