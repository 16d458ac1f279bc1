package compile

import (
	"slices"
	"strings"
	"time"

	"fairway/internal/route"
)

// Bounds of labels. What is larger is refused, so that no label set is expensive.
const (
	maxLabelBytes  = 16 << 10
	maxHeaderBytes = 4 << 10
	maxListItems   = 256
	maxMatches     = 1024 // hosts times paths of one route
	maxPriority    = 1_000_000
)

// draft is what the labels of one route say, while they are being read.
type draft struct {
	hosts    []route.Host
	paths    []route.Path
	rule     []route.Match
	priority int
	hold     time.Duration
	timeout  time.Duration
	idle     time.Duration
	// bodyTimeout bounds the pauses of a client that sends a body.
	bodyTimeout time.Duration
	filter      route.Filter // every field may be set here; see filters
	// forwarded is one more redirect, and rewrites are any number of them.
	forwarded *route.RedirectHTTPS
	rewrites  []*route.RewritePath
	stripOwn  bool
	backend   route.Backend // without endpoints, Health and TLS
	health    route.Health
	tls       route.TLS
	wishes    wishes
	enable    bool // of the service
	rank      string
	group     string
	l4        l4
}

// newDraft returns a draft with the defaults.
func newDraft() *draft {
	return &draft{
		enable: true,
		backend: route.Backend{
			Scheme:  route.SchemeHTTP,
			Balance: route.Balance{Policy: route.BalanceRoundRobin},
		},
	}
}

func (d *draft) addPaths(kind route.PathKind, value string) error {
	paths, err := readPaths(kind, value)
	d.paths = append(d.paths, paths...)
	return err
}

func (d *draft) setScheme(value string) error {
	switch s := route.Scheme(strings.ToLower(value)); s {
	case route.SchemeHTTP, route.SchemeHTTPS, route.SchemeH2C, route.SchemeTCP:
		d.backend.Scheme = s
		return nil
	}
	return bad("use http, https, h2c or tcp", "%s is not a scheme", excerpt(value))
}

func (d *draft) setSticky(value string) error {
	switch strings.ToLower(value) {
	case "true":
		d.backend.Sticky = "fairway"
	case "false":
	default:
		if !isToken(value) {
			return bad("write true, or a name of letters, digits, - and _", "%s is not the name of a cookie", excerpt(value))
		}
		d.backend.Sticky = value
	}
	return nil
}

func (d *draft) setSameSite(value string) error {
	switch s := route.SameSite(strings.ToLower(value)); s {
	case route.SameSiteLax, route.SameSiteStrict, route.SameSiteNone:
		d.backend.StickySameSite = s
		return nil
	}
	return bad("use lax, strict or none", "%s is not a SameSite", excerpt(value))
}

// addHealthHeader adds a header of the check. What states who asks is as free here as
// any other: Fairway itself asks.
func (d *draft) addHealthHeader(name, value string) error {
	if strings.EqualFold(name, "Host") {
		return bad("use health.host", "the host is a label of its own")
	}
	if err := checkHeader(name, false, headerSet); err != nil {
		return err
	}
	if len(value) > maxHeaderBytes {
		return bad("", "the value is longer than %d bytes", maxHeaderBytes)
	}
	d.health.Headers = append(d.health.Headers, route.HeaderValue{Name: canonicalHeader(name), Value: value})
	return nil
}

// matches returns what the route takes; nil when its labels do not say.
func (d *draft) matches() []route.Match {
	if d.backend.Scheme == route.SchemeTCP {
		return d.l4.matches()
	}
	if d.rule != nil {
		return d.rule
	}
	hosts, paths := d.hosts, d.paths
	if hosts == nil && paths == nil {
		return nil
	}
	if hosts == nil {
		hosts = []route.Host{{Kind: route.HostAny}}
	}
	if paths == nil {
		paths = []route.Path{{Kind: route.PathPrefix, Value: "/"}}
	}
	matches := make([]route.Match, 0, len(hosts)*len(paths))
	for _, h := range hosts {
		for _, p := range paths {
			matches = append(matches, route.Match{Host: h, Path: p})
		}
	}
	return matches
}

// ownPrefixes are the prefixes by which the route's matches are found, without
// "/", each once.
func (d *draft) ownPrefixes() []string {
	var prefixes []string
	for _, m := range d.matches() {
		if m.Path.Kind == route.PathPrefix && m.Path.Value != "/" && !slices.Contains(prefixes, m.Path.Value) {
			prefixes = append(prefixes, m.Path.Value)
		}
	}
	return prefixes
}

// redirects are the redirects to https.
func (d *draft) redirects() []*route.RedirectHTTPS {
	return slices.DeleteFunc([]*route.RedirectHTTPS{d.filter.RedirectHTTPS, d.forwarded}, func(r *route.RedirectHTTPS) bool { return r == nil })
}

// filters returns the filters in the order in which they are applied.
func (d *draft) filters() []route.Filter {
	f := &d.filter
	var list []route.Filter
	add := func(set bool, one route.Filter) {
		if set {
			list = append(list, one)
		}
	}
	add(f.IPAllow != nil, route.Filter{IPAllow: f.IPAllow})
	add(f.Methods != nil, route.Filter{Methods: f.Methods})
	add(f.RequireTLS != nil, route.Filter{RequireTLS: f.RequireTLS})
	add(f.RequireClientCert != nil, route.Filter{RequireClientCert: f.RequireClientCert})
	add(f.RateLimit != nil, route.Filter{RateLimit: f.RateLimit})
	add(f.MaxBody != nil, route.Filter{MaxBody: f.MaxBody})
	add(f.RedirectHTTPS != nil, route.Filter{RedirectHTTPS: f.RedirectHTTPS})
	add(d.forwarded != nil, route.Filter{RedirectHTTPS: d.forwarded})
	add(f.Redirect != nil, route.Filter{Redirect: f.Redirect})
	add(f.BasicAuth != nil, route.Filter{BasicAuth: f.BasicAuth})
	add(f.StripPrefix != nil, route.Filter{StripPrefix: f.StripPrefix})
	add(f.AddPrefix != nil, route.Filter{AddPrefix: f.AddPrefix})
	for _, r := range d.rewrites {
		add(true, route.Filter{RewritePath: r})
	}
	for _, op := range []*route.HeaderOperation{f.RequestHeaders, f.ResponseHeaders} {
		if op != nil {
			sortHeaders(op)
		}
	}
	add(f.RequestHeaders != nil, route.Filter{RequestHeaders: f.RequestHeaders})
	add(f.ResponseHeaders != nil, route.Filter{ResponseHeaders: f.ResponseHeaders})
	add(f.Compress != nil, route.Filter{Compress: f.Compress})
	add(f.Snippet != nil, route.Filter{Snippet: f.Snippet})
	return list
}

// check finds what is wrong between labels that are right by themselves, and
// settles what depends on several of them. fault is called with the key at
// fault, at most once for each; a key that already is at fault is left alone.
func (d *draft) check(p planner, has func(key string) bool, fault func(key string, err *refusal)) {
	contradicts := func(key, text, hint string) { fault(key, &refusal{route.CodeContradicts, text, hint}) }
	d.checkL4(p.ports, has, fault)
	p.checkUserFile(d, fault)
	if has("rule") && (has("host") || has("path") || has("path-exact") || has("path-regexp")) {
		contradicts("rule", "rule stands beside host or path labels", "write all conditions into the rule, or use several routes")
	}
	if len(d.hosts)*len(d.paths) > maxMatches {
		key := "path"
		if !has(key) {
			key = "path-exact"
		}
		contradicts(key, "there are too many pairs of hosts and paths", "use several routes")
	}
	if d.stripOwn {
		switch prefixes := d.ownPrefixes(); len(prefixes) {
		case 1:
			d.filter.StripPrefix = &route.StripPrefix{Prefix: prefixes[0]}
		case 0:
			contradicts("strip-prefix", "the route has no path prefix to strip", "add a path label, or write the prefix here")
		default:
			contradicts("strip-prefix", "the route has several path prefixes", "use one named route for each path")
		}
	}
	for _, k := range []string{"health.interval", "health.timeout", "health.status", "health.host", "health.port", "health.headers."} {
		if has(k) && !has("health.path") && d.backend.Scheme != route.SchemeTCP {
			fault(k, &refusal{route.CodeIncomplete, "there is no health.path to check", "add a health.path label"})
		}
	}
	for _, k := range []string{"sticky.same-site", "sticky.domain"} {
		if has(k) && !has("sticky") && d.backend.Scheme != route.SchemeTCP {
			fault(k, &refusal{route.CodeIncomplete, "there is no sticky cookie", "add a sticky label"})
		}
	}
	if has("upgrade") && d.backend.Scheme == route.SchemeH2C {
		contradicts("upgrade", "HTTP/2 knows no switch of protocols", "set the scheme to http")
	}
	if d.health.Interval == 0 {
		d.health.Interval = 10 * time.Second
	}
	if d.health.Timeout == 0 {
		d.health.Timeout = min(2*time.Second, d.health.Interval)
	}
	if (has("health.path") || d.l4.check) && d.health.Timeout > d.health.Interval {
		contradicts("health.timeout", "health.timeout is longer than health.interval", "make it shorter")
	}
	for _, k := range []string{"tls.server-name", "tls.skip-verify"} {
		if d.backend.Scheme == route.SchemeTCP {
			continue
		}
		if has(k) && d.backend.Scheme != route.SchemeHTTPS && !has("scheme") {
			contradicts(k, "the service is spoken to without TLS", "add a scheme label with https")
		} else if has(k) && d.backend.Scheme != route.SchemeHTTPS {
			contradicts(k, "the service is spoken to without TLS", "set the scheme to https")
		}
	}
}
