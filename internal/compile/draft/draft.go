// Package draft holds what labels ask for, the same for every dialect: drafts of routes,
// readers of values, the choice of an address, and why labels are refused.
package draft

import (
	"slices"
	"time"

	"fairway/internal/route"
)

// Bounds of labels. What is larger is refused, so that no label set is expensive.
const (
	MaxLabelBytes  = 16 << 10
	MaxListItems   = 256
	MaxMatches     = 1024 // hosts times paths of one route
	MaxPriority    = 1_000_000
	MaxHeaderBytes = 4 << 10
)

// Reading is what the labels of a service, or of one instance, say in one dialect.
type Reading struct {
	// Wanted is true when the labels ask for the service to be served.
	Wanted bool
	// Summary says what they ask for, or why nothing, for people; Hint what to do.
	Summary, Hint string
	// Says is what they say about routes and not about their own instance, by key.
	// Instances of a service are expected to say the same.
	Says map[string]string
	// Drafts are the routes, the unnamed one first, then by name.
	Drafts []*Draft
	// Own is how an instance with these labels is reached, of each route, be it drafted or
	// not; nil where the wishes of a draft hold for all instances.
	Own      []Own
	Problems []Problem
	// Uses are the definitions of other services that were looked for.
	Uses []Use
}

// Use is a definition that was looked for by its name, and what was found, which can be
// compared with ==; nil for nothing.
type Use struct {
	Name  string
	Found any
}

// Draft returns the route of a name; nil when the labels ask for none.
func (r *Reading) Draft(name string) *Draft {
	for _, d := range r.Drafts {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// Own is how an instance is reached for a route, by its own labels.
type Own struct {
	Route  string // its name
	Wishes Wishes
	Fault  *Problem // the first of those labels that is at fault; nil for none
}

// Problem is a label that is at fault, or the lack of one.
type Problem struct {
	// Route is the name of the route; OfService is true when no route has the fault.
	Route     string
	OfService bool
	Label     string // as it was written; empty when no single label is at fault
	*Refusal
}

// Draft is a route as labels ask for it.
type Draft struct {
	Lasting

	Hosts []route.Host
	Paths []route.Path
	Rule  []route.Match // in the place of hosts and paths
	L4    L4            // in the place of both, with the scheme tcp

	Hold, Timeout, BodyTimeout, Idle time.Duration
	ErrorPages                       string               // as in route.Route
	Filter                           route.Filter         // every field may be set; see Filters
	Forwarded                        *route.RedirectHTTPS // one more redirect
	Rewrites                         []*route.RewritePath
	HSTS                             *route.HeaderOperation // after those of Filter

	Backend route.Backend // without endpoints, Health and TLS
	Health  route.Health
	TLS     route.TLS
}

// Lasting is what is asked of a draft after its route was made: it is kept as long as the
// route, and the much larger rest is not.
type Lasting struct {
	// Name is that of the route within its service; no two dialects use the same. Empty is
	// the unnamed route.
	Name string
	// Refused is why the route may not be served; empty when its labels are right.
	Refused string
	// MatchKnown is true when everything that says which requests the route takes could
	// be read. Else Unread is what may be known; nil when the route lets everybody in.
	MatchKnown bool
	Unread     *Unread
	// OpenPriority: the priority could not be read, so that nothing of the service goes
	// before the refused route.
	OpenPriority bool
	// Label is the one that first says what is taken, UserLabel the one that names the user
	// file; the route can be made again from Labels, none of which has a password.
	Label, UserLabel string
	Labels           map[string]string
	// Defaults are the labels that it has from the configuration, in the place of its own.
	Defaults map[string]string

	Priority int
	Via      Via
	Wishes   Wishes

	TLSFrom         string   // as TLS in route.Route
	Certified       []string // as in route.Route
	RedirectDecided bool     // whether to redirect to https is decided
	// RedirectCertified: it redirects to https once all its hosts have certificates.
	RedirectCertified bool

	// Rank decides between services that ask for the same requests: both must have one,
	// and the lower one goes first. Services of one Group share a backend.
	Rank, Group string
}

// New returns a draft with the defaults.
func New(name string) *Draft {
	return &Draft{
		Lasting: Lasting{Name: name, MatchKnown: true},
		Backend: route.Backend{Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}},
	}
}

// Via is where requests go in the place of the instances themselves.
type Via struct {
	Host    string // is dialled; empty for none
	Virtual bool   // the virtual address of the service is dialled
	Label   string // the label that asks for it, as it was written
}

// Used says whether the instances themselves are not dialled.
func (v Via) Used() bool { return v.Host != "" || v.Virtual }

// L4 is what labels say about a route that passes connections through.
type L4 struct {
	Port  uint16
	Names []route.Host // server names that TLS clients ask for; nil: every client
	// Check asks every instance for a connection now and then.
	Check bool
	// Listeners are those of Port, once it is known that it may be used.
	Listeners []string
}

// everyPath is the path of a match that takes all of them.
var everyPath = route.Path{Kind: route.PathPrefix, Value: "/"}

// Matches returns what the route takes; nil when its labels do not say.
func (d *Draft) Matches() []route.Match {
	hosts, paths := d.Hosts, d.Paths
	var conditions []route.Condition
	switch {
	case d.Backend.Scheme == route.SchemeTCP && d.L4.Listeners == nil:
		return nil
	case d.Backend.Scheme == route.SchemeTCP:
		hosts, paths = d.L4.Names, nil
		conditions = []route.Condition{{Kind: route.ConditionListener, Values: d.L4.Listeners}}
	case d.Rule != nil:
		return d.Rule
	case hosts == nil && paths == nil:
		return nil
	}
	if hosts == nil {
		hosts = []route.Host{{Kind: route.HostAny}}
	}
	if paths == nil {
		paths = []route.Path{everyPath}
	}
	return Pairs(hosts, paths, conditions)
}

// Pairs returns a match for each host with each path.
func Pairs(hosts []route.Host, paths []route.Path, conditions []route.Condition) []route.Match {
	matches := make([]route.Match, 0, len(hosts)*len(paths))
	for _, h := range hosts {
		for _, p := range paths {
			matches = append(matches, route.Match{Host: h, Path: p, Conditions: conditions})
		}
	}
	return matches
}

// Redirects are the redirects to https.
func (d *Draft) Redirects() []*route.RedirectHTTPS {
	return slices.DeleteFunc([]*route.RedirectHTTPS{d.Filter.RedirectHTTPS, d.Forwarded}, func(r *route.RedirectHTTPS) bool { return r == nil })
}

// Filters returns the filters in the order in which they are applied.
func (d *Draft) Filters() []route.Filter {
	f := &d.Filter
	for _, op := range []*route.HeaderOperation{f.RequestHeaders, f.ResponseHeaders} {
		if op != nil {
			slices.Sort(op.Remove)
			op.Remove = slices.Compact(op.Remove)
			sortByName(op.Set)
			sortByName(op.Add)
		}
	}
	list := []route.Filter{
		{IPAllow: f.IPAllow},
		{Methods: f.Methods},
		{RequireTLS: f.RequireTLS},
		{RequireClientCert: f.RequireClientCert},
		{RateLimit: f.RateLimit},
		{MaxBody: f.MaxBody},
		{RedirectHTTPS: f.RedirectHTTPS},
		{RedirectHTTPS: d.Forwarded},
		{Redirect: f.Redirect},
		{BasicAuth: f.BasicAuth},
		{StripPrefix: f.StripPrefix},
		{AddPrefix: f.AddPrefix},
	}
	for _, r := range d.Rewrites {
		list = append(list, route.Filter{RewritePath: r})
	}
	list = append(
		list,
		route.Filter{RequestHeaders: f.RequestHeaders},
		route.Filter{ResponseHeaders: f.ResponseHeaders},
		route.Filter{ResponseHeaders: d.HSTS},
		route.Filter{Compress: f.Compress},
		route.Filter{Snippet: f.Snippet},
	)
	list = slices.DeleteFunc(list, func(f route.Filter) bool { return f == route.Filter{} })
	return slices.Concat(list) // it is kept, and most routes have one or none
}

// BeforeRedirect says whether a filter is applied before redirects to https; see Filters.
func BeforeRedirect(f route.Filter) bool {
	return f.IPAllow != nil || f.Methods != nil || f.RequireTLS != nil || f.RequireClientCert != nil || f.RateLimit != nil || f.MaxBody != nil
}

// WithRedirect returns filters with a redirect to https in its place; see Filters.
func WithRedirect(list []route.Filter, r *route.RedirectHTTPS) []route.Filter {
	at := slices.IndexFunc(list, func(f route.Filter) bool { return !BeforeRedirect(f) })
	if at < 0 {
		at = len(list)
	}
	return slices.Insert(slices.Clone(list), at, route.Filter{RedirectHTTPS: r})
}

// HealthCheck returns the check of the backend; nil for none.
func (d *Draft) HealthCheck() *route.Health {
	if d.Health.Path == "" && !d.L4.Check {
		return nil
	}
	health := d.Health
	sortByName(health.Headers)
	return &health
}

// Unread is what may be known of a route that decides who may ask, when its labels do not
// say which requests it takes (docs/decisions/011-what-cannot-be-read-is-closed.md).
type Unread struct {
	// Hosts and Paths are those that could be read; nil means that it can be any.
	Hosts []route.Host
	Paths []route.Path
	// HTTP and TCP say whether it can be for requests and for connections.
	HTTP, TCP bool
	// Checks are the filters that decide who may ask, where not Blind: all that there are.
	// A route with the same checks need not be closed.
	Checks []route.Filter
	Blind  bool
}

// NewUnread returns nil for a route that lets everybody in, as far as can be read.
func NewUnread(d *Draft, blind bool) *Unread {
	checks := slices.DeleteFunc(d.Filters(), func(f route.Filter) bool {
		return f.IPAllow == nil && f.Methods == nil && f.RequireTLS == nil && f.RequireClientCert == nil && f.BasicAuth == nil
	})
	if len(checks) == 0 && !blind {
		return nil
	}
	return &Unread{HTTP: true, TCP: true, Checks: checks, Blind: blind}
}
