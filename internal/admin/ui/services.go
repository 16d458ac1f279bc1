package ui

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
	"fairway/internal/human"
)

type servicesData struct {
	listing.List[*service]
	// What the filters keep. Asking are those with a label or a route, Others the rest.
	Troubled, Served, Unserved, Asking, Others int
}

func readServices(c *call) (any, error) {
	w := readWorld(c)
	services := w.services
	d := servicesData{Troubled: count(services, (*service).troubled)}
	d.Served = count(services, func(s *service) bool { return len(s.Routes) > 0 })
	d.Asking = count(services, (*service).asks)
	d.Unserved, d.Others = d.Asking-d.Served, len(services)-d.Asking
	slices.SortStableFunc(services, func(a, b *service) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	d.List = listing.New(c.r.URL.Path, c.q, services, func(s *service, words []string, filter string) bool {
		switch {
		case filter == "trouble" && !s.troubled(), filter == "served" && len(s.Routes) == 0, filter == "unserved" && (len(s.Routes) > 0 || !s.asks()),
			filter == "others" && s.asks(), filter == "" && len(words) == 0 && !s.asks():
			return false
		}
		texts := []string{s.ID, s.Name, s.Source}
		for _, r := range s.Routes {
			texts = append(texts, r.Hosts()...)
		}
		for _, in := range s.Instances {
			texts = append(texts, in.Name, in.Image, in.NodeName)
		}
		return listing.Has(words, texts...)
	},
		listing.Text("name", func(s *service) string { return s.Name }),
		listing.Most("state", func(s *service) int { return badness(s.Health) }),
		listing.Text("host", (*service).address),
		listing.Most("instances", func(s *service) int { return len(s.Instances) }),
		listing.Most("rate", w.rate),
		listing.Text("source", func(s *service) string { return s.Source }))
	return d, nil
}

type serviceData struct {
	*service
	Doctor    []diagnosis
	Instances []instance
	Order     listing.Order // of the instances
	Commands  []api.Command
	May       bool              // the viewer may drain and pause
	Shared    map[string]string // the labels of every instance, where they are all the same
	Plots     []draw.Plot       // what it used and what its routes answered
	Each      []plotted         // the same of its instances, small
	Ranges    []draw.Range
	Steps     []step // what happened to it, the newest first
}

func (d serviceData) Self() string { return link("services", d.ID) }

// Past is the link to its history; empty for an ID that is too long for one.
func (d serviceData) Past() string {
	if len(d.ID) > maxLink {
		return ""
	}
	return listing.Link("/history", map[string]string{"service": d.ID})
}

func (d serviceData) title() string { return heading(d.Name) }

func readService(c *call) (any, error) {
	services := readWorld(c).services
	name := strings.TrimPrefix(c.r.URL.Path, "/services/")
	i := slices.IndexFunc(services, func(s *service) bool { return named(name, s.ID) })
	if i < 0 {
		i = slices.IndexFunc(services, func(s *service) bool { return s.Name == name })
	}
	if i < 0 {
		return nil, problem(http.StatusNotFound, "No such service", "It may have been removed. The history shows what was.")
	}
	ranges, r := draw.Choose(c.q.Get("range"))
	d := serviceData{service: services[i], May: c.may(api.RoleOperator), Instances: services[i].instances(), Ranges: ranges}
	// Without a diagnosis or a history there is less to see.
	found, _ := c.ask.Doctor(c, d.ID)
	d.Doctor = diagnoses(found.Items)
	entries, _ := c.ask.History(c, api.HistoryQuery{Service: d.ID, Limit: 30})
	happened, _ := c.ask.Events(c, api.EventQuery{Limit: maxEvents})
	d.Steps = timeline(steps(entries.Items, d.ID), happened.Items, services[i])
	commands := must(c.ask.Commands(c)).Items
	for _, command := range commands {
		if command.Service == d.ID {
			d.Commands = append(d.Commands, command)
		}
	}
	d.Instances, d.Order = listing.Sort(c.r.URL.Path, c.q, d.Instances,
		listing.Text("instance", func(in instance) string { return in.Name }),
		listing.Most("state", func(in instance) int { return badness(in.Health) }),
		listing.Text("node", func(in instance) string { return cmp.Or(in.NodeName, in.Node) }))
	for i, in := range d.Instances {
		d.Instances[i].Command = commandOn(commands, in.Instance)
	}
	d.Shared = sharedLabels(d.service.Instances)
	for _, route := range d.Routes[:min(maxRoutePlots, len(d.Routes))] {
		what := ""
		if len(d.Routes) > 1 {
			what = human.Excerpt(route.Address(), 40)
		}
		d.Plots = append(d.Plots, draw.Plots(c, c.ask, c.now, draw.Subject{Group: api.SeriesRoutes, Name: route.ID}, r, draw.Answers(what)...)...)
	}
	d.Plots = append(d.Plots, draw.Plots(c, c.ask, c.now, draw.Subject{Group: api.SeriesServices, Name: d.ID}, r, draw.Usage()...)...)
	d.Each = plotInstances(c, d.Instances, r)
	return d, nil
}

const (
	maxRoutePlots    = 4 // of a service
	maxInstancePlots = 20
)

// plotted is an instance with what it answered and used.
type plotted struct {
	Name, Health string
	Plots        []draw.Plot
}

// Plot is the plot with a title; one that is empty for none.
func (p plotted) Plot(title string) draw.Plot { return draw.Titled(p.Plots, title) }

// plotInstances draws the first instances that there are readings of.
func plotInstances(c *call, instances []instance, r draw.Range) (all []plotted) {
	for _, in := range instances[:min(maxInstancePlots, len(instances))] {
		if plots := draw.SmallInstance(c, c.ask, c.now, in.Name+"@"+in.Source, r); len(plots) > 0 {
			all = append(all, plotted{in.Name, in.Health, plots})
		}
	}
	return all
}

// commandOn is what an operator has asked of an instance or its machine; nil for nothing.
func commandOn(commands []api.Command, in api.Instance) *api.Command {
	return inForce(commands, func(command api.Command) bool {
		return command.Instance == in.Name && command.Source == in.Source || command.Node != "" && command.Node == in.Node
	})
}

// inForce is the last of the commands that fits; nil for none.
func inForce(commands []api.Command, fits func(api.Command) bool) *api.Command {
	for _, command := range slices.Backward(commands) {
		if fits(command) {
			return &command
		}
	}
	return nil
}

// sharedLabels are the labels of several instances where they are the same; else nil.
func sharedLabels(instances []api.Instance) map[string]string {
	if len(instances) < 2 || slices.ContainsFunc(instances, func(in api.Instance) bool { return !maps.Equal(in.Labels, instances[0].Labels) }) {
		return nil
	}
	return instances[0].Labels
}

// diagnosis is why something is served or not.
type diagnosis struct {
	api.Diagnosis
	Health string
	// Open is true for the first that is not well: the others mostly say the same.
	Open bool
}

func diagnoses(found []api.Diagnosis) []diagnosis {
	var all []diagnosis
	open := false
	for _, d := range found {
		out := diagnosis{Diagnosis: d, Health: fine}
		if slices.ContainsFunc(d.Checks, func(check api.Check) bool { return check.Outcome == api.CheckDoubt }) {
			out.Health = faulty
		}
		if !d.Served {
			out.Health = broken
		}
		out.Open = !open && (out.Health != fine || len(found) == 1)
		open = open || out.Open
		all = append(all, out)
	}
	return all
}

// step is what happened to a service at one time.
type step struct {
	Entry             uint64
	Time              time.Time
	Operator, Command string
	Seen              []api.Seen // the first
	More              int
	Text              string // of an event
	Health            string
}

// timeline puts what was reported of a service, its routes and its instances among the
// steps, the newest first.
func timeline(all []step, events []api.Event, s *service) []step {
	subjects := map[string]bool{"service/" + s.ID: true}
	for _, r := range s.Routes {
		subjects["route/"+r.ID] = true
	}
	for _, in := range s.Instances {
		subjects["instance/"+in.Name+"@"+in.Source] = true
	}
	for _, e := range events {
		if subjects[e.Subject] {
			all = append(all, step{Time: e.At, Text: e.Text, Health: condition(e.Severity)})
		}
	}
	slices.SortStableFunc(all, func(a, b step) int { return b.Time.Compare(a.Time) })
	return all[:min(maxSteps, len(all))]
}

const maxSteps = 40 // of a timeline

const maxSeen = 5 // things of one step

// steps are what happened to a service, from the entries that concern it.
func steps(entries []api.Entry, service string) []step {
	var all []step
	for _, e := range entries {
		s := step{Entry: e.Number, Time: e.Time, Operator: e.Operator, Command: e.Command, Health: fine}
		for _, seen := range e.Seen {
			if seen.Service != service {
				continue
			}
			s.Health = worse(s.Health, seenHealth(seen))
			if len(s.Seen) < maxSeen {
				s.Seen = append(s.Seen, seen)
			} else {
				s.More++
			}
		}
		if len(s.Seen) > 0 || s.Command != "" {
			all = append(all, s)
		}
	}
	return all
}

// seenHealth is the colour of a thing that happened.
func seenHealth(s api.Seen) string {
	switch s.Kind {
	case "instance-state":
		return condition(s.To)
	case "instance-removed", "service-removed":
		return idle
	case "instance-added", "service-added":
		return waiting
	}
	return fine
}
