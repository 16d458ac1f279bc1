package docker

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
)

// The labels that decide which service a container belongs to.
const (
	labelService        = catalog.ServiceLabel
	labelComposeProject = "com.docker.compose.project"
	labelComposeService = "com.docker.compose.service"
	labelComposeOneOff  = "com.docker.compose.oneoff"
	labelSwarmService   = "com.docker.swarm.service.id"
)

// group is what the containers of one service have in common. Exactly one of
// the three ways is used: a name of their own, Compose's project and service,
// or one container's ID. It is a struct and not a joined text, so that nobody
// can land in another's group by clever spelling.
type group struct {
	name             string
	project, service string
	container, label string // label: the container's name
}

// groupOf says which service a container belongs to. Labels with values that
// cannot be names are as good as absent.
func groupOf(c dockerapi.Container) group {
	if name := c.Labels[labelService]; catalog.IsName(name) {
		return group{name: name}
	}
	project, service := c.Labels[labelComposeProject], c.Labels[labelComposeService]
	oneOff := strings.EqualFold(c.Labels[labelComposeOneOff], "true")
	if catalog.IsName(project) && catalog.IsName(service) && !oneOff {
		return group{project: project, service: service}
	}
	label := c.Name
	if !catalog.IsName(label) {
		label = shortID(c.ID)
	}
	return group{container: c.ID, label: label}
}

// plain is the name of the service.
func (g group) plain() string {
	switch {
	case g.name != "":
		return g.name
	case g.project != "":
		return g.project + "-" + g.service
	default:
		return g.label
	}
}

// unmistakable is a name that no other group can have: it spells with a "~",
// which no name contains, what the plain name blurs.
func (g group) unmistakable() string {
	if g.project != "" {
		return g.project + "~" + g.service
	}
	return g.label + "~" + shortID(g.container)
}

// id returns the service's ID by its plain name.
func (g group) id(source string) string {
	if g.name != "" {
		return g.name
	}
	return g.plain() + "@" + source
}

func (g group) compare(other group) int {
	return cmp.Or(strings.Compare(g.name, other.name), strings.Compare(g.project, other.project),
		strings.Compare(g.service, other.service), strings.Compare(g.label, other.label), strings.Compare(g.container, other.container))
}

// groups makes services out of instances. A service is built again only when
// one of its instances changed, so that the others keep their pointers.
//
// Two groups can have the same plain name: Compose's "a-b" with "c" and "a" with
// "b-c", or a lone container named like either. They are strangers, so they do
// not become one service: the oldest has the plain name, the others are told
// apart by their unmistakable one.
type groups struct {
	source  string
	members map[group]map[string]*catalog.Instance // by instance ID
	claims  map[string]map[group]bool              // plain ID → who would have it
	built   map[group]*catalog.Service
	stale   map[group]bool // to be built again
}

func newGroups(source string) *groups {
	return &groups{
		source:  source,
		members: make(map[group]map[string]*catalog.Instance),
		claims:  make(map[string]map[group]bool),
		built:   make(map[group]*catalog.Service),
		stale:   make(map[group]bool),
	}
}

// put adds an instance to a group, in place of the one of the same ID.
func (gs *groups) put(g group, i *catalog.Instance) {
	id := g.id(gs.source)
	if gs.members[g] == nil {
		gs.members[g] = make(map[string]*catalog.Instance)
		if gs.claims[id] == nil {
			gs.claims[id] = make(map[group]bool)
		}
		gs.claims[id][g] = true
	}
	gs.members[g][i.ID] = i
	gs.touch(id)
}

// remove takes an instance out of a group.
func (gs *groups) remove(g group, instance string) {
	id := g.id(gs.source)
	gs.touch(id)
	delete(gs.members[g], instance)
	if len(gs.members[g]) > 0 {
		return
	}
	delete(gs.members, g)
	delete(gs.claims[id], g)
	if len(gs.claims[id]) == 0 {
		delete(gs.claims, id)
	}
}

// touch has everybody with this plain ID built again.
func (gs *groups) touch(id string) {
	for g := range gs.claims[id] {
		gs.stale[g] = true
	}
}

// services returns all services, in no particular order, and whether an ID is
// gone since the last call.
func (gs *groups) services() (list []*catalog.Service, vanished bool) {
	lost := make(map[string]bool)
	for g := range gs.stale {
		if s := gs.built[g]; s != nil {
			lost[s.ID] = true
		}
		delete(gs.built, g)
		if len(gs.members[g]) > 0 {
			gs.built[g] = gs.build(g)
		}
	}
	// Only a group that was built again can have taken over a lost ID.
	for g := range gs.stale {
		if s := gs.built[g]; s != nil {
			delete(lost, s.ID)
		}
	}
	clear(gs.stale)
	return slices.AppendSeq(make([]*catalog.Service, 0, len(gs.built)), maps.Values(gs.built)), len(lost) > 0
}

// build makes the service of a group with at least one member.
func (gs *groups) build(g group) *catalog.Service {
	s := &catalog.Service{ID: g.id(gs.source), Name: g.plain(), Source: gs.source, Created: gs.created(g)}
	if !gs.oldest(g) {
		s.ID = g.unmistakable() + "@" + gs.source
	}
	for _, i := range gs.members[g] {
		s.Instances = append(s.Instances, i)
	}
	slices.SortFunc(s.Instances, func(a, b *catalog.Instance) int { return strings.Compare(a.ID, b.ID) })
	return s
}

// oldest reports whether g is the first among those with its plain ID.
func (gs *groups) oldest(g group) bool {
	for other := range gs.claims[g.id(gs.source)] {
		if other == g {
			continue
		}
		mine, others := gs.created(g), gs.created(other)
		if order := cmp.Or(mine.Compare(others), g.compare(other)); order > 0 {
			return false
		}
	}
	return true
}

// created is when the oldest member of a group was created.
func (gs *groups) created(g group) time.Time {
	var oldest time.Time
	for _, i := range gs.members[g] {
		if oldest.IsZero() || i.Created.Before(oldest) {
			oldest = i.Created
		}
	}
	return oldest
}
