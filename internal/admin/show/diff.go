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
	out := make([]api.DiffChange, len(changes))
	for i, c := range changes {
		out[i] = api.DiffChange{Kind: string(c.Kind), ID: c.ID, Lines: append([]string{}, c.Lines...)}
	}
	return out
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
	for name := range was {
		if !is[name] {
			out = append(out, api.DiffChange{Kind: string(route.Removed), ID: name, Lines: []string{}})
		}
	}
	for name := range is {
		if !was[name] {
			out = append(out, api.DiffChange{Kind: string(route.Added), ID: name, Lines: []string{}})
		}
	}
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
