package ui

import (
	"net/http"
	"slices"
	"strings"

	"fairway/internal/api"
)

// nodesData is the machines with what runs on them.
type nodesData struct {
	list[*node]
	May bool
}

// node is a machine with its instances.
type node struct {
	api.Node
	Health  string
	Marks   []placedInstance
	Ready   int
	Command *api.Command
	Plots   []plot
}

// placedInstance is an instance on a node, with its service.
type placedInstance struct {
	mark
	Link    string
	Service string
	api.Instance
	Plots []plot
}

func (p *Pages) nodes(c *call) (any, error) {
	all, err := readNodes(c)
	if err != nil {
		return nil, err
	}
	d := nodesData{May: c.may(api.RoleOperator)}
	d.list = newList(c, all, func(n *node, words []string, filter string) bool {
		return (filter != "trouble" || n.Health != fine) && has(words, n.ID, n.Name, n.Source, n.State, n.Role, n.Address, n.Availability)
	})
	hour := timeRanges()[0]
	for _, n := range d.Items {
		n.Plots = plotsOf(c, api.SeriesNodes, n.ID, hour, smallPlots()...)
	}
	return d, nil
}

// readNodes asks for the machines and puts the instances on them.
func readNodes(c *call) ([]*node, error) {
	found, err := c.ask.Nodes(c, api.Query{})
	if err != nil {
		return nil, err
	}
	services, err := c.ask.Services(c, api.Query{})
	if err != nil {
		return nil, err
	}
	commands, err := c.ask.Commands(c)
	if err != nil {
		return nil, err
	}
	byID := map[string]*node{}
	var all []*node
	for _, n := range found.Items {
		out := newNode(n, commands.Items)
		byID[n.ID] = out
		all = append(all, out)
	}
	for _, s := range services.Items {
		for _, in := range s.Instances {
			n := byID[in.Node]
			if n == nil {
				continue
			}
			m := mark{ID: in.ID, Health: stateHealth(in.State), Text: in.Name + ": " + in.State}
			if m.Health == fine {
				n.Ready++
			}
			n.Marks = append(n.Marks, placedInstance{mark: m, Link: link("services", s.ID), Service: s.Name, Instance: in})
		}
	}
	return all, nil
}

func newNode(n api.Node, commands []api.Command) *node {
	out := &node{Node: n, Health: fine}
	if n.State != "ready" {
		out.Health = broken
	} else if n.Availability != "" && n.Availability != "active" {
		out.Health = waiting
	}
	for i, command := range commands {
		if command.Node == n.ID {
			out.Command = &commands[i]
			out.Health = worse(out.Health, waiting)
		}
	}
	return out
}

// nodeData is one machine.
type nodeData struct {
	*node
	Ranges []timeRange
	Here   string // the range that is shown
	May    bool
	Self   string // link to the page itself
}

func (d nodeData) title() string { return heading(d.Name) }

// maxPlotted is how many instances of a machine are plotted.
const maxPlotted = 80

func (p *Pages) node(c *call) (any, error) {
	all, err := readNodes(c)
	if err != nil {
		return nil, err
	}
	name := strings.TrimPrefix(c.r.URL.Path, "/nodes/")
	i := slices.IndexFunc(all, func(n *node) bool { return named(name, n.ID) })
	if i < 0 {
		return nil, &api.Error{Status: http.StatusNotFound, Title: "No such machine", Detail: "It may have left."}
	}
	d := nodeData{node: all[i], May: c.may(api.RoleOperator), Self: link("nodes", all[i].ID)}
	var r timeRange
	d.Ranges, r = chosenRange(c)
	d.Here = r.Name
	d.Plots = plotsOf(c, api.SeriesNodes, d.ID, r, usagePlots()...)
	for i := range d.Marks[:min(maxPlotted, len(d.Marks))] {
		in := &d.Marks[i]
		in.Plots = plotsOf(c, api.SeriesInstances, in.Name+"@"+in.Source, r, smallPlots()...)
	}
	return d, nil
}
