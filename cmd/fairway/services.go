package main

import (
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

// Help implements kong.HelpProvider.
func (servicesCommand) Help() string {
	return `Examples:

    fairway services
    fairway services shop-web
    fairway services shop-web -o json`
}

// Run prints the services.
func (s *servicesCommand) Run(ctx context.Context, c *console) error {
	call, text := func(a *api.Client) (api.List[api.Service], error) {
		return a.Services(ctx, api.Query{Source: s.Source})
	}, c.services
	if s.Name != "" {
		call, text = func(a *api.Client) (api.List[api.Service], error) { return a.Service(ctx, s.Name) }, c.inFull
	}
	_, err := list(c, call, text)
	return err
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
	if len(services) == 0 {
		c.note("No services. The sources see nothing; see: fairway sources")
		return
	}
	header := []string{"SERVICE", "READY", "ROUTES", "PROBLEMS", "SOURCE"}
	if c.wide() {
		header = append(header, "CREATED", "IMAGE")
	}
	var rows [][]cell
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
		row := []cell{text(s.ID), text(fmt.Sprintf("%d/%d", ready, len(s.Instances))), text(strconv.Itoa(len(s.Routes))), count(s.Problems), staleCell(s.Source, s.Stale)}
		if c.wide() {
			row = append(row, text(human.Time(s.Created)), text(strings.Join(images, " ")))
		}
		rows = append(rows, row)
	}
	c.table("", header, rows)
}

// count is a number that had better be zero.
func count(n int) cell {
	if n > 0 {
		return cell{strconv.Itoa(n), bad}
	}
	return text("0")
}

func staleCell(source string, stale *api.Stale) cell {
	if stale == nil {
		return text(source)
	}
	return cell{source + " (stale)", doubt}
}

// service prints one service in full.
func (c *console) service(s api.Service) {
	rows := [][]cell{{{"service", faint}, {s.ID, bold}}, {{"source", faint}, staleCell(s.Source, s.Stale)}}
	if s.Stale != nil {
		rows = append(rows, []cell{{"stale", faint}, {staleText(s.Stale), doubt}})
	}
	if !s.Created.IsZero() {
		rows = append(rows, []cell{{"created", faint}, text(human.Time(s.Created))})
	}
	rows = append(rows, labelRows(s.Labels)...)
	for i, r := range s.Routes {
		rows = append(rows, []cell{{first(i, "routes"), faint}, text(r)})
	}
	if s.Problems > 0 {
		rows = append(rows, []cell{{"problems", faint}, {fmt.Sprintf("%d; see: fairway problems --service %s", s.Problems, s.ID), bad}})
	}
	c.table("", nil, rows)
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
	rows := [][]cell{{{"instance", faint}, {i.Name, bold}}, {{"id", faint}, text(i.ID)}, {{"state", faint}, {state, stateColour(i.State)}}}
	for _, field := range []struct{ name, value string }{
		{"by", i.By},
		{"node", nodeText(i)},
		{"image", i.Image},
		{"started", human.Time(i.Started)},
	} {
		if field.value != "" {
			rows = append(rows, []cell{{field.name, faint}, text(field.value)})
		}
	}
	for n, a := range i.Addresses {
		rows = append(rows, []cell{{first(n, "addresses"), faint}, text(address(a))})
	}
	for n, p := range i.Ports {
		t := fmt.Sprintf("%d/%s", p.Number, p.Protocol)
		if p.Published != "" {
			t += " published on " + p.Published
		}
		rows = append(rows, []cell{{first(n, "ports"), faint}, text(t)})
	}
	rows = append(rows, labelRows(i.Labels)...)
	c.table("  ", nil, rows)
}

// nodeText names the machine, and the node's ID where that says more.
func nodeText(i api.Instance) string {
	if i.NodeName == "" || i.NodeName == i.Node {
		return i.Node
	}
	return i.NodeName + " (" + i.Node + ")"
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

func stateColour(state string) colour {
	switch state {
	case "ready":
		return good
	case "starting", "leaving", "paused":
		return doubt
	default:
		return bad
	}
}

func labelRows(labels map[string]string) [][]cell {
	var rows [][]cell
	for i, key := range slices.Sorted(maps.Keys(labels)) {
		rows = append(rows, []cell{{first(i, "labels"), faint}, text(key + "=" + labels[key])})
	}
	return rows
}

// first returns the name of a field for the first of its lines only.
func first(i int, name string) string {
	if i == 0 {
		return name
	}
	return ""
}
