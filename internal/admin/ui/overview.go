package ui

import (
	"cmp"
	"slices"

	"fairway/internal/api"
)

// overviewData is the page that one leaves open.
type overviewData struct {
	Sources  []api.Source
	Services []*service // every one, those in trouble first
	Groups   []group    // the same by source
	Picture  picture
	// Counts of services by health, and of instances.
	Served, Total, ReadyInstances, Instances, Routes int
	Problems                                         []namedProblem // the first
	MoreProblems                                     int
	// Mosaic is true when there are more services than the picture shows.
	Mosaic bool
	// Stale, Held and Silent are the sources in trouble.
	Trouble []api.Source
	Empty   bool
}

// group is the services of one source, those in trouble first.
type group struct {
	Source   string
	Services []*service
	Troubled int
}

// groups puts services, sorted by trouble, together by source; the source with the
// worst comes first.
func groups(services []*service) []group {
	var all []group
	for _, s := range services {
		i := slices.IndexFunc(all, func(g group) bool { return g.Source == s.Source })
		if i < 0 {
			i = len(all)
			all = append(all, group{Source: s.Source})
		}
		all[i].Services = append(all[i].Services, s)
		if troubled(s) {
			all[i].Troubled++
		}
	}
	return all
}

// maxFirstProblems is how many problems the overview shows.
const maxFirstProblems = 4

func (p *Pages) overview(c *call) (any, error) {
	w, err := readWorld(c)
	if err != nil {
		return nil, err
	}
	return newOverview(w), nil
}

func newOverview(w *world) overviewData {
	d := overviewData{Sources: w.sources, Services: byTrouble(w.services), Total: len(w.services)}
	for _, s := range w.services {
		if len(s.Routes) > 0 && s.Health != broken {
			d.Served++
		}
		d.Instances += len(s.Instances)
		d.ReadyInstances += s.Ready
		d.Routes += len(s.Routes)
	}
	for _, problem := range w.problems[:min(maxFirstProblems, len(w.problems))] {
		d.Problems = append(d.Problems, namedProblem{problem, w.name(problem.Service)})
	}
	d.MoreProblems = len(w.problems) - len(d.Problems)
	for _, s := range w.sources {
		if sourceHealth(s) != fine {
			d.Trouble = append(d.Trouble, s)
		}
	}
	var drawn []*service
	for _, s := range d.Services {
		if len(s.Routes) > 0 || len(s.Problems) > 0 {
			drawn = append(drawn, s)
		}
	}
	d.Picture = layout(drawn, w.sources)
	if d.Picture.Left > 0 {
		// A picture of hundreds shows nothing: every service gets a square, and
		// those that matter most are drawn.
		d.Mosaic = true
		d.Groups = groups(d.Services)
		d.Picture = layout(w.choose(drawn), w.sources)
		d.Picture.Left = len(drawn) - len(d.Picture.Services)
	}
	d.Empty = len(w.services) == 0
	return d
}

// How many services are drawn where there are too many: those in trouble, and
// with them the busiest.
const (
	maxTroubled = 8
	maxChosen   = 14
)

// choose picks the services that matter most, of services sorted by trouble.
func (w *world) choose(services []*service) []*service {
	var chosen, rest []*service
	for _, s := range services {
		if troubled(s) && len(chosen) < maxTroubled {
			chosen = append(chosen, s)
		} else if !troubled(s) {
			rest = append(rest, s)
		}
	}
	slices.SortStableFunc(rest, func(a, b *service) int { return cmp.Compare(w.rate(b), w.rate(a)) })
	return byTrouble(append(chosen, rest[:min(len(rest), maxChosen-len(chosen))]...))
}

// namedProblem is a problem with the name of its service.
type namedProblem struct {
	api.Problem
	Name string
}

// name is what people call the service with this ID.
func (w *world) name(id string) string {
	if s := w.byID[id]; s != nil {
		return s.Name
	}
	return id
}
