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
	"fairway/internal/console"
	"fairway/internal/human"
)

type servicesCommand struct {
	Name   string `arg:"" optional:"" help:"Service to show in full, by ID or name."`
	Source string `name:"source" placeholder:"NAME" help:"Only services of this source."`
}

// Run prints the services.
func (s *servicesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	if s.Name != "" {
		found, err := a.Service(ctx, s.Name)
		return list(c, found, err, c.inFull)
	}
	found, err := a.Services(ctx, api.Query{Source: s.Source})
	c.incomplete(found.Incomplete)
	return list(c, found, err, orNote(c, "No services. The sources see nothing; see: fairway sources", c.services))
}

func (c *cli) inFull(services []api.Service) {
	for i, service := range services {
		if i > 0 {
			c.Printf("\n")
		}
		c.service(service)
	}
}

func (c *cli) services(services []api.Service) {
	t := c.Columns("SERVICE", "RUNNING", "ROUTES", "PROBLEMS", "-SOURCE", "STATE", "+CREATED", "+IMAGE")
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
		problems := console.Plain.Cell(strconv.Itoa(s.Problems))
		if s.Problems > 0 {
			problems.Colour = console.Bad
		}
		t.Add(s.ID, fmt.Sprintf("%d/%d", ready, len(s.Instances)), len(s.Routes), problems, staleCell(s.Source, s.Stale), conditionCell(s.Condition), s.Created, strings.Join(images, " "))
	}
	t.Print()
}

// conditionCell is a condition with the first reason for it.
func conditionCell(condition api.Condition) console.Cell {
	text := cmp.Or(condition.State, "not routed")
	if why := condition.Why(); why != "" {
		text += ": " + why
	}
	return stateColour(condition.State).Cell(text)
}

func staleCell(source string, stale *api.Stale) console.Cell {
	if stale == nil {
		return console.Plain.Cell(source)
	}
	return console.Doubt.Cell(source + " (stale)")
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

func (c *cli) service(s api.Service) {
	var f console.Fields
	f.Add("service", console.Bold.Cell(s.ID))
	f.Add("state", stateColour(s.Condition.State).Cell(s.Condition.State))
	for _, r := range s.Condition.Reasons {
		f.Add("reason", r.Text)
		f.Add("hint", r.Hint)
	}
	f.Add("source", staleCell(s.Source, s.Stale))
	f.Add("stale", console.Doubt.Cell(staleText(s.Stale)))
	f.Add("created", s.Created)
	f.Lines("labels", labelLines(s.Labels))
	f.Lines("routes", s.Routes)
	if s.Problems > 0 {
		f.Add("problems", console.Bad.Cell(fmt.Sprintf("%d; see: fairway problems --service %s", s.Problems, s.ID)))
	}
	c.Fields("", f)
	for _, i := range s.Instances {
		c.Printf("\n")
		c.instance(i)
	}
}

func (c *cli) instance(i api.Instance) {
	state := i.State
	if i.StateReason != "" {
		state += " (" + i.StateReason + ")"
	}
	node := i.Node
	if i.NodeName != "" && i.NodeName != i.Node {
		node = i.NodeName + " (" + i.Node + ")"
	}
	var f console.Fields
	f.Add("instance", console.Bold.Cell(i.Name))
	f.Add("id", i.ID)
	f.Add("state", colourOf(i.State, console.Bad).Cell(state))
	f.Add("by", i.By)
	f.Add("node", node)
	f.Add("image", i.Image)
	f.Add("started", i.Started)
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
	f.Lines("addresses", addresses)
	f.Lines("ports", ports)
	f.Lines("labels", labelLines(i.Labels))
	c.Fields("  ", f)
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
func (n *nodesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Nodes(ctx, api.Query{Source: n.Source})
	return list(c, found, err, orNote(c, "No nodes: no source knows of machines.", c.nodes))
}

func (c *cli) nodes(nodes []api.Node) {
	t := c.Columns("NODE", "NAME", "STATE", "-AVAILABILITY", "-ROLE", "INSTANCES", "-ADDRESS", "ENGINE", "-SOURCE")
	for _, n := range nodes {
		t.Add(n.ID, n.Name, colourOf(n.State, console.Bad).Cell(n.State), colourOf(n.Availability, console.Plain).Cell(n.Availability), n.Role, n.Instances, n.Address, n.Engine, n.Source)
	}
	t.Print()
}

type sourcesCommand struct{}

// Run prints the sources.
func (*sourcesCommand) Run(ctx context.Context, c *cli, a *api.Client) error {
	found, err := a.Sources(ctx)
	return noIf(list(c, found, err, c.sources), slices.ContainsFunc(found.Items, func(s api.Source) bool { return s.State != api.SourceCurrent }))
}

func (c *cli) sources(sources []api.Source) {
	t := c.Columns("SOURCE", "STATE", "SERVICES", "ANSWERED", "HELD", "+LAST SUCCESS", "+HELD SERVICES")
	for _, s := range sources {
		age := "never"
		if s.Age != "" {
			age = s.Age + " ago"
		}
		t.Add(s.Name, colourOf(s.State, console.Doubt).Cell(s.State), s.Services, age, len(s.Held), s.LastSuccess, strings.Join(s.Held, " "))
	}
	t.Print()
	for _, s := range sources {
		for _, r := range s.Condition.Reasons {
			c.Raw("\n" + c.Paint(console.Bold, s.Name) + ": " + human.Escape(r.Text))
			c.hint("  ", r.Hint)
		}
		if len(s.Held) > 0 {
			c.Raw("\n" + c.Paint(console.Bold, s.Name) + human.Escape(": gone from its newest answer, kept until the next one confirms it: "+strings.Join(s.Held, ", ")))
		}
	}
}
