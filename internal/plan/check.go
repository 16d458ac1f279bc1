package plan

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/compile/meant"
	"fairway/internal/compose"
	"fairway/internal/engine/users"
	"fairway/internal/files"
	"fairway/internal/human"
	"fairway/internal/owners"
	"fairway/internal/route"
)

// CheckOptions say what Check looks at.
type CheckOptions struct {
	// Paths are configurations, services files and Compose files, by what is in them.
	Paths []string
	// Stack says that the Compose files are deployed as stacks of a Swarm, also where nothing
	// in them says so.
	Stack bool
	// Environ is the environment, as of os.Environ, for Compose files.
	Environ []string
	// Configuration reads a configuration.
	Configuration func(path string, data []byte) Configured
	// Default returns the configuration that applies where Paths have none; no path for none.
	Default func() (path string, data []byte, err error)
}

// Configured is what a configuration says.
type Configured struct {
	// Settings are those that labels are compiled with; nil where there are problems.
	Settings *compile.Settings
	// OnlySwarm is true where a Swarm is all that is watched.
	OnlySwarm bool
	// Services are the services files that it names and that are to be checked, too; Files
	// the others that it names and that were looked at.
	Services []string
	Files    []CheckedFile
	Problems []Problem
}

// Checked is what came out of Check.
type Checked struct {
	// Files are the files that were checked, in the order given, then those that the
	// configuration names.
	Files []CheckedFile `json:"files"`
	// Routes are those that would exist, sorted by ID.
	Routes []CheckedRoute `json:"routes"`
	// Owners says of each service with labels which record of owners decides, sorted by ID;
	// left out without records.
	Owners []CheckedOwner `json:"owners,omitempty"`
	// Problems are sorted by file, in the order given, then by line.
	Problems []Problem `json:"problems"`
	// Notes are what is no problem, sorted likewise; left out for none.
	Notes []Problem `json:"notes,omitempty"`
}

// CheckedFile is one file that was checked.
type CheckedFile struct {
	Path string `json:"path"`
	// Kind is "configuration", "services", "compose", "unreadable", "users", or the key of
	// the configuration that names it.
	Kind string `json:"kind"`
}

// CheckedRoute is a route that would exist.
type CheckedRoute struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	// Dialect is the one of another proxy whose labels made it; left out for those of Fairway
	// and of Docker Flow.
	Dialect string `json:"dialect,omitempty"`
	// Takes says which requests: for each alternative a host and path, or words.
	Takes []string `json:"takes"`
	// Filters are the changes and checks on the way, in order.
	Filters []string `json:"filters"`
	// Refused is the reason why its requests would be answered with 503.
	Refused string `json:"refused,omitempty"`
	// File is where its service is written.
	File string `json:"file"`
}

// CheckedOwner is a service with the record of owners that decides about it.
type CheckedOwner struct {
	Service string `json:"service"`
	// Record is the name of the record; empty where none fits.
	Record string `json:"record"`
	// Allowed is false where it asks for what it may not claim.
	Allowed bool `json:"allowed"`
	// File is where it is written.
	File string `json:"file"`
}

// ErrNothing is the error of Check without any file or variable to check.
var ErrNothing = errors.New("nothing to check: there is no fairway.yml here nor in /etc/fairway, and FAIRWAY_CONFIG names none")

// Check checks files without a daemon: the form of each, and the labels of all together, as
// if everything ran on one machine. What only a daemon can know, such as addresses and the
// ports of an image, is made up so that it is no problem. The error is of a file that
// cannot be read.
func Check(o CheckOptions) (*Checked, error) {
	c := &checker{
		world: newWorld(&catalog.Snapshot{Revision: 1, Taken: time.Unix(0, 0).UTC()}),
		// Both listeners, unless a configuration says what there is.
		named: map[string]bool{}, stack: o.Stack,
		settings: compile.Settings{Listeners: []route.Listener{{Name: "http", Address: ":80"}, {Name: "https", Address: ":443", TLS: true}}},
	}
	documents := make([]document, len(o.Paths))
	for i, path := range o.Paths {
		var err error
		if documents[i], err = read(path); err != nil {
			return nil, err
		}
		c.order[path] = i
	}
	if !slices.ContainsFunc(documents, func(d document) bool { return d.kind == kindConfiguration }) {
		path, data, err := o.Default()
		if err != nil {
			return nil, err
		}
		documents = slices.Insert(documents, 0, document{path: path, data: data, kind: kindConfiguration})
	}
	checked := &Checked{Files: []CheckedFile{}}
	var named []CheckedFile
	var services []string
	for _, d := range documents {
		if d.path != "" {
			checked.Files = append(checked.Files, CheckedFile{Path: d.path, Kind: d.kind})
		}
		if d.kind == kindConfiguration {
			found := o.Configuration(d.path, d.data)
			c.configuration(found, d.path != "")
			named, services = append(named, found.Files...), append(services, found.Services...)
		}
	}
	for _, path := range services {
		c.named[path] = true
		if slices.ContainsFunc(documents, func(d document) bool { return d.path == path }) {
			continue
		}
		d, err := read(path)
		if err != nil {
			return nil, err
		}
		if d.kind != kindUnreadable {
			d.kind = kindServices
		}
		c.order[path] = len(documents)
		documents = append(documents, d)
		checked.Files = append(checked.Files, CheckedFile{Path: path, Kind: d.kind})
	}
	checked.Files = append(checked.Files, named...)
	for _, d := range documents {
		switch d.kind {
		case kindUnreadable:
			c.problems = append(c.problems, d.fault)
		case kindServices:
			c.servicesFile(d, file(d.path))
		case kindCompose:
			c.compose(d, o.Environ)
		}
	}
	for _, p := range c.projects {
		c.deployed(p)
	}
	checked.compile(c)
	checked.Notes = c.notes
	if checked.Problems = append([]Problem{}, c.sorted()...); len(checked.Files)+len(checked.Problems) == 0 {
		return nil, ErrNothing
	}
	return checked, nil
}

// Summary says in one line what was checked and how much came out.
func (k *Checked) Summary() string {
	names := make([]string, len(k.Files))
	for i, f := range k.Files {
		names[i] = f.Path + " (" + f.Kind + ")"
	}
	text := fmt.Sprintf("%s: %s, %s, %s", strings.Join(names, ", "), human.Plural(len(k.Files), "file"), human.Plural(len(k.Routes), "route"), human.Plural(len(k.Problems), "problem"))
	if len(k.Notes) > 0 {
		text += ", " + human.Plural(len(k.Notes), "note")
	}
	return text
}

// checker begins with an empty world.
type checker struct {
	*world
	settings  compile.Settings
	onlySwarm bool
	stack     bool // all Compose files are stacks
	notes     []Problem
	projects  []*compose.Project
	named     map[string]bool // services files of the configuration
}

// configuration takes over a configuration, its listeners only where there is a file.
func (c *checker) configuration(found Configured, isFile bool) {
	c.problems = append(c.problems, found.Problems...)
	if found.Settings == nil {
		return
	}
	listeners := c.settings.Listeners
	c.settings, c.onlySwarm = *found.Settings, found.OnlySwarm
	if !isFile {
		c.settings.Listeners = listeners
	}
}

func (c *checker) compose(d document, environ []string) {
	values, err := compose.Environment(d.path, environ)
	if err != nil {
		c.problems = append(c.problems, Problem{File: d.path, Code: compose.CodeVariable, Text: err.Error()})
	}
	vars := compose.Variables{Values: values}
	// Files of one name are one project where they are for Compose, and one where they are stacks.
	name, stack := compose.ProjectName(d.path, d.root, vars), c.stack || c.onlySwarm || compose.IsStack(d.root)
	i := slices.IndexFunc(c.projects, func(p *compose.Project) bool { return p.Name == name && p.Stack == stack })
	if i < 0 {
		i = len(c.projects)
		c.projects = append(c.projects, &compose.Project{Name: name, Stack: stack})
	}
	c.projects[i].Add(d.path, d.root, vars)
}

// deployed makes up one instance of each service, on networks that Fairway reaches.
func (c *checker) deployed(p *compose.Project) {
	c.composeProblems(p)
	for _, s := range p.Services {
		c.foreign(s)
		s.Replicas, s.Global = nil, false
		s.Networks = chosen(s.Networks, s.Labels, s.Deploy)
	}
	source := engineSource
	if p.Stack {
		source = swarmSource
	}
	c.deploy(p, source)
}

// foreign notes a service that has labels of other proxies alone.
func (c *checker) foreign(s *compose.Service) {
	keys := maps.Clone(s.Labels)
	maps.Copy(keys, s.Deploy)
	if catalog.HaveLabels(keys, catalog.LabelPrefix) || catalog.HaveLabels(keys, catalog.FlowLabelPrefix) {
		return
	}
	if hint := meant.Of(keys); hint != "" {
		c.notes = append(c.notes, Problem{File: s.At.File, Line: s.At.Line, Code: CodeOtherProxy, Service: s.Key, Text: "it has no label of Fairway, and those of another proxy", Hint: hint})
	}
}

// chosen returns the networks on which Fairway can be taken to be: those that labels name,
// else one alone, as which of several it is on is not known here and no problem. Labels
// that name none of the networks are one: then it is on all of them.
func chosen(networks []compose.Network, labels ...map[string]string) []compose.Network {
	var named []string
	for _, m := range labels {
		for key, value := range m {
			if isNetworkLabel(key) {
				named = append(named, value)
			}
		}
	}
	has := slices.DeleteFunc(slices.Clone(networks), func(n compose.Network) bool { return !slices.Contains(named, n.Name) })
	switch {
	case len(has) > 0:
		networks = has
	case len(named) == 0:
		networks = networks[:min(1, len(networks))]
	}
	for i := range networks {
		networks[i].External = true // else it could not be on it before the project is there
	}
	return networks
}

// isNetworkLabel reports whether a label chooses a network, also of a named route.
func isNetworkLabel(key string) bool {
	return strings.HasPrefix(key, catalog.LabelPrefix) && strings.HasSuffix(key, ".network")
}

// compile compiles what was read, and takes over the problems and the routes.
func (k *Checked) compile(c *checker) {
	snapshot := *c.now
	snapshot.Services = c.list()
	every := len(c.settings.Dialects) == 0
	if every { // what is not served yet is to be judged as well
		c.settings.Dialects = compile.DialectNames()
	}
	table := compile.New(c.settings).Compile(&snapshot, nil)
	for _, p := range table.Problems {
		if p.Code == route.CodeNoAddress && p.Label == "" {
			p.Label = c.networkLabel(p.Service) // Every address here is reachable but for a wrong network.
		}
		at := positionOf(c.at, p.Service, p.Label)
		c.problems = append(c.problems, Problem{File: at.File, Line: at.Line, Code: string(p.Code), Service: p.Service, Label: p.Label, Text: p.Text, Hint: p.Hint})
	}
	for _, p := range table.Notices {
		at := positionOf(c.at, p.Service, p.Label)
		c.notes = append(c.notes, Problem{File: at.File, Line: at.Line, Code: string(p.Code), Service: p.Service, Label: p.Label, Text: p.Text, Hint: p.Hint})
	}
	for _, svc := range snapshot.Services {
		if c.settings.Owners != nil && svc.Labelled() {
			denied := slices.ContainsFunc(table.Problems, func(p route.Problem) bool { return p.Service == svc.ID && p.Code == route.CodeNotAllowed })
			record := c.settings.Owners.Of(owners.WhoHas(svc, nil)).Record().Name
			k.Owners = append(k.Owners, CheckedOwner{Service: svc.ID, Record: record, Allowed: !denied, File: positionOf(c.at, svc.ID, "").File})
		}
	}
	k.Routes = make([]CheckedRoute, 0, len(table.Routes))
	for _, r := range table.Routes {
		checked := CheckedRoute{ID: r.ID, Service: r.Service, Dialect: compile.DialectOf(r), Filters: []string{}, Refused: r.Refused, File: positionOf(c.at, r.Service, "").File}
		if every && checked.Dialect != "" && !slices.ContainsFunc(c.notes, func(p Problem) bool { return p.Service == r.Service && p.Code == string(route.CodeNotRead) }) {
			at := positionOf(c.at, r.Service, "")
			c.notes = append(c.notes, Problem{
				File: at.File, Line: at.Line, Code: string(route.CodeNotRead), Service: r.Service,
				Text: "it is served only once the dialect is on", Hint: "set dialects: [" + checked.Dialect + "] (--dialects)",
			})
		}
		for _, m := range r.Matches {
			checked.Takes = append(checked.Takes, takes(m))
		}
		for _, f := range r.Filters {
			checked.Filters = append(checked.Filters, f.String())
			if f.BasicAuth != nil && f.BasicAuth.File != "" && c.named[checked.File] {
				k.users(c, r, f.BasicAuth)
			}
		}
		k.Routes = append(k.Routes, checked)
	}
}

// users looks at a user file that a services file of the configuration names: it is read
// on this machine, while one of a Compose file may be on another.
func (k *Checked) users(c *checker, r *route.Route, a *route.BasicAuth) {
	file := CheckedFile{Path: a.File, Kind: "users"}
	if slices.Contains(k.Files, file) {
		return
	}
	k.Files = append(k.Files, file)
	fault := func(line int, text, hint string) {
		c.problems = append(c.problems, Problem{File: a.File, Line: line, Code: string(route.CodeLockedUsers), Service: r.Service, Text: text, Hint: hint})
	}
	f, err := files.OpenBelow(c.settings.UserDirs, a.File)
	if err != nil {
		fault(0, err.Error()+"; requests get 503", "create it with htpasswd -B, below a directory of label-files")
		return
	}
	defer f.Close()
	data, err := f.Read(users.MaxBytes)
	if err != nil {
		fault(0, err.Error()+"; requests get 503", "")
		return
	}
	_, faults := users.Parse(data, a.Clear, nil)
	for _, found := range faults {
		fault(found.Line, found.String(), "write the line anew with htpasswd -B")
	}
}

func (c *checker) networkLabel(service string) string {
	first := ""
	for e := range c.at {
		if e.service == service && isNetworkLabel(e.label) && (first == "" || e.label < first) {
			first = e.label
		}
	}
	return first
}

// takes writes a plain match as one writes a URL, and any other in words.
func takes(m route.Match) string {
	if len(m.Conditions) > 0 || m.Path.Kind != route.PathPrefix || m.Host.Kind == route.HostRegexp {
		return m.String()
	}
	if m.Path.Value == "/" {
		return m.Host.String()
	}
	return m.Host.String() + m.Path.Value
}
