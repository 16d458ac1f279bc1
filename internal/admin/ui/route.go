package ui

import (
	"net/http"
	"slices"
	"strings"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
)

// routeData is one route with what it answered over time.
type routeData struct {
	*routeOf
	Plots   []draw.Plot
	Each    []plotted // the instances that it leads to
	Ranges  []draw.Range
	Errors  []api.Request // its last
	Unasked bool          // there was no answer with the errors
	May     bool          // the viewer may see requests as they are answered
}

// Requests is the stream of its requests.
func (d routeData) Requests() string {
	return listing.Link("/v1/requests", map[string]string{"route": d.ID})
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
			d := routeData{routeOf: r, Ranges: ranges, May: c.may(api.RoleOperator)}
			failed, err := c.ask.Errors(c, api.ErrorQuery{Route: r.ID, Limit: maxLastErrors}) // without them there is less to see
			d.Errors, d.Unasked = failed.Items, err != nil
			d.Plots = draw.Plots(c, c.ask, c.now, draw.Subject{Group: api.SeriesRoutes, Name: r.ID}, span, draw.Answers("")...)
			d.Each = plotInstances(c, slices.DeleteFunc(s.instances(), func(in instance) bool {
				return !slices.ContainsFunc(r.Endpoints, func(e api.Endpoint) bool { return e.Instance == in.Name && e.Source == in.Source })
			}), span)
			return d, nil
		}
	}
	return nil, problem(http.StatusNotFound, "No such route", "It may have been removed. The history shows what was.")
}
