package main

import (
	"context"
	"slices"

	"fairway/internal/api"
	"fairway/internal/human"
)

type servicesCommand struct {
	Name   string `arg:"" optional:"" help:"Service to show in full, by ID or name."`
	Source string `name:"source" placeholder:"NAME" help:"Only services of this source."`
	All    bool   `name:"all" short:"a" help:"Also services without a label of Fairway."`
	watching
}

// Run prints the services.
func (s *servicesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	return s.show(ctx, c, a, false, func() error { return s.once(ctx, c, a) })
}

func (s *servicesCommand) once(ctx context.Context, c *cli, a *api.Client) error {
	if s.Name != "" {
		found, err := a.Service(ctx, s.Name)
		return list(c, found, err, c.ServicesInFull)
	}
	found, err := a.Services(ctx, api.Query{Source: s.Source})
	c.Incomplete(found.Incomplete)
	shown := found.Items
	if !s.All && c.Format != "json" {
		shown = slices.DeleteFunc(slices.Clone(shown), func(svc api.Service) bool { return !svc.Asks() })
	}
	hidden := len(found.Items) - len(shown)
	found.Items = shown
	none := "No services. The sources see nothing; see: fairway sources"
	if hidden > 0 {
		none = "No service has a label of Fairway."
	}
	err = list(c, found, err, orNote(c, none, c.Services))
	if err == nil && hidden > 0 {
		c.Note("%s without a label of Fairway left out; --all shows them", human.Plural(hidden, "service"))
	}
	return err
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
