package discovery

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"fairway/internal/catalog"
)

// merger makes one list of services out of those of the sources. A service that says the
// same as in the last list keeps its pointer.
type merger struct {
	last   map[string]merged
	from   [][]*catalog.Service // of each source, what list was made of; nil before the first
	list   []*catalog.Service
	shared []string // names of services that instances of several owners may be members of

	records  Records // nil for none
	machines map[string]string
	parted   map[*catalog.Service][]*catalog.Service // what apart made in the last list
}

// merged is a service of the last list with what it was made of.
type merged struct {
	parts  []*catalog.Service
	grant  grant
	result *catalog.Service
}

// resume takes over a list of the last run, which says who has which name.
func (m *merger) resume(list []*catalog.Service) {
	m.last = make(map[string]merged, len(list))
	for _, s := range list {
		m.last[s.ID] = merged{result: s}
	}
}

// services grants names, merges services of equal ID, and sorts them. states are sorted by name.
// The list must not be written.
func (m *merger) services(states []*state) []*catalog.Service {
	from := make([][]*catalog.Service, len(states))
	for i, s := range states {
		from[i] = s.services
	}
	same := m.from != nil && slices.EqualFunc(m.from, from, slices.Equal)
	m.from = from
	if m.records != nil {
		if machines := m.records.Machines(mergeNodes(states)); !maps.Equal(machines, m.machines) {
			m.machines, m.parted, same = machines, nil, false
		}
	}
	if same {
		return m.list // most answers say nothing new
	}
	var all []*catalog.Service
	parted := map[*catalog.Service][]*catalog.Service{}
	for _, s := range states {
		all = append(all, m.apart(s.services, m.machines, parted)...)
	}
	m.parted = parted
	grants := m.grants(all)
	parts := make(map[string][]*catalog.Service, len(m.last))
	for _, s := range all {
		id := s.ID
		if grants[s.Name].has(s) {
			id = s.Name
		}
		parts[id] = append(parts[id], s)
	}
	next := make(map[string]merged, len(parts))
	list := make([]*catalog.Service, 0, len(parts))
	for id, p := range parts {
		one, g := m.last[id], grant{}
		if p[0].Owner != "" { // several owners may be in one source's answer
			g = grants[p[0].Name]
			slices.SortStableFunc(p, func(a, b *catalog.Service) int {
				return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.ID, b.ID))
			})
		}
		if one.grant != g || !slices.Equal(one.parts, p) {
			result := g.to(mergeService(p))
			if reflect.DeepEqual(one.result, result) {
				result = one.result
			}
			one = merged{p, g, result}
		}
		next[id] = one
		list = append(list, one.result)
	}
	slices.SortFunc(list, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	m.last, m.list = next, list
	return list
}

// mergeService makes one service out of its parts. The first part decides where they
// differ; the oldest gives the age.
func mergeService(parts []*catalog.Service) *catalog.Service {
	if len(parts) == 1 {
		return parts[0]
	}
	service := *parts[0]
	labels := make(map[string]string)
	for _, p := range slices.Backward(parts) {
		maps.Copy(labels, p.Labels)
	}
	if len(labels) > 0 {
		service.Labels = labels
	}
	service.Instances = slices.Clone(service.Instances)
	for _, p := range parts[1:] {
		service.Instances = append(service.Instances, p.Instances...)
		if service.Created.IsZero() || !p.Created.IsZero() && p.Created.Before(service.Created) {
			service.Created = p.Created
		}
	}
	slices.SortStableFunc(service.Instances, func(a, b *catalog.Instance) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.Source, b.Source))
	})
	service.Instances = slices.CompactFunc(service.Instances, func(a, b *catalog.Instance) bool {
		return a.ID == b.ID && a.Source == b.Source
	})
	return &service
}

// mergeNodes merges the nodes, sorted by ID. Of two with one ID the first source's counts.
func mergeNodes(states []*state) []*catalog.Node {
	var list []*catalog.Node
	for _, s := range states {
		list = append(list, s.nodes...)
	}
	slices.SortStableFunc(list, func(a, b *catalog.Node) int { return strings.Compare(a.ID, b.ID) })
	return slices.CompactFunc(list, func(a, b *catalog.Node) bool { return a.ID == b.ID })
}

// same reports whether two snapshots say the same, but for revision and times. Services are
// compared by pointer, which suffices as merger keeps them.
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

func partOf(source string, list []*catalog.Service) (parts []*catalog.Service) {
	for _, s := range list {
		seen := slices.DeleteFunc(slices.Clone(s.Instances), func(i *catalog.Instance) bool { return cmp.Or(i.Source, s.Source) != source })
		switch {
		case s.Source == source && len(seen) == len(s.Instances):
			parts = append(parts, asSeen(s))
		case s.Source == source || len(seen) > 0:
			part := *s
			part.Source, part.Instances = source, seen
			parts = append(parts, asSeen(&part))
		}
	}
	return parts
}

// linger marks services of which nothing runs, but did a moment ago, as in a restart.
type linger struct {
	period  time.Duration
	up      map[string]bool     // ID of each service of the last list of which something ran
	stopped map[string]lingerer // the marked ones, by ID
}

// lingerer is a service of which nothing runs any more since a moment.
type lingerer struct {
	since         time.Time
	plain, marked *catalog.Service // as it came, and with the mark
}

// resume takes over a list of the last run, and returns it without marks.
func (l *linger) resume(list []*catalog.Service) []*catalog.Service {
	list, l.up = slices.Clone(list), map[string]bool{}
	for i, s := range list {
		if s.RanLately {
			plain := *s
			plain.RanLately = false
			list[i], l.up[s.ID] = &plain, true
		}
	}
	return list
}

// mark returns the list with the marks, and when the first ends; zero for none.
func (l *linger) mark(list []*catalog.Service, now time.Time) (marked []*catalog.Service, ends time.Time) {
	up, stopped := make(map[string]bool, len(list)), map[string]lingerer{}
	for _, s := range list {
		switch {
		case slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return in.State != catalog.StateStopped }):
			up[s.ID] = true
		default:
			x, known := l.stopped[s.ID]
			if l.up[s.ID] {
				x, known = lingerer{since: now}, true
			}
			end := x.since.Add(l.period)
			if !known || !now.Before(end) {
				break
			}
			if x.plain != s {
				copied := *s
				copied.RanLately = true
				x.plain, x.marked = s, &copied
			}
			stopped[s.ID] = x
			s = x.marked
			if ends.IsZero() || end.Before(ends) {
				ends = end
			}
		}
		marked = append(marked, s)
	}
	l.up, l.stopped = up, stopped
	return marked, ends
}
