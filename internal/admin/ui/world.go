package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/api"
)

// world is what several pages are made of: services with their routes and the
// condition of their instances.
type world struct {
	services []*service // as the operations sort them
	byID     map[string]*service
	problems []api.Problem
	sources  []api.Source
	traffic  map[string]api.RouteTraffic // by route; what is there at the moment
}

// mayFail is the share of requests that may fail before a route is degraded.
const mayFail = 0.05

// service is a service with what belongs to it.
type service struct {
	api.Service
	Routes   []*routeOf
	Problems []api.Problem
	// Ready counts the instances that are ready, of all.
	Ready int
	// Health is the worst that can be said of it, one of the health constants.
	Health string
}

// routeOf is a route with the marks of its endpoints.
type routeOf struct {
	api.Route
	// Name is that of its service.
	Name  string
	Marks []mark
	// Ready counts the endpoints that can be picked.
	Ready  int
	Health string
}

// The conditions of services, routes, endpoints and instances, from the best to
// the worst. Each has a colour and a shape.
const (
	fine    = "fine"    // serves
	idle    = "idle"    // exists, and is not routed
	waiting = "waiting" // not yet, or not any more: starts, drains, is held
	faulty  = "faulty"  // serves, but something is wrong
	broken  = "broken"  // does not serve
)

// worse returns the worse of two conditions.
func worse(a, b string) string {
	order := []string{fine, idle, waiting, faulty, broken}
	if slices.Index(order, a) > slices.Index(order, b) {
		return a
	}
	return b
}

// mark is the sign for an endpoint or instance.
type mark struct {
	// ID is what it is the sign of; Backend is set for endpoints.
	ID, Backend string
	Health      string
	// Text says what is known, for a tooltip and for those who do not see it.
	Text string
}

// readWorld asks for what exists and what is served.
func readWorld(c *call) (*world, error) {
	services, err := c.ask.Services(c, api.Query{})
	if err != nil {
		return nil, err
	}
	routes, err := c.ask.Routes(c, api.Query{Live: true})
	if err != nil {
		return nil, err
	}
	problems, err := c.ask.Problems(c, api.Query{})
	if err != nil {
		return nil, err
	}
	sources, err := c.ask.Sources(c)
	if err != nil {
		return nil, err
	}
	traffic, err := c.ask.Recent(c)
	if err != nil {
		return nil, err
	}
	return newWorld(services.Items, routes.Items, problems.Items, sources.Items, traffic), nil
}

func newWorld(services []api.Service, routes []api.Route, problems []api.Problem, sources []api.Source, traffic api.Traffic) *world {
	w := &world{byID: make(map[string]*service, len(services)), problems: problems, sources: sources, traffic: map[string]api.RouteTraffic{}}
	for _, t := range traffic.Routes {
		w.traffic[t.Route] = t
	}
	for _, s := range services {
		svc := &service{Service: s}
		w.services = append(w.services, svc)
		w.byID[s.ID] = svc
	}
	for _, r := range routes {
		svc := w.byID[r.Service]
		if svc == nil { // its source has forgotten it, and its route drains
			svc = &service{Service: api.Service{ID: r.Service, Name: r.Service, Source: r.Source}}
			w.services = append(w.services, svc)
			w.byID[r.Service] = svc
		}
		route := newRouteOf(r)
		route.Name = svc.Name
		// What is answered with errors does not serve, whatever the table says.
		if t := w.traffic[r.ID]; t.Errors > mayFail*t.Rate {
			route.Health = worse(route.Health, faulty)
		}
		svc.Routes = append(svc.Routes, route)
	}
	for _, p := range problems {
		if svc := w.byID[p.Service]; svc != nil {
			svc.Problems = append(svc.Problems, p)
		}
	}
	for _, s := range w.services {
		s.judge()
	}
	return w
}

// judge says how the service is doing.
func (s *service) judge() {
	for _, in := range s.Instances {
		if in.State == "ready" {
			s.Ready++
		}
	}
	s.Health = idle
	for i, r := range s.Routes {
		if i == 0 {
			s.Health = r.Health
		}
		s.Health = worse(s.Health, r.Health)
	}
	if len(s.Problems) > 0 || s.Stale != nil {
		s.Health = worse(s.Health, faulty)
	}
}

func newRouteOf(r api.Route) *routeOf {
	out := &routeOf{Route: r, Health: fine}
	for _, e := range r.Endpoints {
		m := markOf(r.Backend, e)
		out.Marks = append(out.Marks, m)
		if m.Health == fine {
			out.Ready++
		}
		if m.Health == broken {
			out.Health = faulty
		}
	}
	if r.LastGood || r.Stale != nil {
		out.Health = faulty
	}
	if r.Refused != "" || r.Backend != nil && out.Ready == 0 {
		out.Health = broken
	}
	return out
}

// markOf is the sign of an endpoint.
func markOf(b *api.Backend, e api.Endpoint) mark {
	m := mark{ID: e.ID, Health: fine, Text: e.Instance + " " + e.Address + ": " + e.State}
	if b != nil {
		m.Backend = b.ID
	}
	switch {
	case e.State != "ready":
		m.Health = waiting
	case e.Weight == 0:
		m.Health, m.Text = waiting, m.Text+", weight 0"
	case e.Live == nil:
	case e.Live.Ejected:
		m.Health, m.Text = broken, m.Text+", left out after failures"
	case !e.Live.InRotation:
		m.Health, m.Text = broken, m.Text+", its health check fails"
	}
	return m
}

// Hosts are the hosts of its matches, each once, with path.
func (r *routeOf) Hosts() []string {
	var all []string
	for _, m := range r.Matches {
		text := m.Host
		if m.Path != "/" || m.PathKind != "prefix" {
			text += m.Path
		}
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// Address is its first host and path, as one would type it.
func (r *routeOf) Address() string {
	if hosts := r.Hosts(); len(hosts) > 0 {
		return hosts[0]
	}
	return r.ID
}

// More is what its matches demand besides host and path.
func (r *routeOf) More() string {
	var parts []string
	if n := len(r.Hosts()); n > 1 {
		parts = append(parts, fmt.Sprintf("+%d more", n-1))
	}
	for _, m := range r.Matches {
		parts = append(parts, m.Conditions...)
	}
	return strings.Join(parts, " · ")
}

// Way is what happens on the way and what else its matches demand, in short.
func (r *routeOf) Way() string {
	parts := slices.Clone(r.Filters)
	if more := r.More(); more != "" {
		parts = append([]string{more}, parts...)
	}
	return strings.Join(parts, " · ")
}

// rate is the sum of what goes through the service's routes.
func (w *world) rate(s *service) float64 {
	sum := 0.0
	for _, r := range s.Routes {
		sum += w.traffic[r.ID].Rate
	}
	return sum
}

// byTrouble sorts services, those in trouble first. Traffic has
// no part in it: a picture whose parts change places cannot be read.
func byTrouble(services []*service) []*service {
	order := map[string]int{broken: 0, faulty: 1, waiting: 2, fine: 3, idle: 4}
	sorted := slices.Clone(services)
	slices.SortStableFunc(sorted, func(a, b *service) int {
		return cmp.Or(cmp.Compare(order[a.Health], order[b.Health]), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return sorted
}

// Signs are the signs of its instances.
func (s *service) Signs() []mark {
	worst := map[[2]string]string{} // of the endpoints, by instance and source
	for _, r := range s.Routes {
		for _, e := range r.Endpoints {
			key := [2]string{e.Instance, e.Source}
			worst[key] = worse(cmp.Or(worst[key], fine), markOf(r.Backend, e).Health)
		}
	}
	all := make([]mark, len(s.Instances))
	for i, in := range s.Instances {
		health := worse(stateHealth(in.State), cmp.Or(worst[[2]string{in.Name, in.Source}], fine))
		all[i] = mark{ID: in.ID, Health: health, Text: in.Name + ": " + in.State}
		if in.StateReason != "" {
			all[i].Text += ", " + in.StateReason
		}
	}
	return all
}

// stateHealth is the condition that the state of an instance means.
func stateHealth(state string) string {
	switch state {
	case "ready":
		return fine
	case "starting", "leaving", "paused":
		return waiting
	case "unhealthy":
		return broken
	}
	return idle
}
