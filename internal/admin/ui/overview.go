package ui

import (
	"cmp"
	"fmt"
	"slices"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
	"fairway/internal/human"
)

type overviewData struct {
	Sources []api.Source
	Trouble []api.Source // those in trouble
	Groups  []group      // of every service, where there are more than the picture shows
	Picture draw.Flow
	// Counts of services and of instances.
	Served, Total, ReadyInstances, Instances int
	Wrong                                    []finding // the first
	MoreWrong                                int
}

// finding is something that is wrong now, under the name that people know it by.
type finding struct {
	api.Finding
	Name, Link string // Link is empty where no page shows it
	Health     string
}

const maxWrong = 6 // findings that are shown

// group is the services of one source, those in trouble first.
type group struct {
	Source   string
	Services []*service
}

// Troubled counts those in trouble.
func (g group) Troubled() int { return count(g.Services, (*service).troubled) }

// groups puts services together by source. They are sorted by trouble, and stay so.
func groups(services []*service) []group {
	var all []group
	for _, s := range services {
		i := slices.IndexFunc(all, func(g group) bool { return g.Source == s.Source })
		if i < 0 {
			i = len(all)
			all = append(all, group{Source: s.Source})
		}
		all[i].Services = append(all[i].Services, s)
	}
	return all
}

func readOverview(c *call) (any, error) {
	w := readWorld(c)
	d := overviewData{Sources: w.sources}
	asking := slices.DeleteFunc(slices.Clone(w.services), func(s *service) bool { return !s.asks() })
	d.Total = len(asking)
	for _, s := range asking {
		if len(s.Routes) > 0 && s.Health != signs.Broken {
			d.Served++
		}
		d.Instances += len(s.Instances)
		d.ReadyInstances += s.Ready
	}
	wrong := must(c.ask.Status(c)).Findings
	for _, f := range wrong[:min(maxWrong, len(wrong))] {
		out := finding{Finding: f, Name: f.Subject, Health: signs.Of(api.Condition{State: f.State})}
		if s := w.byID[f.Service]; s != nil {
			out.Name, out.Link = s.Name, link("services", s.ID)
		}
		d.Wrong = append(d.Wrong, out)
	}
	d.MoreWrong = len(wrong) - len(d.Wrong)
	d.Trouble = slices.DeleteFunc(slices.Clone(w.sources), func(s api.Source) bool { return sourceHealth(s) == signs.Fine })
	services := byTrouble(asking)
	drawn := slices.DeleteFunc(slices.Clone(services), func(s *service) bool { return len(s.Routes)+len(s.Problems) == 0 })
	d.Picture = flowOf(drawn, w.sources)
	if d.Picture.Left > 0 {
		// A picture of hundreds shows nothing: the most urgent are drawn.
		d.Groups = groups(services)
		d.Picture = flowOf(w.choose(drawn), w.sources)
		d.Picture.Left = len(drawn) - len(d.Picture.Services)
	}
	return d, nil
}

// flowOf is the picture of services and sources.
func flowOf(services []*service, sources []api.Source) draw.Flow {
	drawn := make([]draw.Service, len(services))
	for i, s := range services {
		drawn[i] = draw.Service{
			ID: s.ID, Name: s.Name, Link: link("services", s.ID), Source: s.Source, Note: serviceNote(s),
			Health: s.Health, State: stateOf(s.Condition), Why: s.Condition.Why(),
		}
		for _, r := range s.Routes {
			drawn[i].Routes = append(drawn[i].Routes, draw.Route{
				ID: r.ID, Address: r.Address(), Name: r.Name, Link: link("services", r.Service), Note: cmp.Or(r.Condition.Why(), r.Way()),
				Count: routeCount(r), Health: r.Health, Condition: r.Condition, Marks: r.Marks,
			})
		}
	}
	from := make([]draw.Source, len(sources))
	for i, s := range sources {
		from[i] = draw.Source{Name: s.Name, Health: sourceHealth(s), Note: human.Plural(s.Services, "service")}
	}
	return draw.NewFlow(drawn, from)
}

// serviceNote is the second line of a service.
func serviceNote(s *service) string {
	note := fmt.Sprintf("%d of %d ready", s.Ready, len(s.Instances))
	if len(s.Instances) == 0 {
		note = "no instance"
	}
	if n := len(s.Problems); n > 0 {
		note += " · " + human.Plural(n, "problem")
	}
	return note
}

// routeCount is what is said of a route's endpoints.
func routeCount(r *routeOf) string {
	switch {
	case r.Refused != "":
		return "refused"
	case r.Backend == nil:
		return r.Answer()
	case len(r.Marks) == 0:
		return "no endpoint"
	}
	return fmt.Sprintf("%d of %d ready", r.Ready, len(r.Marks))
}

// sourceHealth is the sign of a source; what it holds back waits.
func sourceHealth(s api.Source) string {
	if len(s.Held) > 0 {
		return signs.Worse(signs.Of(s.Condition), signs.Waiting)
	}
	return signs.Of(s.Condition)
}

// How many services are drawn where there are too many: in trouble, and with the busiest.
const (
	maxTroubled = 8
	maxChosen   = 14
)

// choose picks the services that matter most, of services sorted by trouble.
func (w *world) choose(services []*service) []*service {
	chosen := slices.DeleteFunc(slices.Clone(services), func(s *service) bool { return !s.troubled() })
	chosen = chosen[:min(len(chosen), maxTroubled)]
	rest := slices.DeleteFunc(slices.Clone(services), (*service).troubled)
	slices.SortStableFunc(rest, func(a, b *service) int { return cmp.Compare(w.rate(b), w.rate(a)) })
	return byTrouble(append(chosen, rest[:min(len(rest), maxChosen-len(chosen))]...))
}

// name is what people call the service with this ID.
func (w *world) name(id string) string {
	if s := w.byID[id]; s != nil {
		return s.Name
	}
	return id
}

// problemsData is the problems by the service that has them.
type problemsData struct {
	listing.List[problemsOf]
	Count int
	Codes map[string]int // how many there are of each
}

type problemsOf struct {
	Service  string // ID
	Name     string
	Known    bool // the service still exists
	Source   string
	Problems []api.Problem
}

func readProblems(c *call) (any, error) {
	w := readWorld(c)
	d := problemsData{Count: len(w.problems), Codes: map[string]int{}}
	var groups []problemsOf
	for _, problem := range w.problems { // sorted by service
		d.Codes[problem.Code]++
		if n := len(groups); n == 0 || groups[n-1].Service != problem.Service {
			groups = append(groups, problemsOf{
				Service: problem.Service, Name: w.name(problem.Service), Known: w.byID[problem.Service] != nil, Source: problem.Source,
			})
		}
		g := &groups[len(groups)-1]
		g.Problems = append(g.Problems, problem)
	}
	d.List = listing.New(c.r.URL.Path, c.q, groups, func(g problemsOf, words []string, filter string) bool {
		return slices.ContainsFunc(g.Problems, func(p api.Problem) bool {
			return (filter == "" || p.Code == filter) && listing.Has(words, g.Name, p.Service, p.Instance, p.Route, p.Label, p.Text, p.Source)
		})
	},
		listing.Text("service", func(g problemsOf) string { return g.Name }),
		listing.Text("source", func(g problemsOf) string { return g.Source }),
		listing.Most("problems", func(g problemsOf) int { return len(g.Problems) }))
	return d, nil
}
