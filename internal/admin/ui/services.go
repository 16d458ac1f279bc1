package ui

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

// perPage is how many things a page of a list has.
const perPage = 100

// list is a part of a longer list, with what leads to the other parts.
type list[T any] struct {
	Items           []T
	Query           string // what was searched for
	Filter          string // which of the filters is on
	From, To        int    // of Matching, counted from 1
	Matching, Total int
	Previous, Next  string // links; empty for none
	path            string
}

// newList keeps the items that match the query of the request, and of these the
// page that it asks for.
func newList[T any](c *call, items []T, matches func(item T, words []string, filter string) bool) list[T] {
	l := list[T]{Query: c.q.Get("q"), Filter: c.q.Get("only"), Total: len(items), path: c.r.URL.Path}
	words := strings.Fields(strings.ToLower(l.Query))
	var kept []T
	for _, item := range items {
		if matches(item, words, l.Filter) {
			kept = append(kept, item)
		}
	}
	l.Matching = len(kept)
	page, _ := strconv.Atoi(c.q.Get("page"))
	page = min(max(page, 1), max(1, (len(kept)+perPage-1)/perPage))
	first := (page - 1) * perPage
	l.Items = kept[first:min(first+perPage, len(kept))]
	l.From, l.To = first+1, first+len(l.Items)
	if page > 1 {
		l.Previous = l.at(page - 1)
	}
	if l.To < len(kept) {
		l.Next = l.at(page + 1)
	}
	return l
}

// at is the link to a page of the list.
func (l list[T]) at(page int) string {
	v := url.Values{}
	for name, value := range map[string]string{"q": l.Query, "only": l.Filter} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if page > 1 {
		v.Set("page", strconv.Itoa(page))
	}
	if len(v) == 0 {
		return l.path
	}
	return l.path + "?" + v.Encode()
}

// Only is the link to the list with a filter.
func (l list[T]) Only(filter string) string {
	l.Filter = filter
	return l.at(1)
}

// has says whether all words are in one of the texts.
func has(words []string, texts ...string) bool {
	all := strings.ToLower(strings.Join(texts, " "))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(all, w) })
}

type servicesData struct {
	list[*service]
	// Troubled, Served and Unserved count what the filters keep.
	Troubled, Served, Unserved int
}

func (p *Pages) services(c *call) (any, error) {
	w, err := readWorld(c)
	if err != nil {
		return nil, err
	}
	d := servicesData{}
	for _, s := range w.services {
		switch {
		case len(s.Routes) == 0:
			d.Unserved++
		default:
			d.Served++
		}
		if troubled(s) {
			d.Troubled++
		}
	}
	sorted := slices.Clone(w.services)
	slices.SortStableFunc(sorted, func(a, b *service) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	d.list = newList(c, sorted, func(s *service, words []string, filter string) bool {
		switch {
		case filter == "trouble" && !troubled(s), filter == "served" && len(s.Routes) == 0, filter == "unserved" && len(s.Routes) > 0:
			return false
		}
		texts := []string{s.ID, s.Name, s.Source}
		for _, r := range s.Routes {
			texts = append(texts, r.Hosts()...)
		}
		for _, in := range s.Instances {
			texts = append(texts, in.Name, in.Image, in.NodeName)
		}
		return has(words, texts...)
	})
	return d, nil
}

func troubled(s *service) bool { return s.Health == broken || s.Health == faulty }

// serviceData is one service.
type serviceData struct {
	*service
	Doctor    []diagnosis
	Instances []instance
	Source    *api.Source
	Commands  []api.Command
	// May is true for those who may drain and pause.
	May     bool
	Entries []api.Entry
	// Shared are the labels of every instance, where they are all the same.
	Shared map[string]string
	// Plots are what it used and what its routes answered, over the range Here.
	Plots  []plot
	Ranges []timeRange
	Self   string
	// Steps are what happened to it, the newest first.
	Steps []step
}

// Past is the link to the history of the service; empty for an ID that is too long
// for a link.
func (d serviceData) Past() string {
	if len(d.ID) > maxLink {
		return ""
	}
	return "/history?" + url.Values{"service": {d.ID}}.Encode()
}

func (d serviceData) title() string { return heading(d.Name) }

// instance is an instance with its endpoints.
type instance struct {
	api.Instance
	Endpoints []endpoint
	Health    string
	Command   *api.Command // what an operator has asked of it; nil for nothing
}

type endpoint struct {
	api.Endpoint
	Backend string
	Mark    mark
}

func (p *Pages) service(c *call) (any, error) {
	w, err := readWorld(c)
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(c.r.URL.Path, "/services/")
	i := slices.IndexFunc(w.services, func(s *service) bool { return named(name, s.ID) })
	if i < 0 {
		i = slices.IndexFunc(w.services, func(s *service) bool { return s.Name == name })
	}
	if i < 0 {
		return nil, &api.Error{Status: http.StatusNotFound, Title: "No such service", Detail: "It may have been removed. The history tells what was."}
	}
	d := serviceData{service: w.services[i], May: c.may(api.RoleOperator)}
	for _, s := range w.sources {
		if s.Name == d.service.Source {
			d.Source = &s
		}
	}
	if found, err := c.ask.Doctor(c, d.ID); err == nil {
		for _, one := range found.Items {
			d.Doctor = append(d.Doctor, newDiagnosis(one, len(found.Items) == 1))
			// One that is not served is open: the others mostly say the same.
			last := len(d.Doctor) - 1
			d.Doctor[last].Open = d.Doctor[last].Open && !slices.ContainsFunc(d.Doctor[:last], func(o diagnosis) bool { return o.Open })
		}
	}
	commands, err := c.ask.Commands(c)
	if err != nil {
		return nil, err
	}
	for _, command := range commands.Items {
		if command.Service == d.ID || slices.Contains(command.Services, d.ID) {
			d.Commands = append(d.Commands, command)
		}
	}
	for _, in := range d.service.Instances {
		d.Instances = append(d.Instances, newInstance(d.service, in, commands.Items))
	}
	d.Shared = sharedLabels(d.service.Instances)
	if entries, err := c.ask.History(c, api.HistoryQuery{Service: d.ID, Limit: 30}); err == nil {
		d.Entries = entries.Items
	}
	d.Steps = steps(d.Entries, d.ID)
	d.Self = link("services", d.ID)
	var r timeRange
	d.Ranges, r = chosenRange(c)
	for _, route := range d.Routes[:min(maxRoutePlots, len(d.Routes))] {
		d.Plots = append(d.Plots, plotsOf(c, api.SeriesRoutes, route.ID, r, routePlot(human.Excerpt(route.Address(), 40)))...)
	}
	d.Plots = append(d.Plots, plotsOf(c, api.SeriesServices, d.ID, r, usagePlots()...)...)
	return d, nil
}

// maxRoutePlots is how many routes of a service are plotted.
const maxRoutePlots = 4

// sharedLabels are the labels of all instances, where these are the same and there
// are several; nil otherwise.
func sharedLabels(instances []api.Instance) map[string]string {
	if len(instances) < 2 {
		return nil
	}
	for _, in := range instances[1:] {
		if !maps.Equal(in.Labels, instances[0].Labels) {
			return nil
		}
	}
	return instances[0].Labels
}

// diagnosis is why something is served or not. What is not well is open.
type diagnosis struct {
	api.Diagnosis
	Health string
	Open   bool
}

func newDiagnosis(d api.Diagnosis, alone bool) diagnosis {
	out := diagnosis{Diagnosis: d, Health: fine, Open: alone}
	for _, check := range d.Checks {
		if check.Outcome == api.CheckDoubt {
			out.Health = worse(out.Health, faulty)
		}
	}
	if !d.Served {
		out.Health = broken
	}
	out.Open = out.Open || out.Health != fine
	return out
}

func newInstance(s *service, in api.Instance, commands []api.Command) instance {
	out := instance{Instance: in, Health: stateHealth(in.State)}
	for _, r := range s.Routes {
		for _, e := range r.Endpoints {
			if e.Instance != in.Name || e.Source != in.Source || r.Backend == nil ||
				slices.ContainsFunc(out.Endpoints, func(known endpoint) bool { return known.Backend == r.Backend.ID && known.ID == e.ID }) {
				continue
			}
			m := markOf(r.Backend, e)
			out.Endpoints = append(out.Endpoints, endpoint{e, r.Backend.ID, m})
			out.Health = worse(out.Health, m.Health)
		}
	}
	for i, command := range commands {
		if command.Instance == in.Name && command.Source == in.Source || command.Node != "" && command.Node == in.Node {
			out.Command = &commands[i]
		}
	}
	return out
}
