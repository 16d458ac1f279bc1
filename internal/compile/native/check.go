package native

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/files"
	"fairway/internal/nearest"
	"fairway/internal/route"
)

// needs are keys that mean something only beside another one.
var needs = []struct {
	keys               []string
	beside, text, hint string
}{
	{[]string{"health.interval", "health.timeout", "health.status", "health.host", "health.port", "health.headers."}, "health.path", "there is no health.path to check", "add a health.path label"},
	{[]string{"sticky.same-site", "sticky.domain"}, "sticky", "there is no sticky cookie", "add a sticky label"},
}

// check finds what is wrong between labels that are right by themselves, and
// settles what depends on several of them.
func (d *reading) check(x *Dialect) {
	if d.Backend.Scheme == route.SchemeTCP {
		d.checkTCP(x.ports)
	} else {
		d.checkHTTP()
	}
	if a := d.Filter.BasicAuth; a != nil {
		d.checkBelow(x, "basic-auth", a.File)
	}
	if d.TLSFrom != route.TLSOff && d.TLSFrom != route.TLSInternal {
		d.checkBelow(x, "tls", d.TLSFrom)
	}
	if name := d.ErrorPages; name != "" && name != "off" && x.pages != nil && !slices.Contains(x.pages, name) {
		hint := "the operator names sets of pages under error-pages in the configuration"
		if near := nearest.Word(name, x.pages); near != "" {
			hint = "did you mean " + near + "?"
		}
		d.refuse("error-pages", draft.Refuse(route.CodeBadValue, "there is no set of error pages "+chars.Excerpt(name), hint))
	}
	if d.has("host") || d.has("path") || d.has("path-exact") || d.has("path-regexp") {
		d.contradicts("rule", "rule stands beside host or path labels", "write all conditions into the rule, or use several routes")
	}
	if len(d.Hosts)*len(d.Paths) > draft.MaxMatches {
		key := "path"
		if !d.has(key) {
			key = "path-exact"
		}
		d.contradicts(key, "there are too many pairs of hosts and paths", "use several routes")
	}
	if d.stripOwn {
		switch prefixes := d.ownPrefixes(); len(prefixes) {
		case 1:
			d.Filter.StripPrefix = &route.StripPrefix{Prefix: prefixes[0]}
		case 0:
			d.contradicts("strip-prefix", "the route has no path prefix to strip", "add a path label, or write the prefix here")
		default:
			d.contradicts("strip-prefix", "the route has several path prefixes", "use one named route for each path")
		}
	}
	d.Health.Interval = cmp.Or(d.Health.Interval, 10*time.Second)
	d.Health.Timeout = cmp.Or(d.Health.Timeout, min(2*time.Second, d.Health.Interval))
	if (d.has("health.path") || d.L4.Check) && d.Health.Timeout > d.Health.Interval {
		d.contradicts("health.timeout", "health.timeout is longer than health.interval", "make it shorter")
	}
}

// checkBelow refuses the label of a key that names a file where labels may name none.
func (d *reading) checkBelow(x *Dialect, key, file string) {
	if file != "" && x.userDirs != nil && !files.Below(x.userDirs, file) {
		d.refuse(key, draft.Refuse(
			route.CodeBadValue, "the file is not below a directory that labels may name: "+strings.Join(x.userDirs, ", "),
			"put it there, or have the operator add its directory to label-files",
		))
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

// checkHTTP finds the labels that do not go together with a scheme for requests.
func (d *reading) checkHTTP() {
	for _, k := range l4Keys {
		d.contradicts(k, "only a route that passes connections through has it", "add a scheme label with tcp, or leave it out")
	}
	for _, n := range needs {
		for _, k := range n.keys {
			if !d.has(n.beside) {
				d.refuse(k, draft.Refuse(route.CodeIncomplete, n.text, n.hint))
			}
		}
	}
	if d.Backend.Scheme == route.SchemeH2C {
		d.contradicts("upgrade", "HTTP/2 knows no switch of protocols", "set the scheme to http")
	}
	if d.Backend.Scheme == route.SchemeHTTPS {
		return
	}
	hint := "set the scheme to https"
	if !d.has("scheme") {
		hint = "add a scheme label with https"
	}
	for _, k := range []string{"tls.server-name", "tls.skip-verify"} {
		d.contradicts(k, "the service is spoken to without TLS", hint)
	}
}

// checkTCP finds the labels that do not go together with the scheme tcp, and the
// listener of a route that passes connections through.
func (d *reading) checkTCP(p *draft.Ports) {
	for i := range keys {
		k := &keys[i]
		if k.scope != scopeInstance && k.scope != scopeService && !slices.Contains(l4Keys, k.Name) && !slices.Contains(sharedKeys, k.Name) {
			d.contradicts(k.Name, "a route with the scheme tcp passes connections through as they are", "leave it out; "+prefix+"sni says which TLS clients are taken")
		}
	}
	if d.Backend.Balance.Policy == route.BalanceHash && d.Backend.Balance.On != route.HashClientIP {
		d.contradicts("balance", "a connection that is passed through has nothing of the kind to hash", "use hash:client-ip")
	}
	if d.L4.Port == 0 {
		if !d.has("listen") { // else its value is at fault
			d.refuse("scheme", draft.Refuse(route.CodeIncomplete, "the route does not say on which port Fairway listens for it", "add a listen label"))
		}
		return
	}
	if d.L4.Check = d.has("health.interval"); !d.L4.Check {
		d.refuse("health.timeout", draft.Refuse(route.CodeIncomplete, "no check is asked for", "add a health.interval label"))
	}
	var err error
	if d.L4.Listeners, err = p.TCP(d.L4.Port); err != nil {
		d.refuse("listen", draft.AsRefusal(err))
	}
}
