package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

type servicesCommand struct {
	Name   string `arg:"" optional:"" help:"Service to show in full, by ID or name."`
	Source string `name:"source" placeholder:"NAME" help:"Only services of this source."`
}

// Run prints the services.
func (s *servicesCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	if s.Name != "" {
		found, err := a.Service(ctx, s.Name)
		return list(c, found, err, c.inFull)
	}
	found, err := a.Services(ctx, api.Query{Source: s.Source})
	c.incomplete(found.Incomplete)
	return list(c, found, err, orNote(c, "No services. The sources see nothing; see: fairway sources", c.services))
}

func (c *console) inFull(services []api.Service) {
	for i, service := range services {
		if i > 0 {
			c.printf("\n")
		}
		c.service(service)
	}
}

func (c *console) services(services []api.Service) {
	t := c.columns("SERVICE", "RUNNING", "ROUTES", "PROBLEMS", "SOURCE", "STATE", "+CREATED", "+IMAGE")
	for _, s := range services {
		ready := 0
		var images []string
		for _, i := range s.Instances {
			if i.State == "ready" {
				ready++
			}
			if i.Image != "" && !slices.Contains(images, i.Image) {
				images = append(images, i.Image)
			}
		}
		problems := cell{strconv.Itoa(s.Problems), plain}
		if s.Problems > 0 {
			problems.colour = bad
		}
		t.add(s.ID, fmt.Sprintf("%d/%d", ready, len(s.Instances)), len(s.Routes), problems, staleCell(s.Source, s.Stale), conditionCell(s.Condition), s.Created, strings.Join(images, " "))
	}
	t.print()
}

// conditionCell is a condition with the first reason for it.
func conditionCell(condition api.Condition) cell {
	text := cmp.Or(condition.State, "not routed")
	if why := condition.Why(); why != "" {
		text += ": " + why
	}
	return cell{text, stateColour(condition.State)}
}

func staleCell(source string, stale *api.Stale) cell {
	if stale == nil {
		return text(source)
	}
	return cell{source + " (stale)", doubt}
}

// staleText says since when a source does not answer and why; it is empty for one that
// does.
func staleText(s *api.Stale) string {
	if s == nil {
		return ""
	}
	t := "its source does not answer"
	if !s.Since.IsZero() {
		t += " since " + human.Time(s.Since)
	}
	if s.Error != "" {
		t += ": " + s.Error
	}
	return t
}

func (c *console) service(s api.Service) {
	var f fields
	f.add("service", cell{s.ID, bold})
	f.add("state", cell{s.Condition.State, stateColour(s.Condition.State)})
	for _, r := range s.Condition.Reasons {
		f.add("reason", r.Text)
		f.add("hint", r.Hint)
	}
	f.add("source", staleCell(s.Source, s.Stale))
	f.add("stale", cell{staleText(s.Stale), doubt})
	f.add("created", s.Created)
	f.lines("labels", labelLines(s.Labels))
	f.lines("routes", s.Routes)
	if s.Problems > 0 {
		f.add("problems", cell{fmt.Sprintf("%d; see: fairway problems --service %s", s.Problems, s.ID), bad})
	}
	c.table("", nil, f)
	for _, i := range s.Instances {
		c.printf("\n")
		c.instance(i)
	}
}

func (c *console) instance(i api.Instance) {
	state := i.State
	if i.StateReason != "" {
		state += " (" + i.StateReason + ")"
	}
	node := i.Node
	if i.NodeName != "" && i.NodeName != i.Node {
		node = i.NodeName + " (" + i.Node + ")"
	}
	var f fields
	f.add("instance", cell{i.Name, bold})
	f.add("id", i.ID)
	f.add("state", cell{state, colourOf(i.State, bad)})
	f.add("by", i.By)
	f.add("node", node)
	f.add("image", i.Image)
	f.add("started", i.Started)
	var addresses, ports []string
	for _, a := range i.Addresses {
		addresses = append(addresses, address(a))
	}
	for _, p := range i.Ports {
		t := fmt.Sprintf("%d/%s", p.Number, p.Protocol)
		if p.Published != "" {
			t += " published on " + p.Published
		}
		ports = append(ports, t)
	}
	f.lines("addresses", addresses)
	f.lines("ports", ports)
	f.lines("labels", labelLines(i.Labels))
	c.table("  ", nil, f)
}

func address(a api.Address) string {
	t := a.Host
	if a.Port != 0 {
		t += ":" + strconv.Itoa(int(a.Port))
	}
	if a.Network != "" {
		t += " on network " + a.Network
	}
	if a.Reach == "none" {
		t += " (Fairway cannot reach it)"
	}
	return t
}

// labelLines are labels as KEY=VALUE, sorted.
func labelLines(labels map[string]string) (lines []string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		lines = append(lines, key+"="+labels[key])
	}
	return lines
}

type nodesCommand struct {
	Source string `name:"source" placeholder:"NAME" help:"Only nodes of this source."`
}

// Run prints the nodes.
func (n *nodesCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	found, err := a.Nodes(ctx, api.Query{Source: n.Source})
	return list(c, found, err, orNote(c, "No nodes: no source knows of machines.", c.nodes))
}

func (c *console) nodes(nodes []api.Node) {
	t := c.columns("NODE", "NAME", "STATE", "AVAILABILITY", "ROLE", "INSTANCES", "ADDRESS", "ENGINE", "SOURCE")
	for _, n := range nodes {
		t.add(n.ID, n.Name, cell{n.State, colourOf(n.State, bad)}, cell{n.Availability, colourOf(n.Availability, plain)}, n.Role, n.Instances, n.Address, n.Engine, n.Source)
	}
	t.print()
}

type sourcesCommand struct{}

// Run prints the sources.
func (*sourcesCommand) Run(ctx context.Context, c *console, a *api.Client) error {
	found, err := a.Sources(ctx)
	return noIf(list(c, found, err, c.sources), slices.ContainsFunc(found.Items, func(s api.Source) bool { return s.State != api.SourceCurrent }))
}

func (c *console) sources(sources []api.Source) {
	t := c.columns("SOURCE", "STATE", "SERVICES", "ANSWERED", "HELD", "+LAST SUCCESS", "+HELD SERVICES")
	for _, s := range sources {
		age := "never"
		if s.Age != "" {
			age = s.Age + " ago"
		}
		t.add(s.Name, cell{s.State, colourOf(s.State, doubt)}, s.Services, age, len(s.Held), s.LastSuccess, strings.Join(s.Held, " "))
	}
	t.print()
	for _, s := range sources {
		for _, r := range s.Condition.Reasons {
			c.raw("\n" + c.paint(bold, s.Name) + ": " + human.Escape(r.Text))
			c.hint("  ", r.Hint)
		}
		if len(s.Held) > 0 {
			c.raw("\n" + c.paint(bold, s.Name) + human.Escape(": gone from its newest answer, kept until the next one confirms it: "+strings.Join(s.Held, ", ")))
		}
	}
}
