package dockerflow

import (
	"strings"

	"fairway/internal/compile/draft"
	"fairway/internal/route"
)

// shownParameters are the parameters whose values are not shown as they are: what is
// shown of them, by the name of the header and the value.
var shownParameters = map[string]func(header, value string) string{
	"users":         shownUsers,
	"addReqHeader":  draft.Hidden,
	"addHeader":     draft.Hidden,
	"setReqHeader":  draft.Hidden,
	"setHeader":     draft.Hidden,
	"addResHeader":  shownHeaders,
	"setResHeader":  shownHeaders,
	"serviceHeader": shownHeaders,
	"backendExtra":  draft.Hidden,
	"serviceCert":   draft.Hidden,
	"userDef":       draft.Hidden,
}

// Shown returns what may be shown of the value of a label. What is a secret is decided
// by the parameter. Nothing is shown of one that does not exist.
func (x *Dialect) Shown(key, value string) string {
	word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(key)[len(prefix):]), ".")
	known := x.known[word]
	if known == nil {
		return route.Masked
	}
	if shown := shownParameters[known.Name]; shown != nil {
		return shown("", value)
	}
	return value
}

// shownHeaders shows a list of headers none of which may be a credential.
func shownHeaders(_, value string) string { return draft.ShownHeader(value, value) }

// shownUsers shows the names of a list of users. Nothing of a line is shown behind
// its first password: a comma may be part of it.
func shownUsers(_, value string) string {
	lines := strings.FieldsFunc(value, func(r rune) bool { return r == '\n' || r == '\r' })
	for i, line := range lines {
		if names, _, colon := strings.Cut(line, ":"); colon {
			lines[i] = names + ":" + route.Masked
		}
	}
	return strings.Join(lines, "\n")
}
