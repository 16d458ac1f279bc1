package app

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"fairway/internal/api"
	"fairway/internal/catalog"
)

// deployed is a service of a Compose or stack file as it would be deployed.
type deployed struct {
	key    string            // its name in the file
	labels map[string]string // of its containers
	deploy map[string]string // of the service in a Swarm
	// replicas is how many instances it would have; nil where nothing says so.
	replicas  *int
	global    bool
	networks  []string // as the engine knows them
	external  []string // those among them that the file does not make
	host      bool     // it has the network of its machine
	ports     []catalog.Port
	container string // the name of its container, where the file gives one
}

// planned reads the services of a Compose or stack file into c.deployed.
func (c *checker) planned(path string, root *yaml.Node, project string) {
	f := &composeFile{checker: c, path: path, root: root, env: c.env, told: map[string]bool{}, project: project}
	if f.project == "" {
		f.project = f.text(lookupOrNothing(root, "name"))
	}
	c.project = f.project
	for _, e := range entries(lookup(root, "services")) {
		if resolveAlias(e.value).Kind != yaml.MappingNode {
			c.wrongForm(path, e.value, "a service")
			continue
		}
		f.deployed(e.key, e.value)
	}
}

// deployed reads one service, over what an earlier file says of it.
func (f *composeFile) deployed(key, n *yaml.Node) {
	i := slices.IndexFunc(f.checker.deployed, func(d *deployed) bool { return d.key == key.Value })
	if i < 0 {
		i = len(f.checker.deployed)
		f.checker.deployed = append(f.checker.deployed, &deployed{key: key.Value})
	}
	d := f.checker.deployed[i]
	deploy := lookupOrNothing(n, "deploy")
	labels, service := f.labels(lookup(n, "labels")), f.labels(lookup(deploy, "labels"))
	d.labels = override(d.labels, textsOf(labels))
	d.deploy = override(d.deploy, textsOf(service))
	for _, replicas := range []*yaml.Node{lookup(n, "scale"), lookup(deploy, "replicas")} {
		if count, err := strconv.Atoi(f.text(replicas)); err == nil && count >= 0 {
			count = min(count, maxPlanned)
			d.replicas = &count
		}
	}
	d.global = d.global || f.text(lookup(deploy, "mode")) == "global"
	mode := scalarText(lookup(n, "network_mode"))
	switch {
	case mode != "":
		d.host, d.networks, d.external = mode == "host", []string{mode}, []string{mode}
	case lookup(n, "networks") != nil || len(d.networks) == 0:
		d.networks, d.external = nil, nil
		for _, key := range f.networkKeys(n) {
			d.networks = append(d.networks, f.network(key))
			if f.isExternal(key) {
				d.external = append(d.external, f.network(key))
			}
		}
	}
	for _, p := range f.publishedPorts(n) {
		if !slices.Contains(d.ports, p) {
			d.ports = append(d.ports, p)
		}
	}
	if name := f.text(lookupOrNothing(n, "container_name")); name != "" {
		d.container = name
	}
	f.places[[2]string{key.Value, ""}] = place{f.path, key.Line}
	for _, l := range slices.Concat(labels, service) {
		f.places[[2]string{key.Value, l.key}] = place{f.path, l.line}
	}
}

// maxPlanned bounds how many instances of a service are planned.
const maxPlanned = 1000

// publishedPorts returns the ports that the file names; those that are published
// have an address that stands for it.
func (f *composeFile) publishedPorts(n *yaml.Node) []catalog.Port {
	var ports []catalog.Port
	add := func(text string, published bool) {
		for _, p := range parsePorts(text) {
			if published {
				p.Published = nowhere + ":" + strconv.Itoa(int(p.Number))
			}
			ports = append(ports, p)
		}
	}
	for _, item := range lookupOrNothing(n, "expose").Content {
		add(f.text(resolveAlias(item)), false)
	}
	for _, item := range lookupOrNothing(n, "ports").Content {
		if item = resolveAlias(item); item.Kind == yaml.MappingNode {
			add(f.text(lookupOrNothing(item, "target"))+"/"+f.text(lookupOrNothing(item, "protocol")), lookup(item, "published") != nil)
		} else {
			text := f.text(item)
			add(text, strings.Contains(text, ":"))
		}
	}
	return ports
}

// isOurs says whether a label means something to Fairway.
func isOurs(key string) bool {
	key = strings.ToLower(key)
	return strings.HasPrefix(key, labelPrefix) || strings.HasPrefix(key, flowLabelPrefix)
}

const (
	flowLabelPrefix = "com.df."
	composeProject  = "com.docker.compose.project"
	composeService  = "com.docker.compose.service"
	stackNamespace  = "com.docker.stack.namespace"
)

// relabelled returns labels with those of ours replaced.
func relabelled(labels, ours map[string]string) map[string]string {
	result := maps.Clone(labels)
	if result == nil {
		result = map[string]string{}
	}
	maps.DeleteFunc(result, func(key, _ string) bool { return isOurs(key) })
	maps.Copy(result, ours)
	return result
}

// sameOurs says whether labels of ours are these.
func sameOurs(labels, ours map[string]string) bool {
	n := 0
	for key, value := range labels {
		if isOurs(key) {
			if want, ok := ours[key]; !ok || want != value {
				return false
			}
			n++
		}
	}
	return n == len(ours)
}

// ReadPlan reads files for a plan, with everything that only this machine knows:
// the variables that they ask for, from the environment and the file .env beside
// the first of them, and the name of the project, as Compose finds it.
func ReadPlan(paths, environ []string) (api.PlanRequest, error) {
	r := api.PlanRequest{Variables: map[string]string{}}
	c := &checker{env: environment(environ), places: map[[2]string]place{}, used: r.Variables}
	for _, path := range paths {
		data, err := readBounded(path)
		if err != nil {
			return r, err
		}
		r.Files = append(r.Files, api.PlanFile{Path: path, Text: string(data)})
		var document yaml.Node
		if yaml.Unmarshal(data, &document) != nil || len(document.Content) == 0 {
			continue // whoever plans will say so
		}
		root := document.Content[0]
		if services := lookup(root, "services"); services == nil || services.Kind != yaml.MappingNode {
			continue
		}
		if r.Project == "" {
			c.env = c.composeEnv(path)
			f := &composeFile{checker: c, path: path, root: root, env: c.env}
			r.Project = f.projectName()
		}
		c.planned(path, root, r.Project)
	}
	return r, nil
}
