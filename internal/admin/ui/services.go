package ui

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/happened"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
	"fairway/internal/human"
)

type servicesData struct {
	listing.List[*service]
	// What the filters keep. Asking are those with a label or a route, Others the rest.
	Troubled, Served, Unserved, Asking, Others int
	Project                                    string  // whose services are shown; empty for all
	Nodes                                      []*node // where the instances of the project run
}

func readServices(c *call) (any, error) {
	w := readWorld(c)
	services := w.services
	d := servicesData{Project: c.q.Get("project")}
	if d.Project != "" {
		services = slices.DeleteFunc(services, func(s *service) bool { return s.Service.Project != d.Project })
		d.Nodes = nodesOf(c, d.Project)
	}
	d.Troubled = count(services, (*service).troubled)
	d.Served = count(services, func(s *service) bool { return len(s.Routes) > 0 })
	d.Asking = count(services, (*service).asks)
	d.Unserved, d.Others = d.Asking-d.Served, len(services)-d.Asking
	slices.SortStableFunc(services, func(a, b *service) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	d.List = listing.New(c.r.URL.Path, c.q, services, func(s *service, words []string, filter string) bool {
		switch {
		case filter == "trouble" && !s.troubled(), filter == "served" && len(s.Routes) == 0, filter == "unserved" && (len(s.Routes) > 0 || !s.asks()),
			filter == "others" && s.asks(), filter == "" && len(words) == 0 && d.Project == "" && !s.asks():
			return false
		}
		texts := []string{s.ID, s.Name, s.Source, s.Service.Project}
		for _, r := range s.Routes {
			texts = append(texts, r.Hosts()...)
		}
		for _, in := range s.Instances {
			texts = append(texts, in.Name, in.Image, in.NodeName)
		}
		return listing.Has(words, texts...)
	},
		listing.Text("name", func(s *service) string { return s.Name }),
		listing.Most("state", func(s *service) int { return signs.Badness(s.Health) }),
		listing.Text("host", (*service).address),
		listing.Most("instances", func(s *service) int { return len(s.Instances) }),
		listing.Most("rate", w.rate),
		listing.Text("source", func(s *service) string { return s.Source }))
	return d, nil
}

// projectLink is the list of the services of a project or stack; empty for none.
func projectLink(project string) string {
	if project == "" || len(project) > maxLink {
		return ""
	}
	return listing.Link("/services", map[string]string{"project": project})
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
	Steps     []happened.Step // what happened to it, the newest first
	Errors    []api.Request   // the last of its routes
	Unasked   bool            // there was no answer with the errors
}

// maxLastErrors is how many of the last errors a page shows.
const maxLastErrors = 10

// Requests is the stream of the requests for it.
func (d serviceData) Requests() string {
	return listing.Link("/v1/requests", map[string]string{"service": d.ID})
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
	failed, err := c.ask.Errors(c, api.ErrorQuery{Service: d.ID, Limit: maxLastErrors})
	d.Errors, d.Unasked = failed.Items, err != nil
	entries, _ := c.ask.History(c, api.HistoryQuery{Service: d.ID, Limit: 30})
	reported, _ := c.ask.Events(c, api.EventQuery{Limit: maxEvents})
	d.Steps = happened.Timeline(services[i].Service, entries.Items, reported.Items)
	commands := must(c.ask.Commands(c)).Items
	for _, command := range commands {
		if command.Service == d.ID {
			d.Commands = append(d.Commands, command)
		}
	}
	d.Instances, d.Order = listing.Sort(c.r.URL.Path, c.q, d.Instances,
		listing.Text("instance", func(in instance) string { return in.Name }),
		listing.Most("state", func(in instance) int { return signs.Badness(in.Health) }),
		listing.Text("node", func(in instance) string { return cmp.Or(in.NodeName, in.Node) }))
	for i := range d.Instances {
		d.Instances[i].commanded(commands)
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

// commanded finds what an operator has asked of the instance or its machine.
func (in *instance) commanded(commands []api.Command) {
	own := func(command api.Command) bool { return command.Instance == in.Name && command.Source == in.Source }
	machine := func(command api.Command) bool { return command.Node != "" && command.Node == in.Node }
	in.Command = inForce(commands, func(command api.Command) bool { return own(command) || machine(command) })
	in.Drain = cmp.Or(
		inForce(commands, func(command api.Command) bool { return isDrain(command) && own(command) }),
		inForce(commands, func(command api.Command) bool { return isDrain(command) && machine(command) }))
}

func isDrain(command api.Command) bool { return command.Kind == api.CommandDrain }

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
		out := diagnosis{Diagnosis: d, Health: signs.Fine}
		if slices.ContainsFunc(d.Checks, func(check api.Check) bool { return check.Outcome == api.CheckDoubt }) {
			out.Health = signs.Faulty
		}
		if !d.Served {
			out.Health = signs.Broken
		}
		out.Open = !open && (out.Health != signs.Fine || len(found) == 1)
		open = open || out.Open
		all = append(all, out)
	}
	return all
}
