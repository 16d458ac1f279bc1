package ui

import (
	"net/http"
	"slices"
	"strings"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/api"
)

// routeData is one route with what it answered over time.
type routeData struct {
	*routeOf
	Plots  []draw.Plot
	Each   []plotted // the instances that it leads to
	Ranges []draw.Range
}

func (d routeData) Self() string { return link("routes", d.ID) }

func (d routeData) title() string { return heading(d.Address()) }

func readRoute(c *call) (any, error) {
	name := strings.TrimPrefix(c.r.URL.Path, "/routes/")
	for _, s := range readWorld(c).services {
		for _, r := range s.Routes {
			if !named(name, r.ID) {
				continue
			}
			ranges, span := draw.Choose(c.q.Get("range"))
			d := routeData{routeOf: r, Ranges: ranges}
			d.Plots = draw.Plots(c, c.ask, c.now, draw.Subject{Group: api.SeriesRoutes, Name: r.ID}, span, draw.Answers("")...)
			d.Each = plotInstances(c, slices.DeleteFunc(s.instances(), func(in instance) bool {
				return !slices.ContainsFunc(r.Endpoints, func(e api.Endpoint) bool { return e.Instance == in.Name && e.Source == in.Source })
			}), span)
			return d, nil
		}
	}
	return nil, problem(http.StatusNotFound, "No such route", "It may have been removed. The history shows what was.")
}
