// Package plan says what a file, a label or a deployment would change, before it is made,
// and why something is not served. It makes up what would exist and compiles that: Planner
// over what exists now, Check over nothing. Diagnose asks the sources themselves.
package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aymanbagabas/go-udiff"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/compose"
	"fairway/internal/condition"
	"fairway/internal/discovery"
	"fairway/internal/human"
	"fairway/internal/route"
)

// Options are what New needs.
type Options struct {
	// Settings are those that labels are compiled with.
	Settings compile.Settings
	// Engines and Swarms are the sources that would see Compose projects, and stacks.
	Engines, Swarms []string
	// Current returns what exists and what it was compiled to; nil before the first.
	Current func() (*catalog.Snapshot, *route.Table)
	// Holds returns the commands in force that hold a table, by kind; nil for none.
	Holds func() []string
	// Preview returns an engine's own configuration for two tables; nil for none.
	Preview func(before, after *route.Table) (was, then string, err error)
}

// Planner says what a change would do to what exists. It is safe for concurrent use.
type Planner struct {
	o    Options
	busy sync.Mutex // a plan costs as much as compiling everything: one at a time
}

// New returns a planner.
func New(o Options) *Planner { return &Planner{o: o} }

// Plan is what a change would do.
type Plan struct {
	// Before and After are what is compiled and what would be, without what a plan cannot
	// know: they could not be served.
	Before, After *route.Table
	// Lines returns a unified diff of the engine's own configuration; nil where it has none.
	Lines func() ([]string, error)
	// Remarks say what is not in the plan.
	Remarks []string

	positions map[element]compose.Position
}

// Position says where a label of a service is written, or else the service itself; with an
// empty file when that is not known.
func (p *Plan) Position(service, label string) (file string, line int) {
	at := positionOf(p.positions, service, label)
	return at.File, at.Line
}

// ErrNoTable is the error while nothing has been compiled.
var ErrNoTable = errors.New("there is no table yet")

// Plan plans a change. The error is ErrNoTable or wraps catalog.ErrNoSubject, or says why
// the request makes no sense.
func (p *Planner) Plan(r api.PlanRequest) (*Plan, error) {
	now, compiled := p.o.Current()
	if now == nil {
		return nil, ErrNoTable
	}
	p.busy.Lock()
	defer p.busy.Unlock()
	w := newWorld(now)
	if err := p.change(w, r); err != nil {
		return nil, err
	}
	then := *now
	then.Revision++
	then.Services = w.list()
	table := compile.New(p.o.Settings).Compile(&then, compiled)
	planned := &Plan{Before: settled(compiled), After: settled(table), Remarks: w.remarks, positions: w.at}
	if p.o.Preview != nil {
		planned.Lines = func() ([]string, error) { return p.lines(compiled, table) }
	}
	if p.o.Holds != nil {
		for _, kind := range p.o.Holds() {
			planned.Remarks = append(planned.Remarks, "a "+kind+" is in force: what is planned is not served before it ends")
		}
	}
	return planned, nil
}

const maxLines = 2000 // of an engine's configuration in a plan

func (p *Planner) lines(before, after *route.Table) ([]string, error) {
	was, then, err := p.o.Preview(before, after)
	if err != nil || was == then {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(udiff.Unified("now", "planned", was, then), "\n"), "\n")
	if len(lines) > maxLines {
		lines = append(lines[:maxLines], fmt.Sprintf("… and %d lines more", len(lines)-maxLines))
	}
	return lines, nil
}

func (p *Planner) change(w *world, r api.PlanRequest) error {
	project := &compose.Project{Name: r.Project}
	for i, f := range r.Files {
		w.order[f.Path] = i
		switch d := parse(f.Path, []byte(f.Text)); d.kind {
		case kindCompose:
			project.Add(f.Path, d.root, compose.Variables{Values: r.Variables})
		case kindServices:
			w.servicesFile(d, cmp.Or(r.Source, file(f.Path)))
		case kindUnreadable:
			w.problems = append(w.problems, d.fault)
		default:
			return errors.New(f.Path + ": this is neither a Compose file nor a services file")
		}
	}
	var source string
	var err error
	if source, project.Stack, err = p.where(w, r, len(project.Services) > 0 || r.Prune); err != nil {
		return err
	}
	project.Problems = slices.DeleteFunc(project.Problems, func(f compose.Problem) bool {
		if f.Unset {
			w.remarks = append(w.remarks, fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text))
		}
		return f.Unset
	})
	w.composeProblems(project)
	if err := w.refusal(); err != nil {
		return err
	}
	if source != "" {
		if project.Name == "" {
			return errors.New("which project? give its name, as COMPOSE_PROJECT_NAME or as the name of the stack")
		}
		w.deploy(project, source)
		if r.Prune {
			w.prune(project, source)
		}
	}
	for _, l := range r.Labels {
		if err := w.relabel(l); err != nil {
			return err
		}
	}
	for _, name := range r.Remove {
		if err := w.remove(name); err != nil {
			return err
		}
	}
	return nil
}

// where decides which source would see the project, if there is one, and whether it is a
// stack of a Swarm.
func (p *Planner) where(w *world, r api.PlanRequest, deployed bool) (source string, stack bool, err error) {
	engines, swarms := p.o.Engines, p.o.Swarms
	switch {
	case !deployed:
		return "", false, nil
	case slices.Contains(engines, r.Source), slices.Contains(swarms, r.Source):
		return r.Source, slices.Contains(swarms, r.Source), nil
	case r.Source != "":
		return "", false, fmt.Errorf("there is no source %q for Compose files or stacks", r.Source)
	}
	stack = r.Stack || len(engines) == 0 && len(swarms) > 0
	fits, usual := engines, engineSource
	if stack {
		fits, usual = swarms, swarmSource
	}
	switch len(fits) {
	case 0:
		w.remarks = append(w.remarks, "no "+usual+" is watched now: the plan assumes one")
		return usual, stack, nil
	case 1:
		return fits[0], stack, nil
	}
	return "", false, errors.New("which source? one of " + strings.Join(fits, ", "))
}

const readTimeout = 10 * time.Second // of all sources

// Diagnose explains the services and instances of a name without a Fairway that runs: it
// asks the sources once, compiles what they say, as a first start would, and connects to
// the endpoints. The error says why no source could be asked, or why not all could where
// nothing is found.
func Diagnose(ctx context.Context, sources []discovery.Source, settings compile.Settings, name string) ([]api.Diagnosis, error) {
	s, err := readOnce(ctx, sources, settings.Owners)
	if err != nil {
		return nil, err
	}
	compiler := compile.New(settings)
	t := compiler.Compile(s, nil)
	found := diagnoses(compiler.Diagnose(s, t, name))
	if failed := failures(s); len(found) == 0 && len(failed) > 0 {
		return nil, fmt.Errorf("nothing is called %q, but not every source answers: %s", name, strings.Join(failed, "; "))
	}
	report := condition.Judge(condition.World{Now: time.Now(), Snapshot: s, Compiled: t, Live: t, Sources: s.Sources}, nil)
	Observe(ctx, s, t, report, condition.Connect, found)
	return found, nil
}

// failures says why sources do not answer, and what to do.
func failures(s *catalog.Snapshot) (failed []string) {
	for _, status := range s.Sources {
		if status.Stale {
			text := status.Name + ": " + status.Error
			if hint := condition.SourceHint(status.Error); hint != "" {
				text += " (" + hint + ")"
			}
			failed = append(failed, text)
		}
	}
	return failed
}

// Doctor explains the services and instances of a Fairway that runs.
type Doctor struct {
	Compiler *compile.Compiler
	Snapshot func() *catalog.Snapshot
	Table    func() *route.Table
}

// Diagnose explains those of a name.
func (d Doctor) Diagnose(name string) []api.Diagnosis {
	return diagnoses(d.Compiler.Diagnose(d.Snapshot(), d.Table(), name))
}

func diagnoses(found []compile.Diagnosis) []api.Diagnosis {
	out := make([]api.Diagnosis, len(found))
	for i, d := range found {
		out[i] = api.Diagnosis{Service: d.Service, Instance: d.Instance, Source: d.Source, Served: d.Served, Checks: []api.Check{}}
		for _, c := range d.Checks {
			out[i].Checks = append(out[i].Checks, api.Check{Name: c.Name, Outcome: string(c.Outcome), Text: c.Text, Hint: c.Hint})
		}
	}
	return out
}

// readOnce returns the first snapshot in which every source has answered or failed.
func readOnce(ctx context.Context, sources []discovery.Source, records discovery.Records) (*catalog.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	feed := &catalog.Feed{}
	collector, err := discovery.New(discovery.Options{Sources: sources, Feed: feed, Settle: readTimeout, Records: records})
	if err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- collector.Run(ctx) }()
	s, err := feed.Next(ctx, nil)
	cancel()
	if runErr := <-done; runErr != nil {
		return nil, runErr
	}
	if err != nil {
		return nil, fmt.Errorf("no source answered within %v", readTimeout)
	}
	if failed := failures(s); len(failed) == len(s.Sources) {
		return nil, errors.New(strings.Join(failed, "; "))
	}
	return s, nil
}

// settled returns a table without what a plan cannot know or what does not matter in it:
// the claims and instances of routes, and of endpoints all but number and weight.
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
	seen := map[route.Problem]bool{}
	for _, p := range t.Problems {
		p.Instance = ""
		if !seen[p] {
			seen[p] = true
			out.Problems = append(out.Problems, p)
		}
	}
	return &out
}

// settledEndpoints counts endpoints by weight: those that drain would be gone, and those
// that start ready.
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
			ID: fmt.Sprintf("%d", len(out)), Address: human.Plural(counts[weight], "instance"), Weight: weight, State: route.EndpointReady,
		})
	}
	return out
}
