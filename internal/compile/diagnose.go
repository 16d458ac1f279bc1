package compile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
	"fairway/internal/compile/chars"
	"fairway/internal/compile/draft"
	"fairway/internal/compile/meant"
	"fairway/internal/nearest"
	"fairway/internal/route"
)

// Diagnosis says why requests reach an instance or a service without any, or do not.
type Diagnosis struct {
	// Service is the ID of the service; Instance the name of the instance, empty
	// for a service that has none; Source the name of the source that sees it.
	Service  string
	Instance string
	Source   string
	// Served is true when requests reach it.
	Served bool
	// Checks are in the order in which Fairway decides.
	Checks []Check
}

// Outcome is how a check went.
type Outcome string

// The outcomes of a check.
const (
	OutcomeOK     Outcome = "ok"
	OutcomeDoubt  Outcome = "doubt"  // not as one would expect
	OutcomeFailed Outcome = "failed" // it is not served because of this
)

// Check is one step of a diagnosis.
type Check struct {
	// Name is "state", "labels", "problem", "notice", "port", "address", "conflict" or "route".
	Name    string
	Outcome Outcome
	// Text says what was found, in one sentence; Hint what to do, or is empty.
	Text string
	Hint string
}

// Diagnose explains why instances are served, or are not: those whose name is the name,
// whose ID begins with it (four characters or more) or whose service has it as name, short
// name or ID. s and t may be nil. Any goroutine may call it.
func (c *Compiler) Diagnose(s *catalog.Snapshot, t *route.Table, name string) []Diagnosis {
	if s == nil || name == "" {
		return nil
	}
	if t == nil {
		t = &route.Table{}
	}
	var list []Diagnosis
	named := s.ServicesNamed(name)
	for _, service := range s.Services {
		all := slices.Contains(named, service)
		instances := service.Instances
		if all && len(instances) == 0 {
			instances = []*catalog.Instance{nil}
		}
		for _, in := range instances {
			if all || in.Name == name || len(name) >= 4 && strings.HasPrefix(in.ID, name) {
				dr := doctor{plan: c.plan(service), table: t}
				list = append(list, dr.diagnose(c.planner, in))
			}
		}
	}
	return list
}

type doctor struct {
	Diagnosis
	plan  *plan
	table *route.Table
}

func (d *doctor) add(name string, outcome Outcome, hint, format string, args ...any) {
	d.Checks = append(d.Checks, Check{name, outcome, fmt.Sprintf(format, args...), hint})
}

// diagnose looks at everything that decides; in is nil for a service without instances.
func (d *doctor) diagnose(p planner, in *catalog.Instance) Diagnosis {
	service := d.plan.service
	d.Service, d.Source = service.ID, service.Source
	labels := service.Declared()
	if in == nil {
		d.add("state", OutcomeFailed, "start an instance", "the service has no instances")
	} else {
		d.Instance, d.Source = in.Name, cmp.Or(in.Source, service.Source)
		d.state(in)
		if !slices.ContainsFunc(slices.Collect(maps.Keys(labels)), func(key string) bool { return catalog.IsLabel(key) || catalog.IsVariable(key) }) {
			labels = in.Declared()
		}
	}
	if d.labels(p, labels) {
		d.defaults()
		d.problems(in)
		if in != nil && in.State != catalog.StateStopped { // what is stopped has no address
			d.address(in)
		}
		d.Served = d.routes(p, in)
	}
	return d.Diagnosis
}

// states say what is wrong with an instance that is not ready, and what to do.
var states = map[catalog.State]struct{ text, hint string }{
	catalog.StateStarting:  {"it is starting", "it gets requests as soon as its health check passes"},
	catalog.StateUnhealthy: {"its health check fails", "see its log"},
	catalog.StatePaused:    {"it is paused", "unpause it"},
	catalog.StateLeaving:   {"it is stopping and only finishes what it has", ""},
	catalog.StateStopped:   {"it does not run", "see its log, and start it"},
}

func (d *doctor) state(in *catalog.Instance) {
	why := ""
	if in.StateReason != "" {
		why = " (" + chars.Printable(in.StateReason) + ")"
	}
	if in.State == catalog.StateReady {
		d.add("state", OutcomeOK, "", "it is running%s", why)
		return
	}
	s, known := states[in.State]
	if !known {
		s = states[catalog.StateStopped]
	}
	d.add("state", OutcomeFailed, s.hint, "%s%s", s.text, why)
}

// labels says whether there are labels that ask for something, and, when there are
// none, what might have been meant to be some.
func (d *doctor) labels(p planner, labels map[string]string) (wanted bool) {
	own := p.dialects[0]
	hasOwn := have(labels, own)
	read := p.dialects[1:]
	if !d.plan.service.DecidesItself() {
		s := d.plan.service
		if by := p.chosen(s, len(read) > 0 && choose(&plan{service: s}, read[0]) != nil); by != nil {
			read = []dialect{by}
		}
	}
	for _, by := range slices.Concat(read, p.dialects[:1]) {
		if !have(labels, by) && !readsAll(by) {
			continue
		}
		reading := by.Read(d.plan.service, labels)
		outcome := OutcomeOK
		switch {
		case reading.Wanted:
			wanted = true
		case by == own:
			outcome, wanted = OutcomeFailed, false
		default:
			outcome = OutcomeDoubt
		}
		d.add("labels", outcome, reading.Hint, "%s", reading.Summary)
	}
	if wanted || hasOwn {
		return wanted
	}
	if p.DockerFlow == nil && catalog.HaveLabels(labels, catalog.FlowLabelPrefix) {
		d.add("labels", OutcomeFailed, hintFlowIsOff, "it has labels of Docker Flow, which are not read")
		return false
	}
	misses := nearMisses(labels)
	for _, p := range d.plan.problems {
		if p.Code == route.CodeNotRead && len(misses) == 0 {
			d.add("labels", OutcomeFailed, p.Hint, "%s", p.Text)
			return false
		}
	}
	hint := "add a label such as " + catalog.LabelPrefix + "host=app.example.com"
	if foreign := meant.Of(labels); foreign != "" {
		hint = foreign
	} else if len(misses) > 0 {
		hint = "labels of Fairway begin with " + catalog.LabelPrefix + "; these do not: " + strings.Join(misses, ", ")
	}
	d.add("labels", OutcomeFailed, hint, "it has no label that begins with %s", catalog.LabelPrefix)
	return false
}

// defaults names what the routes have from the configuration, each default once.
func (d *doctor) defaults() {
	all := map[string]string{}
	for _, c := range d.plan.asks {
		if c.route.Refused == "" {
			maps.Copy(all, c.draft.Defaults)
		}
	}
	if keys := slices.Sorted(maps.Keys(all)); len(keys) > 0 {
		d.add("labels", OutcomeOK, "a label of the service goes before a default", "its routes have defaults of the configuration: %s", strings.Join(keys, ", "))
	}
}

// nearMisses finds labels that look as if they were meant for Fairway.
func nearMisses(labels map[string]string) []string {
	var list []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		lower := strings.ToLower(strings.TrimSpace(k))
		first := lower
		if i := strings.IndexAny(lower, "._-/:="); i >= 0 {
			first = lower[:i]
		}
		foreign := strings.HasPrefix(lower, catalog.FlowLabelPrefix) || first == "caddy"
		if foreign || nearest.Distance(first, strings.TrimSuffix(catalog.LabelPrefix, ".")) <= 2 {
			if list = append(list, chars.Printable(k)); len(list) == 5 {
				break
			}
		}
	}
	return list
}

func (d *doctor) problems(in *catalog.Instance) {
	list := slices.DeleteFunc(d.table.Remarks(), func(p route.Problem) bool { return p.Service != d.plan.service.ID })
	if len(d.plan.problems) >= len(list) {
		list = d.plan.problems // the table lists only so many, and one that counts the others
	}
	for _, p := range list {
		if in != nil && p.Instance != "" && p.Instance != in.Name && (p.Code == route.CodeNoPort || p.Code == route.CodeNoAddress || p.Code == route.CodeDiffer) {
			continue
		}
		name, outcome := "problem", OutcomeFailed
		switch p.Code {
		case route.CodeConflict:
			name = "conflict"
		case route.CodeNoPort, route.CodeNoAddress:
			continue // the checks of port and address say it
		case route.CodeDiffer, route.CodeLockedUsers, route.CodeNameTaken:
			outcome = OutcomeDoubt
		}
		if p.Code.Notice() {
			name, outcome = "notice", OutcomeDoubt
		}
		text := p.Text
		if p.Label != "" {
			text = p.Label + ": " + text
		}
		if p.Route != "" {
			text = "route " + p.Route + ": " + text
		}
		d.add(name, outcome, p.Hint, "%s", text)
	}
}

// address says by which port and address each of its routes reaches the instance.
func (d *doctor) address(in *catalog.Instance) {
	seen := map[string]bool{}
	for _, c := range d.plan.asks {
		if c.backend == nil || c.draft.Via.Used() {
			continue // the instance itself is not dialled
		}
		var wishes draft.Wishes
		for _, m := range c.asked.members {
			if m.instance == in {
				wishes, _ = c.wishes(m)
			}
		}
		chosen, fault := draft.ChooseAddress(in, wishes)
		switch {
		case fault == nil && !seen[chosen.Address()]:
			seen[chosen.Address()] = true
			d.add("address", OutcomeOK, "", "it is reached at %s: %s", chars.Printable(chosen.Address()), chosen.Reason)
			d.unexposed(in, wishes.Port)
		case fault != nil && !seen[fault.Text]:
			seen[fault.Text] = true
			name := "address"
			if fault.Code == route.CodeNoPort {
				name = "port"
			}
			d.add(name, OutcomeFailed, fault.Hint, "%s", fault.Text)
		}
	}
}

// unexposed notes a port of a label that is none of those that the image exposes. A Swarm
// does not say which those are.
func (d *doctor) unexposed(in *catalog.Instance, port uint16) {
	exposed := draft.Exposed(in)
	if port == 0 || len(exposed) == 0 || d.plan.service.OwnLabels || slices.Contains(exposed, port) {
		return
	}
	d.add("port", OutcomeDoubt, fmt.Sprintf("if nothing listens on %d, write %sport=%d", port, catalog.LabelPrefix, exposed[0]), "the label says port %d, and the image exposes %s", port, draft.PortList(exposed))
}

// routes adds which routes lead to the instance, or the service, and says whether any does.
func (d *doctor) routes(p planner, in *catalog.Instance) (served bool) {
	found := false
	for _, r := range d.table.Routes {
		if r.Service != d.plan.service.ID {
			continue
		}
		found = true
		takes := make([]string, 0, 3)
		for _, m := range r.Matches[:min(len(r.Matches), 3)] {
			takes = append(takes, m.String())
		}
		what := "route " + chars.Printable(r.ID) + " (" + chars.Printable(strings.Join(takes, "; ")) + ")"
		switch state, by := d.endpoint(r, in); {
		case r.Refused != "":
			d.add("route", OutcomeFailed, "mend the label", "%s answers 503: %s", what, r.Refused)
		case r.Maintenance() != nil:
			d.add("route", OutcomeFailed, "an operator takes it back; see: fairway commands", "%s answers 503: %s", what, chars.Printable(r.Maintenance().By))
		case userFileOf(p, r) != "":
			d.add("route", OutcomeFailed, "put a user file there that can be read", "%s answers 503, for its user file cannot be read", what)
		case r.Backend == "":
			served = true
			d.add("route", OutcomeOK, "", "%s redirects", what)
		case state == route.EndpointReady && r.Origin.Stale:
			served = true
			d.add("route", OutcomeDoubt, "mend the labels of today", "%s leads to it in its last good form", what)
		case state == route.EndpointReady:
			served = true
			d.add("route", OutcomeOK, "", "%s leads to it", what)
		case state != "" && by != "":
			d.add("route", OutcomeFailed, "an operator takes it back; see: fairway commands", "%s has it as an endpoint that is %s: %s", what, state, chars.Printable(by))
		case state != "":
			d.add("route", OutcomeFailed, "", "%s has it as an endpoint that is %s", what, state)
		default:
			d.add("route", OutcomeFailed, "", "%s does not lead to it", what)
		}
	}
	if !found {
		d.add("route", OutcomeFailed, "", "the table has no route of the service")
	}
	return served
}

// endpoint returns the state of the instance in a backend, and whose command it comes from.
func (d *doctor) endpoint(r *route.Route, in *catalog.Instance) (state route.EndpointState, by string) {
	b := d.table.Backend(r.Backend)
	if b == nil || in == nil {
		return "", ""
	}
	source := chars.Printable(cmp.Or(in.Source, d.plan.service.Source))
	for _, e := range b.Endpoints {
		if e.Source == source && (strings.HasPrefix(e.ID, chars.Printable(in.ShortID())+":") || strings.HasPrefix(e.ID, catalog.VirtualID+":")) {
			return e.State, e.By
		}
	}
	return "", ""
}
