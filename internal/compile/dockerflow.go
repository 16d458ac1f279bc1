package compile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// flowPrefix is what every label of Docker Flow begins with, and flowName, which
// no native route can have, the name of the route that such labels ask for. The
// names of the others begin with it and a dot.
const (
	flowPrefix = catalog.FlowLabelPrefix
	flowName   = "com.df"
)

// FlowSecrets is where Docker mounts secrets, among them the user files of Docker Flow.
const FlowSecrets = "/run/secrets"

// DockerFlow says how labels that begin with com.df. are read: what Docker Flow
// Proxy takes from its environment. The zero value is its defaults.
type DockerFlow struct {
	// Separator stands between the items of lists; empty means a comma.
	Separator string
	// Ports are the names of listeners by the ports by which labels call them,
	// where those are not the ports of the listeners' own addresses.
	Ports map[uint16]string
	// NotifyLabel is the label without which a service is left alone; empty means
	// com.df.notify. Services of the source "posted" need none.
	NotifyLabel string
	// DomainAlgo is how serviceDomain is compared where no serviceDomainAlgo says
	// so; empty means "hdr(host)", the whole name.
	DomainAlgo string
	// HTTPSOnly sends every request without TLS to https.
	HTTPSOnly bool
	// Compress compresses the answers of every service.
	Compress bool
	// Users may use every service that has no users of its own; nil asks for
	// nobody, an empty list lets nobody in.
	Users []route.User
	// Secrets are the users of the files that usersSecret names, by that name; see
	// ParseUsers. They are needed only where users have no passwords of their own.
	Secrets map[string][]route.User
	// UsersDir holds these files, dfp_users_<name>; empty means FlowSecrets.
	UsersDir string
	// Snippets names the services whose backendExtra is used, "*" all of them. The
	// engine must be one that takes route.Snippet.
	Snippets []string
	// FilterInstance leaves services alone whose proxyInstanceName is not
	// Instance, in any case.
	FilterInstance bool
	Instance       string
}

// flow reads labels of Docker Flow.
type flow struct {
	DockerFlow
	ports *ports
	known map[string]*flowKey // by name, and by name in lower case
}

func newFlow(d DockerFlow, p *ports) *flow {
	d.Separator = cmp.Or(d.Separator, ",")
	d.NotifyLabel = cmp.Or(d.NotifyLabel, flowPrefix+"notify")
	d.DomainAlgo = cmp.Or(d.DomainAlgo, "hdr(host)")
	d.UsersDir = strings.TrimSuffix(cmp.Or(d.UsersDir, FlowSecrets), "/")
	f := &flow{d, p, map[string]*flowKey{}}
	for i := range flowKeys {
		f.known[flowKeys[i].name] = &flowKeys[i]
		f.known[strings.ToLower(flowKeys[i].name)] = &flowKeys[i]
	}
	return f
}

// isFlowRoute says whether a route of this name was asked for by labels of Docker
// Flow.
func isFlowRoute(name string) bool {
	return name == flowName || strings.HasPrefix(name, flowName+".")
}

// labelFault is a label with what is wrong with it.
type labelFault struct {
	label string // as it was written
	fault *refusal
}

// isOfCheck says whether the label is one of those that decide who may ask.
func (f labelFault) isOfCheck() bool {
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(f.label))[len(flowPrefix):], ".")
	return slices.Contains([]string{"users", "userssecret", "userspassencrypted", "allowedmethods", "deniedmethods", "denyhttp", "verifyclientssl"}, name)
}

// flowRoute is a route that labels of Docker Flow ask for.
type flowRoute struct {
	name       string
	draft      *draft
	matchKnown bool
	label      string
	faults     []labelFault // the route is refused because of them
	notes      []labelFault // the route is served without their effect
}

// hintFlowIsOff says how labels of Docker Flow are read.
const hintFlowIsOff = "set dockerflow.labels to true (--dockerflow.labels), write labels of Fairway, or take these off"

// flowIsOff reports labels of Docker Flow that ask for something while they are not
// read, once for a service that runs. One that has labels of Fairway goes by those.
func (p planner) flowIsOff(pl *plan) {
	s := pl.service
	runs := false
	for _, in := range s.Instances {
		if hasLabels(in.Labels, prefix) {
			return
		}
		runs = runs || rank(in) == rankRunning
	}
	if !runs || hasLabels(s.Labels, prefix) {
		return
	}
	labels, from, _ := newFlow(DockerFlow{}, p.ports).decide(&plan{service: s})
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if hasPrefix(key, flowPrefix) {
			pl.problems = append(pl.problems, pl.problem(from, "", key, &refusal{
				route.CodeUnsupported, "labels of Docker Flow are not read", hintFlowIsOff,
			}))
			return
		}
	}
}

// planFlow reads the labels of Docker Flow. What concerns several routes is told
// once.
func (p planner) planFlow(pl *plan) {
	labels, from, members := p.flow.decide(pl)
	if labels == nil {
		return
	}
	params := p.flow.read(pl.service, labels)
	if !params.wanted() {
		return
	}
	routes := params.routes()
	told := map[[2]string]bool{}
	tell := func(r *flowRoute, list []labelFault) {
		for _, f := range list {
			if what := [2]string{f.label, f.fault.text}; !told[what] {
				told[what] = true
				pl.problems = append(pl.problems, pl.problem(from, pl.routeID(r.name), f.label, f.fault))
			}
		}
	}
	faulty := map[string]bool{}
	for i := range routes {
		for _, f := range routes[i].faults {
			faulty[f.label] = true
		}
	}
	remember := params.remember(faulty)
	for i := range routes {
		r := &routes[i]
		tell(r, r.faults)
		tell(r, r.notes)
		if len(r.faults) == 0 && r.draft.matches() == nil {
			continue
		}
		reason := ""
		if len(r.faults) > 0 {
			reason = refusedReason(r.faults[0].label, r.faults[0].fault)
		}
		a := asked{
			name: r.name, draft: r.draft, from: from, members: members,
			matchKnown: r.matchKnown, label: r.label, labels: remember,
		}
		if !a.matchKnown {
			a.unread = newUnread(r.draft, slices.ContainsFunc(r.faults, labelFault.isOfCheck))
		}
		p.candidate(pl, a, reason)
	}
}

// decide finds the labels that count and the instances that serve. Labels belong
// to services; outside Swarm, where only instances have them, those of the newest
// one count for all that want to be served.
func (f *flow) decide(pl *plan) (map[string]string, origin, []member) {
	s := pl.service
	if hasLabels(s.Labels, flowPrefix) {
		if !f.notified(s, s.Labels) {
			return nil, origin{}, nil
		}
		return s.Labels, origin{source: printable(s.Source)}, allMembers(s)
	}
	decider := decidingInstance(s, flowPrefix)
	if decider == nil || !f.notified(s, decider.Labels) {
		return nil, origin{}, nil
	}
	var members []member
	want := ofFlow(decider.Labels)
	for _, in := range s.Instances {
		serves := f.notified(s, in.Labels)
		if serves {
			members = append(members, member{in, nil})
		}
		if key, differs := firstDifference(want, ofFlow(in.Labels)); differs && rank(in) == rankRunning {
			pl.problems = append(pl.problems, differProblem(pl, in, decider, key, serves))
		}
	}
	return decider.Labels, pl.originOf(decider), members
}

// ofFlow returns the labels that belong to Docker Flow.
func ofFlow(labels map[string]string) map[string]string {
	ours := map[string]string{}
	for k, v := range labels {
		if hasPrefix(k, flowPrefix) {
			ours[strings.TrimSpace(k)] = v
		}
	}
	return ours
}

// notified says whether labels ask for the service to be looked at.
func (f *flow) notified(s *catalog.Service, labels map[string]string) bool {
	if s.Source == "posted" {
		return true
	}
	for k, v := range labels {
		if strings.EqualFold(strings.TrimSpace(k), f.NotifyLabel) {
			on, err := readFlowBool(v)
			return err == nil && on
		}
	}
	return false
}

// flowLabel is one label of Docker Flow.
type flowLabel struct {
	raw   string
	value string
	fault *refusal
}

// flowLabels are the labels of a service.
type flowLabels struct {
	*flow
	service string
	none    bool // the service shall have no instances
	all     map[flowParameter]*flowLabel
}

// flowParameter is a parameter by its name in flowKeys, with the index of its
// destination, or 0.
type flowParameter struct {
	name  string
	index int
}

// read sorts labels by their names. Those that Docker Flow does not know are
// nobody's mistake: other programs read them. A label without a value says nothing.
func (f *flow) read(s *catalog.Service, labels map[string]string) *flowLabels {
	l := &flowLabels{
		flow: f, service: cmp.Or(s.Name, s.ID), none: s.Replicas != nil && *s.Replicas == 0,
		all: map[flowParameter]*flowLabel{},
	}
	for _, raw := range slices.Sorted(maps.Keys(labels)) {
		key := strings.TrimSpace(raw)
		if !hasPrefix(key, flowPrefix) || len(key) > 256 {
			continue
		}
		word, index, dotted := strings.Cut(strings.ToLower(key[len(flowPrefix):]), ".")
		known := f.known[word]
		value := strings.TrimSpace(labels[raw])
		if known == nil || value == "" || dotted && !known.indexed {
			continue
		}
		parameter := flowParameter{known.name, 0}
		if dotted {
			if parameter.index = slices.Index(flowIndices, index) + 1; parameter.index == 0 {
				continue
			}
		}
		if l.all[parameter] != nil {
			continue
		}
		one := &flowLabel{raw: raw, value: value}
		switch {
		case len(value) > maxLabelBytes:
			one.fault = &refusal{route.CodeBadValue, fmt.Sprintf("the value is longer than %d bytes", maxLabelBytes), ""}
		case !utf8.ValidString(value):
			one.fault = &refusal{route.CodeBadValue, "the value is not UTF-8", ""}
		case hasControl(value) && !known.lines:
			one.fault = &refusal{route.CodeBadValue, "the value has control characters", ""}
		}
		l.all[parameter] = one
	}
	return l
}

// get returns the label of a destination: its own, or else the one without an
// index, which stands in for all. It is nil when there is none.
func (l *flowLabels) get(name string, index int) *flowLabel {
	if own := l.all[flowParameter{name, index}]; own != nil {
		return own
	}
	return l.all[flowParameter{name, 0}]
}

// wanted says whether the service is to be served at all: it is not when it has
// no replicas, and when it is another proxy's.
func (l *flowLabels) wanted() bool {
	if r := l.get("replicas", 0); r != nil && strings.Trim(r.value, "0") == "" || l.none {
		return false
	}
	if !l.FilterInstance {
		return true
	}
	name := l.get("proxyInstanceName", 0)
	return name != nil && strings.EqualFold(name.value, l.Instance)
}

// remember returns the labels that the routes can be made from again, without
// those that are at fault and without passwords.
func (l *flowLabels) remember(faulty map[string]bool) map[string]string {
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

// remembered reads a route out of the labels that it remembers; nil when it cannot
// be made of them any more.
func (f *flow) remembered(s *catalog.Service, name string, labels map[string]string) *asked {
	if f == nil {
		return nil
	}
	for _, r := range f.read(s, labels).routes() {
		if r.name == name && len(r.faults) == 0 && r.draft.matches() != nil {
			return &asked{name: name, draft: r.draft, matchKnown: r.matchKnown, label: r.label, labels: labels}
		}
	}
	return nil
}
