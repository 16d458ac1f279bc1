// Package rule is the language of the label fairway.rule: functions joined by && and
// ||, turned round by !, grouped by parentheses, written out as the matches of a route.
package rule

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"fairway/internal/route"
)

// conjunction is a list of conditions of which all must hold.
type conjunction []route.Condition

// Matches turns a rule into matches, which are alternatives. Positive hosts and paths
// become the match's own, what is negated or comes on top a condition. Alternatives that
// can never hold drop out. Errors are *Error.
func Matches(rule string) ([]route.Match, error) { return Language{functions}.Matches(rule) }

// Language is the functions that rules may use.
type Language struct{ functions []Function }

// Matches is as the function of that name, with the functions of the language.
func (l Language) Matches(rule string) ([]route.Match, error) {
	n, err := l.parse(rule)
	if err != nil {
		return nil, err
	}
	alternatives, err := n.distribute(rule, false)
	if err != nil {
		return nil, err
	}
	var matches []route.Match
	seen, conditions, exprs := map[string]bool{}, 0, 0
	for _, a := range alternatives {
		m, ok := conjunctionMatch(a)
		if !ok {
			continue
		}
		if conditions += len(m.Conditions); conditions > maxConditions {
			return nil, &Error{rule, 0, fmt.Sprintf("the rule has more than %d conditions once it is written out", maxConditions), "use several routes"}
		}
		if exprs += expressions(m); exprs > maxExpressions {
			return nil, &Error{rule, 0, fmt.Sprintf("the rule has more than %d regular expressions once it is written out", maxExpressions), "use several routes"}
		}
		if key := m.Key(); !seen[key] {
			seen[key] = true
			matches = append(matches, m)
		}
	}
	if len(matches) == 0 {
		return nil, &Error{rule, 0, "no request can ever fulfil the rule: its conditions exclude each other", "use || between alternatives"}
	}
	return matches, nil
}

// expressions counts the regular expressions of a match, each of which takes memory.
func expressions(m route.Match) (n int) {
	if m.Host.Kind == route.HostRegexp {
		n++
	}
	if m.Path.Kind == route.PathRegexp {
		n++
	}
	for _, c := range m.Conditions {
		if strings.HasSuffix(string(c.Kind), "-regexp") {
			n += len(c.Values)
		}
	}
	return n
}

// distribute returns the alternatives of n, or of its negation.
func (n *node) distribute(rule string, not bool) ([]conjunction, error) {
	switch n.kind {
	case tokenNot:
		return n.left.distribute(rule, !not)
	case tokenName:
		if n.function.theirs != nil {
			return n.call(rule, not)
		}
		c, err := n.condition(rule)
		if err != nil {
			return nil, err
		}
		c.Not = not
		return splitCall(c), nil
	}
	left, err := n.left.distribute(rule, not)
	if err != nil {
		return nil, err
	}
	right, err := n.right.distribute(rule, not)
	if err != nil {
		return nil, err
	}
	either := (n.kind == tokenOr) != not // by de Morgan, a negated || is an &&
	size := len(left) * len(right)
	if either {
		size = len(left) + len(right)
	}
	if size > MaxAlternatives {
		return nil, &Error{rule, n.pos, fmt.Sprintf("the rule has more than %d alternatives once it is written out", MaxAlternatives), "use several routes"}
	}
	if either {
		return slices.Concat(left, right), nil
	}
	var out []conjunction
	for _, l := range left {
		for _, r := range right {
			out = append(out, slices.Concat(l, r))
		}
	}
	return out, nil
}

// splitCall makes an alternative of each host or path, so that it is found by lookup.
func splitCall(c route.Condition) []conjunction {
	looked := []route.ConditionKind{
		route.ConditionHost, route.ConditionHostRegexp, route.ConditionPath, route.ConditionPathPrefix, route.ConditionPathRegexp, route.ConditionPathStart,
	}
	if c.Not || !slices.Contains(looked, c.Kind) {
		return []conjunction{{c}}
	}
	out := make([]conjunction, len(c.Values))
	for i, v := range c.Values {
		one := c
		one.Values = []string{v}
		out[i] = conjunction{one}
	}
	return out
}

// conjunctionMatch makes a match of a conjunction; ok is false when it never holds.
func conjunctionMatch(all conjunction) (m route.Match, ok bool) {
	m = route.Match{
		Host: route.Host{Kind: route.HostAny},
		Path: route.Path{Kind: route.PathPrefix, Value: "/"},
	}
	var rest []route.Condition
	for _, c := range all {
		left, ok := []route.Condition{c}, true
		switch {
		case c.Not:
		case c.Kind == route.ConditionHost, c.Kind == route.ConditionHostRegexp:
			left, ok = narrowHost(&m.Host, conditionHost(c))
		case c.Kind == route.ConditionPath, c.Kind == route.ConditionPathPrefix, c.Kind == route.ConditionPathRegexp, c.Kind == route.ConditionPathStart:
			left, ok = narrowPath(&m.Path, conditionPath(c.Kind, c.Values[0]))
		}
		if !ok {
			return m, false
		}
		rest = append(rest, left...)
	}
	if m.Conditions, ok = tidyConditions(rest); !ok {
		return m, false
	}
	return m, !slices.ContainsFunc(m.Conditions, func(c route.Condition) bool { return c.Not && excludes(c, m) })
}

func conditionHost(c route.Condition) route.Host {
	if c.Kind == route.ConditionHostRegexp {
		return route.Host{Kind: route.HostRegexp, Value: c.Values[0]}
	}
	return labelHost(c.Values[0])
}

// labelHost reads back the value of a condition on the host.
func labelHost(s string) route.Host {
	h, _ := route.ParseHost(s) // it was read once already
	return h
}

func conditionPath(kind route.ConditionKind, value string) route.Path {
	kinds := map[route.ConditionKind]route.PathKind{
		route.ConditionPath: route.PathExact, route.ConditionPathPrefix: route.PathPrefix, route.ConditionPathRegexp: route.PathRegexp,
		route.ConditionPathStart: route.PathStart,
	}
	return route.Path{Kind: kinds[kind], Value: value}
}

// hostOrder lists the host kinds, most specific first.
var hostOrder = []route.HostKind{route.HostExact, route.HostWildcard, route.HostDeep, route.HostRegexp, route.HostAny}

// narrowHost makes h the more specific of itself and other, and returns the other as a
// condition where it still says something. ok is false when no host is both.
func narrowHost(h *route.Host, other route.Host) (left []route.Condition, ok bool) {
	if slices.Index(hostOrder, other.Kind) < slices.Index(hostOrder, h.Kind) {
		*h, other = other, *h
	}
	switch {
	case other.Kind == route.HostAny || *h == other:
		return nil, true
	case other.Kind == route.HostRegexp:
		return []route.Condition{{Kind: route.ConditionHostRegexp, Values: []string{other.Value}}}, true
	case h.Kind == route.HostExact:
		return nil, other.Matches(h.Value)
	}
	return []route.Condition{{Kind: route.ConditionHost, Values: []string{other.String()}}}, true
}

// narrowPath is narrowHost for paths: exact before prefix before expression, the
// longer prefix before the shorter.
func narrowPath(p *route.Path, other route.Path) (left []route.Condition, ok bool) {
	if pathRank(other) < pathRank(*p) {
		*p, other = other, *p
	}
	switch {
	case *p == other || other.Kind == route.PathPrefix && other.Value == "/":
		return nil, true
	case other.Kind == route.PathRegexp:
		return []route.Condition{{Kind: route.ConditionPathRegexp, Values: []string{other.Value}}}, true
	case other.Kind == route.PathExact: // then *p is exact as well, and another
		return nil, false
	case p.Kind == route.PathRegexp && other.Kind == route.PathStart: // which goes first
		return []route.Condition{{Kind: route.ConditionPathStart, Values: []string{other.Value}}}, true
	case p.Kind == route.PathRegexp:
		return []route.Condition{{Kind: route.ConditionPathPrefix, Values: []string{other.Value}}}, true
	case other.Kind == route.PathStart:
		return nil, strings.HasPrefix(p.Value, other.Value)
	case p.Kind == route.PathStart: // what it takes need not be below the prefix
		return []route.Condition{{Kind: route.ConditionPathPrefix, Values: []string{other.Value}}}, true
	}
	return nil, isBelow(p.Value, other.Value)
}

// pathRank orders paths, most specific first; the prefix / comes last.
func pathRank(p route.Path) int {
	switch {
	case p.Kind == route.PathExact:
		return math.MinInt
	case p.Kind == route.PathRegexp:
		return 0
	case p.Value == "/":
		return 1
	}
	return -len(p.Value)
}

// isBelow says whether path is prefix or below it on a segment boundary.
func isBelow(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (prefix == "/" || rest == "" || rest[0] == '/')
}

// excludes says whether a negated condition leaves nothing of the match's host or path.
func excludes(c route.Condition, m route.Match) bool {
	return slices.ContainsFunc(c.Values, func(v string) bool {
		switch c.Kind {
		case route.ConditionHost:
			h := labelHost(v)
			return h.Kind == route.HostAny || h == m.Host || m.Host.Kind == route.HostExact && h.Matches(m.Host.Value)
		case route.ConditionHostRegexp:
			return m.Host == route.Host{Kind: route.HostRegexp, Value: v}
		case route.ConditionPathPrefix:
			return v == "/" || m.Path.Kind != route.PathRegexp && isBelow(m.Path.Value, v)
		case route.ConditionPathStart:
			return m.Path.Kind != route.PathRegexp && strings.HasPrefix(m.Path.Value, v)
		case route.ConditionPath, route.ConditionPathRegexp:
			return m.Path == conditionPath(c.Kind, v)
		}
		return false
	})
}

// tidyConditions sorts conditions, each once; several methods become the ones they have
// in common. ok is false when two of them exclude each other.
func tidyConditions(all []route.Condition) (tidy []route.Condition, ok bool) {
	var methods *route.Condition
	for _, c := range all {
		switch {
		case c.Kind != route.ConditionMethod || c.Not:
			tidy = append(tidy, c)
		case methods == nil:
			methods = &c
		default:
			methods.Values = slices.DeleteFunc(slices.Clone(methods.Values), func(m string) bool { return !slices.Contains(c.Values, m) })
		}
	}
	if methods != nil {
		if len(methods.Values) == 0 {
			return nil, false
		}
		tidy = append(tidy, *methods)
	}
	text := route.Condition.Text
	slices.SortFunc(tidy, func(a, b route.Condition) int { return strings.Compare(text(a), text(b)) })
	tidy = slices.CompactFunc(tidy, func(a, b route.Condition) bool { return text(a) == text(b) })
	has := make(map[string]bool, len(tidy))
	for _, c := range tidy {
		has[text(c)] = true
	}
	return tidy, !slices.ContainsFunc(tidy, func(c route.Condition) bool {
		c.Not = !c.Not
		return has[text(c)]
	})
}

// Shown returns a rule without the values that it wants credentials to have; ok is
// false for a text that is no rule, in which a secret may stand anywhere.
func Shown(rule string) (shown string, ok bool) { return Language{functions}.Shown(rule) }

// Shown is as the function of that name.
func (l Language) Shown(rule string) (shown string, ok bool) {
	n, err := l.parse(rule)
	if err != nil {
		return "", false
	}
	return n.masked(rule), true
}

// masked masks the values of credentials in the text of the rule: those on the right
// first, so that the places of the others still hold.
func (n *node) masked(rule string) string {
	if n == nil {
		return rule
	}
	rule = n.right.masked(rule)
	if n.kind == tokenName && n.function.named && len(n.args) > 1 && route.Credential(n.args[0].text) {
		rule = rule[:n.args[1].pos] + "`" + route.Masked + "`" + rule[n.args[len(n.args)-1].end:]
	}
	return n.left.masked(rule)
}
