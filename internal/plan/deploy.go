package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/compose"
)

// The labels by which Docker marks what belongs to a project or a stack.
const (
	composeProject = "com.docker.compose.project"
	composeService = "com.docker.compose.service"
	stackNamespace = "com.docker.stack.namespace"
)

func (w *world) deploy(p *compose.Project, source string) {
	for _, s := range p.Services {
		if p.Stack {
			w.deployStack(p.Name, source, s)
		} else {
			w.deployCompose(p.Name, source, s)
		}
	}
}

// created is later than that of any service that exists.
func (w *world) created() time.Time { return w.now.Taken.Add(time.Second) }

func running(list []*catalog.Instance) []*catalog.Instance {
	return slices.DeleteFunc(slices.Clone(list), func(in *catalog.Instance) bool {
		return in.State == catalog.StateStopped || in.State == catalog.StateLeaving
	})
}

// instance makes up instance number i of a service, in the place of one of old or nil.
func (w *world) instance(source, prefix string, i int, d *compose.Service, old []*catalog.Instance) (in, before *catalog.Instance) {
	if len(old) > 0 {
		before = old[min(i, len(old)-1)]
	}
	return &catalog.Instance{
		ID: fmt.Sprintf("planned-%s%04d", prefix, i+1), Name: fmt.Sprintf("%s%d", prefix, i+1), Source: source,
		State: catalog.StateReady, Created: w.created(), Addresses: w.addressesOf(source, d, before),
	}, before
}

func (w *world) deployCompose(project, source string, d *compose.Service) {
	mine := func(s *catalog.Service, in *catalog.Instance) bool {
		return cmp.Or(in.Source, s.Source) == source && in.Labels[composeProject] == project && in.Labels[composeService] == d.Key
	}
	var old []*catalog.Instance
	for _, s := range w.list() {
		for _, in := range running(s.Instances) {
			if mine(s, in) {
				old = append(old, in)
			}
		}
	}
	count := 1
	if d.Replicas != nil {
		count = *d.Replicas
	}
	name := project + "-" + d.Key
	service := &catalog.Service{ID: name + "@" + source, Name: name, Source: source, Created: w.created()}
	if own := d.Labels[catalog.ServiceLabel]; catalog.IsName(own) {
		service.ID, service.Name, service.Owner = own, own, project
		if has := w.services[own]; has != nil && has.Owner != "" && has.Owner != project && !has.Shared {
			service.ID, service.Holder = catalog.OwnedID(own, project), has.Owner
		}
	}
	w.locate(d, service.ID)
	if len(old) == count && !slices.ContainsFunc(old, func(in *catalog.Instance) bool { return !sameOurs(in.Labels, d.Labels) || !maps.Equal(in.Env, d.Env) }) {
		return // Compose leaves it alone, as far as can be seen
	}
	w.drop(mine, "")
	for i := range count {
		in, before := w.instance(source, name+"-", i, d, old)
		in.Name, in.Node = cmp.Or(d.Container, in.Name), source
		in.Labels = relabelled(map[string]string{composeProject: project, composeService: d.Key}, d.Labels)
		if before != nil {
			in.Labels = relabelled(before.Labels, d.Labels)
		}
		in.Ports, in.Env = portsOf(d, before), d.Env
		service.Instances = append(service.Instances, in)
	}
	if count > 0 {
		w.put(service)
	}
}

func (w *world) deployStack(project, source string, d *compose.Service) {
	name := project + "_" + d.Key
	id := name + "@" + source
	w.locate(d, id)
	service := &catalog.Service{
		ID: id, Name: name, Source: source, Created: w.created(),
		Labels: map[string]string{stackNamespace: project},
	}
	var tasks []*catalog.Instance
	if old := w.services[id]; old != nil {
		*service = *old
		tasks = running(old.Instances)
	}
	service.Labels, service.Env, service.OwnLabels = relabelled(service.Labels, d.Deploy), d.Env, true
	count := 1
	switch {
	case d.Global:
		count = w.nodesOf(source)
		service.Replicas = nil
	case d.Replicas != nil:
		count = *d.Replicas
		service.Replicas = d.Replicas
	default:
		service.Replicas = &count
	}
	service.Instances = nil
	for i := range count {
		in, _ := w.instance(source, name+".", i, d, tasks)
		in.Labels, in.Ports = d.Labels, d.Ports // a Swarm does not say which ports an image exposes
		service.Instances = append(service.Instances, in)
	}
	w.services[id] = service
}

// locate notes where a service and its labels are written.
func (w *world) locate(d *compose.Service, id string) {
	w.at[element{id, ""}] = d.At
	for label, at := range d.Lines {
		w.at[element{id, label}] = at
	}
}

// prune removes what the project has and its files do not name.
func (w *world) prune(p *compose.Project, source string) {
	if p.Stack {
		maps.DeleteFunc(w.services, func(_ string, s *catalog.Service) bool {
			return s.Source == source && s.Labels[stackNamespace] == p.Name && p.Service(strings.TrimPrefix(s.Name, p.Name+"_")) == nil
		})
		return
	}
	w.drop(func(s *catalog.Service, in *catalog.Instance) bool {
		return cmp.Or(in.Source, s.Source) == source && in.Labels[composeProject] == p.Name && p.Service(in.Labels[composeService]) == nil
	}, "")
}

func relabelled(labels, ours map[string]string) map[string]string {
	result := map[string]string{}
	for key, value := range labels {
		if !catalog.IsLabel(key) {
			result[key] = value
		}
	}
	maps.Copy(result, ours)
	return result
}

func sameOurs(labels, ours map[string]string) bool {
	return maps.Equal(labels, relabelled(labels, ours))
}

// nodesOf counts the nodes of a Swarm that take tasks, one at least.
func (w *world) nodesOf(source string) int {
	n := 0
	for _, node := range w.now.Nodes {
		if node.Source == source && node.State == "ready" && node.Availability != "drain" {
			n++
		}
	}
	return max(1, n)
}

// reach is how Fairway gets to networks, by source and name, as today's instances show.
type reach struct {
	networks map[[2]string]catalog.Reach
	// bridged are the sources on whose machine Fairway is, known those with addresses.
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

// of says how Fairway would get to a network: as it does now; to a new one from its
// machine, else not at all. Where nothing is known it is on all networks but those that a
// project with others makes.
func (r reach) of(source string, n compose.Network, others bool) catalog.Reach {
	known, ok := r.networks[[2]string{source, n.Name}]
	switch {
	case ok:
		return known
	case r.bridged[source]:
		return catalog.ReachBridge
	case r.known[source], others && !n.External:
		return catalog.ReachNone
	}
	return catalog.ReachShared // better no problem than a wrong one
}

// addressesOf makes up the addresses of an instance in the place of before, or nil.
func (w *world) addressesOf(source string, d *compose.Service, before *catalog.Instance) []catalog.Address {
	if d.HostNetwork {
		return []catalog.Address{{Host: compose.Nowhere, Reach: catalog.ReachBridge}}
	}
	external := slices.ContainsFunc(d.Networks, func(n compose.Network) bool { return n.External })
	var list []catalog.Address
	for _, n := range d.Networks {
		a := catalog.Address{Host: compose.Nowhere, Network: n.Name, Reach: w.reach.of(source, n, external)}
		if before != nil {
			if i := slices.IndexFunc(before.Addresses, func(a catalog.Address) bool { return a.Network == n.Name }); i >= 0 {
				a = before.Addresses[i]
			}
		}
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b catalog.Address) int {
		return cmp.Or(cmp.Compare(a.Network, b.Network), cmp.Compare(a.Host, b.Host))
	})
	return list
}

// portsOf makes up the ports of an instance: those of the files, and of the one before it,
// since the image is likely to be the same. Without any of TCP, one stands for the image's.
func portsOf(d *compose.Service, before *catalog.Instance) []catalog.Port {
	ports := slices.Clone(d.Ports)
	if before != nil {
		for _, p := range before.Ports {
			if !slices.ContainsFunc(ports, func(q catalog.Port) bool { return q.Number == p.Number && q.Protocol == p.Protocol }) {
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
