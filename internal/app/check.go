package app

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/discovery/file"
	"fairway/internal/route"
)

// CheckOptions say what Check looks at.
type CheckOptions struct {
	// Paths are configurations, services files and Compose files, told apart by
	// what is in them. Without any, the configuration that Load would find is
	// checked.
	Paths []string
	// Environ is the environment, as of os.Environ: for the configuration, and
	// for the variables in Compose files.
	Environ []string
}

// Checked is what came out of Check.
type Checked struct {
	// Files are the files that were checked, in the order given.
	Files []CheckedFile `json:"files"`
	// Routes are those that would exist, sorted by ID.
	Routes []CheckedRoute `json:"routes"`
	// Problems are sorted by file, in the order given, then by line.
	Problems []CheckedProblem `json:"problems"`
}

// CheckedFile is one file that was checked.
type CheckedFile struct {
	Path string `json:"path"`
	// Kind is "configuration", "services" or "compose".
	Kind string `json:"kind"`
}

// CheckedRoute is a route that would exist.
type CheckedRoute struct {
	ID      string `json:"id"`
	Service string `json:"service"`
	// Takes says which requests, one text for each alternative: a host and path,
	// or in words.
	Takes []string `json:"takes"`
	// Filters are the changes and checks on the way, in order.
	Filters []string `json:"filters"`
	// Refused is the reason why its requests would be answered with 503.
	Refused string `json:"refused,omitempty"`
	// File is where its service is written.
	File string `json:"file"`
}

// CheckedProblem is something that is wrong in a file.
type CheckedProblem struct {
	// File is the path, or "env NAME" for a fault in a variable. Line is zero
	// when no line is at fault.
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	// Code is a problem code of the admin API or one of CodeConfiguration,
	// CodeCompose, CodeServices and CodeVariable.
	Code    string `json:"code"`
	Service string `json:"service,omitempty"`
	// Label is the label or the key of the configuration.
	Label string `json:"label,omitempty"`
	Text  string `json:"text"`
	Hint  string `json:"hint,omitempty"`
}

// The codes that only Check has.
const (
	CodeConfiguration = "configuration" // a fault in the configuration
	CodeCompose       = "compose"       // a Compose file, or any YAML, is not of the form that it should have
	CodeServices      = "services"      // a services file is not of the form that it should have
	CodeVariable      = "variable"      // a variable without value
)

// Position returns "file:line".
func (p CheckedProblem) Position() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Subject returns the service and the label at fault, as far as there are.
func (p CheckedProblem) Subject() string {
	return strings.TrimSpace(p.Service + " " + p.Label)
}

// checker gathers what the files say.
type checker struct {
	env      map[string]string
	environ  []string
	settings compile.Settings // what the configuration says
	services map[string]*catalog.Service
	// places are where a label of a service is written, and, for the empty
	// label, the service itself.
	places   map[[2]string]place
	order    map[string]int // of files
	problems []CheckedProblem

	// stack says that the Compose file at hand is a stack of a Swarm; see isStack.
	stack bool

	// What only a plan needs: it notes which variables the files ask for.
	used     map[string]string
	project  string
	deployed []*deployed
}

type place struct {
	file string
	line int
}

// Check checks files without a daemon: the form of each, and the labels of all
// of them together, as if everything ran on one machine. What only a daemon
// can know, such as addresses and the ports of an image, is made up so that it
// is no problem. It returns an error when a file cannot be read.
func Check(o CheckOptions) (*Checked, error) {
	c := &checker{
		env:     environment(o.Environ),
		environ: o.Environ,
		// Both listeners, unless a configuration says what there is.
		settings: compile.Settings{Listeners: []route.Listener{{Name: "http", Address: ":80"}, {Name: "https", Address: ":443", TLS: true}}},
		services: map[string]*catalog.Service{},
		places:   map[[2]string]place{},
		order:    map[string]int{},
	}
	files := make([]checkedFile, 0, len(o.Paths))
	for i, path := range o.Paths {
		c.order[path] = i
		f, err := readChecked(path)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	found, err := c.surroundings(files)
	if err != nil {
		return nil, err
	}
	onlySwarm := c.stack // by the configuration
	result := &Checked{Files: found}
	for _, f := range files {
		result.Files = append(result.Files, CheckedFile{Path: f.path, Kind: f.kind})
		switch f.kind {
		case "unreadable":
			c.problem(CheckedProblem{File: f.path, Line: f.line, Code: CodeCompose, Text: f.reason})
		case "compose":
			c.stack = onlySwarm || f.isStack()
			c.compose(f.path, f.root)
		case "services":
			c.servicesFile(f.path, f.data, lookup(f.root, "services"))
		}
	}
	result.Routes = c.compile()
	result.Problems = c.sorted()
	return result, nil
}

// checkedFile is a file that was read.
type checkedFile struct {
	path string
	data []byte
	// kind is that of CheckedFile, or "unreadable".
	kind string
	root *yaml.Node // of a Compose or services file
	// line and reason say why it is unreadable.
	line   int
	reason string
}

// readChecked reads a file and finds out what it is.
func readChecked(path string) (checkedFile, error) {
	f := checkedFile{path: path, kind: "configuration"}
	var err error
	if f.data, err = readBounded(path); err != nil {
		return f, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(f.data, &document); err != nil {
		f.kind = "unreadable"
		f.line, f.reason = yamlReason(err)
		return f, nil
	}
	if len(document.Content) == 0 {
		return f, nil
	}
	services := lookup(document.Content[0], "services")
	if services == nil {
		return f, nil
	}
	f.root, f.kind = document.Content[0], "services"
	if services.Kind == yaml.MappingNode {
		f.kind = "compose"
	}
	return f, nil
}

// isStack says whether a Compose file is meant for a Swarm: it has labels of ours under
// deploy, which only a Swarm reads.
func (f checkedFile) isStack() bool {
	if f.kind != "compose" {
		return false
	}
	for _, service := range entries(lookup(f.root, "services")) {
		labels := lookupOrNothing(lookupOrNothing(resolveAlias(service.value), "deploy"), "labels")
		for _, e := range entries(labels) {
			if isOurs(e.key.Value) {
				return true
			}
		}
		if labels.Kind == yaml.SequenceNode && slices.ContainsFunc(labels.Content, func(n *yaml.Node) bool { return isOurs(resolveAlias(n).Value) }) {
			return true
		}
	}
	return false
}

// surroundings checks the configurations among the files, or, where there is none, the
// one that run would use, and returns that when it is a file. Labels are read as it
// says.
func (c *checker) surroundings(files []checkedFile) ([]CheckedFile, error) {
	given := false
	for _, f := range files {
		if f.kind == "configuration" {
			given = true
			c.configuration(f.path, f.data)
		}
	}
	if given {
		return []CheckedFile{}, nil
	}
	path, data, err := readConfig("", c.env["FAIRWAY_CONFIG"])
	if err != nil {
		return nil, err
	}
	listeners := c.settings.Listeners
	c.configuration(path, data)
	if path != "" {
		return []CheckedFile{{Path: path, Kind: "configuration"}}, nil
	}
	c.settings.Listeners = listeners
	return []CheckedFile{}, nil
}

// configuration checks a configuration; no path means that there is no file.
func (c *checker) configuration(path string, data []byte) {
	loaded, err := load(path, data, LoadOptions{Environ: c.environ})
	var faults Faults
	errors.As(err, &faults) // It returns no other errors.
	for _, f := range faults {
		file, line := f.Origin, 0
		if before, after, ok := cutLast(f.Origin, ":"); ok {
			if n, err := strconv.Atoi(after); err == nil {
				file, line = before, n
			}
		}
		text := f.Reason
		if f.Value != "" {
			text = strconv.Quote(f.Value) + ": " + text
		}
		c.problem(CheckedProblem{File: file, Line: line, Code: CodeConfiguration, Label: f.Key, Text: text})
	}
	if len(faults) > 0 {
		return
	}
	flow, err := readDockerFlow(&loaded.Config, c.environ, secretsDir())
	if err != nil {
		c.problem(CheckedProblem{File: "env", Code: CodeConfiguration, Text: err.Error()})
		return
	}
	c.stack = len(loaded.Config.Swarm) > 0 && len(loaded.Config.Docker) == 0
	c.settings = flow.settings(&loaded.Config)
	c.settings.Unsupported = unsupported(context.Background(), &loaded.Config)
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (c *checker) problem(p CheckedProblem) { c.problems = append(c.problems, p) }

// add takes over a service; one of the same ID in an earlier file is
// overridden label by label, as Compose does with several files.
func (c *checker) add(s *catalog.Service, at place) {
	c.places[[2]string{s.ID, ""}] = at
	old, ok := c.services[s.ID]
	if !ok {
		c.services[s.ID] = s
		return
	}
	old.Labels = override(old.Labels, s.Labels)
	for _, instance := range s.Instances {
		i := slices.IndexFunc(old.Instances, func(o *catalog.Instance) bool { return o.ID == instance.ID })
		if i < 0 {
			old.Instances = append(old.Instances, instance)
			continue
		}
		instance.Labels = override(old.Instances[i].Labels, instance.Labels)
		old.Instances[i] = instance
	}
}

func override(low, high map[string]string) map[string]string {
	if len(low) == 0 {
		return high
	}
	for key, value := range high {
		low[key] = value
	}
	return low
}

// compile compiles everything that was read, takes over the problems and
// returns the routes.
func (c *checker) compile() []CheckedRoute {
	snapshot := &catalog.Snapshot{Revision: 1, Taken: time.Unix(0, 0).UTC()}
	for _, s := range c.services {
		snapshot.Services = append(snapshot.Services, s)
	}
	slices.SortFunc(snapshot.Services, func(a, b *catalog.Service) int { return cmp.Compare(a.ID, b.ID) })
	table := compile.New(c.settings).Compile(snapshot, nil)
	for _, p := range table.Problems {
		if p.Code == route.CodeNoAddress && p.Label == "" {
			p.Label = c.networkLabel(p.Service) // Every address here is reachable but for a wrong network.
		}
		at, ok := c.places[[2]string{p.Service, p.Label}]
		if !ok {
			at = c.places[[2]string{p.Service, ""}]
		}
		c.problem(CheckedProblem{File: at.file, Line: at.line, Code: string(p.Code), Service: p.Service, Label: p.Label, Text: p.Text, Hint: p.Hint})
	}
	routes := make([]CheckedRoute, 0, len(table.Routes))
	for _, r := range table.Routes {
		checked := CheckedRoute{ID: r.ID, Service: r.Service, Filters: []string{}, Refused: r.Refused, File: c.places[[2]string{r.Service, ""}].file}
		for _, m := range r.Matches {
			checked.Takes = append(checked.Takes, takes(m))
		}
		for _, f := range r.Filters {
			checked.Filters = append(checked.Filters, f.String())
		}
		routes = append(routes, checked)
	}
	return routes
}

// networkLabel returns the label by which a service chooses its network.
func (c *checker) networkLabel(service string) string {
	var labels []string
	for key := range c.places {
		if key[0] == service && isNetworkLabel(key[1]) {
			labels = append(labels, key[1])
		}
	}
	if len(labels) == 0 {
		return ""
	}
	return slices.Min(labels)
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

// sorted returns the problems in the order of the files, then of their lines.
func (c *checker) sorted() []CheckedProblem {
	slices.SortStableFunc(c.problems, func(a, b CheckedProblem) int {
		return cmp.Or(
			cmp.Compare(c.order[a.File], c.order[b.File]),
			cmp.Compare(a.File, b.File),
			cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Service, b.Service),
			cmp.Compare(a.Label, b.Label),
		)
	})
	if c.problems == nil {
		return []CheckedProblem{}
	}
	return c.problems
}

// lookup returns the value of a key of a mapping, following merge keys; nil
// when there is none.
func lookup(n *yaml.Node, key string) *yaml.Node {
	for _, e := range entries(n) {
		if e.key.Value == key {
			return e.value
		}
	}
	return nil
}

// entry is one key of a mapping with its value.
type entry struct{ key, value *yaml.Node }

// Merge keys may refer to each other this deep, and to this many mappings each:
// more is an attempt to keep us busy.
const (
	maxMergeDepth = 4
	maxMergeWidth = 16
)

// entries returns the entries of a mapping, those of merge keys last and only
// where the mapping has no such key itself. Anything else has none.
func entries(n *yaml.Node) []entry { return merged(n, maxMergeDepth) }

func merged(n *yaml.Node, depth int) []entry {
	if n == nil || depth == 0 {
		return nil
	}
	n = resolveAlias(n)
	if n.Kind != yaml.MappingNode {
		return nil
	}
	var own, inherited []entry
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolveAlias(n.Content[i+1])
		switch {
		case key.Value != "<<":
			own = append(own, entry{key, value})
		case value.Kind == yaml.SequenceNode:
			for _, item := range value.Content[:min(len(value.Content), maxMergeWidth)] {
				inherited = append(inherited, merged(item, depth-1)...)
			}
		default:
			inherited = append(inherited, merged(value, depth-1)...)
		}
	}
	for _, e := range inherited {
		if !slices.ContainsFunc(own, func(o entry) bool { return o.key.Value == e.key.Value }) {
			own = append(own, e)
		}
	}
	return own
}

// scalarText returns the text of a scalar; no text for null and anything else.
func scalarText(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// wrongForm tells of a value that has not the form it should have.
func (c *checker) wrongForm(path string, n *yaml.Node, what string) {
	c.problem(CheckedProblem{File: path, Line: n.Line, Code: CodeCompose, Text: "expected here: " + what})
}

// servicesFile reads a services file the way its source does.
func (c *checker) servicesFile(path string, data []byte, list *yaml.Node) {
	source := fileSourceName(path)
	services, err := file.Parse(source, data)
	if err != nil {
		c.servicesFaults(path, err)
		return
	}
	for _, s := range services {
		c.add(s, place{path, list.Line})
	}
	for _, item := range list.Content {
		id := scalarText(lookup(item, "name")) + "@" + source
		c.places[[2]string{id, ""}] = place{path, item.Line}
		for _, label := range entries(lookup(item, "labels")) {
			c.places[[2]string{id, label.key.Value}] = place{path, label.key.Line}
		}
	}
}

// servicesFaults tells of each fault of a services file; they are joined, and
// begin with their line.
func (c *checker) servicesFaults(path string, err error) {
	faults := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		faults = joined.Unwrap()
	}
	for _, fault := range faults {
		line, text := cutLine(fault.Error())
		c.problem(CheckedProblem{File: path, Line: line, Code: CodeServices, Text: text})
	}
}
