package main

import (
	"context"
	"slices"

	"fairway/internal/api"
)

type servicesCommand struct {
	Name   string `arg:"" optional:"" help:"Service to show in full, by ID or name."`
	Source string `name:"source" placeholder:"NAME" help:"Only services of this source."`
}

// Run prints the services.
func (s *servicesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if s.Name != "" {
		found, err := a.Service(ctx, s.Name)
		return list(c, found, err, c.ServicesInFull)
	}
	found, err := a.Services(ctx, api.Query{Source: s.Source})
	c.Incomplete(found.Incomplete)
	return list(c, found, err, orNote(c, "No services. The sources see nothing; see: fairway sources", c.Services))
}

type nodesCommand struct {
	Source string `name:"source" placeholder:"NAME" help:"Only nodes of this source."`
}

// Run prints the nodes.
func (n *nodesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Nodes(ctx, api.Query{Source: n.Source})
	return list(c, found, err, orNote(c, "No nodes: no source knows of machines.", c.Nodes))
}

type sourcesCommand struct{}

// Run prints the sources.
func (*sourcesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Sources(ctx)
	return noIf(list(c, found, err, c.Sources), slices.ContainsFunc(found.Items, func(s api.Source) bool { return s.State != api.SourceCurrent }))
}
