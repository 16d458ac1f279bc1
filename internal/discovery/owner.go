package discovery

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"fairway/internal/catalog"
)

// Records says which record of owners is for a service, so that what different records are
// for never becomes one service. *owners.List is one.
type Records interface {
	// Machines returns the names of nodes by their IDs, where records ask for them.
	Machines(nodes []*catalog.Node) map[string]string
	// Record returns the name of the record for a service; empty for none.
	Record(s *catalog.Service, machines map[string]string) string
}

// grant says whose service has a name that instances give theirs; if shared, any owner's.
type grant struct {
	owner, record string
	shared        bool
}

// holder decides which owner has a name: the one that had it before, as long as it has any
// instance; else the one whose service is the oldest, unknown ages last; else the first by
// name. named are the services that ask for it, at least one. What different records of
// owners are for are different owners.
//
// Whether anything runs is of no account, so that no restart gives a name away.
func holder(named []*catalog.Service, before *catalog.Service) (owner, record string) {
	for _, had := range []func(s *catalog.Service) bool{
		func(s *catalog.Service) bool { return s.Owner == before.Owner && s.Record == before.Record },
		func(s *catalog.Service) bool { return s.Owner == before.Owner }, // the records have changed
	} {
		if before != nil && slices.ContainsFunc(named, had) {
			named = slices.DeleteFunc(slices.Clone(named), func(s *catalog.Service) bool { return !had(s) })
			break
		}
	}
	first := slices.MinFunc(named, func(a, b *catalog.Service) int {
		if a.Created.IsZero() != b.Created.IsZero() {
			return b.Created.Compare(a.Created)
		}
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Owner, b.Owner), strings.Compare(a.Record, b.Record))
	})
	return first.Owner, first.Record
}

// grants decides about each name that instances ask for.
func (m *merger) grants(services []*catalog.Service) map[string]grant {
	asked := map[string][]*catalog.Service{}
	for _, s := range services {
		if s.Owner != "" {
			asked[s.Name] = append(asked[s.Name], s)
		}
	}
	grants := make(map[string]grant, len(asked))
	for name, list := range asked {
		owner, record := holder(list, m.last[name].result)
		grants[name] = grant{owner, record, slices.Contains(m.shared, name)}
	}
	return grants
}

// has reports whether a service gets its name as its ID.
func (g grant) has(s *catalog.Service) bool {
	return s.Owner != "" && (g.shared || g.owner == s.Owner && g.record == s.Record)
}

// to returns a service with its name as its ID, or with the owner that has the name.
func (g grant) to(s *catalog.Service) *catalog.Service {
	if s.Owner == "" {
		return s
	}
	granted := *s
	if g.has(s) {
		granted.ID, granted.Owner, granted.Record, granted.Shared = s.Name, g.owner, g.record, g.shared
	} else {
		granted.Holder = g.owner
	}
	return &granted
}

// apart returns the services of a source with the record of each whose instances name it;
// one that several records are for becomes several. What is the same keeps its pointer.
func (m *merger) apart(services []*catalog.Service, machines map[string]string, next map[*catalog.Service][]*catalog.Service) (all []*catalog.Service) {
	for _, s := range services {
		parts := m.parted[s]
		switch {
		case s.Owner == "" || m.records == nil:
			all = append(all, s)
			continue
		case parts == nil:
			parts = split(s, func(part *catalog.Service) string { return m.records.Record(part, machines) })
		}
		next[s], all = parts, append(all, parts...)
	}
	return all
}

// split makes a service of the instances of each record, in the order of the records' names.
func split(s *catalog.Service, recordOf func(*catalog.Service) string) (parts []*catalog.Service) {
	by := map[string]*catalog.Service{}
	for _, in := range s.Instances {
		one := *s
		one.Instances = []*catalog.Instance{in}
		record := recordOf(&one)
		part := by[record]
		if part == nil {
			one.Record, one.Instances, one.Created = record, nil, in.Created
			if record != "" {
				one.ID = catalog.OwnedID(s.ID, record)
			}
			part = &one
			by[record] = part
		}
		part.Instances = append(part.Instances, in)
		if part.Created.IsZero() || !in.Created.IsZero() && in.Created.Before(part.Created) {
			part.Created = in.Created
		}
	}
	if only := by[""]; only != nil && len(by) == 1 {
		return []*catalog.Service{s}
	}
	for _, record := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, by[record])
	}
	return parts
}

// asSeen returns a service as its source says it, without a grant.
func asSeen(s *catalog.Service) *catalog.Service {
	if s.Owner == "" {
		return s
	}
	seen := *s
	seen.ID, seen.Record, seen.Holder, seen.Shared = catalog.OwnedID(s.Name, s.Owner), "", "", false
	return &seen
}
