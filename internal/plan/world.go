package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/compose"
	servicesfile "fairway/internal/discovery/file"
	"fairway/internal/files"
	"fairway/internal/yamlnode"
)

// The usual names of the sources that see Compose projects and stacks.
const (
	engineSource = "docker"
	swarmSource  = "swarm"
)

// file is the name of the source that reads a services file.
func file(path string) string { return "file:" + filepath.Base(path) }

// Problem is something that is wrong in a file.
type Problem struct {
	// File is the path, or "env NAME" for a fault in a variable; Line is zero for none.
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	// Code is one of the admin API, of this package or of compose.
	Code    string `json:"code"`
	Service string `json:"service,omitempty"`
	// Label is the label or the key of the configuration.
	Label string `json:"label,omitempty"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`
}

// The codes that no admin API has.
const (
	CodeConfiguration = "configuration" // a fault in the configuration
	CodeOtherProxy    = "other-proxy"   // a note: labels are those of another proxy
	CodeServices      = "services"      // a services file is not of the form that it should have
)

// Position returns "file:line".
func (p Problem) Position() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Subject returns the service and the label at fault.
func (p Problem) Subject() string { return strings.TrimSpace(p.Service + " " + p.Label) }

// element is a label of a service, or the service itself for an empty label.
type element struct{ service, label string }

// world is what would exist while a change is made up.
type world struct {
	now   *catalog.Snapshot
	reach reach
	// services are those that would exist, by ID, and at where they are written.
	services map[string]*catalog.Service
	at       map[element]compose.Position
	order    map[string]int  // of the files
	replaced map[string]bool // sources whose services now come from the files
	problems []Problem
	remarks  []string
}

func newWorld(now *catalog.Snapshot) *world {
	w := &world{
		now: now, reach: reachOf(now), services: map[string]*catalog.Service{}, at: map[element]compose.Position{},
		order: map[string]int{}, replaced: map[string]bool{},
	}
	for _, s := range now.Services {
		w.services[s.ID] = s
	}
	return w
}

// list is sorted by ID.
func (w *world) list() []*catalog.Service {
	return slices.SortedFunc(maps.Values(w.services), func(a, b *catalog.Service) int { return cmp.Compare(a.ID, b.ID) })
}

func positionOf(positions map[element]compose.Position, service, label string) compose.Position {
	if at, ok := positions[element{service, label}]; ok {
		return at
	}
	return positions[element{service, ""}]
}

// sorted returns the problems in the order of the files, then of their lines.
func (w *world) sorted() []Problem {
	slices.SortStableFunc(w.problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(w.order[a.File], w.order[b.File]), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Service, b.Service), cmp.Compare(a.Label, b.Label),
		)
	})
	return w.problems
}

func (w *world) composeProblems(p *compose.Project) {
	for _, f := range p.Problems {
		if p.Stack || !f.OnlyStack {
			w.problems = append(w.problems, Problem{File: f.File, Line: f.Line, Code: f.Code, Text: f.Text, Hint: f.Hint})
		}
	}
}

func (w *world) refusal() error {
	var faults []error
	for _, p := range w.sorted() {
		faults = append(faults, errors.New(p.Position()+": "+p.Text))
	}
	return errors.Join(faults...)
}

// servicesFile puts a services file in place of what its source says now.
func (w *world) servicesFile(d document, source string) {
	services, err := servicesfile.Parse(source, d.data)
	if err != nil {
		faults := []error{err}
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			faults = joined.Unwrap()
		}
		for _, fault := range faults {
			line, text := yamlnode.CutLine(fault.Error())
			w.problems = append(w.problems, Problem{File: d.path, Line: line, Code: CodeServices, Text: text})
		}
		return
	}
	if !w.replaced[source] {
		w.replaced[source] = true
		if !slices.ContainsFunc(w.now.Sources, func(s catalog.SourceStatus) bool { return s.Name == source }) {
			w.remarks = append(w.remarks, fmt.Sprintf("%s: there is no source %s now", d.path, source))
		}
		w.drop(func(s *catalog.Service, in *catalog.Instance) bool { return cmp.Or(in.Source, s.Source) == source }, source)
	}
	for _, s := range services {
		w.put(s)
	}
	for _, item := range yamlnode.List(yamlnode.Get(d.root, "services")) {
		id := yamlnode.Text(yamlnode.Get(item, "name")) + "@" + source
		w.at[element{id, ""}] = compose.Position{File: d.path, Line: item.Line}
		for _, label := range yamlnode.Entries(yamlnode.Get(item, "labels")) {
			w.at[element{id, label.Key.Value}] = compose.Position{File: d.path, Line: label.Key.Line}
		}
	}
}

// put adds a service. One of the same ID is overridden label by label and instance by
// instance, as Compose does with several files.
func (w *world) put(s *catalog.Service) {
	old := w.services[s.ID]
	if old == nil {
		w.services[s.ID] = s
		return
	}
	both := *old
	if s.Source <= old.Source {
		both = *s
	}
	if len(old.Labels) > 0 {
		both.Labels = maps.Clone(old.Labels)
		maps.Copy(both.Labels, s.Labels)
	}
	both.Instances = slices.DeleteFunc(slices.Clone(old.Instances), func(o *catalog.Instance) bool {
		return slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return in.ID == o.ID && in.Source == o.Source })
	})
	both.Instances = append(both.Instances, s.Instances...)
	slices.SortFunc(both.Instances, func(a, b *catalog.Instance) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Source, b.Source))
	})
	w.services[s.ID] = &both
}

// drop removes instances, and services of a source, unless it is empty, that have none left.
func (w *world) drop(gone func(*catalog.Service, *catalog.Instance) bool, source string) {
	for id, s := range w.services {
		left := slices.DeleteFunc(slices.Clone(s.Instances), func(in *catalog.Instance) bool { return gone(s, in) })
		switch {
		case len(left) == 0 && (s.Source == source && source != "" || len(s.Instances) > 0 && s.Labels == nil):
			delete(w.services, id)
		case len(left) < len(s.Instances):
			fewer := *s
			fewer.Instances = left
			w.services[id] = &fewer
		}
	}
}

// relabel changes one label: of a service whose own labels count, else of its instances.
func (w *world) relabel(l api.PlanLabel) error {
	subject, err := catalog.ResolveSubject(&catalog.Snapshot{Services: w.list()}, l.Subject)
	if err != nil {
		return err
	}
	with := func(labels map[string]string) map[string]string {
		changed := map[string]string{}
		maps.Copy(changed, labels)
		if delete(changed, l.Label); !l.Remove {
			changed[l.Label] = l.Value
		}
		return changed
	}
	for id, s := range w.services {
		changed := *s
		if id == subject.Service && (s.OwnLabels || s.Labels != nil) {
			changed.Labels = with(s.Labels)
			w.services[id] = &changed
			continue
		}
		changed.Instances = slices.Clone(s.Instances)
		for i, in := range s.Instances {
			if id == subject.Service || subject.IsInstance(s, in) {
				other := *in
				other.Labels = with(in.Labels)
				changed.Instances[i] = &other
				w.services[id] = &changed
			}
		}
	}
	return nil
}

func (w *world) remove(name string) error {
	subject, err := catalog.ResolveSubject(&catalog.Snapshot{Services: w.list()}, name)
	if err != nil {
		return err
	}
	if subject.Service != "" {
		delete(w.services, subject.Service)
		return nil
	}
	w.drop(subject.IsInstance, "")
	return nil
}

const maxBytes = 1 << 20 // of a file

const (
	kindConfiguration = "configuration"
	kindServices      = "services"
	kindCompose       = "compose"
	kindUnreadable    = "unreadable"
)

// document is a file that was read, and what it is.
type document struct {
	path  string
	data  []byte
	kind  string
	root  *yaml.Node // of a Compose or services file
	fault Problem    // why it is unreadable
}

// parse finds out what a file is by its "services"; without, it is a configuration.
func parse(path string, data []byte) document {
	d := document{path: path, data: data, kind: kindConfiguration}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		line, reason := yamlnode.Reason(err)
		d.kind, d.fault = kindUnreadable, Problem{File: path, Line: line, Code: compose.CodeForm, Text: reason}
		return d
	}
	if len(root.Content) == 0 {
		return d
	}
	services := yamlnode.Get(root.Content[0], "services")
	if services == nil {
		return d
	}
	d.root, d.kind = root.Content[0], kindServices
	if services.Kind == yaml.MappingNode {
		d.kind = kindCompose
	}
	return d
}

func read(path string) (document, error) {
	data, err := files.ReadStream(path, maxBytes)
	if err != nil {
		return document{}, err
	}
	return parse(path, data), nil
}

// Request reads files for a plan, with what only this machine knows: the variables that
// they ask for, from the environment and the file .env beside the first Compose file, and
// the name of the project, as Compose finds it.
func Request(paths []string, environ []string) (api.PlanRequest, error) {
	r := api.PlanRequest{Variables: map[string]string{}}
	vars := compose.Variables{Used: r.Variables}
	for _, path := range paths {
		d, err := read(path)
		if err != nil {
			return r, err
		}
		r.Files = append(r.Files, api.PlanFile{Path: path, Text: string(d.data)})
		if d.kind != kindCompose {
			continue // the planner says what is wrong with any other
		}
		if r.Project == "" {
			if vars.Values, err = compose.Environment(path, environ); err != nil {
				return r, err
			}
			r.Project = compose.ProjectName(path, d.root, vars)
		}
		(&compose.Project{Name: r.Project}).Add(path, d.root, vars) // notes the variables
	}
	return r, nil
}
