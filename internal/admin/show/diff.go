package show

import (
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/route"
)

// Diff says what differs between two tables.
func Diff(from, to uint64, a, b *route.Table) api.Diff {
	changes := route.Diff(a, b)
	out := api.Diff{
		From: from, To: to, Same: a.Hash == b.Hash,
		Listeners: diffChanges(changes.Listeners), Routes: diffChanges(changes.Routes),
		Backends: diffChanges(changes.Backends), Problems: diffChanges(changes.Problems),
	}
	slices.SortStableFunc(out.Problems, func(a, b api.DiffChange) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func diffChanges(changes []route.Change) []api.DiffChange {
	return All(changes, func(c route.Change) api.DiffChange {
		return api.DiffChange{Kind: string(c.Kind), ID: c.ID, Lines: append([]string{}, c.Lines...)}
	})
}

// WithoutClaims leaves out the lines that say nothing in a plan.
func WithoutClaims(changes []api.DiffChange) []api.DiffChange {
	for i, c := range changes {
		changes[i].Lines = slices.DeleteFunc(c.Lines, func(line string) bool { return line == "+ claim 0" || line == "- claim 0" })
	}
	return changes
}

// DiffNames says which host names come and go.
func DiffNames(a, b *route.Table) []api.DiffChange {
	was, is := hostNames(a), hostNames(b)
	out := []api.DiffChange{}
	only := func(kind route.ChangeKind, names, others map[string]bool) {
		for name := range names {
			if !others[name] {
				out = append(out, api.DiffChange{Kind: string(kind), ID: name, Lines: []string{}})
			}
		}
	}
	only(route.Removed, was, is)
	only(route.Added, is, was)
	slices.SortFunc(out, func(a, b api.DiffChange) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// hostNames returns the host names of a table.
func hostNames(t *route.Table) map[string]bool {
	set := map[string]bool{}
	for _, r := range t.Routes {
		for _, m := range r.Matches {
			if m.Host.Kind == route.HostExact || m.Host.Kind == route.HostWildcard || m.Host.Kind == route.HostDeep {
				set[m.Host.String()] = true
			}
		}
	}
	return set
}
