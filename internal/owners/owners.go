// Package owners decides who may claim what: hosts, paths, TCP ports, priorities and
// snippets, by the ordered records of the configuration. The first record that matches an
// owner decides; one that no record matches may claim everything, as without records.
//
// It is pure: who asks and what for goes in, an answer with its reason comes out.
package owners

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// Record says of some owners what they may claim. The lists of the first half say who they
// are: a key that is there must have a pattern that fits, and a record without any fits
// everybody. In a pattern "*" stands for any text.
//
// What the second half does not list is not allowed, but for paths (all of the hosts),
// priorities up to 0, and certificates that Fairway obtains or makes itself.
type Record struct {
	// Name is unique: letters, digits, dots, dashes and underscores.
	Name string `yaml:"name"`

	// Sources, Nodes, Projects and Stacks are patterns of names; for nodes of IDs, too.
	Sources  []string `yaml:"sources"`
	Nodes    []string `yaml:"nodes"`
	Projects []string `yaml:"projects"`
	Stacks   []string `yaml:"stacks"`
	// Labels are keys, each with a pattern of its value: "team=shop". All must fit.
	Labels []string `yaml:"labels"`

	// Hosts are as in labels: "shop.example", "*.shop.example", "**.shop.example", or "*" for
	// all. One with "!" in front is left out of the others.
	Hosts []string `yaml:"hosts"`
	// Paths are prefixes, on segment boundaries; empty means all.
	Paths []string `yaml:"paths"`
	// TCPPorts are ports, "6379", and ranges, "7000-7099", in which labels may open some.
	TCPPorts []string `yaml:"tcp-ports"`
	// Priorities is a range, "0-100", or the highest alone; empty means up to 0.
	Priorities string `yaml:"priorities"`
	// Snippets allows lines of HAProxy's configuration.
	Snippets bool `yaml:"snippets"`
	// Outbound allows to send requests to hosts that are no instances of the service.
	Outbound bool `yaml:"outbound"`
	// Certificates are those that its hosts may have: of auto, internal and file (values of the
	// label tls) and upload (to Docker Flow's API); none for none. Empty means auto and internal.
	Certificates []string `yaml:"certificates"`
}

// Who is an owner of routes, as far as records ask. What is empty is not known, and no
// pattern fits it.
type Who struct {
	Source  string
	Node    string // the ID
	Machine string // the name of the node
	Project string
	Stack   string
	// Label returns the value of a label; nil means that there are none.
	Label func(key string) string
}

// WhoHas says who has a service whose labels count: by its own, or else by those of the
// instance that decides for it. machines are the names of nodes by their IDs.
func WhoHas(s *catalog.Service, machines map[string]string) Who {
	const project, stack = "com.docker.compose.project", "com.docker.stack.namespace"
	w := Who{Source: s.Source}
	newest := s.Newest()
	if newest != nil && !s.OwnLabels {
		w.Source, w.Node = cmp.Or(newest.Source, s.Source), newest.Node
		w.Machine = machines[w.Node]
	}
	w.Label = func(key string) string {
		value := s.Labels[key]
		if value == "" && newest != nil && !s.OwnLabels {
			value = newest.Labels[key]
		}
		return value
	}
	w.Project, w.Stack = w.Label(project), w.Label(stack)
	return w
}

// Ask is what a route takes.
type Ask struct {
	Matches []route.Match
	// TCPPorts are the ports whose connections it takes; empty for HTTP.
	TCPPorts []uint16
	Priority int
	Snippet  bool
	// Outbound is true where requests go to a host that a label names.
	Outbound bool
	// Certificate is CertInternal, CertFile or CertUpload; empty for any other.
	Certificate string
}

// The certificates of records.
const (
	CertAuto     = "auto"
	CertInternal = "internal"
	CertFile     = "file"
	CertUpload   = "upload"
	certNone     = "none"
)

// List is the records of a configuration. A nil List allows everything. It is immutable.
type List struct {
	rights []*Rights
}

// New makes a list of records, each of which Record.Check finds nothing wrong with; nil for
// none. What cannot be read allows nothing.
func New(records []Record) *List {
	if len(records) == 0 {
		return nil
	}
	l := &List{}
	for _, r := range records {
		l.rights = append(l.rights, r.rights())
	}
	return l
}

// Machines returns the names of nodes by their IDs; nil where no record asks for nodes.
func (l *List) Machines(nodes []*catalog.Node) map[string]string {
	if !slices.ContainsFunc(l.All(), func(g *Rights) bool { return len(g.record.Nodes) > 0 }) {
		return nil
	}
	machines := make(map[string]string, len(nodes))
	for _, n := range nodes {
		machines[n.ID] = n.Name
	}
	return machines
}

// All are those of the records, in their order.
func (l *List) All() []*Rights {
	if l == nil {
		return nil
	}
	return l.rights
}

// Of returns what the first record that fits allows; nil where none does.
func (l *List) Of(w Who) *Rights {
	for _, g := range l.All() {
		if g.record.fits(w) {
			return g
		}
	}
	return nil
}

// Record returns the name of the record for a service; empty where none fits. machines are
// as for WhoHas.
func (l *List) Record(s *catalog.Service, machines map[string]string) string {
	return l.Of(WhoHas(s, machines)).Record().Name
}

// fits says whether the record is for an owner.
func (r *Record) fits(w Who) bool {
	return (len(r.Sources) == 0 || anyFits(r.Sources, w.Source)) &&
		(len(r.Nodes) == 0 || anyFits(r.Nodes, w.Node) || anyFits(r.Nodes, w.Machine)) &&
		(len(r.Projects) == 0 || anyFits(r.Projects, w.Project)) &&
		(len(r.Stacks) == 0 || anyFits(r.Stacks, w.Stack)) &&
		!slices.ContainsFunc(r.Labels, func(label string) bool {
			key, pattern, _ := strings.Cut(label, "=")
			return w.Label == nil || !fits(pattern, w.Label(key))
		})
}

func anyFits(patterns []string, text string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, text) })
}

// fits says whether a text that is not empty has the form of a pattern.
func fits(pattern, text string) bool {
	if text == "" {
		return false
	}
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return text == pattern
	}
	text, ok := strings.CutPrefix(text, first)
	for ok {
		part, more, wild := strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(text, rest)
		}
		_, text, ok = strings.Cut(text, part)
		rest = more
	}
	return false
}

// Rights are what one record allows; nil allow everything.
type Rights struct {
	record        Record
	hosts, except []route.Host
	paths         []string // without "/" at the end; empty for all
	ports         []ports
	low, high     int
}

type ports struct{ first, last uint16 }

// Record is the record; the zero one where nil.
func (g *Rights) Record() Record {
	if g == nil {
		return Record{}
	}
	return g.record
}

// The keys of records that say what may be claimed.
const (
	KeyHosts      = "hosts"
	KeyPaths      = "paths"
	KeyPorts      = "tcp-ports"
	KeyPriorities = "priorities"
	KeySnippets   = "snippets"

	KeyOutbound     = "outbound"
	KeyCertificates = "certificates"
)

// Refusal says what a record does not allow.
type Refusal struct {
	// Record is the name of the record, Key the key of it that decides.
	Record, Key string
	// What is not allowed: "host blog.example".
	What string
	// Line is the key of the record as it would have to be; empty where none would do.
	Line string
}

// Why says what is refused, in one sentence.
func (r *Refusal) Why() string {
	return fmt.Sprintf("the record %s of owners does not allow %s", r.Record, r.What)
}

// Hint says what to do about it.
func (r *Refusal) Hint() string {
	if r.Line == "" {
		return "ask for less; or the operator changes the record"
	}
	return "ask for what it allows; or the operator writes in the record: " + r.Line
}

// Judge returns why something may not be claimed; nil when it may. All of it must be within
// what the record allows.
func (g *Rights) Judge(a Ask) *Refusal {
	for _, key := range []string{KeyHosts, KeyPaths, KeyPorts, KeyPriorities, KeySnippets, KeyOutbound, KeyCertificates} {
		if r := g.JudgeBy(key, a); r != nil {
			return r
		}
	}
	return nil
}

// JudgeBy is Judge by one key of the record.
func (g *Rights) JudgeBy(key string, a Ask) *Refusal {
	if g == nil {
		return nil
	}
	switch key {
	case KeyHosts, KeyPaths:
		for _, m := range a.Matches {
			whole := len(a.TCPPorts) > 0 && m.Host.Kind == route.HostAny // all of a port
			if key == KeyHosts && !whole {
				if r := g.judgeHost(m.Host); r != nil {
					return r
				}
			}
			if key == KeyPaths && len(a.TCPPorts) == 0 && !g.path(m.Path) {
				return g.refuse(key, "the path "+m.Path.String(), g.record.Paths, pathLine(m.Path))
			}
		}
	case KeyPorts:
		for _, port := range a.TCPPorts {
			if !slices.ContainsFunc(g.ports, func(p ports) bool { return p.first <= port && port <= p.last }) {
				text := strconv.Itoa(int(port))
				return g.refuse(key, "the TCP port "+text, g.record.TCPPorts, text)
			}
		}
	case KeyPriorities:
		if g.low <= a.Priority && a.Priority <= g.high {
			return nil
		}
		r := &Refusal{Record: g.record.Name, Key: key, What: fmt.Sprintf("the priority %d", a.Priority)}
		if r.Line = fmt.Sprintf("priorities: %d", max(g.high, a.Priority)); g.low != -MaxPriority {
			r.Line = fmt.Sprintf("priorities: %d-%d", min(g.low, a.Priority), max(g.high, a.Priority))
		}
		return r
	case KeySnippets:
		if a.Snippet && !g.record.Snippets {
			return &Refusal{Record: g.record.Name, Key: key, What: "lines of HAProxy's configuration", Line: "snippets: true"}
		}
	case KeyOutbound:
		if a.Outbound && !g.record.Outbound {
			return &Refusal{Record: g.record.Name, Key: key, What: "requests to hosts that labels name", Line: "outbound: true"}
		}
	case KeyCertificates:
		if a.Certificate != "" && !g.certificate(a.Certificate) {
			has := slices.DeleteFunc(slices.Clone(g.certificates()), func(c string) bool { return c == certNone })
			return g.refuse(key, "certificates of the kind "+a.Certificate, has, a.Certificate)
		}
	}
	return nil
}

// Auto says whether certificates may be obtained for the hosts.
func (g *Rights) Auto() bool { return g == nil || g.certificate(CertAuto) }

func (g *Rights) certificate(kind string) bool { return slices.Contains(g.certificates(), kind) }

func (g *Rights) certificates() []string {
	if len(g.record.Certificates) == 0 {
		return []string{CertAuto, CertInternal}
	}
	return g.record.Certificates
}

// Uploads returns what says why a certificate for some names may not be sent to a source.
func (l *List) Uploads(source string) func(names []string) error {
	return func(names []string) error {
		ask := Ask{Certificate: CertUpload}
		for _, name := range names {
			h, err := route.ParseHost(name)
			if err != nil {
				h = route.Host{Kind: route.HostAny} // it can be for anything
			}
			ask.Matches = append(ask.Matches, route.Match{Host: h, Path: route.Path{Kind: route.PathPrefix, Value: "/"}})
		}
		rights := l.Of(Who{Source: source})
		for _, key := range []string{KeyHosts, KeyCertificates} {
			if r := rights.JudgeBy(key, ask); r != nil {
				return fmt.Errorf("%s (%s)", r.Why(), r.Hint())
			}
		}
		return nil
	}
}

func (g *Rights) judgeHost(h route.Host) *Refusal {
	for _, e := range g.except {
		if meet(e, h) {
			return &Refusal{Record: g.record.Name, Key: KeyHosts, What: "the host " + h.String() + ", for it leaves out " + e.String()}
		}
	}
	if slices.ContainsFunc(g.hosts, func(allowed route.Host) bool { return within(h, allowed) }) {
		return nil
	}
	return g.refuse(KeyHosts, "the host "+h.String(), g.record.Hosts, hostLine(h))
}

// Priority returns the priority that is allowed and nearest to one.
func (g *Rights) Priority(asked int) int {
	if g == nil {
		return asked
	}
	return min(max(asked, g.low), g.high)
}

// maxLine bounds the line of a refusal: beyond it only what is missing is named.
const maxLine = 400

// refuse makes a refusal whose line has an item added to those that are there.
func (g *Rights) refuse(key, what string, has []string, item string) *Refusal {
	r := &Refusal{Record: g.record.Name, Key: key, What: what}
	var words []string
	for _, text := range append(slices.Clone(has), item) {
		words = append(words, word(text))
	}
	if r.Line = key + ": [" + strings.Join(words, ", ") + "]"; len(r.Line) > maxLine {
		r.Line = key + ": […, " + word(item) + "]"
	}
	return r
}

// word writes a text as YAML reads it in a list.
func word(text string) string {
	if strings.ContainsAny(text, `*!&"'#,[]{}: `) {
		return strconv.Quote(text)
	}
	return text
}

// hostLine is how a record has to name a host.
func hostLine(h route.Host) string {
	if h.Kind == route.HostRegexp {
		return "*"
	}
	return h.String()
}

// pathLine is how a record has to name a path.
func pathLine(p route.Path) string {
	switch p.Kind {
	case route.PathRegexp:
		return "/"
	case route.PathStart:
		if i := strings.LastIndex(p.Value, "/"); i > 0 {
			return p.Value[:i]
		}
		return "/"
	}
	return p.Value
}
