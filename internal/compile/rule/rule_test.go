package rule

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"fairway/internal/route"
	"fairway/internal/route/match"
)

// shape is a rule without positions, for comparing.
func shape(n *node) string {
	if n == nil {
		return "-"
	}
	switch n.kind {
	case tokenName:
		var args []string
		for _, a := range n.args {
			args = append(args, strconv.Quote(a.text))
		}
		return n.function.Name + "(" + strings.Join(args, " ") + ")"
	case tokenNot:
		return "[! " + shape(n.left) + "]"
	case tokenAnd:
		return "[& " + shape(n.left) + " " + shape(n.right) + "]"
	}
	return "[| " + shape(n.left) + " " + shape(n.right) + "]"
}

func TestRuleTree(t *testing.T) {
	for _, c := range []struct{ rule, shape string }{
		{"Host(`a`)", `Host("a")`},
		{"host(\"a`b\")", "Host(\"a`b\")"},
		{"Host(`a`)||Host(`b`)&&Host(`c`)", `[| Host("a") [& Host("b") Host("c")]]`},
		{"(Host(`a`)||Host(`b`))&&Host(`c`)", `[& [| Host("a") Host("b")] Host("c")]`},
		{"Host(`a`)&&(Host(`b`)&&Host(`c`))", `[& Host("a") [& Host("b") Host("c")]]`},
		{"!Host(`a`)&&!(Host(`b`)||!!Host(`c`))", `[& [! Host("a")] [! [| Host("b") [! [! Host("c")]]]]]`},
		{" \n Header( `a` ,\t`b`,`c` ) ", `Header("a" "b" "c")`},
	} {
		n, err := Language{functions}.parse(c.rule)
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		if got := shape(n); got != c.shape {
			t.Errorf("%s is read as\n%s, want\n%s", c.rule, got, c.shape)
		}
	}
}

// TestShown: a rule is shown as it was written, but for the values of credentials.
func TestShown(t *testing.T) {
	for rule, want := range map[string]string{
		"Host(`a`)&&Header(`X-A`, `1`)":                                       "Host(`a`)&&Header(`X-A`, `1`)",
		"Header(`X-Token`, `1`, \"2\") && (Host(`a`) || Query(`token`,`3` ))": "Header(`X-Token`, `***`) && (Host(`a`) || Query(`token`,`***` ))",
		"!HeaderRegexp(`Authorization`, `1`) || Header(`X-Token`)":            "!HeaderRegexp(`Authorization`, `***`) || Header(`X-Token`)",
	} {
		if got, ok := Shown(rule); !ok || got != want {
			t.Errorf("%s is shown as\n%s, want\n%s", rule, got, want)
		}
	}
	if got, ok := Shown("Header(`X-Token`, `1`"); ok || got != "" {
		t.Errorf("what is no rule is shown as %s", got)
	}
}

func TestRuleErrors(t *testing.T) {
	for _, c := range []struct{ rule, text, hint string }{
		{"", "column 1: the end stands where a function is expected", "a function is written like Host(`a.example`)"},
		{"Host", "column 5: the end stands where the ( of Host is expected", "write it like Host(`a.example`)"},
		{"Host(", "column 6: the end stands where a string is expected", "write it like Host(`a.example`)"},
		{"Host()", "column 6: ) stands where a string is expected", "write it like Host(`a.example`)"},
		{"Host(`a`", "column 9: the end stands where , or ) is expected", "write it like Host(`a.example`)"},
		{"Host(`a`,)", "column 10: ) stands where a string is expected", "write it like Host(`a.example`)"},
		{"Host(`a`))", "column 10: ) is not expected here", "there are more ) than ("},
		{"(Host(`a`)", "column 11: the end stands where ) is expected", ""},
		{"Host(`a`) Path(`/`)", "column 11: a name is not expected here", "join conditions with && or ||"},
		{"Host(`a`) or Path(`/`)", "column 11: a name is not expected here", "write && for and, || for or"},
		{"Host(`a`) & Path(`/`)", "column 11: a single '&' means nothing", "write &&"},
		{"Host(`ä`) | Path(`/`)", "column 11: a single '|' means nothing", "write ||"},
		{"Host(`a", "column 6: the string has no end", "close it with a backquote"},
		{"Host(\"a", "column 6: the string has no end, or an escape in it is unknown", "strings in backquotes need no escapes"},
		{"PathPrfix(`/`)", "column 1: there is no function \"PathPrfix\"", "did you mean PathPrefix?"},
		{"Cookie(`/`)", "column 1: there is no function \"Cookie\"", "the functions are " + strings.Join(Language{functions}.names(), ", ")},
		{"Host(`a`) && #", "column 14: the character '#' means nothing here", ""},
		{"ClientIP(`10.0.0.0/33`)", "column 10: ClientIP: \"10.0.0.0/33\" is neither an address nor a prefix such as 10.0.0.0/8", ""},
		{"Method(`G ET`)", "column 8: Method: \"G ET\" is not a method", ""},
		{"PathRegexp(`(`)", "column 12: PathRegexp: regular expression \"(\": missing closing ) at \"(\"", ""},
		{"HeaderRegexp(`a b`, `x`)", "column 14: HeaderRegexp: the first string is not the name of a header", ""},
	} {
		_, err := Matches(c.rule)
		fault, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%s: error %v, want a *Error", c.rule, err)
			continue
		}
		if diff := cmp.Diff([]string{c.text, c.hint}, []string{fault.Error(), fault.Hint}); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.rule, diff)
		}
	}
}

// TestRuleConjunctions: what is more specific becomes the match's own, what is
// less is left out or becomes a condition, and what excludes it drops out.
func TestRuleConjunctions(t *testing.T) {
	const never = ""
	for rule, want := range map[string]string{
		"Host(`a.x`) && Host(`b.x`)":                     never,
		"Host(`a.x`) && Host(`*.x`)":                     "host a.x, path /",
		"Host(`a.b.x`) && Host(`*.x`)":                   never,
		"Host(`a.b.x`) && Host(`**.x`)":                  "host a.b.x, path /",
		"Host(`**.x`) && Host(`*.x`)":                    "host *.x, path /, host **.x",
		"Host(`a.x`) && Host(`*`)":                       "host a.x, path /",
		"HostRegexp(`a`) && Host(`a`)":                   "host a, path /, host-regexp \"a\"",
		"Host(`a.x`) && !Host(`*.x`)":                    never,
		"!Host(`*`)":                                     never,
		"Path(`/a`) && Path(`/b`)":                       never,
		"Path(`/a/b`) && PathPrefix(`/a`)":               "host *, path exact /a/b",
		"Path(`/a`) && PathPrefix(`/a/b`)":               never,
		"PathPrefix(`/a`) && PathPrefix(`/ab`)":          never,
		"PathPrefix(`/a`) && PathPrefix(`/a/b`)":         "host *, path /a/b",
		"PathRegexp(`/a.*`) && PathPrefix(`/a`)":         "host *, path /a, path-regexp \"/a.*\"",
		"PathRegexp(`/a.*`) && PathPrefix(`/`)":          "host *, path regexp \"/a.*\"",
		"PathPrefix(`/a/b`) && !PathPrefix(`/a`)":        never,
		"PathPrefix(`/a`) && !PathPrefix(`/a/b`)":        "host *, path /a, not path-prefix /a/b",
		"Method(`GET`, `PUT`) && Method(`PUT`, `POST`)":  "host *, path /, method PUT",
		"Method(`GET`) && Method(`PUT`)":                 never,
		"Method(`GET`) && !Method(`GET`)":                never,
		"Header(`A`) && Header(`a`) && Header(`A`, `1`)": "host *, path /, header A is 1, header A present",
		"Query(`q`, `2`, `1`, `2`)":                      "host *, path /, query q is 1 | 2",
	} {
		matches, err := Matches(rule)
		var got string
		for _, m := range matches {
			got += m.String()
		}
		if got != want || (err != nil) != (want == never) {
			t.Errorf("%s\nis written out as %s, %v\nwant %s", rule, got, err, want)
		}
	}
}

// ruleTree draws rules over few values, so that requests often fulfil them.
func ruleTree(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kind := rapid.IntRange(0, 4).Draw(t, "kind")
		if depth == 0 {
			kind = 0
		}
		sub := func() string { return ruleTree(depth-1).Draw(t, "sub") }
		switch kind {
		case 1:
			return "(" + sub() + " && " + sub() + ")"
		case 2:
			return "(" + sub() + " || " + sub() + ")"
		case 3:
			return "!" + sub()
		}
		return rapid.SampledFrom([]string{
			"Host(`a.x`)", "Host(`b.x`)", "Host(`*.x`)", "Host(`**.x`)", "Host(`*`)", "Host(`a.x`, `a.b.x`)", "HostRegexp(`[ab]\\.x`)",
			"Path(`/p`)", "Path(`/p/q`)", "PathPrefix(`/p`)", "PathPrefix(`/p/q`)", "PathPrefix(`/`)", "PathPrefix(`/z`)", "PathRegexp(`/p.*`)",
			"Method(`GET`)", "Method(`GET`, `PUT`)", "Header(`X-A`)", "Header(`X-A`, `1`)", "HeaderRegexp(`X-A`, `2`)",
			"Query(`q`)", "Query(`q`, `1`, `2`)", "QueryRegexp(`q`, `^1`)", "ClientIP(`10.0.0.0/8`)",
		}).Draw(t, "call")
	})
}

func drawRequest(t *rapid.T) *route.Request {
	h := http.Header{}
	if v := rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "header"); v != "" {
		h.Set("X-A", v)
	}
	return &route.Request{
		Method: rapid.SampledFrom([]string{"GET", "PUT", "POST"}).Draw(t, "method"),
		Host:   rapid.SampledFrom([]string{"a.x", "b.x", "a.b.x", "x", "y"}).Draw(t, "host"),
		Path:   rapid.SampledFrom([]string{"/", "/p", "/p/q", "/p/q/r", "/pq", "/z"}).Draw(t, "path"),
		Query:  rapid.SampledFrom([]string{"", "q", "q=1", "q=2", "q=13"}).Draw(t, "query"),
		Header: h,
		Client: netip.MustParseAddr(rapid.SampledFrom([]string{"10.1.2.3", "192.0.2.1"}).Draw(t, "client")),
	}
}

// holds evaluates a rule straight from its tree, with a matcher for each call.
func (n *node) holds(t *rapid.T, r *route.Request) bool {
	switch n.kind {
	case tokenNot:
		return !n.left.holds(t, r)
	case tokenAnd:
		return n.left.holds(t, r) && n.right.holds(t, r)
	case tokenOr:
		return n.left.holds(t, r) || n.right.holds(t, r)
	}
	c, err := n.condition("")
	if err != nil {
		t.Fatal(err)
	}
	m, err := match.New([]*route.Route{{ID: "r", Matches: []route.Match{{
		Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}, Conditions: []route.Condition{c},
	}}}})
	if err != nil {
		// A wildcard for every host is no condition, but is always fulfilled.
		if slices.Equal(c.Values, []string{"*"}) {
			return true
		}
		t.Fatal(err)
	}
	return m.Find(r) != nil
}

// TestRuleMeansWhatItSays: the matches of a rule take exactly the requests that
// fulfil the rule.
func TestRuleMeansWhatItSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rule := ruleTree(3).Draw(t, "rule")
		n, err := Language{functions}.parse(rule)
		if err != nil {
			t.Fatal(err)
		}
		matches, err := Matches(rule)
		if err != nil && !strings.Contains(err.Error(), "no request can ever") && !strings.Contains(err.Error(), "alternatives") {
			t.Fatal(err)
		}
		if err != nil && strings.Contains(err.Error(), "alternatives") {
			t.Skip("too wide")
		}
		m := &match.Matcher{}
		if matches != nil {
			if m, err = match.New([]*route.Route{{ID: "r", Matches: matches}}); err != nil {
				t.Fatal(err)
			}
		}
		for range 20 {
			r := drawRequest(t)
			if got, want := matches != nil && m.Find(r) != nil, n.holds(t, r); got != want {
				t.Fatalf("%s\nis written out as %v\nrequest %+v: taken %v, want %v", rule, matches, r, got, want)
			}
		}
	})
}

// FuzzRule: no text makes the parser panic, what parses is shown so that it parses to
// the same tree but for what is masked, and what can be written out fits into a table.
func FuzzRule(f *testing.F) {
	for _, fn := range functions {
		f.Add(fn.Example)
	}
	f.Add("Host(`a`) && (PathPrefix(`/b`) || !Method(\"GET\\n\")) && Header(`X`, `1`, `2`)")
	f.Add("!(!(Host(`*`)))")
	f.Add("Host(`a`) & \xff")
	f.Fuzz(func(t *testing.T, rule string) {
		n, err := Language{functions}.parse(rule)
		if err != nil {
			if fault, ok := errors.AsType[*Error](err); !ok || fault.pos > len(rule) || fault.column() < 1 {
				t.Fatalf("not a fault with a place: %v", err)
			}
			return
		}
		text, _ := Shown(rule)
		again, err := Language{functions}.parse(text)
		if err != nil && len(text) <= MaxBytes {
			t.Fatalf("%q is shown as %q, which does not parse: %v", rule, text, err)
		}
		if err == nil && !strings.Contains(text, route.Masked) && shape(n) != shape(again) {
			t.Fatalf("%q is shown as %q, which is another rule", rule, text)
		}
		matches, err := Matches(rule)
		if err != nil {
			return
		}
		if _, err := route.New(1, nil, []*route.Route{{ID: "r", Service: "s", Matches: matches, Origin: route.Origin{Source: "s"}}}, nil, nil); err != nil {
			t.Fatalf("%q is written out as %v, which fits into no table: %v", rule, matches, err)
		}
	})
}
