// Package compare prepares differences for the pages: of tables side by side, and of
// texts line by line.
package compare

import (
	"strings"

	"fairway/internal/api"
	"fairway/internal/human"
)

// Diff is a difference of tables.
type Diff struct {
	Same   bool
	Parts  []Part
	Counts api.Counts
	More   int  // changes that are left out of Parts
	Open   bool // changes are shown with their lines from the beginning
}

// MaxOpen is how many changes are shown with their lines: of more, one wants the list
// first. maxChanges is how many are shown at all.
const (
	MaxOpen    = 24
	maxChanges = 200
)

// Part is the changes of one kind of thing.
type Part struct {
	Title   string
	Changes []Change
}

// Change is what became of one thing.
type Change struct {
	Kind, ID string
	Pairs    []Pair
}

// Pair is a line as it was beside the line as it is; either may be missing.
type Pair struct {
	Old, New       string
	HasOld, HasNew bool
}

// New puts what differs side by side.
func New(d api.Diff) Diff {
	v := Diff{Same: d.Same && len(d.Problems) == 0}
	total := 0
	for _, part := range []struct {
		title   string
		changes []api.DiffChange
	}{{"Routes", d.Routes}, {"Backends", d.Backends}, {"Listeners", d.Listeners}, {"Problems", d.Problems}} {
		out := Part{Title: part.title}
		for _, change := range part.changes {
			if total++; total <= maxChanges {
				out.Changes = append(out.Changes, Change{Kind: change.Kind, ID: change.ID, Pairs: pairs(change.Lines)})
			}
			switch change.Kind {
			case "added":
				v.Counts.Added++
			case "removed":
				v.Counts.Removed++
			default:
				v.Counts.Changed++
			}
		}
		if len(out.Changes) > 0 {
			v.Parts = append(v.Parts, out)
		}
	}
	v.Open, v.More = total <= MaxOpen, max(0, total-maxChanges)
	return v
}

// pairs puts the lines that went beside those that came in their place.
func pairs(lines []string) []Pair {
	var out []Pair
	open := 0 // the first Pair that has no new line yet
	for _, line := range lines {
		text, gone := strings.CutPrefix(line, "- ")
		if gone {
			out = append(out, Pair{Old: text, HasOld: true})
			continue
		}
		text, came := strings.CutPrefix(line, "+ ")
		if !came {
			out = append(out, Pair{line, line, true, true})
			open = len(out)
			continue
		}
		for open < len(out) && out[open].HasNew {
			open++
		}
		if open == len(out) {
			out = append(out, Pair{})
		}
		out[open].New, out[open].HasNew = text, true
	}
	return out
}

// Line is a line of a unified diff with its class: "add", "del", "at" or nothing.
type Line struct{ Class, Text string }

// Unified colours a unified diff.
func Unified(text string) []Line {
	var lines []Line
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		class := map[byte]string{'@': "at", '+': "add", '-': "del"}[human.DiffSign(line)]
		lines = append(lines, Line{class, line})
	}
	return lines
}
