package show

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"fairway/internal/api"
	"fairway/internal/control"
	"fairway/internal/route"
	"fairway/internal/route/diff"
)

// Diff says what differs between two tables.
func Diff(from, to uint64, a, b *route.Table) api.Diff {
	changes := diff.Tables(a, b)
	out := api.Diff{
		From: from, To: to, Same: a.Hash == b.Hash,
		Listeners: diffChanges(changes.Listeners), Routes: diffChanges(changes.Routes),
		Backends: diffChanges(changes.Backends), Problems: diffChanges(changes.Problems),
	}
	slices.SortStableFunc(out.Problems, func(a, b api.DiffChange) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func diffChanges(changes []diff.Change) []api.DiffChange {
	return All(changes, func(c diff.Change) api.DiffChange {
		lines := plainLines(c.Lines)
		return api.DiffChange{Kind: string(c.Kind), ID: c.ID, Lines: lines, Fields: fields(lines)}
	})
}

// plainLines leaves out what means something to Fairway alone: claims, and the IDs of
// endpoints. What differs in these alone is said in words.
func plainLines(lines []string) []string {
	plain := []string{}
	for _, line := range lines {
		if strings.HasPrefix(line[1:], " claim ") {
			continue
		}
		if mark, rest, found := strings.Cut(line, "endpoint "); found && len(mark) == 2 {
			line = mark + "endpoint " + withoutID(rest)
		}
		plain = append(plain, line)
	}
	if len(plain) == 0 && len(lines) > 0 {
		return []string{"~ its turn among routes that take the same requests"}
	}
	if len(plain) == 2 && plain[0][1:] == plain[1][1:] {
		return []string{"~ another container at the same address:" + strings.TrimPrefix(plain[0][1:], " endpoint")}
	}
	return plain
}

// fields are the properties that lines name, what a property was beside what it is.
func fields(lines []string) (all []api.DiffField) {
	for _, line := range lines {
		name, value, _ := strings.Cut(strings.TrimPrefix(line[1:], " "), " ")
		if line[0] == '-' {
			all = append(all, api.DiffField{Name: name, From: cmp.Or(value, name)})
		} else if line[0] == '+' {
			i := slices.IndexFunc(all, func(f api.DiffField) bool { return f.Name == name && f.To == "" })
			if i < 0 {
				i, all = len(all), append(all, api.DiffField{Name: name})
			}
			all[i].To = cmp.Or(value, name)
		}
	}
	return all
}

// withoutID takes the ID out of the text of an endpoint, which may be quoted.
func withoutID(endpoint string) string {
	before, rest, found := strings.Cut(endpoint, " id ")
	if !found {
		return endpoint
	}
	id, err := strconv.QuotedPrefix(rest)
	if err != nil {
		id, _, _ = strings.Cut(rest, " ")
	}
	return before + rest[len(id):]
}

// Preview is what a command would do.
func Preview(p control.Preview) api.CommandPreview {
	out := api.CommandPreview{
		Command: Command(p.Command), Diff: Diff(0, 0, p.Before, p.After),
		Unserved: append([]string{}, p.Unserved...), Remarks: append([]string{}, p.Remarks...),
	}
	parts := counted(
		part{"listeners", count(out.Diff.Listeners)}, part{"routes", count(out.Diff.Routes)}, part{"endpoints", countEndpoints(p.Before, p.After)})
	switch {
	case parts != "":
		out.Summary = "Would change now: " + parts + "."
	case out.Diff.Same:
		out.Summary = "Nothing would change now."
	default:
		out.Summary = "Would change now: only settings of backends."
	}
	return out
}

// part is how much of one kind differs.
type part struct {
	name   string
	counts api.Counts
}

// counted says how much differs; empty for nothing.
func counted(parts ...part) string {
	var texts []string
	for _, p := range parts {
		if text := countText(p.counts); text != "" {
			texts = append(texts, p.name+": "+text)
		}
	}
	return strings.Join(texts, "; ")
}

// PlanSummary says how much a plan would change.
func PlanSummary(p api.Plan) string {
	text := counted(part{"host names", count(p.Names)}, part{"listeners", count(p.Listeners)}, part{"routes", count(p.Routes)}, part{"backends", count(p.Backends)},
		part{"problems", api.Counts{Added: len(p.Problems), Removed: len(p.Solved)}})
	if text == "" {
		return "Nothing would change."
	}
	return "Would change: " + text + "."
}

func count(changes []api.DiffChange) (n api.Counts) {
	for _, c := range changes {
		switch diff.ChangeKind(c.Kind) {
		case diff.Added:
			n.Added++
		case diff.Removed:
			n.Removed++
		default:
			n.Changed++
		}
	}
	return n
}

// countEndpoints says how many endpoints come, change and go.
func countEndpoints(a, b *route.Table) (n api.Counts) {
	was, is := endpoints(a), endpoints(b)
	for id, text := range was {
		now, left := is[id]
		switch {
		case !left:
			n.Removed++
		case now != text:
			n.Changed++
		}
	}
	for id := range is {
		if _, had := was[id]; !had {
			n.Added++
		}
	}
	return n
}

func endpoints(t *route.Table) map[[2]string]string {
	all := map[[2]string]string{}
	for _, b := range t.Backends {
		for _, e := range b.Endpoints {
			all[[2]string{b.ID, e.ID}] = e.String()
		}
	}
	return all
}

func countText(n api.Counts) string {
	var words []string
	for _, part := range []struct {
		n    int
		word string
	}{{n.Added, "added"}, {n.Removed, "removed"}, {n.Changed, "changed"}} {
		if part.n > 0 {
			words = append(words, strconv.Itoa(part.n)+" "+part.word)
		}
	}
	return strings.Join(words, ", ")
}

// DiffNames says which host names come and go.
func DiffNames(a, b *route.Table) []api.DiffChange {
	was, is := Hosts(a), Hosts(b)
	out := []api.DiffChange{}
	only := func(kind diff.ChangeKind, names, others map[string]bool) {
		for name := range names {
			if !others[name] {
				out = append(out, api.DiffChange{Kind: string(kind), ID: name, Lines: []string{}})
			}
		}
	}
	only(diff.Removed, was, is)
	only(diff.Added, is, was)
	slices.SortFunc(out, func(a, b api.DiffChange) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Hosts returns the host names of a table, also those with a wildcard.
func Hosts(t *route.Table) map[string]bool {
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
