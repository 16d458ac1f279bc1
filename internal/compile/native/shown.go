package native

import (
	"strings"

	"fairway/internal/compile/draft"
	"fairway/internal/compile/rule"
	"fairway/internal/route"
)

// shownKeys are the keys whose values are not shown as they are: what is shown of
// them, by the name of the header and the value. All other keys that exist are
// shown.
var shownKeys = map[string]func(header, value string) string{
	"rule":                  shownRule,
	"redirect":              shownIf(draft.ReadRedirect),
	"basic-auth":            shownIf(draft.ReadAuthFile),
	"headers.request.set.":  draft.Hidden,
	"headers.request.add.":  draft.Hidden,
	"headers.response.set.": draft.ShownHeader,
	"headers.response.add.": draft.ShownHeader,
	"health.path":           shownQuery,
	"health.headers.":       draft.Hidden,
}

// Shown returns what may be shown of the value of a label. What is a secret is decided
// by the key. Nothing is shown of a key that does not exist: it is not known what was
// meant.
func (x *Dialect) Shown(key, value string) string {
	l, _ := x.readOne(key, value)
	if l.key == nil {
		return route.Masked
	}
	if shown := shownKeys[l.key.Name]; shown != nil {
		return shown(l.header, value)
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

// shownRule shows a rule without the values that it wants credentials to have.
func shownRule(_, value string) string {
	if shown, ok := rule.Shown(strings.TrimSpace(value)); ok {
		return shown
	}
	return route.Masked
}
