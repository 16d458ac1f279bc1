package ui

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/api"
	"fairway/internal/human"
)

const perPage = 100 // things of a list

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

// newList keeps the items that match the request's query, and of these its page.
func newList[T any](c *call, items []T, matches func(item T, words []string, filter string) bool) list[T] {
	l := list[T]{Query: c.q.Get("q"), Filter: c.q.Get("only"), Total: len(items), path: c.r.URL.Path}
	words := strings.Fields(strings.ToLower(l.Query))
	kept := slices.DeleteFunc(slices.Clone(items), func(item T) bool { return !matches(item, words, l.Filter) })
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

func (l list[T]) at(page int) string {
	number := ""
	if page > 1 {
		number = strconv.Itoa(page)
	}
	return linkTo(l.path, map[string]string{"q": l.Query, "only": l.Filter, "page": number})
}

// Only is the link to the list with a filter.
func (l list[T]) Only(filter string) string {
	l.Filter = filter
	return l.at(1)
}

// linkTo is the link to a path with a query of what is not empty.
func linkTo(path string, query map[string]string) string {
	v := url.Values{}
	for name, value := range query {
		if value != "" {
			v.Set(name, value)
		}
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

// has says whether all words are in one of the texts.
func has(words []string, texts ...string) bool {
	all := strings.ToLower(strings.Join(texts, " "))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(all, w) })
}

type servicesData struct {
	list[*service]
	Troubled, Served, Unserved int // what the filters keep
}

func readServices(c *call) (any, error) {
	services := readWorld(c).services
	d := servicesData{Troubled: count(services, (*service).troubled)}
	d.Served = count(services, func(s *service) bool { return len(s.Routes) > 0 })
	d.Unserved = len(services) - d.Served
	slices.SortStableFunc(services, func(a, b *service) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	d.list = newList(c, services, func(s *service, words []string, filter string) bool {
		switch {
		case filter == "trouble" && !s.troubled(), filter == "served" && len(s.Routes) == 0, filter == "unserved" && len(s.Routes) > 0:
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

type serviceData struct {
	*service
	Doctor    []diagnosis
	Instances []instance
	Commands  []api.Command
	May       bool              // the viewer may drain and pause
	Shared    map[string]string // the labels of every instance, where they are all the same
	Plots     []draw.Plot       // what it used and what its routes answered
	Ranges    []draw.Range
	Steps     []step // what happened to it, the newest first
}

func (d serviceData) Self() string { return link("services", d.ID) }

// Past is the link to its history; empty for an ID that is too long for one.
func (d serviceData) Past() string {
	if len(d.ID) > maxLink {
		return ""
	}
	return linkTo("/history", map[string]string{"service": d.ID})
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
	d.Steps = steps(entries.Items, d.ID)
	commands := must(c.ask.Commands(c)).Items
	for _, command := range commands {
		if command.Service == d.ID {
			d.Commands = append(d.Commands, command)
		}
	}
	for i, in := range d.Instances {
		d.Instances[i].Command = inForce(commands, func(command api.Command) bool {
			return command.Instance == in.Name && command.Source == in.Source || command.Node != "" && command.Node == in.Node
		})
	}
	d.Shared = sharedLabels(d.service.Instances)
	for _, route := range d.Routes[:min(maxRoutePlots, len(d.Routes))] {
		answered := draw.Figure{Title: human.Excerpt(route.Address(), 40), Fields: []string{"requests", "errors"}}
		d.Plots = append(d.Plots, draw.Plots(c, c.ask, c.now, draw.Subject{Group: api.SeriesRoutes, Name: route.ID}, r, answered)...)
	}
	d.Plots = append(d.Plots, draw.Plots(c, c.ask, c.now, draw.Subject{Group: api.SeriesServices, Name: d.ID}, r, draw.Usage()...)...)
	return d, nil
}

const maxRoutePlots = 4 // of a service

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
	Health            string
}

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
