package render

import (
	"regexp"
	"slices"
	"strings"

	"fairway/internal/engine/haproxy/pcre"
	"fairway/internal/route"
)

// Guarded matches are those that a lookup cannot find: with conditions, or with an
// expression for the host or the path. They are rules that are tried one after the
// other, best first; the first that holds wins unless the map has found something
// better.

// maxGuards bounds the guarded matches of a table: every request that they could
// take is put to them one by one.
const maxGuards = 500

// group names the host that a guarded match is for, when it is for one host only:
// then requests for other hosts pass it by with one comparison.
func (g *claim) group() string {
	if m := &g.route.Matches[g.match]; m.Host.Kind == route.HostExact {
		return "h" + digest("host", m.Host.Value)
	}
	return ""
}

func (l *lookups) writeGuarded(guards []claim, table string) {
	if len(guards) == 0 {
		return
	}
	l.line("%s set-var(txn.group) var(txn.host),map_str(%s)%s", l.directive, l.o.mapPath(mapGroups), l.test())
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
		conditions := l.conditions(&g.route.Matches[g.match])
		if group := g.group(); group != "" {
			conditions[0] = "{ var(txn.group) -m str " + group + " }"
		}
		l.line("%s set-var(txn.%s) str(%d)%s", l.directive, l.guard, i, l.test(append([]string{"!{ var(txn." + l.guard + ") -m found }"}, conditions...)...))
	}
	found := "{ var(txn." + l.guard + ") -m found }"
	l.line("%s set-var(txn.better) var(txn.%s),field(%d,|)%s", l.directive, l.route, fieldRank, l.test(found))
	l.line("%s set-var(txn.better) int(%d)%s", l.directive, maxGuards+1, l.test(found, "!{ var(txn."+l.route+") -m found }"))
	l.line("%s set-var(txn.%s) var(txn.%s),map_str(%s)%s", l.directive, l.route, l.guard, l.o.mapPath(table), l.test(found, "{ var(txn."+l.guard+"),sub(txn.better) lt 0 }"))
}

// groupEntries is the map of hosts that have guarded matches of their own.
func groupEntries(guards []claim) []MapEntry {
	var entries []MapEntry
	for i := range guards {
		if group := guards[i].group(); group != "" {
			entries = append(entries, MapEntry{Key: guards[i].route.Matches[guards[i].match].Host.Value, Value: group})
		}
	}
	return entries
}

// guardedEntries is the map from guards to what is to be done.
func guardedEntries(guards []claim) []MapEntry {
	entries := make([]MapEntry, len(guards))
	for i := range guards {
		entries[i] = MapEntry{Key: itoa(i), Value: withRank(guards[i].value, 0)}
	}
	return entries
}

func sortedEntries(entries []MapEntry) []MapEntry {
	slices.SortFunc(entries, func(a, b MapEntry) int { return strings.Compare(a.Key, b.Key) })
	return slices.Compact(entries)
}

// conditions are the tests of a match: its host, its path, and its conditions.
func (l *lookups) conditions(m *route.Match) []string {
	tests := []string{hostTest(m.Host), l.pathTest([]route.Path{m.Path})}
	for i := range m.Conditions {
		tests = append(tests, l.conditionTest(&m.Conditions[i]))
	}
	return slices.DeleteFunc(tests, func(s string) bool { return s == "" })
}

// hostTest tests a host; empty for any.
func hostTest(h route.Host) string {
	switch h.Kind {
	case route.HostExact:
		return "{ var(txn.host) -m str -- " + quoted(h.Value) + " }"
	case route.HostRegexp:
		return "{ var(txn.host) -m reg -- " + quoted(pcre.Whole(h.Value)) + " }"
	case route.HostAny:
		return ""
	}
	return "{ var(txn.host) -m reg -- " + quoted(hostsExpression([]route.Host{h})) + " }"
}

// hostsExpression matches any of the hosts, which are no expressions.
func hostsExpression(hosts []route.Host) string {
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
	return `\A(?:` + strings.Join(alternatives, "|") + `)\z`
}

// pathTest tests for any of the paths; empty for one that is every path.
func (l *lookups) pathTest(paths []route.Path) string {
	var alternatives []string
	for _, p := range paths {
		switch {
		case p.Kind == route.PathRegexp:
			return "{ var(" + l.path + ") -m reg -- " + quoted(pcre.Whole(p.Value)) + " }"
		case p.Kind == route.PathExact:
			alternatives = append(alternatives, regexp.QuoteMeta(p.Value)+`\z`)
		case p.Kind == route.PathPrefix && p.Value != "/":
			alternatives = append(alternatives, regexp.QuoteMeta(p.Value)+`(?:/|\z)`)
		default:
			alternatives = append(alternatives, regexp.QuoteMeta(p.Value))
		}
	}
	if len(paths) == 1 && paths[0] == (route.Path{Kind: route.PathPrefix, Value: "/"}) {
		return ""
	}
	return "{ var(" + l.path + ") -m reg -- " + quoted(`\A(?:`+strings.Join(alternatives, "|")+`)`) + " }"
}

func (l *lookups) conditionTest(c *route.Condition) string {
	test := l.plainTest(c)
	if front, values, ok := strings.Cut(test, " -- "); ok && c.Secret() {
		test = front + " -- " + secret(strings.TrimSuffix(values, " }")) + " }"
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
		exprs := make([]string, len(c.Values))
		for i, v := range c.Values {
			exprs[i] = pcre.AnyOf(pcre.Plain(), v)
		}
		return "{ " + header + " -m reg -- " + quotedList(exprs) + " }"
	case route.ConditionQuery, route.ConditionQueryRegexp:
		return queryTest(c)
	case route.ConditionClientIP:
		return "{ var(txn.client) -m ip -- " + strings.Join(c.Values, " ") + " }"
	case route.ConditionHost:
		var hosts []route.Host
		for _, v := range c.Values {
			if h, err := route.ParseHost(v); err == nil {
				hosts = append(hosts, h)
			}
		}
		return "{ var(txn.host) -m reg -- " + quoted(hostsExpression(hosts)) + " }"
	case route.ConditionHostRegexp:
		return "{ var(txn.host) -m reg -- " + quoted(pcre.Whole(c.Values...)) + " }"
	case route.ConditionPathRegexp:
		return "{ var(" + l.path + ") -m reg -- " + quoted(pcre.Whole(c.Values...)) + " }"
	case route.ConditionPath, route.ConditionPathPrefix, route.ConditionPathStart:
		kind := map[route.ConditionKind]route.PathKind{
			route.ConditionPath: route.PathExact, route.ConditionPathPrefix: route.PathPrefix, route.ConditionPathStart: route.PathStart,
		}[c.Kind]
		var paths []route.Path
		for _, v := range c.Values {
			paths = append(paths, route.Path{Kind: kind, Value: v})
		}
		if test := l.pathTest(paths); test != "" {
			return test
		}
		return "{ always_true }"
	case route.ConditionListener:
		words := make([]string, len(c.Values))
		for i, v := range c.Values {
			words[i] = listenerWord(v)
		}
		return textTest("var(sess.listener)", words)
	}
	return "{ always_false }"
}

// queryTest tests parameters of the query, which Lua has decoded.
func queryTest(c *route.Condition) string {
	if c.Kind == route.ConditionQueryRegexp {
		return "{ var(txn.query) -m reg -- " + quoted(pcre.RecordMark+regexp.QuoteMeta(c.Name)+pcre.UnitMark+"[^"+pcre.RecordMark+"]*?(?:"+pcre.AnyOf(pcre.Query(), c.Values...)+")") + " }"
	}
	if len(c.Values) == 0 {
		return "{ var(txn.query) -m sub -- " + quoted(pcre.RecordMark+c.Name+pcre.UnitMark) + " }"
	}
	var all []string
	for _, v := range c.Values {
		if strings.IndexByte(v, 0) < 0 {
			all = append(all, pcre.RecordMark+c.Name+pcre.UnitMark+v+pcre.RecordMark)
		}
	}
	if len(all) == 0 || strings.IndexByte(c.Name, 0) >= 0 {
		return "{ always_false }"
	}
	return "{ var(txn.query) -m sub -- " + quotedList(all) + " }"
}

// textTest tests whether an expression is one of the values. HAProxy takes an empty
// word for the end of a line, and "}" for the end of the test, quoted or not; it cuts
// off what follows a NUL, which no request has.
func textTest(expression string, values []string) string {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return strings.IndexByte(v, 0) >= 0 })
	switch {
	case len(values) == 0:
		return "{ always_false }"
	case !slices.Contains(values, "") && !slices.Contains(values, "}"):
		return "{ " + expression + " -m str -- " + quotedList(values) + " }"
	}
	for i, v := range values {
		values[i] = regexp.QuoteMeta(v)
	}
	return "{ " + expression + " -m reg -- " + quoted(`\A(?:`+strings.Join(values, "|")+`)\z`) + " }"
}

func quotedList(values []string) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = quoted(v)
	}
	return strings.Join(all, " ")
}
