// Package traefik reads the labels of Traefik, versions 3 and 2, by one table of keys
// (keys.go), which docs/traefik.md is printed from.
package traefik

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/human"
	"fairway/internal/route"
)

// Options says how labels are read: what Traefik has in its own configuration.
type Options struct {
	// Listeners are those of the table, Ports the ports that labels may open.
	Listeners []route.Listener
	Ports     *draft.Ports
	// EntryPoints are listeners, or ports for TCP, by the names that routers have for them,
	// beside web, http, websecure, https and web-secure.
	EntryPoints map[string]string
	// ExposedByDefault serves containers that have no traefik.enable.
	ExposedByDefault bool
	// DefaultRule is the rule of routers without one, as Traefik has it; empty for Host of
	// the normalized name.
	DefaultRule string
	// Network is the network of containers that name none.
	Network string
	// Skip are middlewares that are left out, as routers name them.
	Skip []string
	// File are the labels of ReadFile; nil where no file is known.
	File map[string]string
	// UserDirs are the directories below which labels may name user files; nil allows all.
	UserDirs []string
	// Defaults gives routes the defaults of the configuration; nil for none.
	Defaults draft.Defaults
}

// Dialect reads the labels of Traefik. Learn changes what Read finds; apart from that any
// goroutine may use it.
type Dialect struct {
	Options
	plain, secure []string // listeners
	trusts        bool     // proxies say who the client is
	rule          *template.Template
	file          *document
	hasFile       bool
	shared        *shared
}

// New returns the dialect. A default rule that is no template is that of Traefik.
func New(o Options) *Dialect {
	x := &Dialect{Options: o, shared: &shared{}, file: parse(o.File, maxFileLabels), hasFile: o.File != nil}
	x.plain, x.secure = draft.Secure(o.Listeners)
	x.trusts = slices.ContainsFunc(o.Listeners, func(l route.Listener) bool { return len(l.TrustedProxies) > 0 })
	var err error
	if x.rule, err = DefaultRule(o.DefaultRule); err != nil {
		x.rule, _ = DefaultRule("")
	}
	for _, list := range x.file.parts {
		for _, p := range list {
			p.own = false
		}
	}
	return x
}

// Name is what the configuration calls the dialect.
func (*Dialect) Name() string { return "traefik" }

// Title is what people call it.
func (*Dialect) Title() string { return "Traefik" }

// Owns says whether a label is one of the dialect.
func (*Dialect) Owns(key string) bool { return owns(key) }

// ReadsAll says whether services without labels are read, too.
func (x *Dialect) ReadsAll() bool { return x.ExposedByDefault }

// DefaultRule reads the template of a rule.
func DefaultRule(text string) (*template.Template, error) {
	return template.New("rule").Funcs(template.FuncMap{
		"normalize": normalize, "lower": strings.ToLower,
		"trimPrefix": func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
		"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
		"replace":    func(old, with, s string) string { return strings.ReplaceAll(s, old, with) },
	}).Parse(cmp.Or(text, "Host(`{{ normalize .Name }}`)"))
}

// normalize makes a name of a host of any name.
func normalize(name string) string {
	words := strings.FieldsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9')
	})
	return strings.ToLower(strings.Join(words, "-"))
}

// enabled says whether the service is to be served.
func (x *Dialect) enabled(d *document) (bool, error) {
	f := d.container["enable"]
	if f == nil {
		return x.ExposedByDefault, nil
	}
	on, err := strconv.ParseBool(strings.ToLower(f.value))
	if err != nil {
		return false, draft.Bad("write true or false", "%s is neither true nor false", chars.Excerpt(f.value))
	}
	return on, nil
}

// reader reads the labels of one service.
type reader struct {
	*Dialect
	service  *catalog.Service
	labels   map[string]string
	doc      *document
	uses     []draft.Use
	borrowed map[string]string // labels of definitions of others
	used     map[string]bool   // middlewares that routers name
	secured  map[string]bool   // rules of routers with TLS
}

// Read reads labels.
func (x *Dialect) Read(s *catalog.Service, labels map[string]string) draft.Reading {
	r := &reader{Dialect: x, service: s, labels: labels, doc: parse(labels, draft.MaxListItems), borrowed: map[string]string{}, used: map[string]bool{}}
	reading := draft.Reading{Says: map[string]string{}}
	for key, value := range labels {
		if owns(key) {
			reading.Says[strings.TrimSpace(key)] = value
		}
	}
	reading.Problems = slices.Concat(r.doc.faults, r.doc.notices, r.oldNotices())
	on, fault := x.enabled(r.doc)
	routers := len(r.doc.parts["http.routers"]) + len(r.doc.parts["tcp.routers"]) + len(r.doc.parts["udp.routers"])
	switch {
	case fault == nil && !on && r.doc.container["enable"] == nil && routers > 0:
		reading.Wanted = true
		reading.Problems = append(reading.Problems, draft.Problem{OfService: true, Refusal: draft.Refuse(
			route.CodeIncomplete, "it has routers and no traefik.enable, so that nothing of it is served", "set traefik.enable=true, or traefik.exposed-by-default")})
		reading.Summary = "it has routers and no traefik.enable"
		return reading
	case fault == nil && !on:
		reading.Wanted = len(r.doc.faults)+len(r.doc.old) > 0 && r.doc.container["enable"] == nil
		reading.Summary, reading.Hint = "traefik.enable is not true", "set it to true"
		return reading
	}
	reading.Wanted = true
	builders := r.http()
	builders = append(builders, r.tcp()...)
	for _, b := range builders {
		if fault != nil {
			b.Fault(r.doc.container["enable"].raw, fault)
		}
		if r.doc.beyond != "" { // which may protect
			b.FaultOfCheck(r.doc.beyond, draft.Bad("use several services", "it has more than %d routers, services or middlewares, or one of them more settings", draft.MaxListItems))
		}
	}
	draft.Finish(&reading, builders, r.remembered(reading.Says, builders), x.Defaults)
	slices.SortStableFunc(reading.Drafts, func(a, b *draft.Draft) int { // of those that take the same the first does
		return cmp.Or(cmp.Compare(b.Priority, a.Priority), cmp.Compare(a.Name, b.Name))
	})
	reading.Problems = append(reading.Problems, r.udp()...)
	reading.Problems = append(reading.Problems, r.unused()...)
	reading.Uses = r.uses
	reading.Summary = human.Plural(len(reading.Says), "label") + " of Traefik for " + human.Plural(len(reading.Drafts), "route")
	return reading
}

// oldNotices says of labels of version 1 what they are called today.
func (r *reader) oldNotices() []draft.Problem {
	if len(r.doc.old) == 0 {
		return nil
	}
	return []draft.Problem{{OfService: true, Label: r.doc.old[0], Refusal: draft.Refuse(
		route.CodeIgnored, "labels of Traefik 1 have no effect, as in 2 and 3", "write traefik.http.routers.<name>.rule=Host(`…`) and traefik.http.services.<name>.loadbalancer.server.port")}}
}

// unused notes protecting middlewares of the service that none of its routers names.
func (r *reader) unused() (list []draft.Problem) {
	named := map[string]bool{} // by chains of the service
	for _, p := range r.doc.parts["http.middlewares"] {
		for name := range strings.SplitSeq(p.get("chain.middlewares"), ",") {
			named[strings.TrimSpace(name)] = true
		}
	}
	for _, name := range r.doc.names("http.middlewares") {
		p := r.doc.parts["http.middlewares"][name]
		protects := p.below("basicauth") || p.below("digestauth") || p.below("forwardauth") || p.below("ipallowlist") || p.below("ipwhitelist")
		if !protects || r.used[name] || named[name] {
			continue
		}
		list = append(list, draft.Problem{OfService: true, Label: p.order[0].raw, Refusal: draft.Refuse(
			route.CodeUnused, "no router of the service names the middleware "+chars.Printable(name), "name it in the middlewares of a router, unless others use it")})
	}
	return list
}

// items are those of a list, trimmed, without empty ones. One that is too long refuses the
// route.
func items(b *draft.Builder, label, list string) (all []string) {
	for item := range strings.SplitSeq(list, ",") {
		if item = strings.TrimSpace(item); item == "" {
			continue
		}
		if len(all) == draft.MaxListItems {
			b.FaultOfCheck(label, draft.Bad("", "the list has more than %d items", draft.MaxListItems))
			break
		}
		all = append(all, item)
	}
	return all
}

// name is that of the service in default rules.
func (r *reader) name() string {
	if in := r.service.Newest(); in != nil {
		if service, project := in.Labels["com.docker.compose.service"], in.Labels["com.docker.compose.project"]; service != "" && project != "" {
			return service + "_" + project
		}
		if !r.service.OwnLabels {
			return in.Name
		}
	}
	return r.service.Name
}

// defaultRule is the rule of a router without one.
func (r *reader) defaultRule() (string, error) {
	var b strings.Builder
	in := r.service.Newest()
	container := r.service.Name
	if in != nil {
		container = in.Name
	}
	err := r.rule.Execute(&b, struct {
		Name, ContainerName string
		Labels              map[string]string
	}{r.name(), container, r.labels})
	if err != nil {
		return "", draft.Bad("mend traefik.default-rule", "the default rule cannot be made for it")
	}
	return b.String(), nil
}

// group identifies what services say of one route: those that say the same share it.
func group(b *draft.Builder, service string) string {
	text, err := json.Marshal(struct {
		Filters []route.Filter
		Backend route.Backend
		Service string
	}{b.Filters(), b.Backend, service})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(text)
	return "traefik " + hex.EncodeToString(sum[:])
}

// Shown returns what may be shown of a value: neither passwords nor what a plugin has, and
// nothing of a label that does not exist, such as those of version 1.
func (*Dialect) Shown(key, value string) string {
	path, _ := strings.CutPrefix(strings.ToLower(strings.TrimSpace(key)), catalog.TraefikPrefix)
	words := strings.SplitN(path, ".", 4)
	if slices.Contains(containerKeys, words[0]) {
		return value
	} else if len(words) < 4 {
		return route.Masked
	}
	kind, local := words[0]+"."+words[1], words[3]
	switch {
	case keyOf(kind, local) == nil, strings.HasSuffix(local, ".users"), strings.HasPrefix(local, "plugin."), strings.HasPrefix(local, "forwardauth.tls"), strings.HasPrefix(local, "ratelimit.redis"):
		return route.Masked
	case strings.HasPrefix(local, "headers.custom"), strings.Contains(local, ".healthcheck.headers."):
		return draft.ShownHeader(local[strings.LastIndexByte(local, '.')+1:], value)
	case slices.Contains(urlKeys, local) && strings.Contains(value, "@"): // a password may be in front
		return route.Masked
	case slices.Contains(urlKeys, local):
		return route.MaskQuery(value)
	case local == "rule":
		return shownRule(value)
	}
	return value
}

// containerKeys begin the labels that are of no router, service or middleware.
var containerKeys = []string{"enable", "tags", "constraint-label", "docker", "swarm"}

// urlKeys are the fields with a URL.
var urlKeys = []string{"forwardauth.address", "redirectregex.replacement", "loadbalancer.server.url", "loadbalancer.healthcheck.path"}

// enabledIn are the parts of a kind, with their names sorted.
func (r *reader) each(kind string, do func(p *part)) {
	for _, name := range slices.Sorted(maps.Keys(r.doc.parts[kind])) {
		do(r.doc.parts[kind][name])
	}
}

// refuseUnknown refuses a route for fields of a part that nothing reads.
func (r *reader) refuseUnknown(b *draft.Builder, p *part) {
	if p == nil {
		return
	}
	for _, f := range p.order {
		switch {
		case f.fault != nil:
			b.FaultOfCheck(f.raw, f.fault)
		case f.key.ignored != "":
			b.Ignored(f.raw, f.key.ignored)
		}
	}
}

func (r *reader) udp() (list []draft.Problem) {
	r.each("udp.routers", func(p *part) {
		list = append(list, draft.Problem{OfService: true, Label: p.order[0].raw, Refusal: draft.Refuse(
			route.CodeUnsupported, fmt.Sprintf("the router %s is for UDP, which is not passed on", chars.Printable(p.name)), "publish the port of the container")})
	})
	return list
}
