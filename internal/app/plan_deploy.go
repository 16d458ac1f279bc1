package app

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
)

// deploy makes up what would exist after the project has been deployed.
func (c *change) deploy() error {
	source, stack, err := c.where()
	if err != nil {
		return err
	}
	if c.project == "" {
		c.project = c.request.Project
	}
	if c.project == "" {
		return refused("which project? give its name, as COMPOSE_PROJECT_NAME or as the name of the stack")
	}
	for _, d := range c.deployed {
		if stack {
			c.deployStack(source, d)
		} else {
			c.deployCompose(source, d)
		}
	}
	if c.request.Prune {
		c.prune(source, stack)
	}
	return nil
}

// where decides which source would see the project, and whether it is a stack of
// a Swarm.
func (c *change) where() (source string, stack bool, err error) {
	var engines, swarms []string
	for _, s := range c.now.Sources {
		switch kind, _, _ := strings.Cut(s.Name, ":"); kind {
		case "docker":
			engines = append(engines, s.Name)
		case "swarm":
			swarms = append(swarms, s.Name)
		}
	}
	if c.request.Source != "" {
		if !slices.Contains(slices.Concat(engines, swarms), c.request.Source) {
			return "", false, refused(fmt.Sprintf("there is no source %q for Compose files or stacks", c.request.Source))
		}
		return c.request.Source, slices.Contains(swarms, c.request.Source), nil
	}
	stack = c.request.Stack || len(engines) == 0 && len(swarms) > 0
	fits, usual := engines, "docker"
	if stack {
		fits, usual = swarms, "swarm"
	}
	switch len(fits) {
	case 0:
		c.remarks = append(c.remarks, "no "+usual+" is watched now: the plan takes it that one is")
		return usual, stack, nil
	case 1:
		return fits[0], stack, nil
	}
	return "", false, refused("which source? one of " + strings.Join(fits, ", "))
}

// deployCompose makes up the containers of a service.
func (c *change) deployCompose(source string, d *deployed) {
	mine := func(s *catalog.Service, in *catalog.Instance) bool {
		return cmp.Or(in.Source, s.Source) == source && in.Labels[composeProject] == c.project && in.Labels[composeService] == d.key
	}
	var old []*catalog.Instance
	for _, id := range slices.Sorted(maps.Keys(c.services)) {
		s := c.services[id]
		for _, in := range s.Instances {
			if mine(s, in) && in.State != catalog.StateStopped && in.State != catalog.StateLeaving {
				old = append(old, in)
			}
		}
	}
	count := 1
	if d.replicas != nil {
		count = *d.replicas
	}
	name := c.project + "-" + d.key
	service := &catalog.Service{ID: name + "@" + source, Name: name, Source: source, Created: c.plannedAt()}
	if own := d.labels[explicitService]; catalog.IsName(own) {
		service.ID, service.Name = own, own
	}
	c.place(d, service.ID)
	if len(old) == count && !slices.ContainsFunc(old, func(in *catalog.Instance) bool { return !sameOurs(in.Labels, d.labels) }) {
		return // Compose leaves it alone, as far as we can see
	}
	c.drop(mine, "")
	ours := relabelled(map[string]string{composeProject: c.project, composeService: d.key}, d.labels)
	for i := range count {
		in := &catalog.Instance{
			ID: fmt.Sprintf("planned-%s-%04d", name, i+1), Name: fmt.Sprintf("%s-%d", name, i+1), Source: source, Node: source,
			Labels: ours, State: catalog.StateReady, Created: c.plannedAt(),
		}
		if d.container != "" {
			in.Name = d.container
		}
		var like *catalog.Instance
		if len(old) > 0 {
			like = old[min(i, len(old)-1)]
			in.Labels = relabelled(like.Labels, d.labels)
		}
		in.Addresses, in.Ports = c.addressesOf(source, d, like), portsOf(d, like)
		service.Instances = append(service.Instances, in)
	}
	if count > 0 {
		c.put(service)
	}
}

// deployStack makes up a service of a Swarm with its tasks.
func (c *change) deployStack(source string, d *deployed) {
	name := c.project + "_" + d.key
	id := name + "@" + source
	c.place(d, id)
	old := c.services[id]
	service := &catalog.Service{
		ID: id, Name: name, Source: source, Created: c.plannedAt(), OwnLabels: true,
		Labels: map[string]string{stackNamespace: c.project},
	}
	var tasks []*catalog.Instance
	if old != nil {
		*service = *old
		tasks = slices.DeleteFunc(slices.Clone(old.Instances), func(in *catalog.Instance) bool {
			return in.State == catalog.StateStopped || in.State == catalog.StateLeaving
		})
	}
	service.Labels = relabelled(service.Labels, d.deploy)
	count := 1
	switch {
	case d.global:
		count = c.nodesOf(source)
		service.Replicas = nil
	case d.replicas != nil:
		count = *d.replicas
		service.Replicas = d.replicas
	default:
		service.Replicas = &count
	}
	service.Instances = nil
	for i := range count {
		in := &catalog.Instance{
			ID: fmt.Sprintf("planned-%s-%04d", name, i+1), Name: fmt.Sprintf("%s.%d", name, i+1), Source: source,
			Labels: d.labels, State: catalog.StateReady, Created: c.plannedAt(),
		}
		var like *catalog.Instance
		if len(tasks) > 0 {
			like = tasks[min(i, len(tasks)-1)]
		}
		// A Swarm does not tell the ports of images, only those of the service.
		in.Addresses, in.Ports = c.addressesOf(source, d, like), d.ports
		service.Instances = append(service.Instances, in)
	}
	c.services[id] = service
}

// place notes where a service and its labels are written.
func (c *change) place(d *deployed, id string) {
	for at, where := range c.places {
		if at[0] == d.key {
			c.at[[2]string{id, at[1]}] = where
		}
	}
}

// prune removes what the project has and the files do not name.
func (c *change) prune(source string, stack bool) {
	named := func(key string) bool {
		return slices.ContainsFunc(c.deployed, func(d *deployed) bool { return d.key == key })
	}
	if stack {
		for id, s := range c.services {
			if s.Source == source && s.Labels[stackNamespace] == c.project && !named(strings.TrimPrefix(s.Name, c.project+"_")) {
				delete(c.services, id)
			}
		}
		return
	}
	c.drop(func(s *catalog.Service, in *catalog.Instance) bool {
		return cmp.Or(in.Source, s.Source) == source && in.Labels[composeProject] == c.project && !named(in.Labels[composeService])
	}, "")
}

// nodesOf counts the nodes of a Swarm that take tasks; one at least.
func (c *change) nodesOf(source string) int {
	n := 0
	for _, node := range c.now.Nodes {
		if node.Source == source && node.State == "ready" && node.Availability != "drain" {
			n++
		}
	}
	return max(1, n)
}

// reach is how Fairway gets to networks, by source and name, as far as the
// instances that exist tell.
type reach struct {
	networks map[[2]string]catalog.Reach
	// bridged are the sources on whose machine Fairway is, and known those that
	// have instances with addresses at all.
	bridged, known map[string]bool
}

func reachOf(s *catalog.Snapshot) reach {
	r := reach{networks: map[[2]string]catalog.Reach{}, bridged: map[string]bool{}, known: map[string]bool{}}
	for _, svc := range s.Services {
		for _, in := range svc.Instances {
			source := cmp.Or(in.Source, svc.Source)
			for _, a := range in.Addresses {
				r.known[source] = true
				r.networks[[2]string{source, a.Network}] = a.Reach
				r.bridged[source] = r.bridged[source] || a.Reach == catalog.ReachBridge
			}
		}
	}
	return r
}

// of says how Fairway would get to a network: as it does now; a new one it would
// reach from its machine, and else not be on.
func (r reach) of(source, network string) catalog.Reach {
	if known, ok := r.networks[[2]string{source, network}]; ok {
		return known
	}
	switch {
	case !r.known[source]:
		return catalog.ReachShared // nothing tells; better no problem than a wrong one
	case r.bridged[source]:
		return catalog.ReachBridge
	}
	return catalog.ReachNone
}

// addressesOf makes up the addresses of an instance. like is one that it takes the
// place of, or nil.
func (c *change) addressesOf(source string, d *deployed, like *catalog.Instance) []catalog.Address {
	if d.host {
		return []catalog.Address{{Host: nowhere, Reach: catalog.ReachBridge}}
	}
	var list []catalog.Address
	for _, network := range d.networks {
		a := catalog.Address{Host: nowhere, Network: network, Reach: c.reach.of(source, network)}
		if !c.reach.known[source] && len(d.external) > 0 && !slices.Contains(d.external, network) {
			a.Reach = catalog.ReachNone // the project makes it: Fairway cannot be on it yet
		}
		if like != nil {
			if i := slices.IndexFunc(like.Addresses, func(a catalog.Address) bool { return a.Network == network }); i >= 0 {
				a = like.Addresses[i]
			}
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b catalog.Address) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Host, b.Host))
	})
	return list
}

// portsOf makes up the ports of an instance: those of the file, and those that the
// one before it has, since the image is likely to be the same. Where nothing
// tells there is one that stands for those of the image.
func portsOf(d *deployed, like *catalog.Instance) []catalog.Port {
	ports := slices.Clone(d.ports)
	has := func(p catalog.Port) bool {
		return slices.ContainsFunc(ports, func(q catalog.Port) bool { return q.Number == p.Number && q.Protocol == p.Protocol })
	}
	if like != nil {
		for _, p := range like.Ports {
			if !has(p) {
				ports = append(ports, p)
			}
		}
	}
	if !slices.ContainsFunc(ports, func(p catalog.Port) bool { return p.Protocol == "tcp" }) {
		ports = append(ports, catalog.Port{Number: 80, Protocol: "tcp"})
	}
	slices.SortFunc(ports, func(a, b catalog.Port) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Protocol, b.Protocol))
	})
	return ports
}
