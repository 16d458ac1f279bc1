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
	// read puts the value into the draft. header is what stands behind a name
	// that ends in a dot. Errors never repeat values that may be secrets.
	read func(d *reading, header, value string) error
}

// Keys returns the keys of the dialect.
func Keys() []Key { return slices.Clone(keys) }

// keys is the native dialect: the one table that labels are read with and that
// docs/labels.md is printed from.
var keys = []Key{
	{"host", scopeMatch, "list of hosts", "Hosts that are taken: a name, `*.name` for one label in front of it, `**.name` for any number, `*` for every host.", "app.example.com, *.app.example.com", func(d *reading, _, v string) (err error) {
		d.Hosts, err = draft.ReadHosts(v)
		return err
	}},
	{"path", scopeMatch, "list of paths", "Paths that are taken with everything below them, on segment boundaries: `/demo` takes `/demo/x`, not `/demonstration`.", "/demo, /shop", func(d *reading, _, v string) error {
		return d.addPaths(route.PathPrefix, v)
	}},
	{"path-exact", scopeMatch, "list of paths", "Paths that are taken alone.", "/robots.txt", func(d *reading, _, v string) error {
		return d.addPaths(route.PathExact, v)
	}},
	{"path-regexp", scopeMatch, "RE2 expression", "Paths that are taken when the whole path matches.", "/v[0-9]+/.*", func(d *reading, _, v string) error {
		return d.addPaths(route.PathRegexp, v)
	}},
	{"rule", scopeMatch, "rule", "What is taken, in the language of rules; in the place of `host` and the paths.", "Host(`a.example`) && !Method(`DELETE`)", func(d *reading, _, v string) (err error) {
		d.Rule, err = rule.Matches(v)
		return err
	}},
	{"listen", scopeMatch, "number", "The port on which connections come in that are passed through as they are, with `scheme` `tcp`. The operator says which ports labels may open.", "5432", func(d *reading, _, v string) error {
		n, err := draft.ReadInt(v, 1, 65535)
		d.L4.Port = uint16(n)
		return err
	}},
	{"sni", scopeMatch, "list of hosts", "Of the connections of `listen`, those of TLS clients that ask for one of these names, written like `host`. Default: all.", "db.example.com, *.db.example.com", func(d *reading, _, v string) (err error) {
		d.L4.Names, err = draft.ReadHosts(v)
		return err
	}},
	{"priority", scopeMatch, "number", "Goes before every other order of precedence; higher wins. 0 is the default.", "10", func(d *reading, _, v string) (err error) {
		d.Priority, err = draft.ReadInt(v, -draft.MaxPriority, draft.MaxPriority)
		return err
	}},
	{"hold", scopeRoute, "duration up to 5m", "How long a request waits while no instance is ready, before it is answered with 503. Default: not at all.", "5s", func(d *reading, _, v string) (err error) {
		d.Hold, err = draft.ReadDuration(v, 0, 5*time.Minute)
		return err
	}},
	{"timeout", scopeRoute, "duration up to 1h", "How long to wait for the header of the response.", "30s", func(d *reading, _, v string) (err error) {
		d.Timeout, err = draft.ReadDuration(v, time.Millisecond, time.Hour)
		return err
	}},
	{"body-timeout", scopeRoute, "duration from 1s to 1h", "How long a client may pause while it sends a request body, before it gets 408. Default: 1m, or what the operator has set.", "5m", func(d *reading, _, v string) (err error) {
		d.BodyTimeout, err = draft.ReadDuration(v, time.Second, time.Hour)
		return err
	}},
	{"idle", scopeRoute, "duration up to 24h", "How long an upgraded connection, such as WebSocket, or one that is passed through may be silent. Default: 1h.", "10m", func(d *reading, _, v string) (err error) {
		d.Idle, err = draft.ReadDuration(v, time.Second, 24*time.Hour)
		return err
	}},
	{"ip-allow", scopeFilter, "list of addresses and prefixes", "Clients from elsewhere get 403.", "10.0.0.0/8, 192.168.1.7", func(d *reading, _, v string) error {
		p, err := draft.ReadPrefixes(v)
		d.Filter.IPAllow = &route.IPAllow{Prefixes: p}
		return err
	}},
	{"rate-limit", scopeFilter, "rate", "Clients that ask more often get 429: requests per `s`, `m` or `h`, and how many may come at once.", "100/s burst 200", func(d *reading, _, v string) (err error) {
		d.Filter.RateLimit, err = draft.ReadRate(v)
		return err
	}},
	{"max-body", scopeFilter, "size", "Larger request bodies get 413.", "10MB", func(d *reading, _, v string) error {
		n, err := draft.ReadSize(v)
		d.Filter.MaxBody = &route.MaxBody{Bytes: n}
		return err
	}},
	{"redirect-https", scopeFilter, "true or false", "Requests that came without TLS are sent to https.", "true", func(d *reading, _, v string) error {
		on, err := draft.ReadBool(v)
		if on {
			d.Filter.RedirectHTTPS = &route.RedirectHTTPS{}
		}
		return err
	}},
	{"redirect", scopeFilter, "URL, behind an optional status", "Every request is sent elsewhere; no instance is needed. Status 301, 302, 303, 307 (the default) or 308; the request's path is kept unless the URL has one.", "308 https://new.example.com", func(d *reading, _, v string) (err error) {
		d.Filter.Redirect, err = draft.ReadRedirect(v)
		return err
	}},
	{"basic-auth", scopeFilter, "file:/path", "Asks for a user of the file, which is in htpasswd form (bcrypt, SHA, apr1, MD5-crypt, SHA-crypt) and is read where Fairway runs, below a directory of `label-files`. A line in another form lets no user in.", "file:/run/secrets/users", func(d *reading, _, v string) (err error) {
		d.Filter.BasicAuth, err = draft.ReadAuthFile(v)
		return err
	}},
	{"strip-prefix", scopeFilter, "true, false or a path", "Takes the route's own path, or the one given, off before the service sees it; `X-Forwarded-Prefix` has what was taken off, unless a label sets that header.", "true", func(d *reading, _, v string) (err error) {
		switch strings.ToLower(v) {
		case "false":
		case "true":
			d.stripOwn = true
		default:
			var prefix string
			prefix, err = draft.ReadPrefixPath(v)
			d.Filter.StripPrefix = &route.StripPrefix{Prefix: prefix}
		}
		return err
	}},
	{"add-prefix", scopeFilter, "path", "Puts a path in front, after `strip-prefix`.", "/v2", func(d *reading, _, v string) error {
		prefix, err := draft.ReadPrefixPath(v)
		d.Filter.AddPrefix = &route.AddPrefix{Prefix: prefix}
		return err
	}},
	{"headers.request.set.", scopeFilter, "value", "Sets a header of the request, in the place of the client's. What states who asks (`Forwarded`, `X-Real-Ip`, `X-Forwarded-For`, `-Host`, `-Port`, `-Proto`) only Fairway sets.", "staging", func(d *reading, header, v string) error {
		return draft.AddHeader(&d.Filter.RequestHeaders, true, draft.HeaderSet, header, v)
	}},
	{"headers.request.add.", scopeFilter, "value", "Adds a header to the request.", "staging", func(d *reading, header, v string) error {
		return draft.AddHeader(&d.Filter.RequestHeaders, true, draft.HeaderAdd, header, v)
	}},
	{"headers.request.remove", scopeFilter, "list of names", "Takes headers off the request, before others are set.", "X-Debug, X-Trace", func(d *reading, _, v string) error {
		return draft.RemoveHeaders(&d.Filter.RequestHeaders, true, v)
	}},
	{"headers.response.set.", scopeFilter, "value", "Sets a header of the response, in the place of the service's.", "DENY", func(d *reading, header, v string) error {
		return draft.AddHeader(&d.Filter.ResponseHeaders, false, draft.HeaderSet, header, v)
	}},
	{"headers.response.add.", scopeFilter, "value", "Adds a header to the response.", "Accept", func(d *reading, header, v string) error {
		return draft.AddHeader(&d.Filter.ResponseHeaders, false, draft.HeaderAdd, header, v)
	}},
	{"headers.response.remove", scopeFilter, "list of names", "Takes headers off the response, before others are set.", "Server", func(d *reading, _, v string) error {
		return draft.RemoveHeaders(&d.Filter.ResponseHeaders, false, v)
	}},
	{"compress", scopeFilter, "true or false", "Answers with gzip where client and content allow it.", "true", func(d *reading, _, v string) error {
		on, err := draft.ReadBool(v)
		if on {
			d.Filter.Compress = &route.Compress{}
		}
		return err
	}},
	{"scheme", scopeBackend, "http, https, h2c or tcp", "How the service is spoken to. Default: http. `tcp` passes connections through as they are; it needs `listen`.", "h2c", func(d *reading, _, v string) error {
		return d.setScheme(v)
	}},
	{"proxy-protocol", scopeBackend, "1 or 2", "Sends a PROXY protocol header of this version in front of every connection that is passed through.", "2", func(d *reading, _, v string) (err error) {
		d.Backend.SendProxy, err = draft.ReadInt(v, 1, 2)
		return err
	}},
	{"via", scopeBackend, "instances or vip", "`vip` dials the virtual address of a Swarm service and leaves the choice of the instance to the network. Default: `instances`.", "vip", func(d *reading, _, v string) error {
		return d.setVia(v)
	}},
	{"balance", scopeBackend, "policy", "How an instance is picked: `round-robin` (the default), `least-conn`, `random2`, or `hash:` with `client-ip`, `path`, `header:<name>`, `cookie:<name>` or `query:<name>`.", "hash:cookie:session", func(d *reading, _, v string) (err error) {
		d.Backend.Balance, err = draft.ReadBalance(v)
		return err
	}},
	{"sticky", scopeBackend, "cookie name, true or false", "Ties a client to an instance by a cookie of this name; `true` names it `fairway`.", "true", func(d *reading, _, v string) error {
		return d.setSticky(v)
	}},
	{"sticky.same-site", scopeBackend, "lax, strict or none", "The `SameSite` of that cookie. Default: `lax`. `none` counts over TLS alone, as browsers want it.", "none", func(d *reading, _, v string) error {
		return d.setSameSite(v)
	}},
	{"sticky.domain", scopeBackend, "host", "The `Domain` of that cookie, for clients that go to several hosts below it. Default: none, so that it goes back to the host that set it.", "example.com", func(d *reading, _, v string) (err error) {
		d.Backend.StickyDomain, err = draft.ReadName(v, "write the name that all hosts end in")
		return err
	}},
	{"upgrade", scopeBackend, "list of protocols", "Protocols that a request may switch to beside `websocket`, as the header `Upgrade` names them: `tcp` for `docker attach` and `exec`, `SPDY/3.1` for `kubectl exec`, `tailscale-control-protocol` for Headscale. Any other is taken off the request. After the switch bytes pass both ways and no filter looks at them.", "tcp, SPDY/3.1", func(d *reading, _, v string) (err error) {
		d.Backend.Upgrade, err = draft.ReadProtocols(v)
		return err
	}},
	{"health.path", scopeBackend, "path", "Asks every instance for this path, and leaves out those that fail.", "/up", func(d *reading, _, v string) (err error) {
		d.Health.Path, err = draft.ReadHealthPath(v)
		return err
	}},
	{"health.host", scopeBackend, "host", "The host that is asked for. Default: the first name in the `host` labels of the service's routes, else the instance's address.", "app.example.com", func(d *reading, _, v string) (err error) {
		d.Health.Host, err = draft.ReadName(v, "write one name of the service")
		return err
	}},
	{"health.port", scopeBackend, "number", "The port of the instance that is asked. Default: that of requests.", "9000", func(d *reading, _, v string) error {
		n, err := draft.ReadInt(v, 1, 65535)
		d.Health.Port = uint16(n)
		return err
	}},
	{"health.headers.", scopeBackend, "value", "Sends a header with the check.", "https", func(d *reading, header, v string) error {
		return d.addHealthHeader(header, v)
	}},
	{"health.interval", scopeBackend, "duration from 1s to 1h", "How often. Default: 10s. With `scheme` `tcp` there is no path: this label alone makes Fairway connect to every instance.", "10s", func(d *reading, _, v string) (err error) {
		d.Health.Interval, err = draft.ReadDuration(v, time.Second, time.Hour)
		return err
	}},
	{"health.timeout", scopeBackend, "duration up to the interval", "How long an answer may take. Default: 2s, or the interval when that is shorter.", "2s", func(d *reading, _, v string) (err error) {
		d.Health.Timeout, err = draft.ReadDuration(v, time.Millisecond, time.Hour)
		return err
	}},
	{"health.status", scopeBackend, "status", "The status that passes. Default: any 2xx or 3xx.", "204", func(d *reading, _, v string) (err error) {
		d.Health.Status, err = draft.ReadInt(v, 200, 599)
		return err
	}},
	{"slow-start", scopeBackend, "duration up to 1h", "How long the share of a new instance grows to its full weight.", "30s", func(d *reading, _, v string) (err error) {
		d.Backend.SlowStart, err = draft.ReadDuration(v, 0, time.Hour)
		return err
	}},
	{"max-fails", scopeBackend, "number up to 1000", "How many failures in a row take an instance out for a while. Default: never.", "3", func(d *reading, _, v string) (err error) {
		d.Backend.MaxFails, err = draft.ReadInt(v, 0, 1000)
		return err
	}},
	{"tls.server-name", scopeBackend, "host", "The name to ask an https service for, and to verify. Default: the request's host.", "internal.example.com", func(d *reading, _, v string) (err error) {
		d.TLS.ServerName, err = draft.ReadName(v, "write the name in the service's certificate")
		return err
	}},
	{"tls.skip-verify", scopeBackend, "true or false", "Takes any certificate of an https service.", "true", func(d *reading, _, v string) (err error) {
		d.TLS.SkipVerify, err = draft.ReadBool(v)
		return err
	}},
	{"port", scopeInstance, "number", "The port of the instance; needed when it exposes several.", "8080", func(d *reading, _, v string) error {
		n, err := draft.ReadInt(v, 1, 65535)
		d.Wishes.Port = uint16(n)
		return err
	}},
	{"network", scopeInstance, "network name", "The network to reach the instance by; needed when it shares several with Fairway.", "proxy", func(d *reading, _, v string) error {
		if v == "" {
			return errors.New("the name of the network is empty")
		}
		d.Wishes.Network = v
		return nil
	}},
	{"weight", scopeInstance, "number up to 256", "The instance's share relative to the others; 0 takes nothing new. Default: 1.", "50", func(d *reading, _, v string) error {
		n, err := draft.ReadInt(v, 0, 256)
		if err == nil {
			d.Wishes.Weight = &n
		}
		return err
	}},
	{"service", scopeService, "name", "Containers with the same name are one service. Read by the source.", "shop", func(*reading, string, string) error { return nil }},
	{"enable", scopeService, "true or false", "`false` makes Fairway ignore all other labels.", "false", func(d *reading, _, v string) (err error) {
		d.enable, err = draft.ReadBool(v)
		return err
	}},
}

// lookupKey finds a key by its name in lower case. written is the same text with
// the case as the user wrote it, for the names of headers.
func lookupKey(index map[string]*Key, name, written string) (k *Key, header string) {
	if k := index[name]; k != nil {
		return k, ""
	}
	for i := range name {
		if name[i] == '.' && i+1 < len(name) {
			if k := index[name[:i+1]]; k != nil {
				return k, written[i+1:]
			}
		}
	}
	return nil, ""
}

// keyIndex is the table by name, and the first segments of all names, which
// cannot name routes.
func keyIndex() (index map[string]*Key, words map[string]bool) {
	index, words = make(map[string]*Key, len(keys)), map[string]bool{}
	for i := range keys {
		index[keys[i].Name] = &keys[i]
		first, _, _ := strings.Cut(keys[i].Name, ".")
		words[first] = true
	}
	return index, words
}

func (d *reading) addPaths(kind route.PathKind, value string) error {
	paths, err := draft.ReadPaths(kind, value)
	d.Paths = append(d.Paths, paths...)
	return err
}

func (d *reading) setScheme(value string) error {
	switch s := route.Scheme(strings.ToLower(value)); s {
	case route.SchemeHTTP, route.SchemeHTTPS, route.SchemeH2C, route.SchemeTCP:
		d.Backend.Scheme = s
		return nil
	}
	return draft.Bad("use http, https, h2c or tcp", "%s is not a scheme", chars.Excerpt(value))
}

func (d *reading) setSticky(value string) error {
	switch strings.ToLower(value) {
	case "true":
		d.Backend.Sticky = "fairway"
	case "false":
	default:
		if !chars.IsToken(value) {
			return draft.Bad("write true, or a name of letters, digits, - and _", "%s is not the name of a cookie", chars.Excerpt(value))
		}
		d.Backend.Sticky = value
	}
	return nil
}

func (d *reading) setSameSite(value string) error {
	switch s := route.SameSite(strings.ToLower(value)); s {
	case route.SameSiteLax, route.SameSiteStrict, route.SameSiteNone:
		d.Backend.StickySameSite = s
		return nil
	}
	return draft.Bad("use lax, strict or none", "%s is not a SameSite", chars.Excerpt(value))
}

// addHealthHeader adds a header of the check. What states who asks is as free here as
// any other: Fairway itself asks.
func (d *reading) addHealthHeader(name, value string) error {
	if strings.EqualFold(name, "Host") {
		return draft.Bad("use health.host", "the host is a label of its own")
	}
	if err := draft.CheckHeader(name, false, draft.HeaderSet); err != nil {
		return err
	}
	if len(value) > draft.MaxHeaderBytes {
		return draft.Bad("", "the value is longer than %d bytes", draft.MaxHeaderBytes)
	}
	d.Health.Headers = append(d.Health.Headers, route.HeaderValue{Name: draft.CanonicalHeader(name), Value: value})
	return nil
}

func (d *reading) setVia(value string) error {
	switch strings.ToLower(value) {
	case "instances":
		d.Via.Virtual = false
	case "vip":
		d.Via.Virtual = true
	default:
		return draft.Bad("write instances or vip", "%s is neither instances nor vip", chars.Excerpt(value))
	}
	return nil
}
