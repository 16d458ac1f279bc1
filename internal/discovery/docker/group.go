package docker

import (
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
)

const (
	labelService        = catalog.ServiceLabel
	labelComposeProject = "com.docker.compose.project"
	labelComposeService = "com.docker.compose.service"
	labelComposeOneOff  = "com.docker.compose.oneoff"
	labelStack          = "com.docker.stack.namespace"
	labelSwarmService   = "com.docker.swarm.service.id"
)

// group is what the containers of one service have in common.
type group struct {
	// name is what the service is called, id its ID.
	name, id string
	// other is its ID while an older group has id: with a "~", which no name has. A service
	// that containers name has an owner instead.
	other, owner string
	// container is set for a container on its own.
	container string
}

// shared is what the containers of one service hold together.
type shared struct {
	group
	ports []catalog.Port // those of the newest one; most have the same
}

// groupOf says which service a container belongs to. Labels that are no names do not count.
func groupOf(c dockerapi.Container, source string) group {
	if name := c.Labels[labelService]; catalog.IsName(name) {
		owner := c.Labels[labelComposeProject]
		if !catalog.IsName(owner) {
			owner = c.Labels[labelStack]
		}
		if !catalog.IsName(owner) {
			owner = catalog.NoOwner
		}
		return group{name: name, id: catalog.OwnedID(name, owner), owner: owner}
	}
	at := "@" + source
	project, service := c.Labels[labelComposeProject], c.Labels[labelComposeService]
	oneOff := strings.EqualFold(c.Labels[labelComposeOneOff], "true")
	if catalog.IsName(project) && catalog.IsName(service) && !oneOff {
		name := project + "-" + service
		return group{name: name, id: name + at, other: project + "~" + service + at}
	}
	name := nameOf(c)
	if !catalog.IsName(name) {
		name = shortID(c.ID)
	}
	return group{name: name, id: name + at, other: name + "~" + shortID(c.ID) + at, container: c.ID}
}

// members are the instances of each group, at least one.
type members map[*shared][]*catalog.Instance

func (m members) created(g *shared) time.Time {
	oldest := m[g][0].Created
	for _, i := range m[g] {
		if i.Created.Before(oldest) {
			oldest = i.Created
		}
	}
	return oldest
}

// older reports whether a group goes before another one with its ID.
func (m members) older(g, than *shared) bool {
	if order := m.created(g).Compare(m.created(than)); order != 0 {
		return order < 0
	}
	return g.other < than.other
}

// services makes the service of each group, by ID; one that says the same as in before keeps
// its pointer. Of groups with one ID, such as Compose's "a-b" with "c" and "a" with "b-c", the
// oldest has it.
func (m members) services(source string, before map[string]*catalog.Service) map[string]*catalog.Service {
	first := make(map[string]*shared, len(m))
	for g := range m {
		if other, taken := first[g.id]; !taken || m.older(g, other) {
			first[g.id] = g
		}
	}
	next := make(map[string]*catalog.Service, len(m))
	for g, instances := range m {
		slices.SortFunc(instances, func(a, b *catalog.Instance) int { return strings.Compare(a.ID, b.ID) })
		id := g.id
		if first[id] != g {
			id = g.other
		}
		if old := before[id]; old != nil && old.Name == g.name && slices.Equal(old.Instances, instances) {
			next[id] = old
			continue
		}
		next[id] = &catalog.Service{ID: id, Name: g.name, Owner: g.owner, Source: source, Created: m.created(g), Instances: instances}
	}
	return next
}
