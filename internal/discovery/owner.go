package discovery

import (
	"cmp"
	"slices"
	"strings"

	"fairway/internal/catalog"
)

// grant says whose service has a name that instances give theirs; if shared, any owner's.
type grant struct {
	owner  string
	shared bool
}

// holder decides which owner has a name: the one that had it before, as long as it has any
// instance; else the one whose service is the oldest, unknown ages last; else the first by
// name. named are the services that ask for it, at least one.
//
// Whether anything runs is of no account, so that no restart gives a name away.
func holder(named []*catalog.Service, before string) string {
	if slices.ContainsFunc(named, func(s *catalog.Service) bool { return s.Owner == before }) {
		return before
	}
	return slices.MinFunc(named, func(a, b *catalog.Service) int {
		if a.Created.IsZero() != b.Created.IsZero() {
			return b.Created.Compare(a.Created)
		}
		return cmp.Or(a.Created.Compare(b.Created), strings.Compare(a.Owner, b.Owner))
	}).Owner
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
		before := ""
		if last := m.last[name].result; last != nil {
			before = last.Owner
		}
		grants[name] = grant{holder(list, before), slices.Contains(m.shared, name)}
	}
	return grants
}

// has reports whether a service gets its name as its ID.
func (g grant) has(s *catalog.Service) bool {
	return s.Owner != "" && (g.shared || g.owner == s.Owner)
}

// to returns a service with its name as its ID, or with the owner that has the name.
func (g grant) to(s *catalog.Service) *catalog.Service {
	if s.Owner == "" {
		return s
	}
	granted := *s
	if g.has(s) {
		granted.ID, granted.Owner, granted.Shared = s.Name, g.owner, g.shared
	} else {
		granted.Holder = g.owner
	}
	return &granted
}

// asSeen returns a service as its source says it, without a grant.
func asSeen(s *catalog.Service) *catalog.Service {
	if s.Owner == "" {
		return s
	}
	seen := *s
	seen.ID, seen.Holder, seen.Shared = catalog.OwnedID(s.Name, s.Owner), "", false
	return &seen
}
