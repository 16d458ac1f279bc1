package traefik

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/files"
	"fairway/internal/route"
	"fairway/internal/route/userhash"
)

// chain puts the middlewares of a router into its draft, in the order of the list.
type chain struct {
	*reader
	*draft.Builder
	label string // of the router
	path  int    // what has been done to the path, so far
	calls int    // middlewares, so far
	open  []string
	p     *part // that is read
}

// Changes of the path, in the order in which they are applied.
const (
	pathStrip = iota + 1
	pathAdd
	pathRewrite
)

func (r *reader) middlewares(b *draft.Builder, list, label string) {
	c := &chain{reader: r, Builder: b, label: label}
	for _, name := range items(b, label, list) {
		c.use(name)
	}
}

// maxNested bounds chains within chains.
const maxNested = 16

// use puts in what a name stands for. What is missing or unknown may protect, so that it
// refuses the route.
func (c *chain) use(name string) {
	if c.calls++; c.calls > draft.MaxListItems {
		c.FaultOfCheck(c.label, draft.Bad("use fewer", "with its chains it has more than %d middlewares", draft.MaxListItems))
		return
	}
	bare, _, _ := strings.Cut(name, "@")
	c.used[bare] = true
	if c.skips(name) {
		c.Ignored(c.label, "the middleware "+chars.Printable(name)+" is left out, as traefik.skip says")
		return
	}
	if slices.Contains(c.open, name) || len(c.open) > maxNested {
		c.FaultOfCheck(c.label, draft.Refuse(route.CodeContradicts, "the chain "+chars.Printable(name)+" contains itself, or too many others", "take it out of there"))
		return
	}
	p, refused := c.resolve("http.middlewares", name)
	if refused != nil {
		refused.Text = chars.Printable(refused.Text)
		c.FaultOfCheck(c.label, refused)
		return
	}
	var kinds []string
	for _, f := range p.order {
		kind, _, _ := strings.Cut(strings.ToLower(f.path), ".")
		if !slices.Contains(kinds, kind) && len(kinds) < 4 {
			kinds = append(kinds, kind)
		}
	}
	c.open, c.p = append(c.open, name), p
	defer func() { c.open = c.open[:len(c.open)-1] }()
	switch {
	case len(kinds) > 1:
		c.fault(p.order[0].path, draft.Refuse(route.CodeContradicts, "the middleware "+chars.Printable(name)+" has several types: "+chars.Printable(strings.Join(kinds, ", ")), "give each a name of its own"))
		return
	case types[kinds[0]] == nil:
		c.fault(p.order[0].path, draft.Refuse(route.CodeUnsupported, "nothing here does what "+chars.Printable(kinds[0])+" does, which may protect", "traefik.skip serves the route without it"))
		return
	}
	for _, f := range p.order {
		switch {
		case f.fault != nil:
			c.fault(f.path, f.fault)
		case f.key.ignored != "":
			c.Ignored(c.raw(f.path), f.key.ignored)
		}
	}
	types[kinds[0]](c)
	for _, inner := range c.items("chain.middlewares") {
		if strings.HasSuffix(name, "@file") && !strings.Contains(inner, "@") {
			inner += "@file" // a chain of the operator takes none of its parts from labels
		}
		c.use(inner)
	}
}

// raw is the label of a field of the middleware; of one of another service that of the router.
func (c *chain) raw(path string) string {
	if !c.p.own {
		return c.label
	}
	return c.p.raw(strings.ToLower(path))
}

// fault refuses the route because of a field of the middleware.
func (c *chain) fault(path string, err error) {
	if err == nil {
		return
	}
	refused := *draft.AsRefusal(err)
	if !c.p.own {
		refused.Text = "the middleware " + chars.Printable(c.p.name) + ": " + refused.Text
	}
	c.FaultOfCheck(c.raw(path), &refused)
}

func (c *chain) get(path string) string { return c.p.get(path) }

func (c *chain) items(path string) []string { return items(c.Builder, c.raw(path), c.get(path)) }

// yes reads a word that is true or false; nothing is false.
func (c *chain) yes(path string) bool {
	text := c.get(path)
	if text == "" {
		return false
	}
	on, err := strconv.ParseBool(strings.ToLower(text))
	if err != nil {
		c.fault(path, draft.Bad("write true or false", "%s is neither true nor false", chars.Excerpt(text)))
	}
	return on
}

func (c *chain) number(path string, least, most int) int {
	text := c.get(path)
	if text == "" {
		return 0
	}
	n, err := draft.ReadInt(text, least, most)
	c.fault(path, err)
	return n
}

// twice refuses a second middleware of a type, of which a route has one.
func (c *chain) twice(has bool, what string) bool {
	if has {
		c.fault(c.p.order[0].path, draft.Refuse(route.CodeContradicts, "the route has two middlewares for "+what, "put both into one"))
	}
	return has
}

// types are the types of middlewares by their names in lower case.
var types = map[string]func(*chain){
	"basicauth": (*chain).basicAuth, "ipallowlist": (*chain).ipAllow, "ipwhitelist": (*chain).ipAllow, "ratelimit": (*chain).rateLimit,
	"headers": (*chain).headers, "redirectscheme": (*chain).redirectScheme, "stripprefix": (*chain).stripPrefix,
	"stripprefixregex": (*chain).stripRegexp, "addprefix": (*chain).addPrefix, "replacepath": (*chain).replacePath, "replacepathregex": (*chain).replaceRegexp,
	"chain": nothing, "compress": (*chain).compress, "buffering": (*chain).buffering,
	"errors": nothing, "retry": nothing, "circuitbreaker": nothing, "contenttype": nothing, "grpcweb": nothing, "encodedcharacters": nothing,
	"digestauth": cannot("digest authentication", "use basicAuth"), "forwardauth": cannot("forward authentication", "traefik.skip serves the route without it, open to all"),
	"inflightreq": cannot("a limit of requests at once", ""), "passtlsclientcert": cannot("a certificate of the client in a header", ""),
	"redirectregex": cannot("redirects by expression", "write fairway.redirect on a route of its own"),
}

// nothing is for types that change nothing here, and protect nothing: their keys are noted.
func nothing(*chain) {}

// cannot refuses the route.
func cannot(what, hint string) func(*chain) {
	return func(c *chain) {
		c.fault(c.p.order[0].path, draft.Refuse(route.CodeUnsupported, what+" cannot be had", hint))
	}
}

func (c *chain) basicAuth() {
	if c.twice(c.Filter.BasicAuth != nil, "passwords") {
		return
	}
	auth := &route.BasicAuth{Realm: "traefik", Strip: c.yes("basicauth.removeheader")}
	c.Filter.BasicAuth = auth // with no user no request passes
	if realm := c.get("basicauth.realm"); realm != "" {
		if chars.HasControl(realm) || strings.ContainsAny(realm, `"\`) {
			c.fault("basicauth.realm", draft.Bad("", "the realm has quotes or control characters"))
		}
		auth.Realm = realm
	}
	for _, entry := range c.items("basicauth.users") {
		name, hash, _ := strings.Cut(entry, ":")
		if form, _ := userhash.FormOf(hash); form == userhash.Unknown || name == "" {
			c.fault("basicauth.users", draft.Bad("in a Compose file write each $ twice: $$apr1$$…; htpasswd -B makes the hash", "a user has no hash that is known: Compose takes a single $ for the name of a variable"))
			continue
		}
		auth.Users = append(auth.Users, route.User{Name: name, Hash: hash})
	}
	slices.SortStableFunc(auth.Users, func(a, b route.User) int { return strings.Compare(a.Name, b.Name) })
	auth.Users = slices.CompactFunc(auth.Users, func(a, b route.User) bool { return a.Name == b.Name })
	if path := c.get("basicauth.usersfile"); path != "" {
		file, err := draft.ReadAuthFile("file:" + path)
		if err == nil && c.UserDirs != nil && !files.Below(c.UserDirs, path) {
			err = draft.Bad("put it there, or add its directory to label-files", "the file is not below a directory of label-files")
		}
		c.fault("basicauth.usersfile", err)
		if err == nil {
			auth.File, c.UserLabel = file.File, c.raw("basicauth.usersfile")
		}
	}
	if header := c.get("basicauth.headerfield"); header != "" { // what a client says there does not count
		c.fault("basicauth.headerfield", c.ChangeHeader(true, draft.HeaderRemove, header, ""))
		c.Ignored(c.raw("basicauth.headerfield"), "the name of the user is not passed on; the header of a client is taken off")
	}
}

func (c *chain) ipAllow() {
	kind, _, _ := strings.Cut(strings.ToLower(c.p.order[0].path), ".")
	prefixes, err := draft.ReadPrefixes(c.get(kind + ".sourcerange"))
	if c.get(kind+".sourcerange") == "" {
		err = draft.Refuse(route.CodeIncomplete, "it has no sourceRange", "add addresses or prefixes")
	}
	c.fault(kind+".sourcerange", err)
	if c.p.below(kind+".ipstrategy") && !c.trusts {
		c.fault(kind+".ipstrategy.depth", draft.Refuse(route.CodeUnsupported, "without trusted-proxies anybody could say who the client is", "name the proxies in front in trusted-proxies"))
	}
	if status := c.get(kind + ".rejectstatuscode"); status != "" && status != "403" {
		c.Note(route.CodeApproximated, c.raw(kind+".rejectstatuscode"), "others get 403", "")
	}
	if has := c.Filter.IPAllow; has != nil && !slices.Equal(has.Prefixes, prefixes) {
		both := slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool {
			return !slices.ContainsFunc(has.Prefixes, func(h netip.Prefix) bool { return h.Bits() <= p.Bits() && h.Contains(p.Addr()) })
		})
		if c.twice(len(both) != len(prefixes), "addresses, of which none is within the other") {
			return
		}
	}
	c.Filter.IPAllow = &route.IPAllow{Prefixes: prefixes}
}

func (c *chain) rateLimit() {
	average, burst := c.number("ratelimit.average", 0, 1_000_000), max(1, c.number("ratelimit.burst", 0, 1_000_000))
	if c.p.below("ratelimit.sourcecriterion") {
		c.fault("ratelimit.sourcecriterion", draft.Refuse(route.CodeUnsupported, "requests are counted by the address of the client alone", "take sourceCriterion off"))
	}
	if average == 0 || c.twice(c.Filter.RateLimit != nil, "rates") {
		return
	}
	period := time.Second
	if text := c.get("ratelimit.period"); text != "" {
		if seconds, err := strconv.Atoi(text); err == nil {
			text = strconv.Itoa(seconds) + "s"
		}
		var err error
		period, err = draft.ReadDuration(text, time.Millisecond, 24*time.Hour)
		c.fault("ratelimit.period", err)
	}
	c.Filter.RateLimit = &route.RateLimit{Requests: average, Per: period, Burst: burst}
}

func (c *chain) redirectScheme() {
	if scheme := c.get("redirectscheme.scheme"); !strings.EqualFold(scheme, "https") {
		c.fault("redirectscheme.scheme", draft.Refuse(route.CodeUnsupported, "requests are sent to https alone", "write https"))
		return
	}
	if c.Filter.RedirectHTTPS != nil {
		return
	}
	redirect := &route.RedirectHTTPS{Status: 302}
	if c.yes("redirectscheme.permanent") {
		redirect.Status = 0 // 301, and 308 for what has a body
	} else {
		c.Note(route.CodeApproximated, c.raw("redirectscheme.scheme"), "every request gets 302, where Traefik answers those with a body 307", "add .permanent=true for 301 and 308")
	}
	if text := c.get("redirectscheme.port"); text != "" {
		port, err := draft.ReadPort(text)
		c.fault("redirectscheme.port", err)
		redirect.Port = port
	}
	c.Filter.RedirectHTTPS = redirect
}

func (c *chain) compress() {
	if !c.p.has("compress") || c.yes("compress") {
		c.Filter.Compress = &route.Compress{}
	}
}

func (c *chain) buffering() {
	if bytes := c.number("buffering.maxrequestbodybytes", 0, 1<<40); bytes > 0 && !c.twice(c.Filter.MaxBody != nil, "sizes of bodies") {
		c.Filter.MaxBody = &route.MaxBody{Bytes: int64(bytes)}
	}
}

// change notes a change of the path; false where it would be made before one in front of it.
func (c *chain) change(kind int, path string) bool {
	if kind < c.path || kind == c.path && kind != pathRewrite {
		c.fault(path, draft.Refuse(route.CodeContradicts, "it changes the path after what comes later here", "strip prefixes first, then add one, then replace"))
		return false
	}
	c.path = kind
	return true
}

func (c *chain) rewrite(search, replace string) {
	c.Rewrites = append(c.Rewrites, &route.RewritePath{Search: search, Replace: replace})
}

func literal(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }

func (c *chain) stripPrefix() {
	const key = "stripprefix.prefixes"
	prefixes := c.items(key)
	if len(prefixes) == 0 || !c.change(pathStrip, key) {
		return
	}
	var alternatives []string
	for _, p := range prefixes {
		path, err := route.ParsePath(route.PathStart, "/"+strings.TrimLeft(p, "/"))
		c.fault(key, err)
		alternatives = append(alternatives, regexp.QuoteMeta(strings.TrimSuffix(path.Value, "/")))
	}
	c.rewrite("^(?:"+strings.Join(alternatives, "|")+")/?", "/")
	if len(prefixes) == 1 && c.always("/"+strings.Trim(prefixes[0], "/")) {
		c.fault(key, c.ChangeHeader(true, draft.HeaderSet, "X-Forwarded-Prefix", "/"+strings.Trim(prefixes[0], "/")))
		return
	}
	c.Note(route.CodeApproximated, c.raw(key), "X-Forwarded-Prefix is not sent, as not every path of the router begins with the one prefix", "")
}

// always says whether every path that the router takes begins with a prefix.
func (c *chain) always(prefix string) bool {
	return len(c.Rule) > 0 && !slices.ContainsFunc(c.Rule, func(m route.Match) bool {
		return m.Path.Kind == route.PathRegexp || !strings.HasPrefix(m.Path.Value, prefix)
	})
}

func (c *chain) stripRegexp() {
	const key = "stripprefixregex.regex"
	if expression := c.get(key); expression != "" && c.change(pathStrip, key) {
		search := "^(?:" + strings.Join(c.items(key), "|") + ")/?"
		c.fault(key, route.CheckRegexp(search))
		c.rewrite(search, "/")
		c.Note(route.CodeApproximated, c.raw(key), "X-Forwarded-Prefix is not sent", "")
	}
}

func (c *chain) addPrefix() {
	const key = "addprefix.prefix"
	if prefix := c.get(key); prefix != "" && c.change(pathAdd, key) {
		path, err := route.ParsePath(route.PathStart, "/"+strings.TrimLeft(prefix, "/"))
		c.fault(key, err)
		c.rewrite("^/", literal(strings.TrimSuffix(path.Value, "/"))+"/")
	}
}

func (c *chain) replacePath() {
	const key = "replacepath.path"
	if text := c.get(key); c.change(pathRewrite, key) {
		path, err := route.ParsePath(route.PathExact, "/"+strings.TrimLeft(text, "/"))
		c.fault(key, err)
		c.rewrite("^.*$", literal(path.Value))
		c.Ignored(c.raw(key), "X-Replaced-Path is not sent")
	}
}

// groupRef is a group in a replacement as Go has it.
var groupRef = regexp.MustCompile(`\$(?:([0-9])|\{([0-9])\})`)

func (c *chain) replaceRegexp() {
	const key, with = "replacepathregex.regex", "replacepathregex.replacement"
	search := c.get(key)
	err := route.CheckRegexp(search)
	c.fault(key, err)
	if err != nil || search == "" || !c.change(pathRewrite, key) {
		return
	}
	replace := groupRef.ReplaceAllString(literal(c.get(with)), `\$1$2`)
	if strings.Contains(replace, "$") {
		c.fault(with, draft.Refuse(route.CodeUnsupported, "it has a $ that is no group from 1 to 9", "write $1 or ${1}; in a Compose file $$1"))
	}
	c.rewrite(search, replace)
	if !strings.HasPrefix(search, "^") {
		c.Note(route.CodeApproximated, c.raw(key), "the first match is replaced, where Traefik replaces all", "begin the expression with ^")
	}
}
