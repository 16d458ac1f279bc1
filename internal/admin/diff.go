package admin

import (
	"slices"
	"strings"

	"fairway/internal/api"
	"fairway/internal/route"
)

// diff says what differs between two tables, without the values that are secret.
func (v *view) diff(from, to uint64, a, b *route.Table) api.Diff {
	changes := route.Diff(a, b)
	shown := route.Diff(maskTable(a), maskTable(b))
	secrets := v.changeSecrets(changes, a, b)
	return api.Diff{
		From: from, To: to, Same: a.Hash == b.Hash,
		Listeners: diffChanges(changes.Listeners, shown.Listeners, nil),
		Routes:    diffChanges(changes.Routes, shown.Routes, secrets),
		Backends:  diffChanges(changes.Backends, shown.Backends, nil),
		Problems:  v.diffProblems(a, b),
	}
}

// hiddenLine stands for a change of a value that is not shown.
const hiddenLine = "~ a value that is not shown"

// diffChanges says what changed, with the lines of what may be shown of it.
func diffChanges(changes, shown []route.Change, secrets []string) []api.DiffChange {
	lines := make(map[string][]string, len(shown))
	for _, c := range shown {
		lines[c.ID] = c.Lines
	}
	out := make([]api.DiffChange, len(changes))
	for i, c := range changes {
		out[i] = api.DiffChange{Kind: string(c.Kind), ID: c.ID, Lines: []string{}}
		for _, line := range lines[c.ID] {
			out[i].Lines = append(out[i].Lines, maskText(line, secrets))
		}
		if len(out[i].Lines) == 0 {
			out[i].Lines = append(out[i].Lines, hiddenLine)
		}
	}
	return out
}

// maskTable returns a table for people: its routes without the values that are
// secret. It is no table that could be served.
func maskTable(t *route.Table) *route.Table {
	shown := *t
	shown.Routes = make([]*route.Route, len(t.Routes))
	for i, r := range t.Routes {
		masked := *r
		masked.Matches = make([]route.Match, len(r.Matches))
		for j, m := range r.Matches {
			masked.Matches[j] = maskMatch(m)
		}
		masked.Filters = make([]route.Filter, len(r.Filters))
		for j, f := range r.Filters {
			masked.Filters[j] = maskFilter(f)
		}
		shown.Routes[i] = &masked
	}
	return &shown
}

// maskServed is maskTable with a result that an engine could serve.
func maskServed(t *route.Table) (*route.Table, error) {
	masked := maskTable(t)
	for _, r := range masked.Routes {
		for i, m := range r.Matches {
			for j, c := range m.Conditions {
				if slices.Equal(c.Values, []string{api.Masked}) { // which is no expression
					r.Matches[i].Conditions[j].Values = []string{"masked"}
				}
			}
		}
	}
	return route.New(t.Revision, t.Listeners, masked.Routes, t.Backends, nil)
}

// changeSecrets returns the values in routes that have changed, and in the labels
// that their services have today, that must not be shown.
func (v *view) changeSecrets(changes route.Changes, tables ...*route.Table) []string {
	var found []string
	for _, c := range changes.Routes {
		for _, t := range tables {
			if r := t.Route(c.ID); r != nil {
				found = append(found, routeSecrets(r)...)
				if svc := v.serviceOf[r.Service]; svc != nil {
					found = append(found, serviceSecrets(svc)...)
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// diffProblems says which problems came and went. The text of one about a label
// that may hold a secret is not shown when the service is gone, since then nobody
// can tell what in it is secret.
func (v *view) diffProblems(a, b *route.Table) []api.DiffChange {
	out := []api.DiffChange{}
	told := func(kind route.ChangeKind, p route.Problem) {
		if svc := v.serviceOf[p.Service]; svc != nil {
			secrets := serviceSecrets(svc)
			p.Text, p.Hint = maskText(p.Text, secrets), maskText(p.Hint, secrets)
		} else if mayBeSecret(p.Label) {
			p.Text, p.Hint = api.Masked, ""
		}
		out = append(out, api.DiffChange{Kind: string(kind), ID: p.String(), Lines: []string{}})
	}
	was, is := problemSet(a), problemSet(b)
	for _, p := range a.Problems {
		if !is[p] {
			told(route.Removed, p)
		}
	}
	for _, p := range b.Problems {
		if !was[p] {
			told(route.Added, p)
		}
	}
	slices.SortStableFunc(out, func(a, b api.DiffChange) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func problemSet(t *route.Table) map[route.Problem]bool {
	set := make(map[route.Problem]bool, len(t.Problems))
	for _, p := range t.Problems {
		set[p] = true
	}
	return set
}

// mayBeSecret says whether a label can hold a secret.
func mayBeSecret(key string) bool {
	key = strings.ToLower(strings.TrimSpace(key))
	return len(labelSecrets(key, "x")) > 0 || strings.HasSuffix(key, ".rule") || flowSecret(key)
}

// flowSecret says whether a label of Docker Flow holds users with their passwords
// or headers that are sent to the service.
func flowSecret(key string) bool {
	return strings.HasPrefix(key, "com.df.") && (strings.Contains(key, "users") || strings.Contains(key, "reqheader"))
}

// MaskLabel returns the value of a label as it may be written down and shown.
func MaskLabel(key, value string) string {
	if flowSecret(strings.ToLower(strings.TrimSpace(key))) {
		return api.Masked
	}
	for _, s := range labelSecrets(key, value) {
		value = strings.ReplaceAll(value, s, api.Masked)
	}
	return value
}
