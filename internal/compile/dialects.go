package compile

import (
	"fmt"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/native"
	"fairway/internal/compile/nginxproxy"
	"fairway/internal/compile/traefik"
	"fairway/internal/human"
	"fairway/internal/route"
)

// dialect reads labels of one kind. Its methods give the same answers to the same questions,
// but for those of a learner.
type dialect interface {
	// Name is what the configuration calls it, Title what people do.
	Name() string
	Title() string
	// Owns says whether a label, or a variable, is one of its own.
	Owns(key string) bool
	// Read reads what a service declares, or one of its instances. Routes of no two
	// dialects have the same name. What a draft remembers makes the same draft again.
	Read(s *catalog.Service, labels map[string]string) draft.Reading
	// Shown returns what may be shown of the value of one of its labels.
	Shown(key, value string) string
}

// learner is a dialect in which services use what others define.
type learner interface {
	// Learn takes in what the services define. record names the record of the owner of one.
	Learn(services []*catalog.Service, record func(*catalog.Service) string)
	// Stands says whether what a reading has used is what it would find today.
	Stands(uses []draft.Use) bool
}

// other is a dialect of another proxy.
type other struct {
	dialect
	on bool // it is served
}

// DialectNames are the names of the dialects of other proxies that may be served.
func DialectNames() []string {
	names := []string{dockerflow.Name}
	for _, o := range (Settings{}).others() {
		names = append(names, o.Name())
	}
	slices.Sort(names)
	return names
}

// ReadsVariables says whether one of the dialects reads variables of containers.
func ReadsVariables(dialects []string) bool {
	return slices.Contains(dialects, (*nginxproxy.Dialect)(nil).Name())
}

// DialectOf is the name of the dialect of another proxy whose labels made a route; empty for
// those of Fairway and of Docker Flow.
func DialectOf(r *route.Route) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.ID, r.Service+"/"), ".")
	if name == "traefik" || name == "nginx-proxy" {
		return name
	}
	return ""
}

// newPlanner makes the dialects: Fairway's own first.
func newPlanner(s Settings) planner {
	ports := s.ports()
	p := planner{Settings: s, dialects: []dialect{native.New(ports, s.UserDirs, s.Defaults, s.ErrorPages)}, others: s.others()}
	if s.DockerFlow != nil {
		p.dialects = append(p.dialects, dockerflow.New(*s.DockerFlow, ports.Named(s.Listeners, s.DockerFlow.Ports), s.Defaults.Apply))
	}
	return p
}

// others are those of other proxies: what is on first, in its order.
func (s Settings) others() []other {
	t := s.Traefik
	t.Listeners, t.Ports, t.UserDirs, t.Defaults = s.Listeners, s.ports(), s.UserDirs, s.Defaults.Apply
	all := []dialect{
		traefik.New(t),
		nginxproxy.New(nginxproxy.Options{Listeners: s.Listeners, Defaults: s.Defaults.Apply}),
	}
	list := make([]other, 0, len(all))
	for _, name := range s.Dialects {
		for _, d := range all {
			if d.Name() == name {
				list = append(list, other{d, true})
			}
		}
	}
	for _, d := range all {
		if !slices.Contains(s.Dialects, d.Name()) {
			list = append(list, other{d, false})
		}
	}
	return list
}

// have says whether one of the labels is of a dialect.
func have(labels map[string]string, by dialect) bool {
	for key := range labels {
		if by.Owns(key) {
			return true
		}
	}
	return false
}

// entryPorts are the ports that entry points of Traefik are, while that dialect is on.
func (s Settings) entryPorts() (list []PortRange) {
	if !slices.Contains(s.Dialects, (*traefik.Dialect)(nil).Name()) {
		return nil
	}
	for _, to := range s.Traefik.EntryPoints {
		if port, err := draft.ReadPort(to); err == nil {
			list = append(list, PortRange{First: port, Last: port})
		}
	}
	return list
}

// readsAll says whether services without labels ask for something, too.
func readsAll(by dialect) bool {
	if o, ok := by.(other); ok && !o.on {
		return false
	} else if ok {
		by = o.dialect
	}
	all, ok := by.(interface{ ReadsAll() bool })
	return ok && all.ReadsAll()
}

// declares says whether the service, or one of its instances, has a label of a dialect.
func declares(s *catalog.Service, by dialect) bool {
	return readsAll(by) || has(s, by)
}

// has is declares for what is written in labels that count.
func has(s *catalog.Service, by dialect) bool {
	return have(s.Declared(), by) || !s.OwnLabels && slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return have(in.Declared(), by) })
}

// codeOf is the code for a label of a container that does not count in a Swarm; empty for
// one that nothing here reads.
func (p planner) codeOf(key string) route.Code {
	if slices.ContainsFunc(p.dialects, func(d dialect) bool { return d.Owns(key) }) {
		return route.CodeUnsupported
	}
	if slices.ContainsFunc(p.others, func(o other) bool { return o.on && o.Owns(key) }) {
		return route.CodeNotRead
	}
	return ""
}

// chosen is the dialect of another proxy by which a service goes, Docker Flow among them: the
// first that is on of whose labels it has some, else the first that reads all services; nil
// for none. asks says whether the labels of Docker Flow ask for something.
func (p planner) chosen(s *catalog.Service, asks bool) dialect {
	var on []dialect
	for _, o := range p.others {
		if o.on {
			on = append(on, o.dialect)
		}
	}
	if asks {
		flow := p.dialects[len(p.dialects)-1]
		before := max(0, slices.Index(p.Dialects, flow.Name()))
		on = slices.Insert(on, min(before, len(on)), flow)
	}
	for _, by := range on {
		if has(s, by) {
			return by
		}
	}
	for _, by := range on {
		if readsAll(by) {
			return by
		}
	}
	return nil
}

// foreign reads the labels of other proxies: of the chosen dialect alone, and only where the
// service has none of Fairway's own. Parts of several are never mixed, for a password of one
// would be lost to the router of another. What is not read is noted.
func (p planner) foreign(pl *plan, chosen dialect) {
	by := ""
	if pl.service.DecidesItself() {
		by, chosen = "it goes by its labels of Fairway", nil
	} else if chosen != nil {
		by = "it goes by those of " + chosen.Title()
	}
	for _, o := range p.others {
		switch {
		case o.dialect == chosen:
			if a := choose(pl, o); a != nil {
				p.ask(pl, a)
			}
		case !declares(pl.service, o), by != "" && !has(pl.service, o):
		case by != "":
			p.notRead(pl, o, route.CodeIgnored, by, hintOneKind)
		default:
			p.isOff(pl, o)
		}
	}
}

const hintOneKind = "take them off, or those of Fairway, to go by one kind alone"

// notRead notes that the labels of a dialect have no effect.
func (p planner) notRead(pl *plan, o dialect, code route.Code, why, hint string) {
	pl.problems = append(pl.problems, pl.problem(route.Origin{Source: chars.Printable(pl.service.Source)}, "", "", draft.Refuse(
		code, "labels of "+o.Title()+" are not read: "+why, hint,
	)))
}

// isOff notes what the labels of a dialect that is off would serve.
func (p planner) isOff(pl *plan, o other) {
	if pl.idle {
		return
	}
	would := &plan{service: pl.service, rights: pl.rights}
	a := choose(would, o)
	if a == nil {
		return
	}
	p.ask(would, a)
	var hosts []string
	for _, c := range would.asks {
		for _, m := range c.route.Matches {
			if h := chars.Printable(m.Host.String()); c.route.Refused == "" && !slices.Contains(hosts, h) {
				hosts = append(hosts, h)
			}
		}
	}
	serve := "nothing"
	if more := len(hosts) - 3; more > 0 {
		serve = fmt.Sprintf("%s and %d more", strings.Join(hosts[:3], ", "), more)
	} else if len(hosts) > 0 {
		serve = strings.Join(hosts, ", ")
	}
	faults := slices.DeleteFunc(would.problems, func(p route.Problem) bool { return p.Code.Notice() })
	if len(would.uses) > 0 {
		serve += ", and what needs middlewares of other services, which are looked at once it is on"
	} else if len(faults) > 0 && len(hosts) == 0 {
		serve += ": " + faults[0].Text
	} else if len(faults) > 0 {
		serve += ", with " + human.Plural(len(faults), "problem")
	}
	p.notRead(pl, o, route.CodeNotRead, "that dialect is off; it would serve "+serve,
		"set dialects: ["+o.Name()+"] (--dialects), or write labels of Fairway")
}

// learn has the dialects take in what services define.
func (p planner) learn(services []*catalog.Service) {
	list, machines := p.Owners, p.machines
	record := func(s *catalog.Service) string { return list.Record(s, machines) }
	for _, o := range p.others {
		if l, ok := o.dialect.(learner); ok && o.on {
			l.Learn(services, record)
		}
	}
}

// stands says whether what the plan has used is what it would find today.
func (p planner) stands(pl *plan) bool {
	return len(pl.uses) == 0 || !slices.ContainsFunc(p.others, func(o other) bool {
		l, ok := o.dialect.(learner)
		return ok && !l.Stands(pl.uses)
	})
}

// ShownLabels returns what the value of a label is shown, logged, recorded and sent with:
// route.Masked stands in the place of what may not be shown, as all of a label that belongs
// to no dialect. Any goroutine may call the function.
func ShownLabels() func(key, value string) string {
	p := newPlanner(Settings{DockerFlow: &dockerflow.Options{}})
	return func(key, value string) string {
		for _, d := range p.dialects {
			if d.Owns(key) {
				return d.Shown(key, value)
			}
		}
		for _, o := range p.others {
			if o.Owns(key) {
				return o.Shown(key, value)
			}
		}
		return route.Masked
	}
}
