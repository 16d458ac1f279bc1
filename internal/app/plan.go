package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aymanbagabas/go-udiff"
	"go.yaml.in/yaml/v4"

	"fairway/internal/admin"
	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/control"
	"fairway/internal/discovery/file"
	"fairway/internal/route"
)

// planner says what a change would do: it makes up the snapshot that would come
// of it and compiles that.
type planner struct {
	settings compile.Settings
	basis    func() (*catalog.Snapshot, *route.Table) // what exists, and what it was compiled to
	commands func() []control.Command
	// preview returns what the engine would be told of two tables, one after the
	// other; nil where it has no configuration of its own.
	preview func(before, after *route.Table) (was, then string, err error)

	busy sync.Mutex // a plan costs as much as compiling everything: one at a time
}

// Plan implements admin.Planner.
func (p *planner) Plan(_ context.Context, r api.PlanRequest) (admin.Planned, error) {
	now, compiled := p.basis()
	if now == nil {
		return admin.Planned{}, failure(http.StatusServiceUnavailable, "there is no table yet")
	}
	p.busy.Lock()
	defer p.busy.Unlock()
	c := &change{
		checker: &checker{env: r.Variables, settings: p.settings, places: map[[2]string]place{}, order: map[string]int{}},
		request: r, now: now, reach: reachOf(now), services: map[string]*catalog.Service{},
		at: map[[2]string]place{},
	}
	for _, s := range now.Services {
		c.services[s.ID] = s
	}
	if err := c.make(); err != nil {
		return admin.Planned{}, err
	}
	then := *now
	then.Revision++
	then.Services = slices.SortedFunc(maps.Values(c.services), func(a, b *catalog.Service) int { return cmp.Compare(a.ID, b.ID) })
	table := compile.New(p.settings).Compile(&then, compiled)
	planned := admin.Planned{Snapshot: &then, Before: settled(compiled), After: settled(table), Remarks: c.remarks}
	planned.Place = func(service, label string) (string, int) {
		at, ok := c.at[[2]string{service, label}]
		if !ok {
			at = c.at[[2]string{service, ""}]
		}
		return at.file, at.line
	}
	if p.preview != nil {
		planned.Lines = func() ([]string, error) { return p.lines(compiled, table) }
	}
	for _, command := range p.commands() {
		if command.Hold != nil {
			planned.Remarks = append(planned.Remarks, "a "+string(command.Kind)+" is in force: what is planned is not served before it ends")
		}
	}
	return planned, nil
}

// maxLines bounds the lines of an engine's configuration in a plan.
const maxLines = 2000

// lines returns what would differ in the engine's own configuration.
func (p *planner) lines(before, after *route.Table) ([]string, error) {
	was, then, err := p.preview(before, after)
	if err != nil || was == then {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(udiff.Unified("now", "planned", was, then), "\n"), "\n")
	if len(lines) > maxLines {
		lines = append(lines[:maxLines], fmt.Sprintf("… and %d lines more", len(lines)-maxLines))
	}
	return lines, nil
}

// change is a change while it is made up.
type change struct {
	*checker
	request api.PlanRequest
	now     *catalog.Snapshot
	reach   reach
	// services are those that would exist, by ID; at is where they are written.
	services map[string]*catalog.Service
	at       map[[2]string]place
	remarks  []string
}

// make makes the change.
func (c *change) make() error {
	for i, f := range c.request.Files {
		c.order[f.Path] = i
		if err := c.file(f); err != nil {
			return err
		}
	}
	if len(c.deployed) > 0 || c.request.Prune {
		if err := c.deploy(); err != nil {
			return err
		}
	}
	for _, l := range c.request.Labels {
		if err := c.relabel(l); err != nil {
			return err
		}
	}
	for _, name := range c.request.Remove {
		if err := c.remove(name); err != nil {
			return err
		}
	}
	if len(c.problems) == 0 {
		return nil
	}
	var lines []string
	for _, p := range c.sorted() {
		if p.Code == CodeVariable && strings.Contains(p.Text, "is not set") {
			c.remarks = append(c.remarks, p.Position()+": "+p.Text)
			continue
		}
		lines = append(lines, p.Position()+": "+p.Text)
	}
	if len(lines) == 0 {
		return nil
	}
	return refused(strings.Join(lines, "\n"))
}

// file reads one file.
func (c *change) file(f api.PlanFile) error {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(f.Text), &document); err != nil {
		line, reason := yamlReason(err)
		return refused(fmt.Sprintf("%s:%d: %s", f.Path, line, reason))
	}
	var services *yaml.Node
	if len(document.Content) > 0 {
		services = lookup(document.Content[0], "services")
	}
	switch {
	case services == nil:
		return refused(f.Path + ": this is neither a Compose file nor a services file")
	case services.Kind == yaml.MappingNode:
		c.planned(f.Path, document.Content[0], c.request.Project)
		return nil
	}
	return c.servicesFile(f, services)
}

// servicesFile puts a services file in the place of what its source says now.
func (c *change) servicesFile(f api.PlanFile, list *yaml.Node) error {
	source := cmp.Or(c.request.Source, fileSourceName(f.Path))
	services, err := file.Parse(source, []byte(f.Text))
	if err != nil {
		return refused(f.Path + ": " + err.Error())
	}
	if !slices.ContainsFunc(c.now.Sources, func(s catalog.SourceStatus) bool { return s.Name == source }) {
		c.remarks = append(c.remarks, fmt.Sprintf("%s: there is no source %s now", f.Path, source))
	}
	c.drop(func(s *catalog.Service, in *catalog.Instance) bool { return cmp.Or(in.Source, s.Source) == source }, source)
	for _, s := range services {
		c.put(s)
		c.at[[2]string{s.ID, ""}] = place{f.Path, list.Line}
	}
	for _, item := range list.Content {
		id := scalarText(lookup(item, "name")) + "@" + source
		c.at[[2]string{id, ""}] = place{f.Path, item.Line}
		for _, label := range entries(lookup(item, "labels")) {
			c.at[[2]string{id, label.key.Value}] = place{f.Path, label.key.Line}
		}
	}
	return nil
}

// put adds a service; instances of one of the same ID that are there already stay.
func (c *change) put(s *catalog.Service) {
	old := c.services[s.ID]
	if old == nil {
		c.services[s.ID] = s
		return
	}
	both := *old
	if s.Source <= old.Source {
		both = *s
	}
	both.Instances = slices.Concat(old.Instances, s.Instances)
	slices.SortFunc(both.Instances, func(a, b *catalog.Instance) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Source, b.Source))
	})
	c.services[s.ID] = &both
}

// drop removes instances, and services of a source that have none left. An empty
// source keeps services without instances.
func (c *change) drop(gone func(*catalog.Service, *catalog.Instance) bool, source string) {
	for id, s := range c.services {
		left := slices.DeleteFunc(slices.Clone(s.Instances), func(in *catalog.Instance) bool { return gone(s, in) })
		switch {
		case len(left) == 0 && (s.Source == source && source != "" || len(s.Instances) > 0 && s.Labels == nil):
			delete(c.services, id)
		case len(left) < len(s.Instances):
			fewer := *s
			fewer.Instances = left
			c.services[id] = &fewer
		}
	}
}

// subject finds what is meant in what would exist.
func (c *change) subject(name string) (catalog.Subject, error) {
	s := &catalog.Snapshot{Services: slices.Collect(maps.Values(c.services))}
	slices.SortFunc(s.Services, func(a, b *catalog.Service) int { return cmp.Compare(a.ID, b.ID) })
	subject, err := catalog.ResolveSubject(s, name)
	switch {
	case errors.Is(err, catalog.ErrNoSubject):
		return subject, failure(http.StatusNotFound, err.Error())
	case err != nil:
		return subject, refused(err.Error())
	}
	return subject, nil
}

// relabel changes one label: of a service that has labels of its own, as in a
// Swarm or a services file, or else of its instances.
func (c *change) relabel(l api.PlanLabel) error {
	subject, err := c.subject(l.Subject)
	if err != nil {
		return err
	}
	with := func(labels map[string]string) map[string]string {
		labels = maps.Clone(labels)
		if labels == nil {
			labels = map[string]string{}
		}
		if delete(labels, l.Label); !l.Remove {
			labels[l.Label] = l.Value
		}
		return labels
	}
	for id, s := range c.services {
		own := s.OwnLabels || s.Labels != nil
		changed := *s
		if id == subject.Service && own {
			changed.Labels = with(s.Labels)
			c.services[id] = &changed
			continue
		}
		changed.Instances = slices.Clone(s.Instances)
		hit := false
		for i, in := range s.Instances {
			if id == subject.Service || in.Name == subject.Instance && cmp.Or(in.Source, s.Source) == subject.Source {
				other := *in
				other.Labels = with(in.Labels)
				changed.Instances[i], hit = &other, true
			}
		}
		if hit {
			c.services[id] = &changed
		}
	}
	return nil
}

// remove takes a service or an instance away.
func (c *change) remove(name string) error {
	subject, err := c.subject(name)
	if err != nil {
		return err
	}
	if subject.Service != "" {
		delete(c.services, subject.Service)
		return nil
	}
	c.drop(func(s *catalog.Service, in *catalog.Instance) bool {
		return in.Name == subject.Instance && cmp.Or(in.Source, s.Source) == subject.Source
	}, "")
	return nil
}

// settled returns a table without what a plan cannot know or what does not matter
// in it: of the endpoints their number, state and weight stay, of the routes
// neither the claim nor the instance whose labels were used.
func settled(t *route.Table) *route.Table {
	out := *t
	out.Routes = make([]*route.Route, len(t.Routes))
	for i, r := range t.Routes {
		plain := *r
		plain.Claim, plain.Origin.Instance = 0, ""
		out.Routes[i] = &plain
	}
	out.Backends = make([]*route.Backend, len(t.Backends))
	for i, b := range t.Backends {
		plain := *b
		plain.Endpoints = settledEndpoints(b.Endpoints)
		out.Backends[i] = &plain
	}
	out.Problems = nil
	told := map[route.Problem]bool{}
	for _, p := range t.Problems {
		p.Instance = ""
		if !told[p] {
			told[p] = true
			out.Problems = append(out.Problems, p)
		}
	}
	return &out
}

// settledEndpoints counts endpoints by weight: those that are leaving would be
// gone, and those that are starting would be ready.
func settledEndpoints(list []route.Endpoint) []route.Endpoint {
	counts := map[int]int{}
	for _, e := range list {
		if e.State != route.EndpointDraining {
			counts[e.Weight]++
		}
	}
	var out []route.Endpoint
	for _, weight := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, route.Endpoint{
			ID: fmt.Sprintf("%d", len(out)), Address: countText(counts[weight]), Weight: weight, State: route.EndpointReady,
		})
	}
	return out
}

func countText(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// plannedAt is when planned services are created: they are newer than any other.
func (c *change) plannedAt() time.Time { return c.now.Taken.Add(time.Second) }

// previewOf returns how an engine tells what it would be told; nil for one that
// does not.
func previewOf(e engine) func(before, after *route.Table) (was, then string, err error) {
	if p, ok := e.(interface {
		Preview(before, after *route.Table) (was, then string, err error)
	}); ok {
		return p.Preview
	}
	return nil
}
