package rule

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/route"
)

// Function is a function of the rule language.
type Function struct {
	Name    string
	kind    route.ConditionKind
	named   bool // the first string is the name of a header or parameter
	least   int  // how many strings it needs; more are alternatives
	value   func(string) (string, error)
	Example string
	Meaning string  // when it holds
	theirs  *theirs // that reads it in the place of all above but the name; nil for one of ours
}

// Functions returns the functions of the rule language.
func Functions() []Function { return slices.Clone(functions) }

// functions is the rule language.
var functions = []Function{
	{"Host", route.ConditionHost, false, 1, hostValue, "Host(`a.example`)", "the host, with wildcards as in `fairway.host`", nil},
	{"HostRegexp", route.ConditionHostRegexp, false, 1, regexpValue, "HostRegexp(`[a-z]+\\.example`)", "the whole host matches the expression", nil},
	{"Path", route.ConditionPath, false, 1, pathValue(route.PathExact), "Path(`/up`)", "the path, exactly", nil},
	{"PathPrefix", route.ConditionPathPrefix, false, 1, pathValue(route.PathPrefix), "PathPrefix(`/api`)", "the path, or anything below it", nil},
	{"PathRegexp", route.ConditionPathRegexp, false, 1, regexpValue, "PathRegexp(`/v[0-9]+/.*`)", "the whole path matches the expression", nil},
	{"Method", route.ConditionMethod, false, 1, methodValue, "Method(`GET`, `HEAD`)", "the method", nil},
	{"Header", route.ConditionHeader, true, 1, plainValue, "Header(`X-Env`, `test`)", "a header is there, or has one of the values", nil},
	{"HeaderRegexp", route.ConditionHeaderRegexp, true, 2, regexpValue, "HeaderRegexp(`Accept`, `json`)", "a header's value matches, anywhere in it", nil},
	{"Query", route.ConditionQuery, true, 1, plainValue, "Query(`v`, `2`)", "a query parameter is there, or has one of the values", nil},
	{"QueryRegexp", route.ConditionQueryRegexp, true, 2, regexpValue, "QueryRegexp(`id`, `^[0-9]+$`)", "a query parameter's value matches, anywhere in it", nil},
	{"ClientIP", route.ConditionClientIP, false, 1, addressValue, "ClientIP(`10.0.0.0/8`)", "the client's address is in the prefix", nil},
}

// of returns the function of a name in any case, or nil.
func (l Language) of(name string) *Function {
	for i := range l.functions {
		if strings.EqualFold(l.functions[i].Name, name) {
			return &l.functions[i]
		}
	}
	return nil
}

func (l Language) names() []string {
	names := make([]string, len(l.functions))
	for i, f := range l.functions {
		names[i] = f.Name
	}
	return names
}

func (n *node) condition(rule string) (route.Condition, error) {
	f := n.function
	c := route.Condition{Kind: f.kind}
	values := n.args
	fault := func(at token, err error) error {
		return &Error{rule, at.pos, fmt.Sprintf("%s: %s", f.Name, err), ""}
	}
	if f.named {
		name, err := conditionName(f.kind, values[0].text)
		if err != nil {
			return c, fault(values[0], err)
		}
		c.Name, values = name, values[1:]
	}
	for _, arg := range values {
		v, err := f.value(arg.text)
		if err != nil && c.Secret() {
			err = errors.New("the value cannot be used; it is not repeated here, as it may be a credential")
		}
		if err != nil {
			return c, fault(arg, err)
		}
		c.Values = append(c.Values, v)
	}
	slices.Sort(c.Values)
	c.Values = slices.Compact(c.Values)
	return c, nil
}

func conditionName(kind route.ConditionKind, name string) (string, error) {
	if kind == route.ConditionQuery || kind == route.ConditionQueryRegexp {
		if name == "" || chars.HasControl(name) {
			return "", errors.New("the name of the parameter is empty or has control characters")
		}
		return name, nil
	}
	if !chars.IsToken(name) {
		return "", errors.New("the first string is not the name of a header")
	}
	if strings.EqualFold(name, "Host") {
		return "", errors.New("the host is no header here; use the function Host")
	}
	return textproto.CanonicalMIMEHeaderKey(name), nil
}

func hostValue(s string) (string, error) {
	h, err := route.ParseHost(s)
	return h.String(), err
}

func pathValue(kind route.PathKind) func(string) (string, error) {
	return func(s string) (string, error) {
		p, err := route.ParsePath(kind, s)
		return p.Value, err
	}
}

func regexpValue(s string) (string, error) {
	if chars.HasControl(s) {
		return "", errors.New("the expression has control characters")
	}
	return s, route.CheckRegexp(s)
}

func methodValue(s string) (string, error) {
	if !chars.IsToken(s) {
		return "", fmt.Errorf("%s is not a method", chars.Excerpt(s))
	}
	return strings.ToUpper(s), nil
}

// plainValue never repeats the value: it may be a credential.
func plainValue(s string) (string, error) {
	if chars.HasControl(s) {
		return "", errors.New("the value has control characters")
	}
	return s, nil
}

func addressValue(s string) (string, error) {
	p, err := chars.ParsePrefix(s)
	if err != nil {
		return "", err
	}
	if p.IsSingleIP() {
		return p.Addr().String(), nil
	}
	return p.String(), nil
}
