package ui

import (
	"fairway/internal/api"
)

// nodesData is the machines with what runs on them.
type nodesData struct {
	list[*node]
	Commands []api.Command
	May      bool
}

// node is a machine with its instances.
type node struct {
	api.Node
	Health  string
	Marks   []placedInstance
	Ready   int
	Command *api.Command
}

// placedInstance is an instance on a node, with its service.
type placedInstance struct {
	mark
	Link string
}

func (p *Pages) nodes(c *call) (any, error) {
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
		out := &node{Node: n, Health: fine}
		if n.State != "ready" {
			out.Health = broken
		} else if n.Availability != "" && n.Availability != "active" {
			out.Health = waiting
		}
		for i, command := range commands.Items {
			if command.Node == n.ID {
				out.Command = &commands.Items[i]
				out.Health = worse(out.Health, waiting)
			}
		}
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
			n.Marks = append(n.Marks, placedInstance{m, link("services", s.ID)})
		}
	}
	d := nodesData{May: c.may(api.RoleOperator)}
	d.list = newList(c, all, func(n *node, words []string, filter string) bool {
		return (filter != "trouble" || n.Health != fine) && has(words, n.ID, n.Name, n.Source, n.State, n.Role, n.Address, n.Availability)
	})
	return d, nil
}
