package admin

import (
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/route"
)

// diff says what differs between two tables.
func diff(from, to uint64, a, b *route.Table) api.Diff {
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

func problemSet(t *route.Table) map[route.Problem]bool {
	set := make(map[route.Problem]bool, len(t.Problems))
	for _, p := range t.Problems {
		set[p] = true
	}
	return set
}
