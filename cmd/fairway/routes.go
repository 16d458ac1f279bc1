package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
)

type routesCommand struct {
	Service string `name:"service" placeholder:"NAME" help:"Only routes of this service, by ID or name."`
	Source  string `name:"source" placeholder:"NAME" help:"Only routes of this source."`
	Host    string `name:"host" placeholder:"HOST" help:"Only routes that match this host."`
	Traffic bool   `name:"traffic" help:"Show the traffic of each route, the busiest first."`
}

// Run prints the routes.
func (r *routesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	routes, err := a.Routes(ctx, api.Query{Service: r.Service, Source: r.Source, Host: r.Host})
	if err != nil || !r.Traffic {
		err = list(c, routes, err, orNote(c, "No routes. A container gets one with the label fairway.host=NAME.", c.routes))
		c.incomplete(routes.Incomplete)
		return err
	}
	now, err := a.Traffic(ctx)
	return show(c, trafficOf(now, routes.Items, r.Service+r.Source+r.Host == ""), err, c.traffic)
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

func (c *cli) traffic(now api.Traffic) {
	one := func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	milliseconds := func(ms float64) string {
		if ms == 0 {
			return "-"
		}
		return one(ms) + " ms"
	}
	t := c.Columns("ROUTE", "REQUESTS/S", "ERRORS/S", "MEDIAN", "P95")
	for _, r := range now.Routes {
		name, failing := console.Plain.Cell(r.Route), console.Plain.Cell(one(r.Errors))
		if r.Route == "" {
			name = console.Faint.Cell("(no route)")
		}
		if r.Errors > 0 {
			failing.Colour = console.Bad
		}
		t.Add(name, one(r.Rate), failing, milliseconds(r.Median), milliseconds(r.P95))
	}
	t.Print()
}

func (c *cli) routes(routes []api.Route) {
	t := c.Columns("ROUTE", "MATCHES", "READY", "STATE", "+PRIORITY", "+FILTERS", "+BALANCE", "+SOURCE")
	for _, r := range routes {
		balance := ""
		if r.Backend != nil {
			balance = r.Backend.Balance
		}
		t.Add(r.ID, takes(r), endpoints(r), routeState(r), r.Priority, strings.Join(r.Filters, "; "), balance, r.Source)
	}
	t.Print()
}

// takes says which requests a route takes: by the rule as its label has it, or else by the
// matches.
func takes(r api.Route) string {
	if rule := ruleOf(r); rule != "" {
		return rule
	}
	var all []string
	for _, m := range r.Matches {
		all = append(all, short(m))
	}
	return strings.Join(all, " || ")
}

// ruleOf is the label with the rule of a route; empty where it has none, or another form
// of it is served.
func ruleOf(r api.Route) (rule string) {
	if r.LastGood || r.Refused != "" {
		return ""
	}
	for key, value := range r.Labels {
		// fairway.rule, or fairway.NAME.rule
		if strings.HasSuffix(key, ".rule") && strings.Count(key, ".") <= 2 && value != api.Masked {
			if rule != "" {
				return ""
			}
			rule = value
		}
	}
	return rule
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

// endpoints counts the endpoints of a route: those that take requests of all.
func endpoints(r api.Route) string {
	if r.Backend == nil {
		return "-"
	}
	return fmt.Sprintf("%d/%d", r.Ready, len(r.Endpoints))
}

// routeState is the condition of a route, with the first reason for it.
func routeState(r api.Route) console.Cell {
	text := r.Condition.State
	if why := r.Condition.Why(); why != "" {
		return stateColour(r.Condition.State).Cell(text + ": " + why)
	}
	if by := steered(r); by != "" {
		return console.Doubt.Cell(text + by)
	}
	return stateColour(r.Condition.State).Cell(text)
}

// steered is the command that an endpoint of the route obeys, after a colon; empty for
// none.
func steered(r api.Route) string {
	for _, e := range r.Endpoints {
		if e.By != "" {
			return ": " + e.By
		}
	}
	return ""
}

type problemsCommand struct {
	Service string `name:"service" placeholder:"NAME" help:"Only problems of this service (ID or name)."`
	Source  string `name:"source" placeholder:"NAME" help:"Only problems from this source."`
}

// Run prints the problems.
func (p *problemsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Problems(ctx, api.Query{Service: p.Service, Source: p.Source})
	incomplete, none := c.incomplete(found.Incomplete), "No problems of labels. What is wrong otherwise: fairway status"
	if incomplete {
		none = "No problems of labels are known."
	}
	return noIf(list(c, found, err, orNote(c, none, c.problems)), len(found.Items) > 0 || incomplete)
}

func (c *cli) problems(problems []api.Problem) {
	for i, p := range problems {
		if i > 0 {
			c.Printf("\n")
		}
		c.problem(p)
	}
}

func (c *cli) problem(p api.Problem) {
	subject := c.Paint(console.Bold, p.Service)
	if p.Label != "" {
		subject += " " + human.Escape(p.Label)
	}
	if p.Instance != "" {
		subject += human.Escape(" (instance " + p.Instance + ")")
	}
	// Everything in these lines is escaped already.
	c.Raw(subject + "  " + c.Paint(console.Bad, p.Code))
	c.Raw("  " + human.Escape(p.Text))
	if p.Route != "" && p.Route != p.Service {
		c.Raw(c.Paint(console.Faint, "  route: "+p.Route))
	}
	if p.Hint != "" {
		c.Raw("  " + c.Paint(console.Good, "hint: ") + human.Escape(p.Hint))
	}
}
