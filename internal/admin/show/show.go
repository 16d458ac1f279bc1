// Package show puts what exists and what is served into the words of the admin API,
// without what is secret. It decides nothing.
package show

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/condition"
	"fairway/internal/control"
	"fairway/internal/history"
	"fairway/internal/notify"
	"fairway/internal/route"
	"fairway/internal/route/match"
)

// View is a snapshot and a table with ways to find things in them. It is immutable, and
// costs a look at everything to make.
type View struct {
	// Snapshot and Table are never nil.
	Snapshot *catalog.Snapshot
	Table    *route.Table
	// Matcher returns the matcher of the table's routes, which is made on demand.
	Matcher func() (*match.Matcher, error)

	shownLabel func(key, value string) string
	stale      map[string]*api.Stale     // by source; only those that are
	routesOf   map[string][]*route.Route // by service
	problemsOf map[string]int            // by service
	serviceOf  map[string]*catalog.Service
	nodeName   map[string]string    // by ID
	steered    map[[2]string]string // by source and name of an instance
	called     atomic.Pointer[called]
}

// Live is what an engine knows of endpoints now, by backend and endpoint.
type Live map[[2]string]*api.EndpointLive

// New makes the view of a snapshot and a table; nil stands for none. shownLabel
// returns the value of a label without what is secret.
func New(snapshot *catalog.Snapshot, table *route.Table, shownLabel func(key, value string) string) *View {
	v := &View{
		Snapshot: snapshot, Table: table, shownLabel: shownLabel,
		stale:      map[string]*api.Stale{},
		routesOf:   map[string][]*route.Route{},
		problemsOf: map[string]int{},
		serviceOf:  map[string]*catalog.Service{},
		nodeName:   map[string]string{},
		steered:    map[[2]string]string{},
	}
	if v.Snapshot == nil {
		v.Snapshot = &catalog.Snapshot{}
	}
	if v.Table == nil {
		v.Table = &route.Table{}
	}
	v.Matcher = sync.OnceValues(func() (*match.Matcher, error) {
		requests, _ := v.Table.Split() // of connections there is nothing to explain
		return match.New(requests)
	})
	for _, st := range v.Snapshot.Sources {
		if st.Stale || !st.Synced {
			v.stale[st.Name] = &api.Stale{Since: st.LastSuccess.UTC(), Error: st.Error}
		}
	}
	for _, r := range v.Table.Routes {
		v.routesOf[r.Service] = append(v.routesOf[r.Service], r)
	}
	for _, p := range v.Table.Problems {
		v.problemsOf[p.Service]++
	}
	for _, svc := range v.Snapshot.Services {
		v.serviceOf[svc.ID] = svc
	}
	for _, n := range v.Snapshot.Nodes {
		v.nodeName[n.ID] = n.Name
	}
	for _, b := range v.Table.Backends {
		for _, e := range b.Endpoints {
			if e.By != "" {
				v.steered[[2]string{e.Source, e.Instance}] = e.By
			}
		}
	}
	return v
}

// RoutesOf returns the routes of the service with this ID.
func (v *View) RoutesOf(service string) []*route.Route { return v.routesOf[service] }

// Remarks are the problems of the table, or its notices.
func (v *View) Remarks(notices bool) []route.Problem {
	if notices {
		return v.Table.Notices
	}
	return v.Table.Problems
}

// IsService is true when want means the service with this ID, as catalog's Called says; an
// empty want means every one.
func (v *View) IsService(want, id string) bool {
	if want == "" || want == id {
		return true
	}
	found := v.called.Load()
	if found == nil || found.name != want {
		found = &called{want, map[string]bool{}}
		for _, svc := range v.Snapshot.Called(want) {
			found.ids[svc.ID] = true
		}
		v.called.Store(found)
	}
	return found.ids[id]
}

// called are the services that a name means.
type called struct {
	name string
	ids  map[string]bool // never changed
}

// Route is a route with what live knows of its endpoints.
func (v *View) Route(r *route.Route, live Live) api.Route {
	out := api.Route{
		ID: r.ID, Service: r.Service, Source: r.Origin.Source, Instance: r.Origin.Instance,
		Labels: v.labels(r.Origin.Labels), Defaults: v.labels(r.Origin.Defaults), Priority: r.Priority,
		Matches: All(r.Matches, matchOf), Filters: All(r.Filters, route.Filter.String),
		Endpoints: []api.Endpoint{},
		Hold:      duration(r.Hold), Timeout: duration(r.Timeout),
		Refused: r.Refused, LastGood: r.Origin.Stale, Stale: v.stale[r.Origin.Source],
	}
	if b := v.Table.Backend(r.Backend); b != nil {
		out.Backend = backend(b)
		for _, e := range b.Endpoints {
			out.Endpoints = append(out.Endpoints, api.Endpoint{
				ID: e.ID, Address: e.Address, Weight: e.Weight, State: string(e.State),
				Instance: e.Instance, Source: e.Source, Node: e.Node, Reason: e.Reason, By: e.By,
				Live: live[[2]string{b.ID, e.ID}],
			})
		}
	}
	return out
}

func matchOf(m route.Match) api.Match {
	out := api.Match{
		Text: m.String(),
		Host: m.Host.Value, HostKind: string(m.Host.Kind),
		Path: m.Path.Value, PathKind: string(m.Path.Kind),
		Conditions: All(m.Conditions, route.Condition.String),
	}
	if m.Host.Kind != route.HostRegexp {
		out.Host = m.Host.String()
	}
	return out
}

func backend(b *route.Backend) *api.Backend {
	out := &api.Backend{ID: b.ID, Scheme: string(b.Scheme), Balance: string(b.Balance.Policy), Sticky: b.Sticky}
	if b.Balance.On != "" {
		out.Balance += ":" + string(b.Balance.On)
	}
	if b.Balance.Name != "" {
		out.Balance += ":" + b.Balance.Name
	}
	if h := b.Health; h != nil {
		out.Health = fmt.Sprintf("GET %s every %s, within %s", route.MaskQuery(h.Path), h.Interval, h.Timeout)
		if h.Status != 0 {
			out.Health += fmt.Sprintf(", wants %d", h.Status)
		}
		if h.Host != "" {
			out.Health += ", asks for " + h.Host
		}
		if h.Port != 0 {
			out.Health += fmt.Sprintf(", at port %d", h.Port)
		}
	}
	return out
}

// All converts things. It is never nil.
func All[A, B any](things []A, convert func(A) B) []B {
	out := make([]B, len(things))
	for i, thing := range things {
		out[i] = convert(thing)
	}
	return out
}

// duration is Go's text, or nothing for zero.
func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// Service is a service with its instances.
func (v *View) Service(svc *catalog.Service) api.Service {
	return api.Service{
		ID: svc.ID, Name: svc.Name, Source: svc.Source, Project: svc.Project(), Labels: v.labels(svc.Labels), Labelled: svc.Labelled(),
		Instances: All(svc.Instances, v.Instance), Routes: All(v.routesOf[svc.ID], func(r *route.Route) string { return r.ID }),
		Problems: v.problemsOf[svc.ID], Created: svc.Created.UTC(), Stale: v.stale[svc.Source],
	}
}

// Instance is an instance.
func (v *View) Instance(in *catalog.Instance) api.Instance {
	return api.Instance{
		ID: in.ID, Name: in.Name, Source: in.Source, Node: in.Node, NodeName: v.nodeName[in.Node], Image: in.Image,
		Labels: v.labels(in.Labels), State: string(in.State), StateReason: in.StateReason,
		Created: in.Created.UTC(), Started: in.Started.UTC(), Restarts: in.Restarts, Weight: in.Weight,
		By: v.steered[[2]string{in.Source, in.Name}],
		Addresses: All(in.Addresses, func(a catalog.Address) api.Address {
			return api.Address{Host: a.Host, Port: a.Port, Network: a.Network, Reach: string(a.Reach)}
		}),
		Ports: All(in.Ports, func(p catalog.Port) api.Port {
			return api.Port{Number: p.Number, Protocol: p.Protocol, Published: p.Published}
		}),
	}
}

// labels returns Fairway's own labels, without values that are secret; never nil.
func (v *View) labels(all map[string]string) map[string]string {
	shown := make(map[string]string, len(all))
	for key, value := range all {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(key)), catalog.LabelPrefix) {
			shown[key] = v.shownLabel(key, value)
		}
	}
	return shown
}

// Problem is a problem of the table.
func Problem(p route.Problem) api.Problem {
	return api.Problem{
		Code: string(p.Code), Source: p.Source, Service: p.Service, Instance: p.Instance,
		Route: p.Route, Label: p.Label, Text: p.Text, Hint: p.Hint,
	}
}

// Where says what the labels of a problem belong to: the Compose project with its files, or
// the stack; empty where that is not known.
func (v *View) Where(p route.Problem) string {
	svc := v.serviceOf[p.Service]
	if svc == nil {
		return ""
	}
	labels := svc.Labels
	for _, in := range svc.Instances {
		if p.Instance == "" || in.Name == p.Instance {
			labels = in.Labels
			break
		}
	}
	project, stack := labels["com.docker.compose.project"], cmp.Or(labels["com.docker.stack.namespace"], svc.Labels["com.docker.stack.namespace"])
	switch files := labels["com.docker.compose.project.config_files"]; {
	case project != "" && files != "":
		return "Compose project " + project + ", " + strings.ReplaceAll(files, ",", ", ")
	case project != "":
		return "Compose project " + project
	case stack != "":
		return "stack " + stack
	}
	return ""
}

// Source is the condition of a source at a moment.
func Source(st catalog.SourceStatus, now time.Time) api.Source {
	out := api.Source{
		Name: st.Name, State: api.SourceCurrent, Error: st.Error,
		LastSuccess: st.LastSuccess.UTC(), Services: st.Services, Held: append([]string{}, st.Held...),
	}
	switch {
	case st.Stale:
		out.State = api.SourceStale
	case !st.Synced:
		out.State = api.SourceNeverAnswered
	}
	if !st.LastSuccess.IsZero() {
		out.Age = max(0, now.Sub(st.LastSuccess)).Round(time.Second).String()
	}
	return out
}

// Event is an event.
func Event(e notify.Event) api.Event {
	return api.Event{
		ID: e.ID, Kind: string(e.Kind), Severity: string(e.Kind.Severity()), Subject: e.Subject, Name: e.Name,
		At: e.At, Text: e.Text, Details: e.Details,
	}
}

// Judge adds to a route how it is doing.
func Judge(r *api.Route, found *condition.Report) {
	r.Condition = Condition(found.Routes[r.ID])
	if r.Backend == nil {
		return
	}
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		judged := found.Endpoint(r.Backend.ID, e.ID)
		if e.Fault, e.FaultCode = judged.Reason.Text, judged.Reason.Code; judged.Up {
			r.Ready++
		}
	}
}

// States reads states of conditions, separated by commas; nil for any, as of an empty text.
func States(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	states := strings.Split(text, ",")
	for i, state := range states {
		states[i] = strings.TrimSpace(state)
		if !slices.Contains(api.States(), states[i]) {
			return nil, api.Errorf(http.StatusBadRequest, "there is no state %q: want some of %s", states[i], strings.Join(api.States(), ", "))
		}
	}
	return states, nil
}

// Condition is how something is doing.
func Condition(c condition.Condition) api.Condition {
	return api.Condition{State: string(c.State), Reasons: Reasons(c.Reasons)}
}

// Reasons are why something is not as it should be.
func Reasons(reasons []condition.Reason) []api.Reason { return All(reasons, reason) }

func reason(r condition.Reason) api.Reason {
	return api.Reason{Code: r.Code, Text: r.Text, Hint: r.Hint, Since: r.Since.UTC()}
}

// Status is what is wrong now.
func Status(found *condition.Report) api.Status {
	out := api.Status{
		At: found.At.UTC(), State: string(found.State), Routes: map[string]int{},
		Findings: All(found.Findings, func(f condition.Finding) api.Finding {
			return api.Finding{Kind: f.Kind, Subject: f.Subject, Service: f.Service, State: string(f.State), Reason: reason(f.Reason)}
		}),
	}
	for _, c := range found.Routes {
		out.Routes[string(c.State)]++
	}
	return out
}

// Entry is an entry of the history.
func (v *View) Entry(e history.Entry) api.Entry {
	return api.Entry{
		Number: e.Number, Time: e.Time.UTC(), Cause: e.Cause.Text,
		Operator: e.Cause.Operator, Command: e.Cause.Command, Message: e.Cause.Message,
		Seen: append([]api.Seen{}, e.Cause.Changes...), Omitted: e.Cause.Omitted,
		Revision: e.Revision, Hash: e.Hash, Live: e.Hash == v.Table.Hash,
		Routes: e.Routes, Backends: e.Backends,
	}
}

// Command is a command in force.
func Command(c control.Command) api.Command {
	out := api.Command{
		ID: c.ID, Kind: string(c.Kind), Text: c.String(), Undo: c.Undo(),
		Service: c.Subject.Service, Instance: c.Subject.Instance, Source: c.Subject.Source, Node: c.Subject.Node,
		Ends: c.Until, Operator: cmp.Or(c.Operator, "an unnamed operator"), Message: c.Message, Since: c.Since,
	}
	switch c.Kind {
	case control.CommandWeight:
		out.Weight = &c.Weight
	case control.CommandPause:
		out.Wait = c.Wait.String()
	case control.CommandMaintenance:
		for _, p := range c.Allow {
			out.Allow = append(out.Allow, p.String())
		}
	}
	if h := c.Hold; h != nil {
		out.Entry, out.Until, out.Endpoints = h.Entry, string(h.Release), api.EndpointsLive
		if h.RecordedEndpoints {
			out.Endpoints = api.EndpointsRecorded
		}
		out.Services = slices.Sorted(maps.Keys(h.Services))
	}
	return out
}
