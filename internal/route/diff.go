package route

import (
	"strings"

	"github.com/aymanbagabas/go-udiff"
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

// Diff says what differs between two tables in problems and what the hash covers; nil
// is an empty one. Values that are secret are compared, and not shown.
func Diff(old, new *Table) Changes {
	if old == nil {
		old = &Table{}
	}
	if new == nil {
		new = &Table{}
	}
	return Changes{
		Listeners: diffLists(old.Listeners, new.Listeners, Listener.compare, Listener.id, Listener.Text, Listener.Text),
		Routes:    diffLists(old.Routes, new.Routes, (*Route).compare, (*Route).id, (*Route).Digest, (*Route).String),
		Backends:  diffLists(old.Backends, new.Backends, (*Backend).compare, (*Backend).id, (*Backend).Digest, (*Backend).String),
		Problems: diffLists(old.Problems, new.Problems, Problem.compare, Problem.String, Problem.String,
			func(Problem) string { return "" }),
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
	write("listener", c.Listeners, token)
	write("route", c.Routes, token)
	write("backend", c.Backends, token)
	write("problem", c.Problems, asIs)
	return b.String()
}

// diffLists walks two sorted lists. sum is compared, lines are taken from shown.
func diffLists[T any, Sum comparable](old, new []T, compare func(a, b T) int, id func(T) string, sum func(T) Sum, shown func(T) string) []Change {
	var changes []Change
	for len(old) > 0 || len(new) > 0 {
		switch {
		case len(new) == 0 || len(old) > 0 && compare(old[0], new[0]) < 0:
			changes = append(changes, Change{Removed, id(old[0]), diffLines(shown(old[0]), "")})
			old = old[1:]
		case len(old) == 0 || compare(old[0], new[0]) > 0:
			changes = append(changes, Change{Added, id(new[0]), diffLines("", shown(new[0]))})
			new = new[1:]
		default:
			if sum(old[0]) != sum(new[0]) {
				lines := diffLines(shown(old[0]), shown(new[0]))
				if len(lines) == 0 {
					lines = []string{hiddenLine}
				}
				changes = append(changes, Change{Changed, id(new[0]), lines})
			}
			old, new = old[1:], new[1:]
		}
	}
	return changes
}

// diffLines returns the lines that went and that came, in the order of the texts, without
// the first line of an element, its name.
func diffLines(old, new string) (lines []string) {
	_, old, _ = strings.Cut(old, "\n")
	_, new, _ = strings.Cut(new, "\n")
	add := func(mark, text string) {
		for line := range strings.Lines(text) {
			lines = append(lines, mark+strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "  "))
		}
	}
	for _, e := range udiff.Lines(old, new) {
		add("- ", old[e.Start:e.End])
		add("+ ", e.New)
	}
	return lines
}
