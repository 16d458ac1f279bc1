package native

import (
	"errors"
	"slices"
	"strings"
	"time"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/rule"
	"fairway/internal/route"
)

// scope says what a key of the native dialect belongs to.
type scope int

const (
	scopeMatch    scope = iota // which requests a route takes
	scopeRoute                 // what a route does
	scopeFilter                // a filter of a route
	scopeBackend               // how a route's backend is used
	scopeInstance              // read from the labels of each instance
	scopeService               // the service as a whole; never carries a route's name
)

// Key is one key of the native dialect, as it stands behind "fairway." or
// "fairway.<route>.". A name that ends in a dot takes the name of a header.
type Key struct {
	Name    string
	scope   scope
	Value   string // what the value looks like
	Meaning string
	Example string
	// read puts the value of a label into the draft. Errors never repeat values that
	// may be secrets.
	read func(d *reading, l *label) error
}

// Keys returns the keys of the dialect.
func Keys() []Key { return slices.Clone(keys) }

// keys is the native dialect: the one table that labels are read with and that
// docs/labels.md is printed from.
var keys = []Key{
	{"host", scopeMatch, "list of hosts", "Hosts that are taken: a name, `*.name` for one label in front of it, `**.name` for any number, `*` for every host.", "app.example.com, *.app.example.com", to(func(d *reading) *[]route.Host { return &d.Hosts }, draft.ReadHosts)},
	{"path", scopeMatch, "list of paths", "Paths that are taken with everything below them, on segment boundaries: `/demo` takes `/demo/x`, not `/demonstration`.", "/demo, /shop", paths(route.PathPrefix)},
	{"path-exact", scopeMatch, "list of paths", "Paths that are taken alone.", "/robots.txt", paths(route.PathExact)},
	{"path-regexp", scopeMatch, "RE2 expression", "Paths that are taken when the whole path matches.", "/v[0-9]+/.*", paths(route.PathRegexp)},
	{"rule", scopeMatch, "rule", "What is taken, in the language of rules; in the place of `host` and the paths.", "Host(`a.example`) && !Method(`DELETE`)", to(func(d *reading) *[]route.Match { return &d.Rule }, rule.Matches)},
	{"listen", scopeMatch, "number", "The port on which connections come in that are passed through as they are, with `scheme` `tcp`. The operator says which ports labels may open.", "5432", to(func(d *reading) *uint16 { return &d.L4.Port }, draft.ReadPort)},
	{"sni", scopeMatch, "list of hosts", "Of the connections of `listen`, those of TLS clients that ask for one of these names, written like `host`. Default: all.", "db.example.com, *.db.example.com", to(func(d *reading) *[]route.Host { return &d.L4.Names }, draft.ReadHosts)},
	{"priority", scopeMatch, "number", "Goes before every other order of precedence; higher wins. 0 is the default.", "10", to(func(d *reading) *int { return &d.Priority }, number(-draft.MaxPriority, draft.MaxPriority))},
	{"hold", scopeRoute, "duration up to 5m", "How long a request waits while no instance is ready, before it is answered with 503. Default: not at all.", "5s", to(func(d *reading) *time.Duration { return &d.Hold }, duration(0, 5*time.Minute))},
	{"timeout", scopeRoute, "duration up to 1h, or off", "How long to wait for the header of the response.", "30s", to(func(d *reading) *time.Duration { return &d.Timeout }, duration(time.Millisecond, time.Hour))},
	{"body-timeout", scopeRoute, "duration from 1s to 1h", "How long a client may pause while it sends a request body, before it gets 408. Default: 1m, or what the operator has set.", "5m", to(func(d *reading) *time.Duration { return &d.BodyTimeout }, duration(time.Second, time.Hour))},
	{"idle", scopeRoute, "duration up to 24h, or off", "How long an upgraded connection, such as WebSocket, or one that is passed through may be silent. Default: 1h.", "10m", to(func(d *reading) *time.Duration { return &d.Idle }, duration(time.Second, 24*time.Hour))},
	{"error-pages", scopeRoute, "name, or off", "The pages that browsers get where Fairway itself answers with an error: a set that the operator has under `error-pages`. Default: the set `default`, if there is one. `off` leaves Fairway's own page.", "brand", to(func(d *reading) *string { return &d.ErrorPages }, readPages)},
	{"tls", scopeRoute, "auto, off, internal or file:/path", "Where the certificates of the route's hosts come from: `auto` (the default) obtains them where the operator has that; `off` obtains none; `internal` takes those of Fairway's own authority; a PEM file with certificate, chain and key, below a directory of `label-files`, answers for these hosts and no others.", "internal", to(func(d *reading) *string { return &d.TLSFrom }, draft.ReadTLS)},
	{"ip-allow", scopeFilter, "list of addresses and prefixes, or off", "Clients from elsewhere get 403.", "10.0.0.0/8, 192.168.1.7", func(d *reading, l *label) error {
		p, err := draft.ReadPrefixes(l.value)
		d.Filter.IPAllow = &route.IPAllow{Prefixes: p}
		return err
	}},
	{"rate-limit", scopeFilter, "rate, or off", "Clients that ask more often get 429: requests per `s`, `m` or `h`, and how many may come at once.", "100/s burst 200", to(func(d *reading) **route.RateLimit { return &d.Filter.RateLimit }, draft.ReadRate)},
	{"max-body", scopeFilter, "size, or off", "Larger request bodies get 413.", "10MB", func(d *reading, l *label) error {
		n, err := draft.ReadSize(l.value)
		d.Filter.MaxBody = &route.MaxBody{Bytes: n}
		return err
	}},
	{"redirect-https", scopeFilter, "true or false", "Requests that came without TLS are sent to https.", "true", whenTrue(func(d *reading) **route.RedirectHTTPS { return &d.Filter.RedirectHTTPS })},
	{"hsts", scopeFilter, "duration, then subdomains and preload, or off", "Has browsers that came over TLS come that way alone for so long, by the header `Strict-Transport-Security` in the place of the service's: `1y` (365 days), `180d`, `31536000s`; `0s` makes them forget it. `subdomains` is for all names below the host, too; `preload` lets browsers have it built in, which is hard to take back.", "1y subdomains", to(func(d *reading) **route.HeaderOperation { return &d.HSTS }, draft.ReadHSTS)},
	{"redirect", scopeFilter, "URL, behind an optional status", "Every request is sent elsewhere; no instance is needed. Status 301, 302, 303, 307 (the default) or 308; the request's path is kept unless the URL has one.", "308 https://new.example.com", to(func(d *reading) **route.Redirect { return &d.Filter.Redirect }, draft.ReadRedirect)},
	{"basic-auth", scopeFilter, "file:/path, or off", "Asks for a user of the file, which is in htpasswd form (bcrypt, SHA, apr1, MD5-crypt, SHA-crypt) and is read where Fairway runs, below a directory of `label-files`. A line in another form lets no user in.", "file:/run/secrets/users", func(d *reading, l *label) (err error) {
		d.UserLabel = l.raw
		d.Filter.BasicAuth, err = draft.ReadAuthFile(l.value)
		return err
	}},
	{"strip-prefix", scopeFilter, "true, false or a path", "Takes the route's own path, or the one given, off before the service sees it; `X-Forwarded-Prefix` has what was taken off, unless a label sets that header.", "true", (*reading).setStripPrefix},
	{"add-prefix", scopeFilter, "path", "Puts a path in front, after `strip-prefix`.", "/v2", func(d *reading, l *label) error {
		prefix, err := draft.ReadPrefixPath(l.value)
		d.Filter.AddPrefix = &route.AddPrefix{Prefix: prefix}
		return err
	}},
	{"headers.request.set.", scopeFilter, "value", "Sets a header of the request, in the place of the client's. What states who asks (`Forwarded`, `X-Real-Ip`, `X-Forwarded-For`, `-Host`, `-Port`, `-Proto`) only Fairway sets.", "staging", header(true, draft.HeaderSet)},
	{"headers.request.add.", scopeFilter, "value", "Adds a header to the request.", "staging", header(true, draft.HeaderAdd)},
	{"headers.request.remove", scopeFilter, "list of names", "Takes headers off the request, before others are set.", "X-Debug, X-Trace", header(true, draft.HeaderRemove)},
	{"headers.response.set.", scopeFilter, "value", "Sets a header of the response, in the place of the service's.", "DENY", header(false, draft.HeaderSet)},
	{"headers.response.add.", scopeFilter, "value", "Adds a header to the response.", "Accept", header(false, draft.HeaderAdd)},
	{"headers.response.remove", scopeFilter, "list of names", "Takes headers off the response, before others are set.", "Server", header(false, draft.HeaderRemove)},
	{"compress", scopeFilter, "true or false", "Answers with gzip where client and content allow it.", "true", whenTrue(func(d *reading) **route.Compress { return &d.Filter.Compress })},
	{"scheme", scopeBackend, "http, https, h2c or tcp", "How the service is spoken to. Default: http. `tcp` passes connections through as they are; it needs `listen`.", "h2c", to(func(d *reading) *route.Scheme { return &d.Backend.Scheme }, oneOf("use http, https, h2c or tcp", "is not a scheme", route.SchemeHTTP, route.SchemeHTTPS, route.SchemeH2C, route.SchemeTCP))},
	{"proxy-protocol", scopeBackend, "1 or 2", "Sends a PROXY protocol header of this version in front of every connection that is passed through.", "2", to(func(d *reading) *int { return &d.Backend.SendProxy }, number(1, 2))},
	{"via", scopeBackend, "instances or vip", "`vip` dials the virtual address of a Swarm service and leaves the choice of the instance to the network. Default: `instances`.", "vip", func(d *reading, l *label) error {
		dialled, err := oneOf("write instances or vip", "is neither instances nor vip", "instances", "vip")(l.value)
		d.Via = draft.Via{Virtual: dialled == "vip", Label: l.raw}
		return err
	}},
	{"balance", scopeBackend, "policy", "How an instance is picked: `round-robin` (the default), `least-conn`, `random2`, or `hash:` with `client-ip`, `path`, `header:<name>`, `cookie:<name>` or `query:<name>`.", "hash:cookie:session", to(func(d *reading) *route.Balance { return &d.Backend.Balance }, draft.ReadBalance)},
	{"sticky", scopeBackend, "cookie name, true or false", "Ties a client to an instance by a cookie of this name; `true` names it `fairway`.", "true", to(func(d *reading) *string { return &d.Backend.Sticky }, readSticky)},
	{"sticky.same-site", scopeBackend, "lax, strict or none", "The `SameSite` of that cookie. Default: `lax`. `none` counts over TLS alone, as browsers want it.", "none", to(func(d *reading) *route.SameSite { return &d.Backend.StickySameSite }, oneOf("use lax, strict or none", "is not a SameSite", route.SameSiteLax, route.SameSiteStrict, route.SameSiteNone))},
	{"sticky.domain", scopeBackend, "host", "The `Domain` of that cookie, for clients that go to several hosts below it. Default: none, so that it goes back to the host that set it.", "example.com", to(func(d *reading) *string { return &d.Backend.StickyDomain }, name("write the name that all hosts end in"))},
	{"upgrade", scopeBackend, "list of protocols", "Protocols that a request may switch to beside `websocket`, as the header `Upgrade` names them: `tcp` for `docker attach` and `exec`, `SPDY/3.1` for `kubectl exec`, `tailscale-control-protocol` for Headscale. Any other is taken off the request. After the switch bytes pass both ways and no filter looks at them.", "tcp, SPDY/3.1", to(func(d *reading) *[]string { return &d.Backend.Upgrade }, draft.ReadProtocols)},
	{"health.path", scopeBackend, "path", "Asks every instance for this path, and leaves out those that fail.", "/up", to(func(d *reading) *string { return &d.Health.Path }, draft.ReadHealthPath)},
	{"health.host", scopeBackend, "host", "The host that is asked for. Default: the first name in the `host` labels of the service's routes, else the instance's address.", "app.example.com", to(func(d *reading) *string { return &d.Health.Host }, name("write one name of the service"))},
	{"health.port", scopeBackend, "number", "The port of the instance that is asked. Default: that of requests.", "9000", to(func(d *reading) *uint16 { return &d.Health.Port }, draft.ReadPort)},
	{"health.headers.", scopeBackend, "value", "Sends a header with the check.", "https", (*reading).addHealthHeader},
	{"health.interval", scopeBackend, "duration from 1s to 1h", "How often. Default: 10s. With `scheme` `tcp` there is no path: this label alone makes Fairway connect to every instance.", "10s", to(func(d *reading) *time.Duration { return &d.Health.Interval }, duration(time.Second, time.Hour))},
	{"health.timeout", scopeBackend, "duration up to the interval", "How long an answer may take. Default: 2s, or the interval when that is shorter.", "2s", to(func(d *reading) *time.Duration { return &d.Health.Timeout }, duration(time.Millisecond, time.Hour))},
	{"health.status", scopeBackend, "status", "The status that passes. Default: any 2xx or 3xx.", "204", to(func(d *reading) *int { return &d.Health.Status }, number(200, 599))},
	{"slow-start", scopeBackend, "duration up to 1h", "How long the share of a new instance grows to its full weight.", "30s", to(func(d *reading) *time.Duration { return &d.Backend.SlowStart }, duration(0, time.Hour))},
	{"max-fails", scopeBackend, "number up to 1000", "How many failures in a row take an instance out for a while. Default: never.", "3", to(func(d *reading) *int { return &d.Backend.MaxFails }, number(0, 1000))},
	{"tls.server-name", scopeBackend, "host", "Towards the service: the name to ask an https service for, and to verify. Default: the request's host.", "internal.example.com", to(func(d *reading) *string { return &d.TLS.ServerName }, name("write the name in the service's certificate"))},
	{"tls.skip-verify", scopeBackend, "true or false", "Towards the service: takes any certificate of an https service.", "true", to(func(d *reading) *bool { return &d.TLS.SkipVerify }, draft.ReadBool)},
	{"port", scopeInstance, "number", "The port of the instance; needed when it exposes several.", "8080", to(func(d *reading) *uint16 { return &d.Wishes.Port }, draft.ReadPort)},
	{"network", scopeInstance, "network name", "The network to reach the instance by; needed when it shares several with Fairway.", "proxy", func(d *reading, l *label) error {
		if l.value == "" {
			return errors.New("the name of the network is empty")
		}
		d.Wishes.Network, d.Wishes.NetworkLabel = l.value, l.raw
		return nil
	}},
	{"address", scopeInstance, "IP address or name", "The address to reach the instance by, for one on its host's network where Fairway finds none; else one of its own. The port stays that of `port`.", "192.168.1.10", func(d *reading, l *label) (err error) {
		d.Wishes.AddressLabel = l.raw
		d.Wishes.Address, err = draft.ReadAddress(l.value)
		return err
	}},
	{"weight", scopeInstance, "number up to 256", "The instance's share relative to the others; 0 takes nothing new. Default: 1.", "50", func(d *reading, l *label) error {
		n, err := draft.ReadInt(l.value, 0, 256)
		if err == nil {
			d.Wishes.Weight = &n
		}
		return err
	}},
	{"service", scopeService, "name", "Containers of one Compose project with the same name are one service, on whichever engines.", "shop", unread},
	{"tags", scopeService, "list of words", "Words by which DNS answers with some of the instances: `v1.shop.service.docker`.", "v1, blue", unread},
	{"dns.name", scopeService, "list of names", "Names in a zone of `dns.zones` that DNS answers with the service, besides its own; `*.name` for all below one.", "db.docker, *.shop.docker", unread},
	{"dns.enable", scopeService, "true or false", "`false` hides the service or instance from DNS.", "false", unread},
	{"dns.unready", scopeService, "true or false", "`true` lets the instance answer in DNS for its service while it starts.", "true", unread},
	{"publish", scopeService, "true or false", "Whether the instance is written into Consul, where `consul.publish.services` is on.", "true", unread},
	{"publish.name", scopeService, "name", "The name of the service there. Default: its name here.", "files", unread},
	{"publish.address", scopeService, "IP address or name", "The address that clients are sent to there.", "192.168.1.88", unread},
	{"publish.tag-override", scopeService, "true or false", "`true` leaves tags that others change there as they are.", "true", unread},
	{"enable", scopeService, "true or false", "`false` makes Fairway ignore all other labels.", "false", to(func(d *reading) *bool { return &d.enable }, draft.ReadBool)},
}

// unread is for what is read elsewhere.
func unread(*reading, *label) error { return nil }

// to reads a value into a field.
func to[T any](field func(*reading) *T, read func(string) (T, error)) func(*reading, *label) error {
	return func(d *reading, l *label) (err error) {
		*field(d), err = read(l.value)
		return err
	}
}

// whenTrue sets a field when the value is true.
func whenTrue[T any](field func(*reading) **T) func(*reading, *label) error {
	return func(d *reading, l *label) error {
		on, err := draft.ReadBool(l.value)
		if on {
			*field(d) = new(T)
		}
		return err
	}
}

// header changes the headers of requests or of responses.
func header(request bool, change draft.HeaderChange) func(*reading, *label) error {
	return func(d *reading, l *label) error {
		names, value := []string{l.header}, l.value
		if change == draft.HeaderRemove {
			var err error
			if names, err = draft.ReadList(l.value); err != nil {
				return err
			}
			value = ""
		}
		for _, name := range names {
			if err := d.ChangeHeader(request, change, name, value); err != nil {
				return err
			}
		}
		return nil
	}
}

func paths(kind route.PathKind) func(*reading, *label) error {
	return func(d *reading, l *label) error {
		list, err := draft.ReadPaths(kind, l.value)
		d.Paths = append(d.Paths, list...)
		return err
	}
}

func number(least, most int) func(string) (int, error) {
	return func(s string) (int, error) { return draft.ReadInt(s, least, most) }
}

func duration(least, most time.Duration) func(string) (time.Duration, error) {
	return func(s string) (time.Duration, error) { return draft.ReadDuration(s, least, most) }
}

func name(hint string) func(string) (string, error) {
	return func(s string) (string, error) { return draft.ReadName(s, hint) }
}

// oneOf reads one of several words, in any case.
func oneOf[T ~string](hint, wrong string, words ...T) func(string) (T, error) {
	return func(s string) (T, error) {
		if word := T(strings.ToLower(s)); slices.Contains(words, word) {
			return word, nil
		}
		return "", draft.Bad(hint, "%s %s", chars.Excerpt(s), wrong)
	}
}

func readPages(value string) (string, error) {
	if !chars.IsToken(value) {
		return "", draft.Bad("write the name of a set of pages, or off", "%s is not the name of a set of pages", chars.Excerpt(value))
	}
	return strings.ToLower(value), nil
}

func readSticky(value string) (string, error) {
	switch strings.ToLower(value) {
	case "true":
		return "fairway", nil
	case "false":
		return "", nil
	}
	if !chars.IsToken(value) {
		return "", draft.Bad("write true, or a name of letters, digits, - and _", "%s is not the name of a cookie", chars.Excerpt(value))
	}
	return value, nil
}

func (d *reading) setStripPrefix(l *label) error {
	switch strings.ToLower(l.value) {
	case "false":
		return nil
	case "true":
		d.stripOwn = true
		return nil
	}
	prefix, err := draft.ReadPrefixPath(l.value)
	d.Filter.StripPrefix = &route.StripPrefix{Prefix: prefix}
	return err
}

// addHealthHeader adds a header of the check. What states who asks is as free here as
// any other: Fairway itself asks.
func (d *reading) addHealthHeader(l *label) error {
	if strings.EqualFold(l.header, "Host") {
		return draft.Bad("use health.host", "the host is a label of its own")
	}
	v, err := draft.ReadHeader(l.header, l.value, false, draft.HeaderSet)
	d.Health.Headers = append(d.Health.Headers, v)
	return err
}

// shownKeys say what is shown of keys whose values are not shown as they are.
var shownKeys = map[string]func(header, value string) string{
	"rule":                  shownRule,
	"redirect":              shownIf(draft.ReadRedirect),
	"basic-auth":            shownIf(draft.ReadAuthFile),
	"headers.request.set.":  draft.Hidden,
	"headers.request.add.":  draft.Hidden,
	"headers.response.set.": draft.ShownHeader,
	"headers.response.add.": draft.ShownHeader,
	"health.path":           shownQuery,
	"health.headers.":       draft.Hidden,
}

// Shown returns what may be shown of the value of a label. Nothing is shown of a key
// that does not exist: it is not known what was meant.
func (x *Dialect) Shown(key, value string) string {
	l, _ := x.readOne(key, value)
	if l.key == nil {
		return route.Masked
	}
	if shown := shownKeys[l.key.Name]; shown != nil {
		return shown(l.header, value)
	}
	return value
}

// shownIf shows a value that can be read: else a secret may stand in the wrong place.
func shownIf[T any](read func(string) (T, error)) func(string, string) string {
	return func(_, value string) string {
		if _, err := read(strings.TrimSpace(value)); err != nil {
			return route.Masked
		}
		return value
	}
}

func shownQuery(_, value string) string { return route.MaskQuery(value) }

// shownRule shows a rule without the values that it wants credentials to have.
func shownRule(_, value string) string {
	if shown, ok := rule.Shown(strings.TrimSpace(value)); ok {
		return shown
	}
	return route.Masked
}
