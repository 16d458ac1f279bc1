package dockerflow

import (
	"strings"

	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// Shown returns what may be shown of the value of a label. What is a secret is decided
// by the parameter. Nothing is shown of one that does not exist.
func (x *Dialect) Shown(key, value string) string {
	word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(key)[len(prefix):]), ".")
	known := x.known[word]
	if known == nil {
		return route.Masked
	}
	if known.shown != nil {
		return known.shown(value)
	}
	return value
}

// hidden shows nothing of a value.
func hidden(string) string { return route.Masked }

// shownHeaders shows a list of headers none of which may be a credential.
func shownHeaders(value string) string { return draft.ShownHeader(value, value) }

// shownUsers shows the names of a list of users. Nothing of a line is shown behind
// its first password: a comma may be part of it.
func shownUsers(value string) string {
	lines := strings.FieldsFunc(value, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		if names, _, colon := strings.Cut(line, ":"); colon {
			lines[i] = names + ":" + route.Masked
		}
	}
	return strings.Join(lines, "\n")
}
