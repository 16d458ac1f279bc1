// Package nginxproxy reads the variables and labels of nginx-proxy and acme-companion, by
// one table of keys (keys.go), which docs/nginx-proxy.md is printed from.
package nginxproxy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/rule"
	"fairway/internal/human"
	"fairway/internal/route"
)

// Options says how variables are read.
type Options struct {
	// Listeners are those of the table.
	Listeners []route.Listener
	// Defaults gives routes the defaults of the configuration; nil for none.
	Defaults draft.Defaults
}

// Dialect reads what nginx-proxy reads. Any goroutine may use it.
type Dialect struct {
	defaults      draft.Defaults
	plain, secure []string // listeners
}

// New returns the dialect.
func New(o Options) *Dialect {
	x := &Dialect{defaults: o.Defaults}
	x.plain, x.secure = draft.Secure(o.Listeners)
	return x
}

// Name is what the configuration calls the dialect.
func (*Dialect) Name() string { return "nginx-proxy" }

// Title is what people call it.
func (*Dialect) Title() string { return "nginx-proxy" }

// Owns says whether a variable, or a label, is one of the dialect.
func (*Dialect) Owns(key string) bool {
	return catalog.IsVariable(key) || catalog.HasPrefix(key, catalog.NginxPrefix)
}

// Shown returns what may be shown of a value: all, for none is a secret.
func (*Dialect) Shown(_, value string) string { return value }

// Read reads variables and labels.
func (x *Dialect) Read(s *catalog.Service, labels map[string]string) draft.Reading {
	p := &proxy{Dialect: x, words: map[string]string{}, raw: map[string]string{}}
	r := draft.Reading{Says: map[string]string{}}
	for key, value := range labels {
		if x.Owns(key) {
			p.add(key, value)
			r.Says[key] = value
		}
	}
	r.Wanted = p.words[host] != "" || strings.TrimSpace(p.words[multiports]) != ""
	if !r.Wanted {
		r.Summary, r.Hint = "it has labels of nginx-proxy, but no "+host, "set "+host+" to the hosts that it is to serve"
		return r
	}
	routes := p.routes()
	for _, b := range routes {
		b.Guesses(s)
	}
	draft.Finish(&r, routes, r.Says, x.defaults)
	r.Summary = human.Plural(len(r.Says), "variable") + " of nginx-proxy for " + human.Plural(len(r.Drafts), "route")
	return r
}

// proxy is what one container says.
type proxy struct {
	*Dialect
	words map[string]string // by the names in keys
	raw   map[string]string // how they are written
}

func (p *proxy) add(key, value string) {
	name := strings.TrimSpace(key)
	if known := keyOf(key); known != nil {
		name = known.Name
	}
	if _, twice := p.words[name]; !twice || key < p.raw[name] {
		p.words[name], p.raw[name] = strings.TrimSpace(value), key
	}
}

// place is a host and a path with where they lead.
type place struct {
	host, path, dest, port, proto string
	label                         string // that says it
}

func (p *proxy) routes() []*draft.Builder {
	var list []*draft.Builder
	places, err := p.places()
	if err != nil {
		b := draft.NewBuilder(p.Name(), p.raw[multiports])
		b.FaultOfMatch(p.raw[multiports], err)
		p.settings(b, place{})
		return append(list, b)
	}
	for _, at := range places {
		list = append(list, p.place(at)...)
	}
	for _, b := range list {
		p.ignored(b)
	}
	return list
}

// places are the hosts and paths, each once.
func (p *proxy) places() (list []place, err error) {
	if p.words[multiports] != "" {
		return readMultiports(p.words[multiports], p.raw[multiports])
	}
	for name := range strings.SplitSeq(p.words[host], ",") {
		at := place{strings.TrimSpace(name), cmp.Or(p.words[pathName], "/"), p.words[dest], p.words[port], p.words[proto], p.raw[host]}
		if at.host != "" && !slices.Contains(list, at) && len(list) < draft.MaxListItems {
			list = append(list, at)
		}
	}
	return list, nil
}

// place makes the routes of a host and a path.
func (p *proxy) place(at place) []*draft.Builder {
	b := draft.NewBuilder(p.Name()+"."+chars.Printable(at.host+strings.TrimPrefix(at.path, "/")), at.label)
	if at.path != "/" {
		b.Name = p.Name() + "." + chars.Printable(at.host+at.path)
	}
	h, err := readHost(at.host)
	b.FaultOfMatch(at.label, err)
	path, priority, err := readPath(at.path)
	b.FaultOfMatch(p.label(pathName, at), err)
	b.Hosts, b.Paths = []route.Host{h}, []route.Path{path}
	if h.Kind == route.HostExact { // else it would go before other hosts
		b.Priority = priority
	}
	p.rewrite(b, at, path)
	p.settings(b, at)
	b.Group = p.group(b)
	list := []*draft.Builder{b}
	if slash := path.Value; path.Kind == route.PathStart && len(slash) > 1 && strings.HasSuffix(slash, "/") {
		list = append(list, p.beside(b, ".slash", func(r *draft.Builder) {
			r.Paths = []route.Path{{Kind: route.PathExact, Value: strings.TrimSuffix(slash, "/")}}
			r.Filter.Redirect = &route.Redirect{Status: 301, Path: slash}
			r.Rewrites = nil
		}))
	}
	return append(list, p.listeners(b)...)
}

// beside is a route beside another one that is as protected.
func (p *proxy) beside(b *draft.Builder, name string, change func(*draft.Builder)) *draft.Builder {
	d := *b.Draft
	r := &draft.Builder{Draft: &d, Faults: slices.Clone(b.Faults), Blind: b.Blind}
	r.Name += name
	for i := range r.Faults {
		r.Faults[i].Route = r.Name
	}
	change(r)
	return r
}

// group is that of services with one host: they share a backend where they say the same of it.
func (p *proxy) group(b *draft.Builder) string {
	return fmt.Sprintf("%s %s %v %v %v %q", p.Name(), b.Backend.Scheme, b.Backend.Balance, b.Filters(), p.words[method], p.words[hsts])
}

// label is the variable that says something of a place.
func (p *proxy) label(name string, at place) string {
	if at.label == p.raw[multiports] && at.label != "" {
		return at.label
	}
	return cmp.Or(p.raw[name], name)
}

// readHost reads a host; it is known what an unreadable one looks like, but not what it takes.
func readHost(name string) (route.Host, error) {
	expression, isRegexp := strings.CutPrefix(name, "~")
	front, open := strings.CutSuffix(name, ".*")
	switch {
	case isRegexp:
		if err := route.CheckRegexp(expression); err != nil {
			return route.Host{Kind: route.HostAny}, draft.Bad("look-around and references back are not known here", "%s", err)
		}
		e := rule.Anywhere(expression, true)
		return route.Host{Kind: route.HostRegexp, Value: e}, route.CheckRegexp(e)
	case open:
		h, err := route.ParseHost(front)
		if err == nil && h.Kind != route.HostExact {
			err = draft.Bad("", "%s has more than one star", chars.Excerpt(name))
		}
		return route.Host{Kind: route.HostRegexp, Value: regexp.QuoteMeta(h.Value) + `\..+`}, err
	case strings.HasPrefix(name, "*."):
		name = "*" + name // any depth
	}
	return route.ParseHost(name)
}

// readPath reads a path as nginx has locations, with its priority within the host: an
// expression goes before what paths begin with, but not before what says otherwise.
func readPath(s string) (p route.Path, priority int, err error) {
	s = strings.TrimSpace(s)
	for _, form := range []struct {
		sign     string
		kind     route.PathKind
		priority int
	}{{"^~", route.PathStart, 2}, {"=", route.PathExact, 2}, {"~*", route.PathRegexp, 1}, {"~", route.PathRegexp, 1}, {"", route.PathStart, 0}} {
		value, ok := strings.CutPrefix(s, form.sign)
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch {
		case form.kind == route.PathRegexp:
			if err := route.CheckRegexp(value); err != nil {
				return everyPath, 0, draft.Bad("look-around and references back are not known here", "%s", err)
			}
			value = rule.Anywhere(value, form.sign == "~*")
		case value == "/" && form.kind == route.PathStart:
			return everyPath, form.priority, nil
		case !strings.HasPrefix(value, "/"):
			return everyPath, 0, draft.Bad("write it like /api/", "%s does not begin with a slash", chars.Excerpt(value))
		}
		p, err = route.ParsePath(form.kind, value)
		return p, form.priority, err
	}
	return everyPath, 0, errors.New("unreachable: every path has the last form")
}

// everyPath is the path that takes all of them.
var everyPath = route.Path{Kind: route.PathPrefix, Value: "/"}

// rewrite puts the destination in the place of what was matched.
func (p *proxy) rewrite(b *draft.Builder, at place, path route.Path) {
	label := p.label(dest, at)
	switch {
	case at.dest == "":
	case path.Kind == route.PathRegexp:
		b.Fault(label, draft.Bad("leave it out, or take a path without an expression", "there is no destination for an expression"))
	case !strings.HasPrefix(at.dest, "/"):
		b.Fault(label, draft.Bad("write it like /", "%s does not begin with a slash", chars.Excerpt(at.dest)))
	default:
		if _, err := route.ParsePath(route.PathStart, at.dest); err != nil {
			b.Fault(label, err)
			return
		}
		search := "^" + regexp.QuoteMeta(path.Value)
		if strings.HasSuffix(at.dest, "/") && !strings.HasSuffix(path.Value, "/") {
			search += "/?"
			b.Note(route.CodeApproximated, label, "what is sent has no second slash: "+chars.Printable(path.Value)+"/x becomes "+chars.Printable(at.dest)+"x", "end both in a slash, or neither")
		}
		b.Rewrites = []*route.RewritePath{{Search: search, Replace: strings.ReplaceAll(at.dest, `\`, `\\`)}}
	}
}

// internal are the networks of NETWORK_ACCESS=internal.
var internal = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
}

// settings reads what holds for all hosts of a container.
func (p *proxy) settings(b *draft.Builder, at place) {
	b.Wishes = draft.Wishes{PortChoice: draft.PortOr80, PortLabel: port, Loose: true}
	if at.port != "" {
		n, err := draft.ReadPort(at.port)
		b.Fault(p.label(port, at), err)
		b.Wishes.Port = n
	}
	p.scheme(b, at)
	switch word := p.words[access]; word {
	case "", "external":
	case "internal":
		b.Filter.IPAllow = &route.IPAllow{Prefixes: internal}
	default:
		b.FaultOfCheck(p.raw[access], draft.Bad("write internal or external", "%s is neither internal nor external", chars.Excerpt(word)))
	}
	switch word := p.words[verify]; word {
	case "", "off":
	case "on":
		b.Filter.RequireClientCert = &route.RequireClientCert{}
	default:
		b.FaultOfCheck(p.raw[verify], draft.Refuse(route.CodeUnsupported, chars.Excerpt(word)+" is not known: only on and off are", "write on or off"))
	}
	switch p.words[balance] {
	case "":
	case "least_conn;":
		b.Backend.Balance = route.Balance{Policy: route.BalanceLeastConn}
	case "ip_hash;":
		b.Backend.Balance = route.Balance{Policy: route.BalanceHash, On: route.HashClientIP}
	case "random;", "random two;", "random two least_conn;":
		b.Backend.Balance = route.Balance{Policy: route.BalanceRandom2}
	default:
		b.Ignored(p.raw[balance], "the line "+chars.Excerpt(p.words[balance])+" is not known; instances take turns")
	}
	for _, name := range []string{httpPort, httpsPort} {
		if p.words[name] != "" {
			b.Notices = append(b.Notices, draft.Problem{Route: b.Name, Label: p.raw[name], Refusal: draft.Refuse(
				route.CodeUnsupported, "labels open no ports for HTTP; the host is served on the usual listeners alone", "add a listener, or take it off")})
		}
	}
	if !slices.ContainsFunc(strings.Split(p.words[encrypted], ","), func(name string) bool { return strings.EqualFold(strings.TrimSpace(name), at.host) }) {
		b.TLSFrom = route.TLSOff
	}
}

func (p *proxy) scheme(b *draft.Builder, at place) {
	switch at.proto {
	case "", "http":
	case "https", "grpcs":
		b.Backend.Scheme, b.TLS.SkipVerify = route.SchemeHTTPS, true
	case "grpc":
		b.Backend.Scheme = route.SchemeH2C
	default:
		text := chars.Excerpt(at.proto) + " is not known"
		if at.proto == "uwsgi" || at.proto == "fastcgi" {
			text = "Fairway speaks no " + at.proto
		}
		b.Fault(p.label(proto, at), draft.Refuse(route.CodeUnsupported, text, "put a web server in front of the service, and write http"))
	}
}

// listeners reads which listeners a host is served on; the route that it may return answers
// the others.
func (p *proxy) listeners(b *draft.Builder) []*draft.Builder {
	label, only := p.raw[method], func(names []string) {
		b.Rule = draft.Pairs(b.Hosts, b.Paths, []route.Condition{{Kind: route.ConditionListener, Values: names}})
	}
	switch word := cmp.Or(p.words[method], "redirect"); word {
	case "redirect":
		p.hsts(b)
		if strings.EqualFold(p.words[onMissing], "false") && len(p.secure) > 0 {
			b.Filter.RedirectHTTPS = &route.RedirectHTTPS{}
			break
		}
		b.RedirectCertified = true
	case "noredirect":
	case "nohttps":
		if len(p.plain) == 0 {
			b.Fault(label, draft.Refuse(route.CodeUnsupported, "no listener is without TLS", "leave it out"))
			break
		}
		only(p.plain)
	case "nohttp":
		p.hsts(b)
		if len(p.secure) == 0 {
			b.Fault(label, draft.Refuse(route.CodeUnsupported, "no listener has TLS", "set up certificates, or leave it out"))
			break
		}
		if len(p.plain) == 0 {
			break
		}
		closed := p.beside(b, ".http", func(c *draft.Builder) {
			c.Rule = draft.Pairs(b.Hosts, b.Paths, []route.Condition{{Kind: route.ConditionListener, Values: p.plain}})
			c.Draft.Refused = label + ": requests without TLS are not served"
		})
		only(p.secure)
		return []*draft.Builder{closed}
	default:
		b.FaultOfCheck(label, draft.Bad("write redirect, noredirect, nohttp or nohttps", "%s is no way to serve https", chars.Excerpt(word)))
	}
	return nil
}

func (p *proxy) hsts(b *draft.Builder) {
	value := cmp.Or(p.words[hsts], "max-age=31536000")
	if value == "off" || len(p.secure) == 0 {
		return
	}
	v, err := draft.ReadHeader(draft.HeaderHSTS, value, false, draft.HeaderSet)
	if err == nil && chars.HasControl(value) {
		err = draft.Bad("", "the value has control characters")
	}
	b.Fault(p.raw[hsts], err)
	b.HSTS = &route.HeaderOperation{OverTLS: true, Set: []route.HeaderValue{v}}
}

// ignored notes what has no effect, and refuses what may protect.
func (p *proxy) ignored(b *draft.Builder) {
	for _, name := range slices.Sorted(maps.Keys(p.words)) {
		known := keyOf(name)
		switch {
		case known == nil:
			b.FaultOfCheck(p.raw[name], draft.Refuse(route.CodeUnknownLabel, "there is no such label", "docs/nginx-proxy.md lists all"))
		case known.ignored != "":
			b.Ignored(p.raw[name], known.ignored)
		case p.words[multiports] != "" && slices.Contains([]string{host, port, pathName, dest, proto}, name):
			b.Ignored(p.raw[name], p.raw[multiports]+" stands in its place")
		}
	}
}
