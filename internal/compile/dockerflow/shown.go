package dockerflow

import (
	"strings"

	"fairway/internal/route"
)

// shownParameters are the parameters whose values are not shown as they are: what is
// shown of them, by the name of the header and the value.
var shownParameters = map[string]func(header, value string) string{
	"users":         shownUsers,
	"addReqHeader":  hidden,
	"addHeader":     hidden,
	"setReqHeader":  hidden,
	"setHeader":     hidden,
	"addResHeader":  shownHeaders,
	"setResHeader":  shownHeaders,
	"serviceHeader": shownHeaders,
	"backendExtra":  hidden,
	"serviceCert":   hidden,
	"userDef":       hidden,
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

// hidden shows nothing.
func hidden(string, string) string { return route.Masked }

// shownHeader shows the value of a header that is none for credentials.
func shownHeader(name, value string) string {
	if route.Credential(name) {
		return route.Masked
	}
	return value
}

// shownHeaders shows a list of headers none of which may be a credential.
func shownHeaders(_, value string) string { return shownHeader(value, value) }

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
