package main

import (
	"cmp"
	"context"
	"slices"

	"fairway/internal/api"
)

type routesCommand struct {
	Service string `name:"service" placeholder:"NAME" help:"Only routes of this service, by ID or name."`
	Source  string `name:"source" placeholder:"NAME" help:"Only routes of this source."`
	Host    string `name:"host" placeholder:"HOST" help:"Only routes that match this host."`
	State   string `name:"state" placeholder:"STATE,..." help:"Only routes in one of these states: healthy, unknown, held, degraded, refused, down."`
	Traffic bool   `name:"traffic" help:"Show the traffic of each route, the busiest first."`
	watching
}

// Run prints the routes.
func (r *routesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return r.show(ctx, c, a, r.Traffic, func() error { return r.once(ctx, c, a) })
}

func (r *routesCommand) once(ctx context.Context, c *cli, a *api.Client) error {
	routes, err := a.Routes(ctx, api.Query{Service: r.Service, Source: r.Source, Host: r.Host, State: r.State})
	if err != nil || !r.Traffic {
		err = list(c, routes, err, func(items []api.Route) { r.print(ctx, c, a, items) })
		c.Incomplete(routes.Incomplete)
		return err
	}
	now, err := a.Traffic(ctx)
	return show(c, trafficOf(now, routes.Items, r.Service+r.Source+r.Host+r.State == ""), err, c.Traffic)
}

// print prints routes; where there is none, it says which there are.
func (r *routesCommand) print(ctx context.Context, c *cli, a *api.Client, routes []api.Route) {
	if len(routes) > 0 || c.CSV() { // of which there is the header
		c.Routes(routes)
	}
	if len(routes) > 0 {
		return
	}
	var all api.List[api.Route]
	if r.Host+r.Service+r.Source+r.State != "" {
		all, _ = a.Routes(ctx, api.Query{}) // without it there is no hint
	}
	if r.Service != "" {
		if _, err := a.Service(ctx, r.Service); err != nil {
			c.Note("%v", err) // with the name that may be meant
			return
		}
	}
	host := r.Host
	if r.Service+r.Source+r.State != "" {
		host = "" // it may have a route that is left out for another reason
	}
	c.NoRoutes(host, all.Items)
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

type problemsCommand struct {
	Service string `name:"service" placeholder:"NAME" help:"Only problems of this service (ID or name)."`
	Source  string `name:"source" placeholder:"NAME" help:"Only problems from this source."`
	Notices bool   `name:"notices" help:"What is no fault and should be known, such as labels of other proxies that have no effect."`
}

// Run prints the problems.
func (p *problemsCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Problems(ctx, api.Query{Service: p.Service, Source: p.Source, Notices: p.Notices})
	incomplete, none := c.Incomplete(found.Incomplete), "No problems of labels. What is wrong otherwise: fairway status"
	if incomplete {
		none = "No problems of labels are known."
	}
	return noIf(list(c, found, err, orNote(c, none, c.Problems)), len(found.Items) > 0 && !p.Notices || incomplete)
}
