package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
)

type routesCommand struct {
	Service string `name:"service" placeholder:"NAME" help:"Only routes of this service, by ID or name."`
	Source  string `name:"source" placeholder:"NAME" help:"Only routes of this source."`
	Host    string `name:"host" placeholder:"HOST" help:"Only routes that match this host."`
	Traffic bool   `name:"traffic" help:"Show the traffic of each route, the busiest first."`
}

// Help implements kong.HelpProvider.
func (routesCommand) Help() string {
	return `Examples:

    fairway routes
    fairway routes --host shop.example.com
    fairway routes --traffic
    fairway routes -o json | jq -r '.items[].id'`
}

// Run prints the routes.
func (r *routesCommand) Run(ctx context.Context, c *console) error {
	routes := func(a *api.Client) (api.List[api.Route], error) {
		return a.Routes(ctx, api.Query{Service: r.Service, Source: r.Source, Host: r.Host})
	}
	if !r.Traffic {
		_, err := list(c, routes, c.routes)
		return err
	}
	_, err := ask(c, func(a *api.Client) (now api.Traffic, err error) {
		found, err := routes(a)
		if err == nil {
			now, err = a.Traffic(ctx)
		}
		return trafficOf(now, found.Items, r.Service+r.Source+r.Host == ""), err
	}, c.traffic)
	return err
}

// trafficOf keeps what goes through routes, the busiest first; with all also the
// requests that no route took.
func trafficOf(now api.Traffic, routes []api.Route, all bool) api.Traffic {
	known, backends := map[string]bool{"": all}, map[string]bool{}
	for _, r := range routes {
		known[r.ID] = true
		if r.Backend != nil {
			backends[r.Backend.ID] = true
		}
	}
	now.Routes = slices.DeleteFunc(now.Routes, func(t api.RouteTraffic) bool { return !known[t.Route] })
	now.Endpoints = slices.DeleteFunc(now.Endpoints, func(t api.EndpointTraffic) bool { return !backends[t.Backend] })
	slices.SortStableFunc(now.Routes, func(a, b api.RouteTraffic) int { return cmp.Compare(b.Rate, a.Rate) })
	return now
}

func (c *console) traffic(now api.Traffic) {
	milliseconds := func(ms float64) string {
		if ms == 0 {
			return "-"
		}
		return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
	}
	var rows [][]cell
	for _, t := range now.Routes {
		name, failing := text(t.Route), plain
		if t.Route == "" {
			name = cell{"(no route)", faint}
		}
		if t.Errors > 0 {
			failing = bad
		}
		rows = append(rows, []cell{
			name, text(strconv.FormatFloat(t.Rate, 'f', 1, 64)),
			{strconv.FormatFloat(t.Errors, 'f', 1, 64), failing},
			text(milliseconds(t.Median)), text(milliseconds(t.P95)),
		})
	}
	c.table("", []string{"ROUTE", "REQUESTS/S", "ERRORS/S", "MEDIAN", "P95"}, rows)
}

func (c *console) routes(routes []api.Route) {
	if len(routes) == 0 {
		c.note("No routes. A container gets one with the label fairway.host=NAME.")
		return
	}
	header := []string{"ROUTE", "MATCHES", "READY", "STATE"}
	if c.wide() {
		header = append(header, "PRIORITY", "FILTERS", "BALANCE", "SOURCE")
	}
	var rows [][]cell
	for _, r := range routes {
		state, col := routeState(r)
		row := []cell{text(r.ID), text(takes(r.Matches)), text(endpoints(r)), {state, col}}
		if c.wide() {
			balance := ""
			if r.Backend != nil {
				balance = r.Backend.Balance
			}
			row = append(row, text(strconv.Itoa(r.Priority)), text(strings.Join(r.Filters, "; ")), text(balance), text(r.Source))
		}
		rows = append(rows, row)
	}
	c.table("", header, rows)
}

// takes returns the matches of a route, in short.
func takes(matches []api.Match) string {
	var all []string
	for _, m := range matches {
		all = append(all, short(m))
	}
	return strings.Join(all, " || ")
}

// short writes a plain match as one writes a URL, and any other in full.
func short(m api.Match) string {
	if len(m.Conditions) > 0 || m.PathKind != "prefix" || m.HostKind == "regexp" {
		return m.Text
	}
	if m.Path == "/" {
		return m.Host
	}
	return m.Host + m.Path
}

// endpoints counts the endpoints of a route: ready ones of all.
func endpoints(r api.Route) string {
	if r.Backend == nil {
		return "-"
	}
	ready := 0
	for _, e := range r.Endpoints {
		if e.State == "ready" {
			ready++
		}
	}
	return fmt.Sprintf("%d/%d", ready, len(r.Endpoints))
}

// routeState returns the state of a route, the worst first.
func routeState(r api.Route) (string, colour) {
	switch {
	case r.Refused != "":
		return "refused", bad
	case r.Backend != nil && strings.HasPrefix(endpoints(r), "0/"):
		return strings.Join(append([]string{"unavailable"}, steered(r)...), ": "), bad
	case r.LastGood:
		return "last good", doubt
	case r.Stale != nil:
		return "stale", doubt
	case steered(r) != nil:
		return "served: " + steered(r)[0], doubt
	default:
		return "served", good
	}
}

// steered returns the command that an endpoint of the route obeys, if any does.
func steered(r api.Route) []string {
	for _, e := range r.Endpoints {
		if e.By != "" {
			return []string{e.By}
		}
	}
	return nil
}
