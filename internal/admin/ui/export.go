package ui

import (
	"io"
	"net/http"

	"fairway/internal/admin/ui/listing"
	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/printer"
)

// exporter is a page with a list that others can read, as JSON or CSV.
type exporter interface{ export() exported }

// exported is all that a list has after search and filter, on whichever page of it.
type exported struct {
	items any // as the API has them
	print func(*printer.Printer)
}

// exportOf is a list with the way in which commands print it.
func exportOf[T, A any](l []T, as func(T) A, print func(*printer.Printer, []A)) exported {
	items := make([]A, len(l))
	for i, item := range l {
		items[i] = as(item)
	}
	return exported{items, func(p *printer.Printer) { print(p, items) }}
}

func same[T any](item T) T { return item }

func (d servicesData) export() exported {
	return exportOf(d.All, func(s *service) api.Service { return s.Service }, (*printer.Printer).Services)
}

func (d routesData) export() exported {
	return exportOf(d.All, func(r *routeOf) api.Route { return r.Route }, (*printer.Printer).Routes)
}

func (d problemsData) export() exported {
	var all []api.Problem
	for _, g := range d.All {
		all = append(all, g.Problems...)
	}
	return exportOf(all, same, (*printer.Printer).Problems)
}

func (d nodesData) export() exported {
	return exportOf(d.All, func(n *node) api.Node { return n.Node }, (*printer.Printer).Nodes)
}

func (d sourcesData) export() exported {
	return exportOf(d.All, func(s source) api.Source { return s.Source }, (*printer.Printer).Sources)
}

func (d certificatesData) export() exported {
	return exportOf(d.All, same, func(p *printer.Printer, all []api.Certificate) { p.Certificates(all, d.At) })
}

func (d eventsData) export() exported { return exportOf(d.All, same, (*printer.Printer).Events) }

func (d labelsData) export() exported { return exportOf(d.All, same, (*printer.Printer).Labels) }

func (d accessData) export() exported { return exportOf(d.All, same, (*printer.Printer).Audit) }

func (d fleetData) export() exported { return exportOf(d.All, same, (*printer.Printer).FleetHosts) }

func (d historyData) export() exported {
	return exportOf(d.found, same, (*printer.Printer).Entries)
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
	case !ok || format != "csv" && format != "json":
		return false, problem(http.StatusBadRequest, "Bad Request", "format: want csv or json, of a page with a list")
	}
	out := list.export()
	w.Header().Set("Content-Security-Policy", contentPolicy)
	listing.Send(w, "fairway-"+of.name+c.now.UTC().Format("-20060102"), format, out.items, func(w io.Writer) {
		out.print(&printer.Printer{Console: &console.Console{Out: w, Err: w, Format: "csv"}})
	})
	return true, nil
}
