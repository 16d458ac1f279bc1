package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/route"
)

// view is what one answer is made from: a snapshot and a table that stay the
// same while it is made, never nil, and ways to find things in them.
type view struct {
	snapshot   *catalog.Snapshot
	table      *route.Table
	shownLabel func(key, value string) string
	stale      map[string]*api.Stale     // by source; only those that are
	routesOf   map[string][]*route.Route // by service
	problemsOf map[string]int            // by service
	serviceOf  map[string]*catalog.Service
	nodeName   map[string]string               // by ID
	steered    map[[2]string]string            // by source and name of an instance
	live       map[[2]string]*api.EndpointLive // by backend and endpoint; nil unless asked for
}

// view takes what is newest.
func (s *Server) view() *view {
	v := &view{
		snapshot:   s.options.Catalogue.Newest(),
		table:      s.options.Tables.Table(),
		shownLabel: s.options.ShownLabel,
		stale:      map[string]*api.Stale{},
		routesOf:   map[string][]*route.Route{},
		problemsOf: map[string]int{},
		serviceOf:  map[string]*catalog.Service{},
		nodeName:   map[string]string{},
		steered:    map[[2]string]string{},
	}
	if v.snapshot == nil {
		v.snapshot = &catalog.Snapshot{}
	}
	if v.table == nil {
		v.table = &route.Table{}
	}
	for _, st := range v.snapshot.Sources {
		if st.Stale || !st.Synced {
			v.stale[st.Name] = &api.Stale{Since: st.LastSuccess.UTC(), Error: st.Error}
		}
	}
	for _, r := range v.table.Routes {
		v.routesOf[r.Service] = append(v.routesOf[r.Service], r)
	}
	for _, p := range v.table.Problems {
		v.problemsOf[p.Service]++
	}
	for _, svc := range v.snapshot.Services {
		v.serviceOf[svc.ID] = svc
	}
	for _, n := range v.snapshot.Nodes {
		v.nodeName[n.ID] = n.Name
	}
	for _, b := range v.table.Backends {
		for _, e := range b.Endpoints {
			if e.By != "" {
				v.steered[[2]string{e.Source, e.Instance}] = e.By
			}
		}
	}
	return v
}

// readLive asks the engine for what it knows of the endpoints.
func (v *view) readLive(e Engine) {
	v.live = map[[2]string]*api.EndpointLive{}
	for _, st := range e.Endpoints() {
		v.live[[2]string{st.Backend, st.Endpoint}] = live(st)
	}
}

// isService is true when want, the name or ID of a service, means the service
// with this ID; an empty want means every one.
func (v *view) isService(want, id string) bool {
	if want == "" || want == id {
		return true
	}
	svc := v.serviceOf[id]
	return svc != nil && svc.Name == want
}

// routeFilter makes the condition that the query puts on routes.
func (s *Server) routeFilter(q url.Values) (func(*view, *route.Route) bool, error) {
	host := q.Get("host")
	if host != "" {
		var err error
		if host, err = route.CanonicalHost(host); err != nil {
			return nil, status(http.StatusBadRequest, err.Error())
		}
	}
	return func(v *view, r *route.Route) bool {
		return v.isService(q.Get("service"), r.Service) &&
			(q.Get("source") == "" || q.Get("source") == r.Origin.Source) &&
			(host == "" || takesHost(r, host))
	}, nil
}

// takesHost is true when a request for the canonical host could be taken by r.
// The matcher itself is asked, with nothing left of the matches but their hosts.
func takesHost(r *route.Route, host string) bool {
	hosts := make([]route.Match, len(r.Matches))
	for i, m := range r.Matches {
		hosts[i] = route.Match{Host: m.Host, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}
	}
	m, err := route.NewMatcher([]*route.Route{{ID: r.ID, Matches: hosts}})
	return err == nil && m.Find(&route.Request{Host: host, Path: "/"}) != nil
}

func (v *view) route(r *route.Route) api.Route {
	out := api.Route{
		ID: r.ID, Service: r.Service, Source: r.Origin.Source, Instance: r.Origin.Instance,
		Labels: v.labels(r.Origin.Labels), Priority: r.Priority,
		Matches: make([]api.Match, len(r.Matches)), Filters: make([]string, len(r.Filters)),
		Endpoints: []api.Endpoint{},
		Hold:      duration(r.Hold), Timeout: duration(r.Timeout),
		Refused: r.Refused, LastGood: r.Origin.Stale, Stale: v.stale[r.Origin.Source],
	}
	for i, m := range r.Matches {
		out.Matches[i] = match(m)
	}
	for i, f := range r.Filters {
		out.Filters[i] = f.String()
	}
	if b := v.table.Backend(r.Backend); b != nil {
		out.Backend = backend(b)
		for _, e := range b.Endpoints {
			out.Endpoints = append(out.Endpoints, api.Endpoint{
				ID: e.ID, Address: e.Address, Weight: e.Weight, State: string(e.State),
				Instance: e.Instance, Source: e.Source, Node: e.Node, Reason: e.Reason, By: e.By,
				Live: v.live[[2]string{b.ID, e.ID}],
			})
		}
	}
	return out
}

func match(m route.Match) api.Match {
	out := api.Match{
		Text: m.String(),
		Host: m.Host.Value, HostKind: string(m.Host.Kind),
		Path: m.Path.Value, PathKind: string(m.Path.Kind),
		Conditions: make([]string, len(m.Conditions)),
	}
	if m.Host.Kind != route.HostRegexp {
		out.Host = m.Host.String()
	}
	for i, c := range m.Conditions {
		out.Conditions[i] = c.String()
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

// duration is Go's text, or nothing for zero.
func duration(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func (v *view) service(svc *catalog.Service) api.Service {
	out := api.Service{
		ID: svc.ID, Name: svc.Name, Source: svc.Source, Labels: v.labels(svc.Labels),
		Instances: make([]api.Instance, len(svc.Instances)), Routes: []string{},
		Problems: v.problemsOf[svc.ID], Created: svc.Created.UTC(), Stale: v.stale[svc.Source],
	}
	for i, in := range svc.Instances {
		out.Instances[i] = v.instance(in)
	}
	for _, r := range v.routesOf[svc.ID] {
		out.Routes = append(out.Routes, r.ID)
	}
	return out
}

func (v *view) instance(in *catalog.Instance) api.Instance {
	out := api.Instance{
		ID: in.ID, Name: in.Name, Source: in.Source, Node: in.Node, NodeName: v.nodeName[in.Node], Image: in.Image,
		Labels: v.labels(in.Labels), State: string(in.State), StateReason: in.StateReason,
		Created: in.Created.UTC(), Started: in.Started.UTC(), Weight: in.Weight,
		By:        v.steered[[2]string{in.Source, in.Name}],
		Addresses: make([]api.Address, len(in.Addresses)), Ports: make([]api.Port, len(in.Ports)),
	}
	for i, a := range in.Addresses {
		out.Addresses[i] = api.Address{Host: a.Host, Port: a.Port, Network: a.Network, Reach: string(a.Reach)}
	}
	for i, p := range in.Ports {
		out.Ports[i] = api.Port{Number: p.Number, Protocol: p.Protocol, Published: p.Published}
	}
	return out
}

// labels returns the labels that are ours, without values that are secret; never
// nil.
func (v *view) labels(all map[string]string) map[string]string {
	shown := make(map[string]string, len(all))
	for key, value := range all {
		if strings.HasPrefix(strings.ToLower(strings.TrimSpace(key)), catalog.LabelPrefix) {
			shown[key] = v.shownLabel(key, value)
		}
	}
	return shown
}

func shownProblem(p route.Problem) api.Problem {
	return api.Problem{
		Code: string(p.Code), Source: p.Source, Service: p.Service, Instance: p.Instance,
		Route: p.Route, Label: p.Label, Text: p.Text, Hint: p.Hint,
	}
}

func source(st catalog.SourceStatus, now time.Time) api.Source {
	out := api.Source{
		Name: st.Name, State: api.SourceSynced, Error: st.Error,
		LastSuccess: st.LastSuccess.UTC(), Services: st.Services, Held: append([]string{}, st.Held...),
	}
	switch {
	case st.Stale:
		out.State = api.SourceStale
	case !st.Synced:
		out.State = api.SourceWaiting
	}
	if !st.LastSuccess.IsZero() {
		out.Age = max(0, now.Sub(st.LastSuccess)).Round(time.Second).String()
	}
	return out
}
