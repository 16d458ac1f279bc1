package ui

import (
	"net/http"
	"slices"
	"strings"

	"fairway/internal/admin/ui/draw"
	"fairway/internal/admin/ui/listing"
	"fairway/internal/admin/ui/signs"
	"fairway/internal/api"
)

type node struct {
	api.Node
	Health  string
	Marks   []placedInstance
	Ready   int
	Command *api.Command // what an operator has asked of it; nil for nothing
	Drain   *api.Command // nil for none
	Plots   []draw.Plot
}

type placedInstance struct {
	api.Instance
	Link    string
	Service string
	Project string // of the service
	Plots   []draw.Plot
}

// Page is the page of the instance.
func (in placedInstance) Page() string { return instanceLink(in.Instance) }

func readNodes(c *call) (any, error) {
	l := listing.New(c.r.URL.Path, c.q, allNodes(c), func(n *node, words []string, filter string) bool {
		return (filter != "trouble" || n.Health != signs.Fine) && listing.Has(words, n.ID, n.Name, n.Source, n.State, n.Role, n.Address, n.Availability)
	},
		listing.Text("name", func(n *node) string { return n.Name }),
		listing.Most("state", func(n *node) int { return signs.Badness(n.Health) }),
		listing.Most("instances", func(n *node) int { return len(n.Marks) }))
	if c.q.Get("format") != "" {
		return nodesData{l}, nil // no plots
	}
	for _, n := range l.Items {
		n.Plots = draw.Plots(c, c.ask, c.now, draw.Subject{Group: api.SeriesNodes, Name: n.ID}, draw.Ranges()[0], draw.SmallUsage()...)
	}
	return nodesData{l}, nil
}

// allNodes asks for the machines and puts the instances on them.
func allNodes(c *call) []*node {
	commands := must(c.ask.Commands(c)).Items
	byID := map[string]*node{}
	var all []*node
	for _, n := range must(c.ask.Nodes(c, api.Query{})).Items {
		out := newNode(n, commands)
		byID[n.ID] = out
		all = append(all, out)
	}
	for _, s := range must(c.ask.Services(c, api.Query{})).Items {
		for _, in := range s.Instances {
			n := byID[in.Node]
			if n == nil {
				continue
			}
			if signs.Word(in.State) == signs.Fine {
				n.Ready++
			}
			n.Marks = append(n.Marks, placedInstance{Instance: in, Link: link("services", s.ID), Service: s.Name, Project: s.Project})
		}
	}
	return all
}

// nodesOf are the machines on which instances of a project run, with those alone.
func nodesOf(c *call, project string) []*node {
	all := allNodes(c)
	for _, n := range all {
		n.Marks = slices.DeleteFunc(n.Marks, func(in placedInstance) bool { return in.Project != project })
	}
	return slices.DeleteFunc(all, func(n *node) bool { return len(n.Marks) == 0 })
}

func newNode(n api.Node, commands []api.Command) *node {
	out := &node{Node: n, Health: signs.Fine}
	on := func(command api.Command) bool { return command.Node == n.ID }
	out.Command = inForce(commands, on)
	out.Drain = inForce(commands, func(command api.Command) bool { return isDrain(command) && on(command) })
	switch {
	case n.State != "ready":
		out.Health = signs.Broken
	case n.Availability != "" && n.Availability != "active", out.Drain != nil:
		out.Health = signs.Waiting
	}
	return out
}

type nodeData struct {
	*node
	Ranges []draw.Range
	Order  listing.Order // of the instances
	May    bool
}

func (d nodeData) Self() string { return link("nodes", d.ID) }

func (d nodeData) title() string { return heading(d.Name) }

const maxPlotted = 80 // instances of a machine

func readNode(c *call) (any, error) {
	all := allNodes(c)
	name := strings.TrimPrefix(c.r.URL.Path, "/nodes/")
	i := slices.IndexFunc(all, func(n *node) bool { return named(name, n.ID) })
	if i < 0 {
		return nil, problem(http.StatusNotFound, "No such machine", "It may have left.")
	}
	ranges, r := draw.Choose(c.q.Get("range"))
	d := nodeData{node: all[i], May: c.may(api.RoleOperator), Ranges: ranges}
	d.Plots = draw.Plots(c, c.ask, c.now, draw.Subject{Group: api.SeriesNodes, Name: d.ID}, r, draw.Usage()...)
	d.Marks, d.Order = listing.Sort(c.r.URL.Path, c.q, d.Marks,
		listing.Text("instance", func(in placedInstance) string { return in.Name }),
		listing.Text("service", func(in placedInstance) string { return in.Service }),
		listing.Most("state", func(in placedInstance) int { return signs.Badness(signs.Word(in.State)) }))
	for i := range d.Marks[:min(maxPlotted, len(d.Marks))] {
		in := &d.Marks[i]
		in.Plots = draw.Plots(c, c.ask, c.now, draw.Subject{Group: api.SeriesInstances, Name: in.Name + "@" + in.Source}, r, draw.SmallUsage()...)
	}
	return d, nil
}
