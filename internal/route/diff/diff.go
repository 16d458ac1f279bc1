// Package diff says what differs between two tables.
package diff

import (
	"cmp"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"fairway/internal/route"
)

// Changes is what differs between two tables.
type Changes struct {
	// The lists are in the order of the tables.
	Listeners []Change `json:"listeners,omitempty"`
	Routes    []Change `json:"routes,omitempty"`
	Backends  []Change `json:"backends,omitempty"`
	Problems  []Change `json:"problems,omitempty"`
}

// ChangeKind says what happened to an element.
type ChangeKind string

// The kinds of change.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Change is one element that differs.
type Change struct {
	Kind ChangeKind `json:"kind"`
	// ID is that of the route or backend, the listener's name, or the problem's text.
	ID string `json:"id"`
	// Lines of the element's String that came, behind "+ ", and that went, behind "- ";
	// hiddenLine where they differ in secrets alone. Problems have none.
	Lines []string `json:"lines,omitempty"`
}

// hiddenLine stands for a change of a value that is not shown.
const hiddenLine = "~ a value that is not shown"

// Tables says what differs between two tables in problems and what the hash covers; nil
// is an empty one. Values that are secret are compared, and not shown.
func Tables(old, new *route.Table) Changes {
	if old == nil {
		old = &route.Table{}
	}
	if new == nil {
		new = &route.Table{}
	}
	name := func(l route.Listener) string { return l.Name }
	id := func(r *route.Route) string { return r.ID }
	backend := func(b *route.Backend) string { return b.ID }
	return Changes{
		Listeners: lists(old.Listeners, new.Listeners, by(name), name, route.Listener.Text, route.Listener.Text),
		Routes:    lists(old.Routes, new.Routes, by(id), id, (*route.Route).Digest, (*route.Route).String),
		Backends:  lists(old.Backends, new.Backends, by(backend), backend, (*route.Backend).Digest, (*route.Backend).String),
		Problems: lists(old.Problems, new.Problems, route.Problem.Compare, route.Problem.String, route.Problem.String,
			func(route.Problem) string { return "" }),
	}
}

// String has a line for each element, behind "+" when it came, "-" when it went and "~"
// when it changed, then its lines, indented.
func (c Changes) String() string {
	var b strings.Builder
	marks := map[ChangeKind]string{Added: "+", Removed: "-", Changed: "~"}
	write := func(what string, list []Change, show func(string) string) {
		for _, x := range list {
			b.WriteString(marks[x.Kind] + " " + what + " " + show(x.ID) + "\n")
			for _, line := range x.Lines {
				b.WriteString("    " + line + "\n")
			}
		}
	}
	asIs := func(s string) string { return s }
	write("listener", c.Listeners, route.Word)
	write("route", c.Routes, route.Word)
	write("backend", c.Backends, route.Word)
	write("problem", c.Problems, asIs)
	return b.String()
}

// by compares by the ID.
func by[T any](id func(T) string) func(a, b T) int {
	return func(a, b T) int { return cmp.Compare(id(a), id(b)) }
}

// lists walks two sorted lists. sum is compared, lines are taken from shown.
func lists[T any, Sum comparable](old, new []T, compare func(a, b T) int, id func(T) string, sum func(T) Sum, shown func(T) string) []Change {
	var changes []Change
	for len(old) > 0 || len(new) > 0 {
		switch {
		case len(new) == 0 || len(old) > 0 && compare(old[0], new[0]) < 0:
			changes = append(changes, Change{Removed, id(old[0]), lines(shown(old[0]), "")})
			old = old[1:]
		case len(old) == 0 || compare(old[0], new[0]) > 0:
			changes = append(changes, Change{Added, id(new[0]), lines("", shown(new[0]))})
			new = new[1:]
		default:
			if sum(old[0]) != sum(new[0]) {
				differ := lines(shown(old[0]), shown(new[0]))
				if len(differ) == 0 {
					differ = []string{hiddenLine}
				}
				changes = append(changes, Change{Changed, id(new[0]), differ})
			}
			old, new = old[1:], new[1:]
		}
	}
	return changes
}

// lines returns the lines that went and that came, in the order of the texts, without
// the first line of an element, its name.
func lines(old, new string) (list []string) {
	_, old, _ = strings.Cut(old, "\n")
	_, new, _ = strings.Cut(new, "\n")
	add := func(mark, text string) {
		for line := range strings.Lines(text) {
			list = append(list, mark+strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "  "))
		}
	}
	for _, e := range udiff.Lines(old, new) {
		add("- ", old[e.Start:e.End])
		add("+ ", e.New)
	}
	return list
}
