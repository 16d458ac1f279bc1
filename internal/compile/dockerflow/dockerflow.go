// Package dockerflow reads the labels of Docker Flow, those that begin with com.df., by
// one table of parameters (keys.go), which docs/docker-flow.md is printed from.
package dockerflow

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/human"
	"fairway/internal/route"
)

// prefix begins every label of Docker Flow; ownName, which no native route can have,
// begins the names of routes.
const (
	prefix  = catalog.FlowLabelPrefix
	ownName = "com.df"
)

// SecretsDir is where Docker mounts secrets, among them the user files of Docker Flow.
const SecretsDir = "/run/secrets"

// Options says how labels that begin with com.df. are read: what Docker Flow
// Proxy takes from its environment. The zero value is its defaults.
type Options struct {
	// Separator stands between the items of lists; empty means a comma.
	Separator string
	// Ports are the names of listeners by the ports by which labels call them,
	// where those are not the ports of the listeners' own addresses.
	Ports map[uint16]string
	// NotifyLabel is the label without which a service is left alone, unless it was sent
	// over HTTP; empty means com.df.notify.
	NotifyLabel string
	// DomainAlgo is serviceDomainAlgo where no label says so; empty means "hdr(host)".
	DomainAlgo string
	// HTTPSOnly sends every request without TLS to https.
	HTTPSOnly bool
	// Compress compresses the answers of every service.
	Compress bool
	// Users may use every service without users of its own; nil asks for no user, an
	// empty list lets no user in.
	Users []route.User
	// Secrets are the users of the files that usersSecret names (see ParseUsers), where
	// users have no passwords of their own.
	Secrets map[string][]route.User
	// Snippets names the services whose backendExtra is used, "*" all of them.
	Snippets []string
	// FilterInstance leaves services alone whose proxyInstanceName is not Instance.
	FilterInstance bool
	Instance       string
}

// Dialect reads the labels of Docker Flow. Any goroutine may use it.
type Dialect struct {
	Options
	ports    *draft.Ports
	defaults Defaults
	known    map[string]*Parameter // by name, and by name in lower case
}

// Defaults gives a route what it does not decide about itself, as own says of the keys of
// Fairway's labels. The refusal is that of a route that decides about what is locked.
type Defaults func(d *draft.Draft, own func(key, header string) bool) *draft.Refusal

// New returns the dialect. No defaults are none.
func New(o Options, ports *draft.Ports, defaults Defaults) *Dialect {
	o.Separator = cmp.Or(o.Separator, ",")
	o.NotifyLabel = cmp.Or(o.NotifyLabel, prefix+"notify")
	o.DomainAlgo = cmp.Or(o.DomainAlgo, "hdr(host)")
	x := &Dialect{o, ports, defaults, map[string]*Parameter{}}
	for i := range parameters {
		x.known[parameters[i].Name] = &parameters[i]
		x.known[strings.ToLower(parameters[i].Name)] = &parameters[i]
	}
	return x
}

// Name is what configurations call the dialect.
const Name = "docker-flow"

// Name is what the configuration calls the dialect.
func (*Dialect) Name() string { return Name }

// Title is what people call it.
func (*Dialect) Title() string { return "Docker Flow" }

// Owns says whether a label is one of the dialect.
func (*Dialect) Owns(key string) bool { return catalog.HasPrefix(key, prefix) }

// Read reads labels. What concerns several routes is a problem once.
func (x *Dialect) Read(s *catalog.Service, labels map[string]string) draft.Reading {
	params := x.sort(s, labels)
	routes, notified := params.routes(), x.notified(s, labels)
	r := draft.Reading{Wanted: notified && params.wanted(), Says: map[string]string{}}
	for k, v := range labels {
		if catalog.HasPrefix(k, prefix) {
			r.Says[strings.TrimSpace(k)] = v
		}
	}
	switch {
	case r.Wanted:
		r.Summary = human.Plural(len(params.all), "label") + " of Docker Flow for " + human.Plural(len(routes), "route")
	case !notified:
		r.Summary, r.Hint = "it has labels that begin with "+prefix+", but "+chars.Printable(x.NotifyLabel)+" is not true", "set it to true"
	default:
		r.Summary, r.Hint = "its labels that begin with "+prefix+" say that it is not served here", "look at replicas and proxyInstanceName"
	}
	seen := map[[2]string]bool{}
	faulty := map[string]bool{}
	for _, d := range routes {
		d.applyDefaults()
		for _, f := range d.faults {
			faulty[f.Label] = true
		}
		for _, f := range slices.Concat(d.faults, d.notes) {
			if what := [2]string{f.Label, f.Text}; !seen[what] {
				seen[what] = true
				r.Problems = append(r.Problems, f)
			}
		}
	}
	remember := params.remember(faulty)
	for _, d := range routes {
		if len(d.faults) == 0 && d.Matches() == nil {
			continue
		}
		d.Labels = remember
		if len(d.faults) > 0 {
			d.Refused = d.faults[0].Reason(d.faults[0].Label)
		}
		if !d.MatchKnown {
			d.Unread = draft.NewUnread(d.Draft, d.blind)
		}
		r.Drafts = append(r.Drafts, d.Draft)
	}
	return r
}

// notified reports whether labels ask for the service to be served.
func (x *Dialect) notified(s *catalog.Service, labels map[string]string) bool {
	if s.Posted {
		return true
	}
	for k, v := range labels {
		if strings.EqualFold(strings.TrimSpace(k), x.NotifyLabel) {
			on, err := readBool(v)
			return err == nil && on
		}
	}
	return false
}

type label struct {
	raw   string
	value string
	fault *draft.Refusal
}

// labelSet are the labels of a service.
type labelSet struct {
	*Dialect
	service string
	none    bool // the service is to have no instances
	all     map[parameter]*label
}

// parameter is a name in parameters with the index of a destination, or 0.
type parameter struct {
	name  string
	index int
}

// sort sorts labels by their names. Unknown ones are no mistake: other programs read
// them. A label without a value says nothing.
func (x *Dialect) sort(s *catalog.Service, labels map[string]string) *labelSet {
	l := &labelSet{
		Dialect: x, service: cmp.Or(s.Name, s.ID), none: s.Replicas != nil && *s.Replicas == 0,
		all: map[parameter]*label{},
	}
	for _, raw := range slices.Sorted(maps.Keys(labels)) {
		key := strings.TrimSpace(raw)
		if !catalog.HasPrefix(key, prefix) || len(key) > 256 {
			continue
		}
		known, index := x.parameter(strings.ToLower(key[len(prefix):]))
		value := strings.TrimSpace(labels[raw])
		if known == nil || value == "" {
			continue
		}
		parameter := parameter{known.Name, 0}
		if index != "" {
			if parameter.index = slices.Index(indices, index) + 1; parameter.index == 0 {
				continue
			}
		}
		if l.all[parameter] == nil {
			l.all[parameter] = &label{raw, value, draft.CheckText(value, known.lines)}
		}
	}
	return l
}

// get returns the label of a destination, else the one without an index; nil for none.
func (l *labelSet) get(name string, index int) *label {
	if own := l.all[parameter{name, index}]; own != nil {
		return own
	}
	return l.all[parameter{name, 0}]
}

// wanted is false of a service without replicas, and of another proxy's.
func (l *labelSet) wanted() bool {
	if r := l.get("replicas", 0); r != nil && strings.Trim(r.value, "0") == "" || l.none {
		return false
	}
	if !l.FilterInstance {
		return true
	}
	name := l.get("proxyInstanceName", 0)
	return name != nil && strings.EqualFold(name.value, l.Instance)
}

// remember returns the sound labels that the routes can be made from again, without passwords.
func (l *labelSet) remember(faulty map[string]bool) map[string]string {
	keep := map[string]string{}
	for parameter, label := range l.all {
		if faulty[label.raw] || label.fault != nil || l.known[parameter.name].forgotten && !l.takes(parameter.name) {
			continue
		}
		value := label.value
		if parameter.name == "users" {
			value = l.hashed(value)
		}
		keep[label.raw] = value
	}
	return keep
}
