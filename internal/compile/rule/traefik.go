package rule

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"fairway/internal/route"
)

// theirs reads a function of another proxy's language.
type theirs struct {
	most int // strings; zero: any number
	// read returns alternatives of the strings, of which there are as many as the function needs.
	read func(args []string) ([]route.Condition, error)
}

// most is how many strings a function takes.
func (f *Function) most() int {
	if f.theirs == nil || f.theirs.most == 0 {
		return math.MaxInt
	}
	return f.theirs.most
}

// call writes a function of another proxy's language out.
func (n *node) call(rule string, not bool) ([]conjunction, error) {
	args := make([]string, len(n.args))
	for i, a := range n.args {
		args[i] = a.text
	}
	alternatives, err := n.function.theirs.read(args)
	if err != nil && n.function.named && route.Credential(args[0]) {
		err = errors.New("the value cannot be used; it is not repeated here, as it may be a credential")
	}
	if err != nil {
		return nil, &Error{rule, n.pos, fmt.Sprintf("%s: %s", n.function.Name, err), ""}
	}
	var out []conjunction
	for _, c := range alternatives {
		c.Not = not
		if not && len(out) > 0 { // none of them may hold
			out[0] = append(out[0], c)
			continue
		}
		out = append(out, splitCall(c)...)
	}
	return out, nil
}

// Traefik is the language of the rules of Traefik's routers: that of version 3, or of 2.
func Traefik(v2 bool) Language {
	list := func(kind route.ConditionKind, value func(string) (string, error)) func([]string) ([]route.Condition, error) {
		return func(args []string) ([]route.Condition, error) { return each(args, kind, value) }
	}
	named := func(kind route.ConditionKind, value func(string) (string, error)) func([]string) ([]route.Condition, error) {
		return func(args []string) ([]route.Condition, error) {
			name, err := conditionName(kind, args[0])
			if err != nil {
				return nil, err
			}
			v := ""
			if len(args) > 1 { // a parameter without a value is there, and empty
				if v, err = value(args[1]); err != nil {
					return nil, err
				}
			}
			return []route.Condition{{Kind: kind, Name: name, Values: []string{v}}}, nil
		}
	}
	function := func(name string, least, most int, read func([]string) ([]route.Condition, error)) Function {
		return Function{Name: name, least: least, Example: name + "(`…`)", named: strings.HasPrefix(name, "Header") || strings.HasPrefix(name, "Query"), theirs: &theirs{most, read}}
	}
	if v2 {
		return Language{[]Function{
			function("Host", 1, 0, list(route.ConditionHost, hostValue)),
			function("HostHeader", 1, 0, list(route.ConditionHost, hostValue)),
			function("HostRegexp", 1, 0, list(route.ConditionHostRegexp, template("[^.]+", "(?i:", ")"))),
			function("Path", 1, 0, templates(route.ConditionPath, "", "")),
			function("PathPrefix", 1, 0, templates(route.ConditionPathStart, "", ".*")),
			function("Method", 1, 0, list(route.ConditionMethod, methodValue)),
			function("Headers", 2, 2, named(route.ConditionHeader, plainValue)),
			function("HeadersRegexp", 2, 2, named(route.ConditionHeaderRegexp, regexpValue)),
			function("Query", 1, 1, func(args []string) ([]route.Condition, error) {
				name, value, _ := strings.Cut(args[0], "=")
				return named(route.ConditionQuery, plainValue)([]string{name, value})
			}),
			function("ClientIP", 1, 0, list(route.ConditionClientIP, addressValue)),
		}}
	}
	return Language{[]Function{
		function("Host", 1, 1, list(route.ConditionHost, hostValue)),
		function("HostRegexp", 1, 1, list(route.ConditionHostRegexp, anywhere)),
		function("Path", 1, 1, list(route.ConditionPath, pathValue(route.PathExact))),
		function("PathPrefix", 1, 1, start),
		function("PathRegexp", 1, 1, list(route.ConditionPathRegexp, anywhere)),
		function("Method", 1, 1, list(route.ConditionMethod, methodValue)),
		function("Header", 2, 2, named(route.ConditionHeader, plainValue)),
		function("HeaderRegexp", 2, 2, named(route.ConditionHeaderRegexp, regexpValue)),
		function("Query", 1, 2, named(route.ConditionQuery, plainValue)),
		function("QueryRegexp", 2, 2, named(route.ConditionQueryRegexp, regexpValue)),
		function("ClientIP", 1, 1, list(route.ConditionClientIP, addressValue)),
	}}
}

// each is a condition with the values of all strings.
func each(args []string, kind route.ConditionKind, value func(string) (string, error)) ([]route.Condition, error) {
	c := route.Condition{Kind: kind}
	for _, arg := range args {
		v, err := value(arg)
		if err != nil {
			return nil, err
		}
		c.Values = append(c.Values, v)
	}
	slices.Sort(c.Values)
	c.Values = slices.Compact(c.Values)
	return []route.Condition{c}, nil
}

// start is what paths begin with, by bytes; "/" is every path.
func start(args []string) ([]route.Condition, error) {
	if args[0] == "/" {
		return each(args, route.ConditionPathPrefix, pathValue(route.PathPrefix))
	}
	return each(args, route.ConditionPathStart, pathValue(route.PathStart))
}

// anywhere widens an expression that is looked for anywhere to the whole text.
func anywhere(s string) (string, error) {
	if _, err := regexpValue(s); err != nil {
		return "", err
	}
	return Anywhere(s, false), nil
}

// templateWord is a name in braces, with an expression behind a colon or without one.
var templateWord = regexp.MustCompile(`\{([A-Za-z_][0-9A-Za-z_-]*)(?::((?:[^{}]|\{[^{}]*\})*))?\}`)

// OldTemplate says whether a rule has a template of Traefik 2 in it.
func OldTemplate(rule string) bool { return templateWord.MatchString(rule) }

// template makes an expression on the whole text of literal text with names in braces, each
// of which stands for any unless it says what.
func template(anything, front, back string) func(string) (string, error) {
	return func(s string) (string, error) {
		var b strings.Builder
		at := 0
		for _, m := range templateWord.FindAllStringSubmatchIndex(s, -1) {
			b.WriteString(regexp.QuoteMeta(s[at:m[0]]))
			expression := anything
			if m[4] >= 0 {
				expression = s[m[4]:m[5]]
			}
			b.WriteString("(?:" + expression + ")")
			at = m[1]
		}
		b.WriteString(regexp.QuoteMeta(s[at:]))
		return regexpValue(front + b.String() + back)
	}
}

// templates reads paths, of which those with templates are expressions.
func templates(kind route.ConditionKind, front, back string) func([]string) ([]route.Condition, error) {
	return func(args []string) (all []route.Condition, err error) {
		for _, arg := range args {
			var c []route.Condition
			switch {
			case OldTemplate(arg):
				c, err = each([]string{arg}, route.ConditionPathRegexp, template("[^/]+", front, back))
			case kind == route.ConditionPathStart:
				c, err = start([]string{arg})
			default:
				c, err = each([]string{arg}, kind, pathValue(route.PathExact))
			}
			if err != nil {
				return nil, err
			}
			all = append(all, c...)
		}
		return all, nil
	}
}

// Anywhere widens an expression that is looked for anywhere in a text to the whole text, with
// fold without regard to case. What begins at its anchor still does, so that its literal
// beginning is known.
func Anywhere(pattern string, fold bool) string {
	front, back := ".*", ".*"
	if re, err := syntax.Parse(pattern, syntax.Perl); err == nil {
		parts := []*syntax.Regexp{re}
		if re.Op == syntax.OpConcat {
			parts = re.Sub
		}
		if parts[0].Op == syntax.OpBeginText {
			front = ""
		}
		if parts[len(parts)-1].Op == syntax.OpEndText {
			back = ""
		}
	}
	if fold {
		return front + "(?i:" + pattern + ")" + back
	}
	return front + "(?:" + pattern + ")" + back
}
