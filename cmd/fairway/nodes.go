package main

import (
	"context"
	"strconv"

	"fairway/internal/api"
)

type nodesCommand struct {
	Source string `name:"source" placeholder:"NAME" help:"Only nodes of this source."`
}

// Help implements kong.HelpProvider.
func (nodesCommand) Help() string {
	return `Examples:

    fairway nodes
    fairway nodes -o json`
}

// Run prints the nodes.
func (n *nodesCommand) Run(ctx context.Context, c *console) error {
	_, err := list(c, func(a *api.Client) (api.List[api.Node], error) { return a.Nodes(ctx, api.Query{Source: n.Source}) }, c.nodes)
	return err
}

func (c *console) nodes(nodes []api.Node) {
	if len(nodes) == 0 {
		c.note("No nodes: no source knows of machines.")
		return
	}
	var rows [][]cell
	for _, n := range nodes {
		availability := plain
		if n.Availability == "pause" || n.Availability == "drain" {
			availability = doubt
		}
		rows = append(rows, []cell{
			text(n.ID), text(n.Name),
			{n.State, stateColour(n.State)},
			{n.Availability, availability},
			text(n.Role), text(strconv.Itoa(n.Instances)), text(n.Address), text(n.Engine), text(n.Source),
		})
	}
	c.table("", []string{"NODE", "NAME", "STATE", "AVAILABILITY", "ROLE", "INSTANCES", "ADDRESS", "ENGINE", "SOURCE"}, rows)
}
