package ui

import (
	"net/http"
	"slices"

	"fairway/internal/admin/ui/export"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
	"fairway/internal/printer"
)

// exporter is a page with a list that others can read, as JSON or CSV.
type exporter interface{ Export() export.List }

func (d servicesData) Export() export.List {
	return export.Of(d.All, func(s *service) api.Service { return s.Service }, (*printer.Printer).Services)
}

func (d routesData) Export() export.List {
	return export.Of(d.All, func(r *routeOf) api.Route { return r.Route }, (*printer.Printer).Routes)
}

func (d problemsData) Export() export.List {
	var all []api.Problem
	for _, g := range d.All {
		all = append(all, g.Problems...)
	}
	return export.Of(all, export.Same, (*printer.Printer).Problems)
}

func (d nodesData) Export() export.List {
	return export.Of(d.All, func(n *node) api.Node { return n.Node }, (*printer.Printer).Nodes)
}

func (d sourcesData) Export() export.List {
	return export.Of(d.All, func(s source) api.Source { return s.Source }, (*printer.Printer).Sources)
}

func (d certificatesData) Export() export.List {
	return export.Of(d.All, export.Same, func(p *printer.Printer, all []api.Certificate) { p.Certificates(all, d.At) })
}

func (d eventsData) Export() export.List {
	return export.Of(d.All, export.Same, (*printer.Printer).Events)
}

func (d labelsData) Export() export.List {
	return export.Of(d.All, export.Same, (*printer.Printer).Labels)
}

func (d accessData) Export() export.List {
	return export.Of(d.All, export.Same, (*printer.Printer).Audit)
}

func (d fleetData) Export() export.List {
	return export.Of(d.All, export.Same, (*printer.Printer).FleetHosts)
}

func (d historyData) Export() export.List {
	return export.Of(d.found, export.Same, (*printer.Printer).Entries)
}

// nodesData is the list of machines.
type nodesData struct{ listing.List[*node] }

// export answers with the list of a page in the format that the address asks for; false
// where it asks for none.
func (p *Pages) export(w http.ResponseWriter, c *call, of page, data any) (done bool, err error) {
	format := c.q.Get("format")
	list, ok := data.(exporter)
	switch {
	case format == "":
		return false, nil
	case !ok || !slices.Contains(export.Formats(), format):
		return false, problem(http.StatusBadRequest, "Bad Request", "format: want csv or json, of a page with a list")
	}
	w.Header().Set("Content-Security-Policy", contentPolicy)
	list.Export().Send(w, "fairway-"+of.name+c.now.UTC().Format("-20060102"), format)
	return true, nil
}
