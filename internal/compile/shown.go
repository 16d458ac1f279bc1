package compile

import (
	"strings"

	"fairway/internal/route"
)

// shownKeys are the keys whose values are not shown as they are: what is shown of
// them, by the name of the header and the value. All other keys that exist are
// shown.
var shownKeys = map[string]func(header, value string) string{
	"rule":                  shownRule,
	"redirect":              shownIf(readRedirect),
	"basic-auth":            shownIf(readAuthFile),
	"headers.request.set.":  hidden,
	"headers.request.add.":  hidden,
	"headers.response.set.": shownHeader,
	"headers.response.add.": shownHeader,
	"health.path":           shownQuery,
	"health.headers.":       hidden,
}

// shownFlowKeys are the same for the parameters of Docker Flow.
var shownFlowKeys = map[string]func(header, value string) string{
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

// ShownLabels returns the function by which the value of a label is shown, logged,
// recorded and sent. What is a secret is decided by the key: route.Masked stands in
// the place of what may not be shown. Nothing is shown of a label that is not ours,
// or whose key does not exist: nobody knows what was meant. Any goroutine may call
// the function.
func ShownLabels() func(key, value string) string {
	d, f := newDialect(), newFlow(DockerFlow{}, nil)
	return func(key, value string) string {
		name, header, by := "", "", shownKeys
		switch {
		case hasPrefix(key, prefix):
			if l, _ := d.readOne(key, value); l.key != nil {
				name, header = l.key.name, l.header
			}
		case hasPrefix(key, flowPrefix):
			word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(key)[len(flowPrefix):]), ".")
			if k := f.known[word]; k != nil {
				name, by = k.name, shownFlowKeys
			}
		}
		switch shown := by[name]; {
		case name == "":
			return route.Masked
		case shown != nil:
			return shown(header, value)
		}
		return value
	}
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

// shownIf shows a value that can be read: in one that cannot, a secret may stand
// in the wrong place.
func shownIf[T any](read func(string) (T, error)) func(string, string) string {
	return func(_, value string) string {
		if _, err := read(strings.TrimSpace(value)); err != nil {
			return route.Masked
		}
		return value
	}
}

// shownQuery shows a path without its query.
func shownQuery(_, value string) string { return route.MaskQuery(value) }

// shownRule shows a rule without the values that it wants credentials to have, and
// nothing of one that cannot be read.
func shownRule(_, value string) string {
	n, err := parseRule(strings.TrimSpace(value))
	if err != nil {
		return route.Masked
	}
	if n.mask() {
		return n.String()
	}
	return value
}

// mask masks the values of credentials, and says whether there are any.
func (n *node) mask() (found bool) {
	if n == nil {
		return false
	}
	f := ruleFunction(n.name)
	if n.kind == nodeCall && f.named && len(n.args) > 1 && route.Credential(n.args[0].text) {
		n.args = []token{n.args[0], {kind: tokenString, text: route.Masked}}
		found = true
	}
	left, right := n.left.mask(), n.right.mask()
	return found || left || right
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
