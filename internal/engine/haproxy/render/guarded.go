package render

import (
	"regexp"
	"slices"
	"strings"

	"fairway/internal/engine/haproxy/pcre"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/route"
)

// Guarded matches are those that a lookup cannot find: with conditions, or with an
// expression for host or path. They are rules that are tried one after the other, best
// first; the first that holds wins unless the map has found something better.

// maxGuards bounds the guarded matches of a table: a request is put to them one by one.
const maxGuards = 500

// group names a host: requests for others pass its guarded matches by with one comparison.
func group(host string) string { return "h" + digest("host", host) }

func (l *lookups) writeGuarded(guards []claim, table string) {
	if len(guards) == 0 {
		return
	}
	l.line("%s set-var(txn.group) var(txn.host),map_str(%s)%s", l.directive, l.o.mapPath(mapGroups), l.test())
	asks := func(g claim) bool {
		return slices.ContainsFunc(g.route.Matches[g.match].Conditions, func(c route.Condition) bool { return c.Kind == route.ConditionClientIP })
	}
	if l.directive == "http-request" && l.when == "" && slices.ContainsFunc(guards, asks) {
		l.clientKnown()
	}
	if l.asksQuery && l.directive == "http-request" && l.when == "" {
		l.line("http-request lua.fairway_query if { query -m found }")
	}
	owner := ""
	for i := range guards {
		g := &guards[i]
		if g.route.ID != owner {
			owner = g.route.ID
			l.note("route %s", owner)
		}
		tests := append([]string{"!{ var(txn." + l.guard + ") -m found }"}, l.matchTests(&g.route.Matches[g.match])...)
		l.line("%s set-var(txn.%s) str(%d)%s", l.directive, l.guard, i, l.test(tests...))
	}
	found := "{ var(txn." + l.guard + ") -m found }"
	l.line("%s set-var(txn.better) var(txn.%s),field(%d,|)%s", l.directive, l.route, fieldRank, l.test(found))
	l.line("%s set-var(txn.better) int(%d)%s", l.directive, maxGuards+1, l.test(found, "!{ var(txn."+l.route+") -m found }"))
	l.line("%s set-var(txn.%s) var(txn.%s),map_str(%s)%s", l.directive, l.route, l.guard, l.o.mapPath(table), l.test(found, "{ var(txn."+l.guard+"),sub(txn.better) lt 0 }"))
}

// groupEntries is the map of hosts that have guarded matches of their own.
func groupEntries(guards []claim) (entries []MapEntry) {
	for _, g := range guards {
		if h := g.route.Matches[g.match].Host; h.Kind == route.HostExact {
			entries = append(entries, MapEntry{Key: h.Value, Value: group(h.Value)})
		}
	}
	return entries
}

// guardedEntries is the map from guards to what is to be done.
func guardedEntries(guards []claim) (entries []MapEntry) {
	for i, g := range guards {
		entries = append(entries, MapEntry{Key: itoa(i), Value: withRank(g.value, 0)})
	}
	return entries
}

func sortedEntries(entries []MapEntry) []MapEntry {
	slices.SortFunc(entries, func(a, b MapEntry) int { return strings.Compare(a.Key, b.Key) })
	return slices.Compact(entries)
}

// matchTests are the tests of a match: its host, its path, and its conditions.
func (l *lookups) matchTests(m *route.Match) (tests []string) {
	switch m.Host.Kind {
	case route.HostExact:
		tests = append(tests, "{ var(txn.group) -m str "+group(m.Host.Value)+" }")
	case route.HostRegexp:
		tests = append(tests, fits("var(txn.host)", pcre.Whole(m.Host.Value)))
	case route.HostWildcard, route.HostDeep:
		tests = append(tests, hostTest(m.Host))
	}
	switch {
	case m.Path.Kind == route.PathRegexp:
		tests = append(tests, fits("var("+l.path+")", pcre.Whole(m.Path.Value)))
	case m.Path != route.Path{Kind: route.PathPrefix, Value: "/"}:
		tests = append(tests, l.pathTest(m.Path.Kind, m.Path.Value))
	}
	for i := range m.Conditions {
		tests = append(tests, l.conditionTest(&m.Conditions[i]))
	}
	return tests
}

// fits is a test by an expression of HAProxy's library.
func fits(sample, expression string) string {
	return "{ " + sample + " -m reg -- " + quote.Word(expression) + " }"
}

// hostTest tests for any of the hosts, which are no expressions.
func hostTest(hosts ...route.Host) string {
	alternatives := make([]string, len(hosts))
	for i, h := range hosts {
		name := regexp.QuoteMeta(h.Value)
		switch h.Kind {
		case route.HostWildcard:
			name = `[^.]+\.` + name
		case route.HostDeep:
			name = `.+\.` + name
		case route.HostAny:
			name = ".*"
		}
		alternatives[i] = name
	}
	return fits("var(txn.host)", `\A(?:`+strings.Join(alternatives, "|")+`)\z`)
}

// pathTest tests for any of the paths, which are no expressions.
func (l *lookups) pathTest(kind route.PathKind, paths ...string) string {
	alternatives := each(paths, func(p string) string {
		switch {
		case kind == route.PathExact:
			return regexp.QuoteMeta(p) + `\z`
		case kind == route.PathPrefix && p != "/":
			return regexp.QuoteMeta(p) + `(?:/|\z)`
		}
		return regexp.QuoteMeta(p)
	})
	return fits("var("+l.path+")", `\A(?:`+strings.Join(alternatives, "|")+`)`)
}

func (l *lookups) conditionTest(c *route.Condition) string {
	test := l.plainTest(c)
	if front, values, ok := strings.Cut(test, " -- "); ok && c.Secret() {
		test = front + " -- " + quote.Secret(strings.TrimSuffix(values, " }")) + " }"
	}
	if c.Not {
		return "!" + test
	}
	return test
}

func (l *lookups) plainTest(c *route.Condition) string {
	header := "req.fhdr(" + c.Name + ")"
	switch c.Kind {
	case route.ConditionMethod:
		return textTest("method", c.Values)
	case route.ConditionHeader:
		if len(c.Values) == 0 {
			return "{ req.fhdr_cnt(" + c.Name + ") gt 0 }"
		}
		return textTest(header, c.Values)
	case route.ConditionHeaderRegexp:
		return "{ " + header + " -m reg -- " + quotedList(each(c.Values, func(v string) string { return pcre.AnyOf(pcre.Plain(), v) })) + " }"
	case route.ConditionQuery:
		return queryTest(c)
	case route.ConditionQueryRegexp:
		name := pcre.RecordMark + regexp.QuoteMeta(c.Name) + pcre.UnitMark
		return fits("var(txn.query)", name+"[^"+pcre.RecordMark+"]*?(?:"+pcre.AnyOf(pcre.Query(), c.Values...)+")")
	case route.ConditionClientIP:
		return "{ var(txn.client) -m ip -- " + strings.Join(c.Values, " ") + " }"
	case route.ConditionHost:
		var hosts []route.Host
		for _, v := range c.Values {
			if h, err := route.ParseHost(v); err == nil {
				hosts = append(hosts, h)
			}
		}
		return hostTest(hosts...)
	case route.ConditionHostRegexp:
		return fits("var(txn.host)", pcre.Whole(c.Values...))
	case route.ConditionPathRegexp:
		return fits("var("+l.path+")", pcre.Whole(c.Values...))
	case route.ConditionPath:
		return l.pathTest(route.PathExact, c.Values...)
	case route.ConditionPathPrefix:
		return l.pathTest(route.PathPrefix, c.Values...)
	case route.ConditionPathStart:
		return l.pathTest(route.PathStart, c.Values...)
	case route.ConditionListener:
		return textTest("var(sess.listener)", each(c.Values, listenerWord))
	}
	return "{ always_false }"
}

// queryTest tests a parameter of the query, which Lua has decoded.
func queryTest(c *route.Condition) string {
	begin := pcre.RecordMark + c.Name + pcre.UnitMark
	if len(c.Values) == 0 {
		return "{ var(txn.query) -m sub -- " + quote.Word(begin) + " }"
	}
	values := withoutNUL(c.Values)
	if len(values) == 0 || strings.IndexByte(c.Name, 0) >= 0 {
		return "{ always_false }"
	}
	return "{ var(txn.query) -m sub -- " + quotedList(each(values, func(v string) string { return begin + v + pcre.RecordMark })) + " }"
}

// textTest tests whether an expression is one of the values. HAProxy takes an empty
// word for the end of a line, and "}" for the end of the test, quoted or not.
func textTest(expression string, values []string) string {
	values = withoutNUL(values)
	switch {
	case len(values) == 0:
		return "{ always_false }"
	case !slices.Contains(values, "") && !slices.Contains(values, "}"):
		return "{ " + expression + " -m str -- " + quotedList(values) + " }"
	}
	return fits(expression, `\A(?:`+strings.Join(each(values, regexp.QuoteMeta), "|")+`)\z`)
}

// withoutNUL are the values that a request can have. HAProxy cuts off what follows a NUL.
func withoutNUL(values []string) []string {
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return strings.IndexByte(v, 0) >= 0 })
}

func quotedList(values []string) string { return strings.Join(each(values, quote.Word), " ") }

// each is what a function makes of each of the values.
func each(values []string, word func(string) string) []string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = word(v)
	}
	return words
}
