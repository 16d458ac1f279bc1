package main

import (
	"context"

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
	header := []string{"NODE", "NAME", "STATE", "ADDRESS", "ENGINE", "SOURCE"}
	if c.wide() {
		header = append(header, "ROLE")
	}
	var rows [][]cell
	for _, n := range nodes {
		row := []cell{text(n.ID), text(n.Name), {n.State, stateColour(n.State)}, text(n.Address), text(n.Engine), text(n.Source)}
		if c.wide() {
			row = append(row, text(n.Role))
		}
		rows = append(rows, row)
	}
	c.table("", header, rows)
}
