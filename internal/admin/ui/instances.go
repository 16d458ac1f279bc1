package ui

import (
	"net/http"
	"net/url"
	"strings"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
)

// instanceData is one instance of a service.
type instanceData struct {
	instance
	Service *service
	Doctor  []diagnosis
	Plots   []draw.Plot
	Ranges  []draw.Range
	May     bool // the viewer may drain
}

// Self is the page of the instance.
func (d instanceData) Self() string { return d.Page() }

func (d instanceData) title() string { return heading(d.Name) }

// Page is the page of the instance.
func (in instance) Page() string { return instanceLink(in.Instance) }

// Log is the stream of what it writes.
func (in instance) Log() string {
	return listing.Link("/v1/instances/"+url.PathEscape(in.ID)+"/logs", map[string]string{"follow": "true", "source": in.Source})
}

func instanceLink(in api.Instance) string { return link("instances", in.Name+"@"+in.Source) }

func readInstance(c *call) (any, error) {
	name := strings.TrimPrefix(c.r.URL.Path, "/instances/")
	for _, s := range readWorld(c).services {
		for _, in := range s.instances() {
			if !named(name, in.Name+"@"+in.Source) && !named(name, in.ID) {
				continue
			}
			ranges, r := draw.Choose(c.q.Get("range"))
			d := instanceData{instance: in, Service: s, Ranges: ranges, May: c.may(api.RoleOperator)}
			d.commanded(must(c.ask.Commands(c)).Items)
			// Without a diagnosis there is less to see.
			found, _ := c.ask.Doctor(c, in.Name)
			for _, one := range diagnoses(found.Items) {
				if one.Service == s.ID && one.Instance == in.Name {
					one.Open = true
					d.Doctor = append(d.Doctor, one)
				}
			}
			subject := draw.Subject{Group: api.SeriesEndpoints, Name: in.Name + "@" + in.Source}
			d.Plots = draw.Plots(c, c.ask, c.now, subject, r, draw.Answers("")...)
			subject.Group = api.SeriesInstances
			d.Plots = append(d.Plots, draw.Plots(c, c.ask, c.now, subject, r, draw.Usage()...)...)
			return d, nil
		}
	}
	return nil, problem(http.StatusNotFound, "No such instance", "It may have been replaced. The history of its service shows what was.")
}
