package ui

import (
	"fairway/internal/api"
)

// overviewData is the page that one leaves open.
type overviewData struct {
	Sources  []api.Source
	Services []*service // every one, those in trouble first
	Picture  picture
	// Counts of services by health, and of instances.
	Served, Total, ReadyInstances, Instances, Routes int
	Problems                                         []api.Problem // the first
	MoreProblems                                     int
	// Mosaic is true when there are more services than the picture shows.
	Mosaic bool
	// Stale, Held and Silent are the sources that need somebody.
	Trouble []api.Source
	Empty   bool
}

// maxFirstProblems is how many problems the overview shows.
const maxFirstProblems = 4

func (p *Pages) overview(c *call) (any, error) {
	w, err := readWorld(c)
	if err != nil {
		return nil, err
	}
	traffic, err := c.ask.Recent(c)
	if err != nil {
		return nil, err
	}
	return newOverview(w, serviceRates(w, traffic)), nil
}

// serviceRates adds up the requests per second of each service's routes.
func serviceRates(w *world, t api.Traffic) map[string]float64 {
	of := map[string]float64{}
	for _, r := range t.Routes {
		of[r.Route] = r.Rate
	}
	rates := map[string]float64{}
	for _, s := range w.services {
		for _, r := range s.Routes {
			rates[s.ID] += of[r.ID]
		}
	}
	return rates
}

func newOverview(w *world, rates map[string]float64) overviewData {
	d := overviewData{Sources: w.sources, Services: byTrouble(w.services, rates), Total: len(w.services), Problems: w.problems}
	for _, s := range w.services {
		if len(s.Routes) > 0 && s.Health != broken {
			d.Served++
		}
		d.Instances += len(s.Instances)
		d.ReadyInstances += s.Ready
		d.Routes += len(s.Routes)
	}
	if len(d.Problems) > maxFirstProblems {
		d.Problems, d.MoreProblems = d.Problems[:maxFirstProblems], len(d.Problems)-maxFirstProblems
	}
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
	d.Picture = layout(drawn, w.sources, len(drawn))
	d.Mosaic = d.Picture.Left > 0
	d.Empty = len(w.services) == 0
	return d
}
