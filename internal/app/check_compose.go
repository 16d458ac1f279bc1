package app

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/catalog"
)

const (
	// labelPrefix is what every label of ours begins with.
	labelPrefix = "fairway."
	// explicitService is the label by which instances name their service.
	explicitService = "fairway.service"
	// composeSource is the name of the source that would see what a Compose
	// file describes, on the local engine.
	composeSource = "docker"
	// stackSource is that of the source that would see the services of a stack.
	stackSource = "swarm"
	// nowhere is the address of everything: of TEST-NET-1, and never dialled.
	nowhere = "192.0.2.1"
	// maxPorts bounds how many ports of a range are looked at.
	maxPorts = 64
)

// compose reads the services of a Compose or stack file. References to other
// files (extends, include, env_file) are not followed.
func (c *checker) compose(path string, root *yaml.Node) {
	f := &composeFile{checker: c, path: path, root: root, env: c.composeEnv(path), told: map[string]bool{}}
	f.project = f.projectName()
	for _, e := range entries(lookup(root, "services")) {
		if resolveAlias(e.value).Kind != yaml.MappingNode {
			c.wrongForm(path, e.value, "a service")
			continue
		}
		f.service(e.key, e.value)
	}
}

// composeFile is a Compose file while it is read.
type composeFile struct {
	*checker
	path    string
	root    *yaml.Node
	project string
	env     map[string]string
	told    map[string]bool // variables that were told of
}

// composeEnv returns the environment, and below it what the file .env beside
// the Compose file says.
func (c *checker) composeEnv(path string) map[string]string {
	env := map[string]string{}
	data, _ := os.ReadFile(filepath.Join(filepath.Dir(path), ".env")) // Usually there is none.
	for line := range strings.Lines(string(data)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		value = strings.TrimSpace(value)
		if len(value) > 1 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		env[strings.TrimSpace(strings.TrimPrefix(name, "export "))] = value
	}
	for name, value := range c.env {
		env[name] = value
	}
	return env
}

// projectName follows Compose's order: the file, the environment, the
// directory.
func (f *composeFile) projectName() string {
	if n := lookup(f.root, "name"); n != nil {
		if name := f.text(n); name != "" {
			return name
		}
	}
	if name := f.env["COMPOSE_PROJECT_NAME"]; name != "" {
		return name
	}
	abs, err := filepath.Abs(f.path)
	if err != nil {
		abs = f.path
	}
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, strings.ToLower(filepath.Base(filepath.Dir(abs))))
	if name = strings.TrimLeft(name, "-_"); name == "" {
		return "default"
	}
	return name
}

// text returns the text of a scalar with its variables put in.
func (f *composeFile) text(n *yaml.Node) string {
	value, _, _ := interpolate(scalarText(n), f.env, f.used) // What is no label is Compose's to complain about.
	return value
}

// labelText is text for labels: it tells of mistakes, and once of every
// variable that has no value.
func (f *composeFile) labelText(n *yaml.Node) string {
	value, missing, err := interpolate(scalarText(n), f.env, f.used)
	if err != nil {
		f.problem(CheckedProblem{File: f.path, Line: n.Line, Code: CodeVariable, Text: err.Error(), Hint: "$$ stands for a plain dollar sign"})
	}
	for _, name := range missing {
		if !f.told[name] {
			f.problem(CheckedProblem{
				File: f.path, Line: n.Line, Code: CodeVariable,
				Text: "variable " + name + " is not set; Compose puts nothing in its place",
				Hint: "set it here or in .env, or write ${" + name + ":-default}; $$ stands for a plain dollar sign",
			})
		}
		f.told[name] = true
	}
	return value
}

// service reads one service, as the containers of Compose or as a service of a Swarm.
func (f *composeFile) service(key, n *yaml.Node) {
	source, separator, number := composeSource, "-", "-1"
	if f.stack {
		source, separator, number = stackSource, "_", ".1"
	}
	service := f.project + separator + key.Value
	instance := &catalog.Instance{
		Name:   service + number,
		Source: source,
		State:  catalog.StateReady,
	}
	if name := lookup(n, "container_name"); name != nil && !f.stack {
		instance.Name = f.text(name)
	}
	instance.ID = instance.Name
	labels := f.labels(lookup(n, "labels"))
	s := &catalog.Service{ID: service + "@" + source, Name: service, Source: source, Instances: []*catalog.Instance{instance}}
	instance.Labels = textsOf(labels)
	if f.stack {
		deployed := f.labels(lookup(lookupOrNothing(n, "deploy"), "labels"))
		s.Labels = textsOf(deployed)
		labels = append(labels, deployed...)
	} else if name := instance.Labels[explicitService]; name != "" && !strings.ContainsAny(name, "@/ ") {
		s.ID, s.Name = name, name
	}
	instance.Ports = f.ports(n)
	instance.Addresses = f.addresses(n, instance.Labels, s.Labels)
	f.add(s, place{f.path, key.Line})
	for _, l := range labels {
		f.places[[2]string{s.ID, l.key}] = place{f.path, l.line}
	}
}

// labelAt is a label and the line it is written on.
type labelAt struct {
	key, value string
	line       int
}

// labels reads our labels in either form: a mapping, or a list of key=value.
func (f *composeFile) labels(n *yaml.Node) []labelAt {
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	var labels []labelAt
	switch n.Kind {
	case yaml.MappingNode:
		for _, e := range entries(n) {
			switch {
			case !isOurs(e.key.Value):
			case e.value.Kind != yaml.ScalarNode:
				f.wrongForm(f.path, e.value, "one value for label "+e.key.Value)
			default:
				labels = append(labels, labelAt{e.key.Value, f.labelText(e.value), e.key.Line})
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			item = resolveAlias(item)
			switch {
			case item.Kind != yaml.ScalarNode:
				f.wrongForm(f.path, item, "KEY=VALUE; with a colon and a space it is a mapping")
			case isOurs(item.Value):
				key, value, _ := strings.Cut(f.labelText(item), "=")
				labels = append(labels, labelAt{key, value, item.Line})
			}
		}
	default:
		f.wrongForm(f.path, n, "a mapping or a list of labels")
	}
	return labels
}

func textsOf(labels []labelAt) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	m := make(map[string]string, len(labels))
	for _, l := range labels {
		m[l.key] = l.value
	}
	return m
}

// addresses makes up the addresses that the container would have: one on each
// network that a label names, or else on one network alone. Which of several
// Fairway is on is not known here, and so no problem. Labels that name none of
// the container's networks are one: then it has addresses on all of them.
func (f *composeFile) addresses(n *yaml.Node, labels ...map[string]string) []catalog.Address {
	if scalarText(lookup(n, "network_mode")) == "host" {
		return []catalog.Address{{Host: nowhere, Reach: catalog.ReachBridge}}
	}
	names := f.networkNames(n)
	named, chosen := namedNetworks(labels)
	switch has := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(named, name) }); {
	case len(has) > 0:
		names = has
	case !chosen:
		names = names[:min(1, len(names))]
	}
	var addresses []catalog.Address
	for _, name := range names {
		addresses = append(addresses, catalog.Address{Host: nowhere, Network: name, Reach: catalog.ReachShared})
	}
	return addresses
}

// networkNames returns the networks of a service as the engine knows them.
func (f *composeFile) networkNames(n *yaml.Node) (names []string) {
	for _, key := range f.networkKeys(n) {
		names = append(names, f.network(key))
	}
	return names
}

// networkKeys returns the networks of a service as the file calls them.
func (f *composeFile) networkKeys(n *yaml.Node) (keys []string) {
	networks := lookup(n, "networks")
	if networks == nil {
		return []string{"default"}
	}
	for _, e := range entries(networks) {
		keys = append(keys, e.key.Value)
	}
	if networks.Kind == yaml.SequenceNode {
		for _, item := range networks.Content {
			keys = append(keys, f.text(resolveAlias(item)))
		}
	}
	return keys
}

// namedNetworks returns the networks that labels name, and whether any label
// chooses a network.
func namedNetworks(labels []map[string]string) (names []string, chosen bool) {
	for _, m := range labels {
		for key, value := range m {
			if isNetworkLabel(key) {
				names, chosen = append(names, value), true
			}
		}
	}
	return names, chosen
}

// isNetworkLabel tells whether a label chooses a network, of a route with or
// without a name.
func isNetworkLabel(key string) bool {
	return strings.HasPrefix(key, labelPrefix) && strings.HasSuffix(key, ".network")
}

// network returns the name under which the engine knows a network of the file.
func (f *composeFile) network(name string) string {
	declared := lookupOrNothing(lookupOrNothing(f.root, "networks"), name)
	if n := lookup(declared, "name"); n != nil {
		return f.text(n)
	}
	if f.isExternal(name) {
		return name
	}
	return f.project + "_" + name
}

// isExternal says whether a network of the file is there before the project is.
func (f *composeFile) isExternal(name string) bool {
	external := lookup(lookupOrNothing(lookupOrNothing(f.root, "networks"), name), "external")
	return external != nil && scalarText(external) != "false"
}

// lookupOrNothing is lookup with an empty node for nothing, to look on in.
func lookupOrNothing(n *yaml.Node, key string) *yaml.Node {
	if found := lookup(n, key); found != nil {
		return found
	}
	return &yaml.Node{}
}

// ports returns the ports that the file names. An image may expose others; a
// file that names none of TCP gets a stand-in, since that is not known here. Of a stack
// it is known: a Swarm does not tell which ports an image exposes.
func (f *composeFile) ports(n *yaml.Node) []catalog.Port {
	var ports []catalog.Port
	add := func(text string) {
		for _, p := range parsePorts(text) {
			if !slices.Contains(ports, p) {
				ports = append(ports, p)
			}
		}
	}
	for _, key := range []string{"expose", "ports"} {
		list := lookupOrNothing(n, key)
		for _, item := range list.Content {
			item = resolveAlias(item)
			if item.Kind == yaml.MappingNode {
				add(f.text(lookupOrNothing(item, "target")) + "/" + f.text(lookupOrNothing(item, "protocol")))
				continue
			}
			add(f.text(item))
		}
	}
	if !f.stack && !slices.ContainsFunc(ports, func(p catalog.Port) bool { return p.Protocol == "tcp" }) {
		ports = append(ports, catalog.Port{Number: 80, Protocol: "tcp"})
	}
	return ports
}

// parsePorts reads Compose's short form, [[HOST:]PUBLISHED:]PORT[-PORT][/PROTOCOL],
// and returns the ports inside the container. What is none is left out: it is
// not for us to say so.
func parsePorts(text string) []catalog.Port {
	text, protocol, _ := strings.Cut(text, "/")
	if protocol == "" {
		protocol = "tcp"
	}
	if i := strings.LastIndex(text, ":"); i >= 0 {
		text = text[i+1:]
	}
	from, to, isRange := strings.Cut(text, "-")
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
		ports = append(ports, catalog.Port{Number: uint16(number), Protocol: protocol}) //nolint:gosec // parsed as 16 bits
	}
	return ports
}
