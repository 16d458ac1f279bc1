package main

import (
	"context"
	"strconv"

	"fairway/internal/api"
)

type nodesCommand struct {
	Source string `name:"source" placeholder:"NAME" help:"Only nodes that this source sees."`
}

// Help implements kong.HelpProvider.
func (nodesCommand) Help() string {
	return `Examples:

    fairway nodes
    fairway nodes -o json`
}

// Run prints the nodes.
func (n *nodesCommand) Run(ctx context.Context, c *console) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	defer client.Close()
	list, err := client.Nodes(ctx, api.Query{Source: n.Source})
	if err != nil {
		return err
	}
	return c.print(list, func() { c.nodes(list.Items) })
}

func (c *console) nodes(nodes []api.Node) {
	if len(nodes) == 0 {
		c.note("No nodes: no source knows of machines.")
		return
	}
	header := []string{"NODE", "NAME", "STATE", "AVAILABILITY", "ROLE", "INSTANCES", "ADDRESS", "ENGINE", "SOURCE"}
	var rows [][]cell
	for _, n := range nodes {
		rows = append(rows, []cell{
			text(n.ID), text(n.Name),
			{n.State, stateColour(n.State)},
			{n.Availability, availabilityColour(n.Availability)},
			text(n.Role), text(strconv.Itoa(n.Instances)), text(n.Address), text(n.Engine), text(n.Source),
		})
	}
	c.table("", header, rows)
}

func availabilityColour(availability string) colour {
	if availability == "pause" || availability == "drain" {
		return doubt
	}
	return plain
}
