// Package compose reads Compose and stack files as far as Fairway needs them:
// the services with their labels, networks, ports and replicas, each with the line
// where it is written. It runs without Docker. References to other files (extends,
// include, env_file) are not followed.
package compose

import (
	"cmp"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/catalog"
	"fairway/internal/yamlnode"
)

// Nowhere is the address of all that is planned: of TEST-NET-1, and never dialled.
const Nowhere = "192.0.2.1"

const (
	maxPorts    = 64   // of a range
	maxReplicas = 1000 // of a service
)

// Position is where something is written.
type Position struct {
	File string
	Line int
}

// Problem is a fault of a file.
type Problem struct {
	Position
	// Code is CodeForm or CodeVariable.
	Code       string
	Text, Hint string
	// OnlyStack is true for what Compose accepts and docker stack deploy does not.
	OnlyStack bool
	// Unset is true for a variable without value, which Compose replaces by nothing.
	Unset bool
}

// The codes of problems.
const (
	CodeForm     = "compose"  // a file is not of the form that it should have
	CodeVariable = "variable" // a variable has no value, or is written wrongly
)

// Project is what one or more files say, later ones over earlier ones.
type Project struct {
	// Name is that of the project or stack.
	Name string
	// Stack is true for one that is deployed to a Swarm.
	Stack    bool
	Services []*Service
	Problems []Problem
}

// Service is a service of a project.
type Service struct {
	// Key is its name in the files.
	Key string
	At  Position
	// Labels are those of its containers, and Deploy those of the service in a
	// Swarm; only those that mean something to Fairway. Lines says where each is.
	Labels, Deploy map[string]string
	Lines          map[string]Position
	// Env are the variables of its containers that mean something to Fairway, in Lines as well.
	Env map[string]string
	// Replicas is how many instances it would have; nil where no file says so.
	Replicas *int
	Global   bool // one instance on each node
	// Networks are those it is on, HostNetwork is true on the network of its machine.
	Networks    []Network
	HostNetwork bool
	// Ports are those that the files name; published ones are published at Nowhere.
	Ports []catalog.Port
	// Container is the name of its container, where a file gives one.
	Container string

	variables map[string]string // of all files
}

// Network is a network of a project.
type Network struct {
	// Name is what the engine calls it.
	Name string
	// External is true where it is there before the project is.
	External bool
}

// IsStack reports whether a file is meant for a Swarm: it has labels of Fairway
// under deploy, which only a Swarm reads.
func IsStack(root *yaml.Node) bool {
	for _, service := range yamlnode.Entries(yamlnode.Get(root, "services")) {
		labels := yamlnode.Get(service.Value, "deploy", "labels")
		if slices.ContainsFunc(yamlnode.Entries(labels), func(e yamlnode.Entry) bool { return catalog.IsLabel(e.Key.Value) }) ||
			slices.ContainsFunc(yamlnode.List(labels), func(n *yaml.Node) bool { return catalog.IsLabel(n.Value) }) {
			return true
		}
	}
	return false
}

// Add reads a file over those before it. root is its root node. A project without
// a name takes that of the file, if it has one.
func (p *Project) Add(path string, root *yaml.Node, vars Variables) {
	r := &reader{Project: p, path: path, root: root, vars: vars, reported: map[string]bool{}}
	p.Problems = append(p.Problems, Unknown(path, root)...)
	p.Name = cmp.Or(p.Name, vars.text(yamlnode.Get(root, "name")))
	for _, e := range yamlnode.Entries(yamlnode.Get(root, "services")) {
		if e.Value.Kind != yaml.MappingNode {
			r.wrongForm(e.Value, "a service")
			continue
		}
		r.service(e.Key, e.Value)
	}
}

// Service returns the service of a key, or nil.
func (p *Project) Service(key string) *Service {
	if i := slices.IndexFunc(p.Services, func(s *Service) bool { return s.Key == key }); i >= 0 {
		return p.Services[i]
	}
	return nil
}

// reader reads one file into a project.
type reader struct {
	*Project
	path     string
	root     *yaml.Node
	vars     Variables
	reported map[string]bool // variables that have a problem already
}

func (r *reader) problem(n *yaml.Node, code, text, hint string) *Problem {
	r.Problems = append(r.Problems, Problem{Position: Position{r.path, n.Line}, Code: code, Text: text, Hint: hint})
	return &r.Problems[len(r.Problems)-1]
}

func (r *reader) wrongForm(n *yaml.Node, what string) {
	r.problem(n, CodeForm, "expected here: "+what, "")
}

// service reads one service, over what an earlier file says of it.
func (r *reader) service(key, n *yaml.Node) {
	s := r.Project.Service(key.Value)
	if s == nil {
		s = &Service{Key: key.Value, Labels: map[string]string{}, Deploy: map[string]string{}, Lines: map[string]Position{}, variables: map[string]string{}}
		r.Services = append(r.Services, s)
	}
	s.At = Position{r.path, key.Line}
	r.labels(yamlnode.Get(n, "labels"), s.Labels, s.Lines)
	r.labels(yamlnode.Get(n, "deploy", "labels"), s.Deploy, s.Lines)
	r.environment(yamlnode.Get(n, "environment"), s)
	for _, replicas := range []*yaml.Node{yamlnode.Get(n, "scale"), yamlnode.Get(n, "deploy", "replicas")} {
		if count, err := strconv.Atoi(r.vars.text(replicas)); err == nil && count >= 0 {
			count = min(count, maxReplicas)
			s.Replicas = &count
		}
	}
	s.Global = s.Global || r.vars.text(yamlnode.Get(n, "deploy", "mode")) == "global"
	networks, mode := yamlnode.Get(n, "networks"), yamlnode.Text(yamlnode.Get(n, "network_mode"))
	switch {
	case mode != "":
		s.HostNetwork, s.Networks = mode == "host", []Network{{Name: mode, External: true}}
	case networks != nil || len(s.Networks) == 0:
		s.Networks = r.networks(networks)
	}
	for _, p := range r.ports(n) {
		i := slices.IndexFunc(s.Ports, func(o catalog.Port) bool { return o.Number == p.Number && o.Protocol == p.Protocol })
		if i < 0 {
			s.Ports = append(s.Ports, p)
		} else if p.Published != "" {
			s.Ports[i] = p
		}
	}
	s.Container = cmp.Or(r.vars.text(yamlnode.Get(n, "container_name")), s.Container)
}

// labels reads labels in either form, a mapping or a list of key=value.
func (r *reader) labels(n *yaml.Node, into map[string]string, lines map[string]Position) {
	if n == nil || n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode && n.Kind != yaml.SequenceNode {
		r.wrongForm(n, "a mapping or a list of labels")
	}
	add := func(key, value string, at *yaml.Node) {
		into[key], lines[key] = value, Position{r.path, at.Line}
	}
	for _, e := range yamlnode.Entries(n) {
		switch {
		case !catalog.IsLabel(e.Key.Value):
		case e.Value.Kind != yaml.ScalarNode:
			r.wrongForm(e.Value, "one value for label "+e.Key.Value)
		default:
			add(e.Key.Value, r.labelText(e.Value), e.Key)
		}
	}
	for _, item := range yamlnode.List(n) {
		switch {
		case item.Kind != yaml.ScalarNode:
			r.wrongForm(item, "KEY=VALUE; with a colon and a space it is a mapping")
		case catalog.IsLabel(item.Value):
			key, value, _ := strings.Cut(r.labelText(item), "=")
			add(key, value, item)
		}
	}
}

// environment reads the variables that mean something, in either form; one without a value
// is what the shell has, which is not known here.
func (r *reader) environment(n *yaml.Node, s *Service) {
	add := func(name, value string, at *yaml.Node) {
		if catalog.IsVariable(name) {
			s.variables[name], s.Lines[name] = value, Position{r.path, at.Line}
		}
	}
	for _, e := range yamlnode.Entries(n) {
		if catalog.IsVariable(e.Key.Value) && e.Value.Kind == yaml.ScalarNode && e.Value.Tag != "!!null" {
			add(e.Key.Value, r.labelText(e.Value), e.Key)
		}
	}
	for _, item := range yamlnode.List(n) {
		if name, _, found := strings.Cut(item.Value, "="); found && catalog.IsVariable(name) {
			_, value, _ := strings.Cut(r.labelText(item), "=")
			add(name, value, item)
		}
	}
	entries := make([]string, 0, len(s.variables))
	for name, value := range s.variables {
		entries = append(entries, name+"="+value)
	}
	s.Env = catalog.Variables(entries)
}

// labelText returns the text of a label. It reports a variable without value once.
func (r *reader) labelText(n *yaml.Node) string {
	const dollar = "$$ stands for a plain dollar sign"
	value, err := interpolate(yamlnode.Text(n), r.vars)
	if err != nil {
		r.problem(n, CodeVariable, err.Error(), dollar)
	} else if value.loose {
		r.problem(n, CodeVariable, "docker stack deploy refuses a $ without a name", dollar).OnlyStack = true
	}
	for _, name := range value.missing {
		if !r.reported[name] {
			r.problem(n, CodeVariable, "variable "+name+" is not set; Compose puts nothing in its place",
				"set it here or in .env, or write ${"+name+":-default}; "+dollar).Unset = true
		}
		r.reported[name] = true
	}
	return value.text
}

func (r *reader) networks(n *yaml.Node) (list []Network) {
	if n == nil {
		return []Network{r.network("default")}
	}
	for _, e := range yamlnode.Entries(n) {
		list = append(list, r.network(e.Key.Value))
	}
	for _, item := range yamlnode.List(n) {
		list = append(list, r.network(r.vars.text(item)))
	}
	return list
}

func (r *reader) network(key string) Network {
	external := yamlnode.Get(r.root, "networks", key, "external")
	n := Network{Name: r.Name + "_" + key, External: external != nil && yamlnode.Text(external) != "false"}
	if name := yamlnode.Get(r.root, "networks", key, "name"); name != nil {
		n.Name = r.vars.text(name)
	} else if n.External {
		n.Name = key
	}
	return n
}

func (r *reader) ports(n *yaml.Node) (ports []catalog.Port) {
	add := func(text string, published bool) {
		for _, p := range parsePorts(text) {
			if published {
				p.Published = Nowhere + ":" + strconv.Itoa(int(p.Number))
			}
			ports = append(ports, p)
		}
	}
	for _, item := range yamlnode.List(yamlnode.Get(n, "expose")) {
		add(r.vars.text(item), false)
	}
	for _, item := range yamlnode.List(yamlnode.Get(n, "ports")) {
		text := r.vars.text(item)
		published := strings.Contains(text, ":")
		if item.Kind == yaml.MappingNode {
			text = r.vars.text(yamlnode.Get(item, "target")) + "/" + r.vars.text(yamlnode.Get(item, "protocol"))
			published = yamlnode.Get(item, "published") != nil
		}
		add(text, published)
	}
	return ports
}

// parsePorts returns the ports inside the container of Compose's short form,
// [[HOST:]PUBLISHED:]PORT[-PORT][/PROTOCOL]; none of what Compose refuses itself.
func parsePorts(text string) []catalog.Port {
	text, protocol, _ := strings.Cut(text, "/")
	from, to, isRange := strings.Cut(text[strings.LastIndex(text, ":")+1:], "-")
	if !isRange {
		to = from
	}
	low, err := strconv.ParseUint(from, 10, 16)
	high, err2 := strconv.ParseUint(to, 10, 16)
	if err != nil || err2 != nil || low == 0 || high < low {
		return nil
	}
	var ports []catalog.Port
	for number := low; number <= high && len(ports) < maxPorts; number++ {
		ports = append(ports, catalog.Port{Number: uint16(number), Protocol: cmp.Or(protocol, "tcp")}) //nolint:gosec // parsed as 16 bits
	}
	return ports
}

// ProjectName returns the name of the project of a file the way Compose finds it:
// in the environment, in the file, from the directory.
func ProjectName(path string, root *yaml.Node, vars Variables) string {
	if name := cmp.Or(vars.Values["COMPOSE_PROJECT_NAME"], vars.text(yamlnode.Get(root, "name"))); name != "" {
		return name
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, strings.ToLower(filepath.Base(filepath.Dir(abs))))
	return cmp.Or(strings.TrimLeft(name, "-_"), "default")
}
