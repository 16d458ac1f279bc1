package native

import (
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/compile/draft"
	"fairway/internal/files"
	"fairway/internal/route"
)

// check finds what is wrong between labels that are right by themselves, and
// settles what depends on several of them. fault is called with the key at
// fault, at most once for each; a key that already is at fault is left alone.
func (d *reading) check(x *Dialect, has func(key string) bool, fault func(key string, err *draft.Refusal)) {
	contradicts := func(key, text, hint string) { fault(key, draft.Refuse(route.CodeContradicts, text, hint)) }
	d.checkL4(x.ports, has, fault)
	d.checkUserFile(x.userDirs, fault)
	if has("rule") && (has("host") || has("path") || has("path-exact") || has("path-regexp")) {
		contradicts("rule", "rule stands beside host or path labels", "write all conditions into the rule, or use several routes")
	}
	if len(d.Hosts)*len(d.Paths) > draft.MaxMatches {
		key := "path"
		if !has(key) {
			key = "path-exact"
		}
		contradicts(key, "there are too many pairs of hosts and paths", "use several routes")
	}
	if d.stripOwn {
		switch prefixes := d.ownPrefixes(); len(prefixes) {
		case 1:
			d.Filter.StripPrefix = &route.StripPrefix{Prefix: prefixes[0]}
		case 0:
			contradicts("strip-prefix", "the route has no path prefix to strip", "add a path label, or write the prefix here")
		default:
			contradicts("strip-prefix", "the route has several path prefixes", "use one named route for each path")
		}
	}
	for _, k := range []string{"health.interval", "health.timeout", "health.status", "health.host", "health.port", "health.headers."} {
		if has(k) && !has("health.path") && d.Backend.Scheme != route.SchemeTCP {
			fault(k, draft.Refuse(route.CodeIncomplete, "there is no health.path to check", "add a health.path label"))
		}
	}
	for _, k := range []string{"sticky.same-site", "sticky.domain"} {
		if has(k) && !has("sticky") && d.Backend.Scheme != route.SchemeTCP {
			fault(k, draft.Refuse(route.CodeIncomplete, "there is no sticky cookie", "add a sticky label"))
		}
	}
	if has("upgrade") && d.Backend.Scheme == route.SchemeH2C {
		contradicts("upgrade", "HTTP/2 knows no switch of protocols", "set the scheme to http")
	}
	if d.Health.Interval == 0 {
		d.Health.Interval = 10 * time.Second
	}
	if d.Health.Timeout == 0 {
		d.Health.Timeout = min(2*time.Second, d.Health.Interval)
	}
	if (has("health.path") || d.L4.Check) && d.Health.Timeout > d.Health.Interval {
		contradicts("health.timeout", "health.timeout is longer than health.interval", "make it shorter")
	}
	for _, k := range []string{"tls.server-name", "tls.skip-verify"} {
		if d.Backend.Scheme == route.SchemeTCP {
			continue
		}
		if has(k) && d.Backend.Scheme != route.SchemeHTTPS && !has("scheme") {
			contradicts(k, "the service is spoken to without TLS", "add a scheme label with https")
		} else if has(k) && d.Backend.Scheme != route.SchemeHTTPS {
			contradicts(k, "the service is spoken to without TLS", "set the scheme to https")
		}
	}
}

// ownPrefixes are the prefixes by which the route's matches are found, without
// "/", each once.
func (d *reading) ownPrefixes() []string {
	var prefixes []string
	for _, m := range d.Matches() {
		if m.Path.Kind == route.PathPrefix && m.Path.Value != "/" && !slices.Contains(prefixes, m.Path.Value) {
			prefixes = append(prefixes, m.Path.Value)
		}
	}
	return prefixes
}

// l4Keys are the keys that only routes with the scheme tcp have, and sharedKeys
// those that they have in common with the others.
var (
	l4Keys     = []string{"listen", "sni", "proxy-protocol"}
	sharedKeys = []string{"priority", "idle", "ip-allow", "scheme", "balance", "slow-start", "max-fails", "via", "health.interval", "health.timeout"}
)

// checkL4 finds the labels that do not go together with the scheme, and the
// listener of a route that passes connections through.
func (d *reading) checkL4(p *draft.Ports, has func(key string) bool, fault func(key string, err *draft.Refusal)) {
	if d.Backend.Scheme != route.SchemeTCP {
		for _, k := range l4Keys {
			if has(k) {
				fault(k, draft.Refuse(route.CodeContradicts, "only a route that passes connections through has it", "add a scheme label with tcp, or leave it out"))
			}
		}
		return
	}
	for i := range keys {
		k := &keys[i]
		if k.scope == scopeInstance || k.scope == scopeService || slices.Contains(l4Keys, k.Name) || slices.Contains(sharedKeys, k.Name) {
			continue
		}
		if has(k.Name) {
			fault(k.Name, draft.Refuse(route.CodeContradicts, "a route with the scheme tcp passes connections through as they are", "leave it out; "+catalog.LabelPrefix+"sni says which TLS clients are taken"))
		}
	}
	if d.Backend.Balance.Policy == route.BalanceHash && d.Backend.Balance.On != route.HashClientIP {
		fault("balance", draft.Refuse(route.CodeContradicts, "a connection that is passed through has nothing of the kind to hash", "use hash:client-ip"))
	}
	if d.L4.Port == 0 {
		if has("listen") {
			return // its value is at fault
		}
		fault("scheme", draft.Refuse(route.CodeIncomplete, "the route does not say on which port Fairway listens for it", "add a listen label"))
		return
	}
	if d.L4.Check = has("health.interval"); has("health.timeout") && !d.L4.Check {
		fault("health.timeout", draft.Refuse(route.CodeIncomplete, "no check is asked for", "add a health.interval label"))
	}
	names, err := p.TCP(d.L4.Port)
	if err != nil {
		fault("listen", draft.AsRefusal(err))
		return
	}
	d.L4.Listeners = names
}

// checkUserFile refuses a user file that labels may not name.
func (d *reading) checkUserFile(dirs []string, fault func(key string, err *draft.Refusal)) {
	if a := d.Filter.BasicAuth; a != nil && a.File != "" && dirs != nil && !files.Below(dirs, a.File) {
		fault("basic-auth", draft.Refuse(
			route.CodeBadValue, "the file is not below a directory that labels may name: "+strings.Join(dirs, ", "),
			"put it there, or have the operator add its directory to label-files",
		))
	}
}
