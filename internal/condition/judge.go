package condition

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/engine/traffic"
	"fairway/internal/human"
	"fairway/internal/route"
)

// World is what conditions are judged from.
type World struct {
	Now time.Time
	// Snapshot and Compiled are the newest snapshot and what its labels ask for; Live is
	// what is served. Each may be nil.
	Snapshot       *catalog.Snapshot
	Compiled, Live *route.Table
	// Pending is why the newest table is not live; empty when it is.
	Pending string
	// Sources says how the sources are doing at this moment.
	Sources []catalog.SourceStatus
	// Endpoints is what the engine knows of the endpoints.
	Endpoints []traffic.EndpointStatus
	// Connected says how the newest connection to an address went, for those that were
	// made.
	Connected map[string]Attempt
	// Rates are requests per second at the moment, by route.
	Rates map[string]Rate
	// Holds are the rollback, pin and maintenance in force.
	Holds []Hold
	// Certificates says what is wrong with the certificates that a route needs, and what to
	// do; empty for nothing. It may be nil.
	Certificates func(route string) (text, hint string)
	// Names are what is wrong with names, of KindName.
	Names []Finding
}

// Attempt is a connection that was tried.
type Attempt struct {
	At time.Time
	// Error is why it failed, in words for people; empty when it was accepted.
	Error string
}

// Rate is what goes through a route, per second.
type Rate struct {
	Requests, Errors float64
}

// Hold is a rollback, pin or maintenance in force.
type Hold struct {
	// Command is the command with who gave it and why.
	Command string
	Since   time.Time
	// Services are the IDs of the services that are held; nil for all.
	Services map[string]bool
	// Maintenance: the services are held by maintenance. Undo is the command line that ends
	// the hold.
	Maintenance bool
	Undo        string
}

// reason is what a route or the whole is held by.
func (h *Hold) reason(text string) Reason {
	code := CodeHold
	if h.Maintenance {
		code = CodeMaintenance
	}
	return Reason{Code: code, Text: text, Hint: "end it with: " + h.Undo, Since: h.Since}
}

// mayFail is the share of requests that may fail before a route is degraded, and seldom how
// many a second: of fewer most have to fail.
const (
	mayFail = 0.05
	seldom  = 0.1
)

// fails says whether more requests fail than may.
func (r Rate) fails() bool {
	return r.Errors > mayFail*r.Requests && (r.Errors >= seldom || 2*r.Errors > r.Requests)
}

// Judge judges everything. before is the report before this one, or nil: what was wrong
// then keeps its Since.
func Judge(w World, before *Report) *Report {
	if w.Live == nil {
		w.Live = &route.Table{}
	}
	if w.Snapshot == nil {
		w.Snapshot = &catalog.Snapshot{}
	}
	j := judge{World: w, since: map[string]time.Time{}, stale: map[string]Reason{}}
	j.report = &Report{
		At: w.Now, State: Healthy, Sources: map[string]Condition{}, backends: make(map[string]judged, len(w.Live.Backends)),
		Routes: make(map[string]Condition, len(w.Live.Routes)), Services: make(map[string]Condition, len(w.Snapshot.Services)),
	}
	if before != nil {
		for _, f := range before.Findings {
			j.since[f.key()] = f.Reason.Since
		}
	}
	j.index()
	j.table()
	j.holds()
	j.sources()
	for _, r := range w.Live.Routes {
		j.report.Routes[r.ID] = j.route(r)
	}
	for _, svc := range w.Snapshot.Services {
		j.report.Services[svc.ID] = j.service(svc)
	}
	for _, f := range w.Names {
		j.find(&Condition{}, f)
	}
	slices.SortStableFunc(j.report.Findings, func(a, b Finding) int { return cmp.Compare(b.State.rank(), a.State.rank()) })
	return j.report
}

// key is the same for what is wrong with the same thing in the same way.
func (f Finding) key() string {
	return f.Kind + "\x00" + f.Subject + "\x00" + f.Service + "\x00" + f.Reason.Code
}

type judge struct {
	World
	report     *Report
	since      map[string]time.Time // by key of a finding
	stale      map[string]Reason    // by source
	engine     map[[2]string]*traffic.EndpointStatus
	instances  map[[2]string]*catalog.Instance // by source and name
	routesOf   map[string][]*route.Route       // by service, as the next two
	problemsOf map[string][]route.Problem
	services   map[string]*catalog.Service // by ID
	covered    map[route.Problem]bool      // those that the finding of a route has said
	asks       map[string]bool             // its labels ask for a route
}

// index makes what things are found by.
func (j *judge) index() {
	n := len(j.Endpoints)
	j.engine, j.instances = make(map[[2]string]*traffic.EndpointStatus, n), make(map[[2]string]*catalog.Instance, n)
	j.routesOf, j.problemsOf, j.asks = make(map[string][]*route.Route, len(j.Live.Routes)), map[string][]route.Problem{}, make(map[string]bool, len(j.Live.Routes))
	for i := range j.Endpoints {
		e := &j.Endpoints[i]
		j.engine[[2]string{e.Backend, e.Endpoint}] = e
	}
	j.services, j.covered = make(map[string]*catalog.Service, len(j.Snapshot.Services)), map[route.Problem]bool{}
	for _, svc := range j.Snapshot.Services {
		j.services[svc.ID] = svc
		for _, in := range svc.Instances {
			j.instances[[2]string{in.Source, in.Name}] = in
		}
	}
	for _, r := range j.Live.Routes {
		j.routesOf[r.Service] = append(j.routesOf[r.Service], r)
	}
	for _, p := range j.Live.Problems {
		j.problemsOf[p.Service] = append(j.problemsOf[p.Service], p)
	}
	if j.Compiled != nil {
		for _, r := range j.Compiled.Routes {
			j.asks[r.Service] = true
		}
	}
}

// find records what is wrong, with the time since which it is.
func (j *judge) find(c *Condition, f Finding) {
	if f.Reason.Since.IsZero() {
		f.Reason.Since = j.Now
		if t := j.since[f.key()]; !t.IsZero() {
			f.Reason.Since = t
		}
	}
	c.add(f.State, f.Reason)
	if f.State.Wrong() {
		j.report.Findings = append(j.report.Findings, f)
	}
	if f.State.rank() > j.report.State.rank() {
		j.report.State = f.State
	}
}

func (j *judge) table() {
	if j.Pending != "" {
		j.find(&Condition{}, Finding{Kind: KindTable, Subject: "table", State: Degraded, Reason: Reason{
			Code: CodePending, Text: "the newest table is not live: " + j.Pending, Hint: "the table before it is served; it is tried again",
		}})
	}
}

func (j *judge) holds() {
	for _, h := range j.Holds {
		text := h.Command + " is in force: "
		if h.Maintenance {
			text += "requests get 503, but those of clients that are allowed through"
		} else if h.Services == nil {
			text += "no change of containers or labels goes live"
		} else {
			text += human.Plural(len(h.Services), "service") + " held until their labels change"
		}
		j.find(&Condition{}, Finding{Kind: KindCommand, Subject: h.Command, State: Held, Reason: h.reason(text)})
	}
}

// heldBy is the rollback or pin, or the maintenance, that decides about a service; nil for
// none.
func (j *judge) heldBy(service string, maintenance bool) *Hold {
	for i, h := range j.Holds {
		if h.Maintenance != maintenance {
			continue
		}
		if h.Services == nil || h.Services[service] {
			return &j.Holds[i]
		}
	}
	return nil
}

func (j *judge) sources() {
	for _, st := range j.Sources {
		c := Condition{State: Healthy}
		switch {
		case st.Stale && st.LastSuccess.IsZero():
			j.find(&c, Finding{Kind: KindSource, Subject: st.Name, State: Down, Reason: Reason{
				Code: CodeNoAnswer, Text: "source " + st.Name + " has never answered: " + st.Error, Hint: SourceHint(st.Error),
			}})
		case st.Stale:
			j.find(&c, Finding{Kind: KindSource, Subject: st.Name, State: Degraded, Reason: Reason{
				Code: CodeStale, Text: "source " + st.Name + " does not answer, and what it said before is kept: " + st.Error, Hint: SourceHint(st.Error), Since: st.LastSuccess,
			}})
		case !st.Synced:
			j.find(&c, Finding{Kind: KindSource, Subject: st.Name, State: Unknown, Reason: Reason{
				Code: CodeNoAnswer, Text: "source " + st.Name + " has not answered in this run yet",
			}})
		}
		if len(c.Reasons) > 0 {
			j.stale[st.Name] = c.Reasons[0]
		}
		j.report.Sources[st.Name] = c
	}
}

// SourceHint says what to do about a source that fails with an error.
func SourceHint(text string) string {
	text = strings.ToLower(text)
	dials := strings.Contains(text, "dial ")
	switch {
	case strings.HasPrefix(text, "consul"):
		return consulHint(text)
	case strings.Contains(text, "permission denied") && !dials:
		return "let the user that Fairway runs as read it"
	case strings.Contains(text, "no such file") && !dials:
		return "create the file, or correct its path"
	case strings.Contains(text, "permission denied"):
		return "let Fairway's user open Docker's socket: sudo usermod -aG docker USER and sign in again; for a container, group_add: [DOCKER_GID] with the number of: stat -c %g /var/run/docker.sock; or run it with sudo"
	case strings.Contains(text, "no such file"), strings.Contains(text, "connection refused"), strings.Contains(text, "cannot connect"):
		return "see that the engine runs and listens there: docker info"
	}
	return ""
}

// consulHint says what to do about an error of Consul, in lower case.
func consulHint(text string) string {
	switch {
	case strings.HasPrefix(text, "consul key "):
		return "correct the document, or delete the key; fairway check reads one from a file"
	case strings.Contains(text, "403"):
		return "give the token of consul.token-file the rights service:read and node:read"
	case strings.Contains(text, "leader"):
		return "see that most servers of Consul run and see each other: consul operator raft list-peers"
	case strings.Contains(text, "connection refused"), strings.Contains(text, "no such file"), strings.Contains(text, "deadline exceeded"):
		return "see that Consul runs and listens there, or correct consul.address: consul members"
	case strings.Contains(text, "suddenly"), strings.Contains(text, "sees less"), strings.Contains(text, "shows no instance"):
		return "see whether the token's rights have changed; if that is meant, restart Fairway"
	}
	return ""
}

func (j *judge) route(r *route.Route) Condition {
	c := Condition{State: Healthy}
	find := func(state State, reason Reason) {
		j.find(&c, Finding{Kind: KindRoute, Subject: r.ID, Service: r.Service, State: state, Reason: reason})
	}
	if r.Refused != "" {
		_, hint := j.problemOf(r)
		find(Refused, Reason{Code: CodeRefused, Text: r.Refused + "; requests get 503", Hint: hint})
		return c
	}
	if b := j.Live.Backend(r.Backend); b != nil {
		j.backend(b, find)
	}
	if m := j.heldBy(r.Service, true); m != nil {
		find(Held, m.reason("held by "+m.Command))
	} else if rate := j.Rates[r.ID]; rate.fails() && c.State != Down {
		find(Degraded, Reason{Code: CodeErrors, Text: fmt.Sprintf("%.0f %% of requests fail (%.1f of %.1f a second)", 100*rate.Errors/max(rate.Requests, rate.Errors), rate.Errors, rate.Requests)})
	}
	if r.Origin.Stale {
		text, hint := j.problemOf(r)
		if text != "" {
			text = " (" + text + ")"
		}
		find(Degraded, Reason{Code: CodeLastGood, Text: "its labels are refused" + text + ", and their last good form is served", Hint: hint})
	}
	if stale, ok := j.stale[r.Origin.Source]; ok && stale.Code == CodeStale {
		find(Degraded, stale)
	}
	if j.Certificates != nil {
		if text, hint := j.Certificates(r.ID); text != "" {
			find(Degraded, Reason{Code: CodeCertificate, Text: text, Hint: hint})
		}
	}
	if h := j.heldBy(r.Service, false); h != nil {
		find(Held, h.reason("held by "+h.Command))
	}
	return c
}

// problemOf is the problem that says why a route is refused or of an earlier form, and what
// to do about it. It is no finding of its own where that of the route says it.
func (j *judge) problemOf(r *route.Route) (text, hint string) {
	saysIt := func(p route.Problem) bool { return r.Refused == "" || strings.Contains(r.Refused, p.Text) }
	for _, is := range []func(route.Problem) bool{
		func(p route.Problem) bool { return p.Route == r.ID && saysIt(p) },
		func(p route.Problem) bool { return p.Route == r.ID },
		func(p route.Problem) bool { return p.Route == "" }, // of the service
	} {
		if i := slices.IndexFunc(j.problemsOf[r.Service], is); i >= 0 {
			p := j.problemsOf[r.Service][i]
			j.covered[p] = j.covered[p] || saysIt(p)
			return p.Text, p.Hint
		}
	}
	return "", ""
}

// backend judges the endpoints of a backend.
func (j *judge) backend(b *route.Backend, find func(State, Reason)) {
	up, unknown := 0, 0
	var failing, waiting, all []Reason
	for i, e := range b.Endpoints {
		found := j.endpoint(b, e)
		if found.Reason.Code != "" {
			if all == nil {
				all = make([]Reason, len(b.Endpoints))
			}
			all[i] = found.Reason
		}
		switch found.Reason.Code {
		case "":
			up++
		case CodeUnobserved:
			unknown++
		case CodeUnavailable:
			waiting = append(waiting, found.Reason)
		default:
			failing = append(failing, found.Reason)
		}
	}
	j.report.backends[b.ID] = judged{b, all}
	state := Degraded
	if up+unknown == 0 {
		state = Down
	}
	for i, reason := range failing {
		if i == maxReasons {
			find(state, Reason{Code: reason.Code, Text: fmt.Sprintf("and %d more endpoints fail", len(failing)-i)})
			break
		}
		find(state, reason)
	}
	switch {
	case up > 0, len(failing) > 0:
	case unknown > 0:
		find(Unknown, Reason{Code: CodeUnobserved, Text: "no connection to an endpoint was tried yet"})
	case len(waiting) > 0:
		find(Down, waiting[0])
	default:
		find(Down, Reason{Code: CodeUnavailable, Text: "it has no endpoint: " + j.whyNone(b)})
	}
}

// maxReasons is how many endpoints of one backend are named.
const maxReasons = 3

// whyNone says why a backend has no endpoint.
func (j *judge) whyNone(b *route.Backend) string {
	i, ok := slices.BinarySearchFunc(j.Snapshot.Services, b.Service, func(s *catalog.Service, id string) int { return strings.Compare(s.ID, id) })
	if !ok {
		return "its service is gone"
	}
	instances := j.Snapshot.Services[i].Instances
	if len(instances) == 0 {
		return "the service has no instance"
	}
	for _, in := range instances {
		if in.State != catalog.StateReady {
			return in.Name + ": " + Explained(in)
		}
	}
	return "no instance can take requests"
}

// endpoint judges one endpoint.
func (j *judge) endpoint(b *route.Backend, e route.Endpoint) Endpoint {
	fails := func(code, hint, format string, args ...any) Endpoint {
		return Endpoint{Reason: Reason{Code: code, Text: fmt.Sprintf(format, args...), Hint: hint}}
	}
	if e.State != route.EndpointReady || e.Weight == 0 {
		why := cmp.Or(e.By, j.stateOf(e))
		if why == "" && e.Weight == 0 {
			why = "weight 0"
		}
		return fails(CodeUnavailable, "", "%s takes no requests: %s", e.Instance, cmp.Or(why, string(e.State)))
	}
	status, known := j.engine[[2]string{b.ID, e.ID}]
	tried, wasTried := j.Connected[e.Address]
	switch {
	case known && status.Health == traffic.Failing && status.OutOfRotation:
		text := "the health check of " + e.Instance + " fails"
		if status.Reason != "" {
			text += ": " + status.Reason
		}
		return fails(CodeCheck, "", "%s", text)
	case wasTried && tried.Error != "":
		return fails(CodeConnect, PortHint(j.services[b.Service], j.instances[[2]string{e.Source, e.Instance}], e.Address), "%s at %s", tried.Error, e.Address)
	case known && status.Ejected:
		return fails(CodeEjected, "", "%s at %s is left out after failed requests", e.Instance, e.Address)
	case known && status.OutOfRotation:
		return fails(CodeUnavailable, "", "%s takes no requests: its health check has not passed yet", e.Instance)
	case known && status.Health == traffic.Passing, wasTried:
		return Endpoint{Up: true}
	}
	return fails(CodeUnobserved, "", "no connection to %s was tried yet", e.Address)
}

// stateOf says in which state the instance of an endpoint is.
func (j *judge) stateOf(e route.Endpoint) string {
	if in := j.instances[[2]string{e.Source, e.Instance}]; in != nil {
		return Explained(in)
	}
	return ""
}

// Explained says the state of an instance, with its reason.
func Explained(in *catalog.Instance) string {
	if in.StateReason == "" {
		return "it is " + string(in.State)
	}
	return fmt.Sprintf("it is %s (%s)", in.State, in.StateReason)
}

// portLabel is the label by which a service says its port: Docker Flow's where it has only
// labels of that. The service may be nil.
func portLabel(svc *catalog.Service, in *catalog.Instance) string {
	sets := []map[string]string{in.Labels}
	if svc != nil {
		sets = append(sets, svc.Labels)
	}
	flow := ""
	for _, labels := range sets {
		if catalog.HaveLabels(labels, catalog.LabelPrefix) {
			return catalog.LabelPrefix + "port"
		}
		for _, key := range slices.Sorted(maps.Keys(labels)) {
			switch {
			case catalog.HasPrefix(key, catalog.FlowLabelPrefix+"port"):
				return key
			case catalog.HasPrefix(key, catalog.FlowLabelPrefix):
				flow = catalog.FlowLabelPrefix + "port"
			}
		}
	}
	return cmp.Or(flow, catalog.LabelPrefix+"port")
}

// PortHint says what to do when an instance of a service refuses connections at an address:
// the label to set where the port is none that its image exposes. Both may be nil.
func PortHint(svc *catalog.Service, in *catalog.Instance, address string) string {
	if in == nil {
		return ""
	}
	if len(in.Addresses) == 1 && in.Addresses[0].Reach == catalog.ReachFixed {
		return "see why nothing listens there, or correct the address in " + in.Source
	}
	logs := "docker logs " + in.Name
	if len(in.Addresses) == 1 && in.Addresses[0].Network == "host" && !strings.HasPrefix(address, "127.") {
		return "on its host's network it has to listen on all addresses, not on 127.0.0.1 alone, and a firewall to let Fairway in; see: " + logs
	}
	var exposed []string
	for _, p := range in.Ports {
		if p.Protocol != "tcp" {
			continue
		}
		if strings.HasSuffix(address, fmt.Sprintf(":%d", p.Number)) || p.Published == address {
			return "see why nothing listens there: " + logs
		}
		exposed = append(exposed, strconv.Itoa(int(p.Number)))
	}
	if len(exposed) == 0 {
		return "set the label " + portLabel(svc, in) + " to the port that it listens on; see: " + logs
	}
	return "the image exposes " + strings.Join(exposed, ", ") + ": set the label " + portLabel(svc, in) + "=" + exposed[0]
}

// service judges a service by its routes, its instances and its problems.
func (j *judge) service(svc *catalog.Service) Condition {
	var c Condition
	find := func(state State, reason Reason) {
		j.find(&c, Finding{Kind: KindService, Subject: svc.ID, Service: svc.ID, State: state, Reason: reason})
	}
	routes, problems := j.routesOf[svc.ID], j.problemsOf[svc.ID]
	for _, r := range routes {
		of := j.report.Routes[r.ID]
		if of.State.rank() > c.State.rank() {
			c.State = of.State
		}
		c.Reasons = append(c.Reasons, of.Reasons...)
	}
	c.worst = c.State
	if len(routes)+len(problems) == 0 && !j.asks[svc.ID] {
		return c
	}
	// What is wrong with a service is said of its routes, too; it is one finding.
	spread := func(route string, reason Reason) {
		for _, r := range routes {
			if of := j.report.Routes[r.ID]; of.State != Refused && (route == "" || route == r.ID) {
				of.add(Degraded, reason)
				j.report.Routes[r.ID] = of
			}
		}
	}
	if h := j.heldBy(svc.ID, false); h != nil && j.asks[svc.ID] && len(routes) == 0 {
		find(Down, Reason{Code: CodeNotServed, Text: "it is not served: " + h.Command + " keeps out what came since", Hint: "end it with: " + h.Undo, Since: h.Since})
	}
	for _, p := range problems {
		if j.covered[p] {
			continue
		}
		state := Degraded
		if len(routes) == 0 {
			state = Refused
		}
		reason := Reason{Code: CodeRefused, Text: p.Text, Hint: p.Hint}
		find(state, reason)
		spread(p.Route, reason)
	}
	for _, in := range svc.Instances {
		hint := "docker logs " + in.Name
		switch in.State {
		case catalog.StateStopped:
			hint = "docker start " + in.Name + "; why it ended: docker logs " + in.Name
		case catalog.StatePaused:
			hint = "docker unpause " + in.Name
		case catalog.StateUnhealthy:
		default:
			continue
		}
		reason := Reason{Code: CodeInstance, Text: fmt.Sprintf("instance %s: %s", in.Name, Explained(in)), Hint: hint}
		find(Degraded, reason)
		spread("", reason)
	}
	return c
}
