package printer

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/console"
	"fairway/internal/human"
)

// ServicesInFull prints all that is known of services.
func (c *Printer) ServicesInFull(services []api.Service) {
	if c.CSV() {
		c.Services(services)
		return
	}
	for i, service := range services {
		if i > 0 {
			c.Printf("\n")
		}
		c.service(service)
	}
}

// Services prints services, a line each.
func (c *Printer) Services(services []api.Service) {
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

func (c *Printer) service(s api.Service) {
	var f console.Fields
	f.Add("service", console.Bold.Cell(s.ID))
	f.Add("state", stateColour(s.Condition.State).Cell(s.Condition.State))
	for _, r := range s.Condition.Reasons {
		f.Add("reason", r.Text)
		f.Add("hint", r.Hint)
	}
	f.Add("source", staleCell(s.Source, s.Stale))
	f.Add("stale", console.Doubt.Cell(c.staleText(s.Stale)))
	f.Add("created", s.Created)
	f.Lines("labels", LabelLines(s.Labels))
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

func (c *Printer) instance(i api.Instance) {
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
	f.Add("state", ColourOf(i.State, console.Bad).Cell(state))
	f.Add("by", i.By)
	f.Add("node", node)
	f.Add("image", i.Image)
	f.Add("started", i.Started)
	if i.Restarts > 0 {
		f.Add("restarts", console.Doubt.Cell(strconv.Itoa(i.Restarts)+", by its restart policy"))
	}
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
	f.Lines("labels", LabelLines(i.Labels))
	c.Fields("  ", f)
}

// Nodes prints nodes.
func (c *Printer) Nodes(nodes []api.Node) {
	t := c.Columns("NODE", "NAME", "STATE", "-AVAILABILITY", "-ROLE", "INSTANCES", "-ADDRESS", "ENGINE", "-SOURCE")
	for _, n := range nodes {
		otherwise := console.Bad
		if n.State == api.NodeNotWatched {
			otherwise = console.Faint
		}
		t.Add(n.ID, n.Name, ColourOf(n.State, otherwise).Cell(n.State), ColourOf(n.Availability, console.Plain).Cell(n.Availability), n.Role, n.Instances, n.Address, n.Engine, n.Source)
	}
	t.Print()
}

// Sources prints sources, and below them what is wrong with them.
func (c *Printer) Sources(sources []api.Source) {
	t := c.Columns("SOURCE", "STATE", "SERVICES", "ANSWERED", "HELD", "+LAST SUCCESS", "+HELD SERVICES")
	for _, s := range sources {
		age := "never"
		if s.Age != "" {
			age = s.Age + " ago"
		}
		t.Add(s.Name, ColourOf(s.State, console.Doubt).Cell(s.State), s.Services, age, len(s.Held), s.LastSuccess, strings.Join(s.Held, " "))
	}
	t.Print()
	for _, s := range sources {
		for _, r := range s.Condition.Reasons {
			c.Raw("\n" + c.Paint(console.Bold, s.Name) + ": " + human.Escape(r.Text))
			c.Hint("  ", r.Hint)
		}
		if len(s.Held) > 0 {
			c.Raw("\n" + c.Paint(console.Bold, s.Name) + human.Escape(": gone from its newest answer, kept until the next one confirms it: "+strings.Join(s.Held, ", ")))
		}
	}
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
func (c *Printer) staleText(s *api.Stale) string {
	if s == nil {
		return ""
	}
	t := "its source does not answer"
	if !s.Since.IsZero() {
		t += " since " + c.Time(s.Since)
	}
	if s.Error != "" {
		t += ": " + s.Error
	}
	return t
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

// LabelLines are labels as KEY=VALUE, sorted.
func LabelLines(labels map[string]string) (lines []string) {
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		lines = append(lines, key+"="+labels[key])
	}
	return lines
}
