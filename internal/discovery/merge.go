package discovery

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"

	"fairway/internal/catalog"
)

// merger makes one list of services out of the lists of the sources. It
// remembers the last list, so that a service that did not change keeps its
// pointer: both when its parts are the same pointers as before and when they
// are new but say the same.
type merger struct {
	last map[string]merged
}

// merged is a service of the last list with what it was made of.
type merged struct {
	parts  []*catalog.Service
	result *catalog.Service
}

// services merges services of equal ID. states are sorted by name; so is the
// result by ID.
func (m *merger) services(states []*state) []*catalog.Service {
	parts := make(map[string][]*catalog.Service, len(m.last))
	for _, s := range states {
		for _, service := range s.services {
			parts[service.ID] = append(parts[service.ID], service)
		}
	}
	next := make(map[string]merged, len(parts))
	list := make([]*catalog.Service, 0, len(parts))
	for id, p := range parts {
		before, known := m.last[id]
		switch {
		case known && slices.Equal(before.parts, p):
			next[id] = before
		case known:
			result := mergeService(p)
			if reflect.DeepEqual(before.result, result) {
				result = before.result
			}
			next[id] = merged{p, result}
		default:
			next[id] = merged{p, mergeService(p)}
		}
		list = append(list, next[id].result)
	}
	m.last = next
	slices.SortFunc(list, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// mergeService makes one service out of its parts, of which there is at least
// one. The first part decides where they differ; the oldest gives the age.
func mergeService(parts []*catalog.Service) *catalog.Service {
	if len(parts) == 1 {
		return parts[0]
	}
	service := *parts[0]
	service.Labels = maps.Clone(service.Labels)
	service.Instances = slices.Clone(service.Instances)
	for _, p := range parts[1:] {
		for key, value := range p.Labels {
			if _, has := service.Labels[key]; !has {
				if service.Labels == nil {
					service.Labels = make(map[string]string)
				}
				service.Labels[key] = value
			}
		}
		service.Instances = append(service.Instances, p.Instances...)
		if service.Created.IsZero() || !p.Created.IsZero() && p.Created.Before(service.Created) {
			service.Created = p.Created
		}
	}
	slices.SortStableFunc(service.Instances, func(a, b *catalog.Instance) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Source, b.Source))
	})
	return &service
}

// nodes merges the nodes, sorted by ID. When two sources see a node of one ID,
// the first source is believed.
func (m *merger) nodes(states []*state) []*catalog.Node {
	seen := make(map[string]bool)
	var list []*catalog.Node
	for _, s := range states {
		for _, n := range s.nodes {
			if !seen[n.ID] {
				seen[n.ID] = true
				list = append(list, n)
			}
		}
	}
	slices.SortFunc(list, func(a, b *catalog.Node) int { return strings.Compare(a.ID, b.ID) })
	return list
}

// same reports whether two snapshots say the same: revision, time and the times
// of the last answers do not count. Services are compared by pointer, which
// suffices as merger keeps the pointer of a service that says the same.
func same(a, b *catalog.Snapshot) bool {
	return a.Restored == b.Restored &&
		slices.Equal(a.Services, b.Services) &&
		slices.EqualFunc(a.Sources, b.Sources, func(x, y catalog.SourceStatus) bool {
			x.LastSuccess = y.LastSuccess
			return reflect.DeepEqual(x, y)
		}) &&
		slices.EqualFunc(a.Nodes, b.Nodes, func(x, y *catalog.Node) bool { return reflect.DeepEqual(x, y) }) &&
		slices.Equal(a.Certificates, b.Certificates)
}

// split gives each source back its part of a snapshot: the services with the
// instances it saw, and its nodes.
func split(s *catalog.Snapshot) (services map[string][]*catalog.Service, nodes map[string][]*catalog.Node) {
	services = make(map[string][]*catalog.Service)
	for _, service := range s.Services {
		bySource := map[string][]*catalog.Instance{service.Source: nil}
		for _, i := range service.Instances {
			from := cmp.Or(i.Source, service.Source)
			bySource[from] = append(bySource[from], i)
		}
		if len(bySource) == 1 {
			services[service.Source] = append(services[service.Source], service)
			continue
		}
		for source, instances := range bySource {
			part := *service
			part.Source = source
			part.Instances = instances
			services[source] = append(services[source], &part)
		}
	}
	nodes = make(map[string][]*catalog.Node)
	for _, n := range s.Nodes {
		nodes[n.Source] = append(nodes[n.Source], n)
	}
	return services, nodes
}
