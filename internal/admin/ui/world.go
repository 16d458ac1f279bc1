package ui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/routeurl"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
)

// world is what several pages are made of.
type world struct {
	services []*service // as the operations sort them
	byID     map[string]*service
	problems []api.Problem
	sources  []api.Source
	traffic  map[string]api.RouteTraffic // by route; what is there at the moment
}

type service struct {
	api.Service
	Routes   []*routeOf
	Problems []api.Problem
	Ready    int    // instances that run and whose endpoints take requests, of all
	Health   string // the sign of its condition
}

// asks is true for a service that asks for something, or did: a route may outlive it.
func (s *service) asks() bool { return s.Labelled || len(s.Routes)+len(s.Problems) > 0 }

// routeOf is a route with the marks of its endpoints.
type routeOf struct {
	api.Route
	Name   string // of its service
	Marks  []draw.Mark
	Health string // the sign of its condition
	URL    string // that a browser opens; empty where none is known
}

// stateOf is a condition in a word.
func stateOf(c api.Condition) string { return cmp.Or(c.State, "not routed") }

// sign is the text of a mark.
func sign(name, state, reason string) string {
	text := name + ": " + state
	if reason != "" {
		text += ", " + reason
	}
	return text
}

// readWorld asks for what exists and what is served.
func readWorld(c *call) *world {
	w := &world{byID: map[string]*service{}, traffic: map[string]api.RouteTraffic{}}
	for _, s := range must(c.ask.Services(c, api.Query{})).Items {
		w.add(s)
	}
	routes := must(c.ask.Routes(c, api.Query{Live: true})).Items
	w.problems = must(c.ask.Problems(c, api.Query{})).Items
	w.sources = must(c.ask.Sources(c)).Items
	for _, t := range must(c.ask.Recent(c)).Routes {
		w.traffic[t.Route] = t
	}
	listeners := must(c.ask.Info(c)).Listeners
	for _, r := range routes {
		svc := w.byID[r.Service]
		if svc == nil { // its source has forgotten it, and its route drains
			svc = w.add(api.Service{ID: r.Service, Name: r.Service, Source: r.Source, Condition: r.Condition})
		}
		svc.Routes = append(svc.Routes, &routeOf{Route: r, Name: svc.Name, Marks: marksOf(r), Health: signs.Of(r.Condition), URL: routeurl.Of(r, listeners)})
	}
	for _, p := range w.problems {
		if svc := w.byID[p.Service]; svc != nil {
			svc.Problems = append(svc.Problems, p)
		}
	}
	for _, s := range w.services {
		s.Ready = count(s.instances(), func(in instance) bool { return in.Health == signs.Fine })
	}
	return w
}

func (w *world) add(s api.Service) *service {
	svc := &service{Service: s, Health: signs.Of(s.Condition)}
	w.services = append(w.services, svc)
	w.byID[s.ID] = svc
	return svc
}

// count counts the things that are so.
func count[T any](things []T, are func(T) bool) (n int) {
	for _, thing := range things {
		if are(thing) {
			n++
		}
	}
	return n
}

func (s *service) troubled() bool { return isTrouble(s.Health) }

func isTrouble(sign string) bool { return sign == signs.Broken || sign == signs.Faulty }

// Why is why it is not healthy, each reason once.
func (s *service) Why() []api.Reason {
	var all []api.Reason
	for _, r := range s.Condition.Reasons {
		if !slices.ContainsFunc(all, func(other api.Reason) bool { return other.Text == r.Text }) {
			all = append(all, r)
		}
	}
	return all
}

// marksOf are the signs of a route's endpoints. None is broken where the route is not.
func marksOf(r api.Route) []draw.Mark {
	var all []draw.Mark
	for _, e := range r.Endpoints {
		m := draw.Mark{ID: e.ID, Health: signs.Broken, Text: sign(e.Instance+" "+e.Address, e.State, e.Fault)}
		if r.Backend != nil {
			m.Backend = r.Backend.ID
		}
		switch {
		case e.Fault == "":
			m.Health = signs.Fine
		case e.State != "ready", e.Weight == 0, !isTrouble(signs.Of(r.Condition)):
			m.Health = signs.Waiting
		}
		all = append(all, m)
	}
	return all
}

// Hosts are the hosts of its matches with their paths, each once.
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

// Curl is a line for a shell that asks for the route; empty where none is known.
func (r *routeOf) Curl() string {
	if r.URL == "" {
		return ""
	}
	return "curl -i '" + r.URL + "'" // which has no quote: paths have them escaped
}

// Answer is what a route without endpoints answers with.
func (r *routeOf) Answer() string {
	for _, f := range r.Filters {
		if strings.HasPrefix(f, "redirect") {
			return "redirect"
		}
	}
	return "no backend"
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

// address is the first address of its routes; empty for none.
func (s *service) address() string {
	if len(s.Routes) == 0 {
		return ""
	}
	return s.Routes[0].Address()
}

// byTrouble sorts those in trouble first. Traffic has no part in it: it would move them.
func byTrouble(services []*service) []*service {
	order := map[string]int{signs.Broken: 0, signs.Faulty: 1, signs.Waiting: 2, signs.Fine: 3, signs.Idle: 4}
	sorted := slices.Clone(services)
	slices.SortStableFunc(sorted, func(a, b *service) int {
		return cmp.Or(cmp.Compare(order[a.Health], order[b.Health]), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return sorted
}

type instance struct {
	api.Instance
	Endpoints []endpoint
	Health    string
	Command   *api.Command // what an operator has asked of it or its machine; nil for nothing
	Drain     *api.Command // the drain of it, else of its machine; nil for none
}

type endpoint struct {
	api.Endpoint
	Backend string // ID
}

// instances are its instances, each with the worst of it and of its endpoints.
func (s *service) instances() []instance {
	known := map[[2]string]instance{} // what endpoints say of instances, by name and source
	for _, r := range s.Routes {
		for i, m := range r.Marks {
			e := endpoint{r.Endpoints[i], m.Backend}
			in := known[[2]string{e.Instance, e.Source}]
			if slices.ContainsFunc(in.Endpoints, func(other endpoint) bool { return other.Backend == e.Backend && other.ID == e.ID }) {
				continue
			}
			in.Endpoints = append(in.Endpoints, e)
			in.Health = signs.Worse(in.Health, m.Health)
			known[[2]string{e.Instance, e.Source}] = in
		}
	}
	all := make([]instance, len(s.Instances))
	for i, in := range s.Instances {
		all[i] = known[[2]string{in.Name, in.Source}]
		all[i].Instance = in
		all[i].Health = signs.Worse(signs.Word(in.State), all[i].Health)
	}
	return all
}

// Signs are the signs of its instances.
func (s *service) Signs() []draw.Mark {
	var all []draw.Mark
	for _, in := range s.instances() {
		all = append(all, draw.Mark{ID: in.ID, Health: in.Health, Text: sign(in.Name, in.State, in.StateReason)})
	}
	return all
}
