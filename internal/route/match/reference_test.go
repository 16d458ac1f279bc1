package match

import (
	"cmp"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"fairway/internal/route"
)

// reference is the matcher as one would write it down to say what is meant: all
// matches sorted by precedence, tried one after the other. It shares no code with
// Matcher.
type reference []candidate

type candidate struct {
	route *route.Route
	index int
}

func newReference(routes []*route.Route) reference {
	var list reference
	for _, r := range routes {
		for i := range r.Matches {
			list = append(list, candidate{r, i})
		}
	}
	slices.SortFunc(list, func(a, b candidate) int {
		x, y := a.route.Matches[a.index], b.route.Matches[b.index]
		hosts := []route.HostKind{route.HostExact, route.HostWildcard, route.HostDeep, route.HostRegexp, route.HostAny}
		paths := []route.PathKind{route.PathExact, route.PathRegexp, route.PathPrefix, route.PathStart}
		return cmp.Or(
			b.route.Priority-a.route.Priority,
			slices.Index(hosts, x.Host.Kind)-slices.Index(hosts, y.Host.Kind),
			len(y.Host.Value)-len(x.Host.Value),
			referenceLength(y.Path)-referenceLength(x.Path),
			slices.Index(paths, x.Path.Kind)-slices.Index(paths, y.Path.Kind),
			len(y.Conditions)-len(x.Conditions),
			cmp.Compare(a.route.Claim, b.route.Claim),
			strings.Compare(a.route.ID, b.route.ID),
			a.index-b.index,
		)
	})
	return list
}

// referenceLength knows that the expressions drawn below are literal up to the
// first of these characters.
func referenceLength(p route.Path) int {
	if p.Kind != route.PathRegexp {
		return len(p.Value)
	}
	if i := strings.IndexAny(p.Value, ".[("); i >= 0 {
		return i
	}
	return len(p.Value)
}

func (list reference) find(r *route.Request) *route.Route {
	for _, c := range list {
		if referenceTakes(c.route.Matches[c.index], r) {
			return c.route
		}
	}
	return nil
}

func referenceTakes(m route.Match, r *route.Request) bool {
	if !referenceHost(m.Host, r.Host) {
		return false
	}
	switch m.Path.Kind {
	case route.PathExact:
		if r.Path != m.Path.Value {
			return false
		}
	case route.PathPrefix:
		if !referenceBelow(m.Path.Value, r.Path) {
			return false
		}
	case route.PathStart:
		if !strings.HasPrefix(r.Path, m.Path.Value) {
			return false
		}
	case route.PathRegexp:
		if !referenceWhole(m.Path.Value, r.Path) {
			return false
		}
	}
	for _, c := range m.Conditions {
		if referenceCondition(c, r) == c.Not {
			return false
		}
	}
	return true
}

func referenceHost(h route.Host, name string) bool {
	labels := strings.Split(name, ".")
	switch h.Kind {
	case route.HostExact:
		return name == h.Value
	case route.HostWildcard:
		return strings.Join(labels[1:], ".") == h.Value
	case route.HostDeep:
		for i := 1; i < len(labels); i++ {
			if strings.Join(labels[i:], ".") == h.Value {
				return true
			}
		}
		return false
	case route.HostRegexp:
		return referenceWhole(h.Value, name)
	}
	return true
}

func referenceBelow(prefix, path string) bool {
	return strings.HasPrefix(strings.TrimSuffix(path, "/")+"/", strings.TrimSuffix(prefix, "/")+"/")
}

func referenceWhole(expr, s string) bool {
	loc := regexp.MustCompile("^(?:" + expr + ")$").FindStringIndex(s)
	return loc != nil && loc[0] == 0 && loc[1] == len(s)
}

func referenceCondition(c route.Condition, r *route.Request) bool {
	among := func(have []string) bool {
		for _, v := range have {
			if len(c.Values) == 0 || slices.Contains(c.Values, v) {
				return true
			}
		}
		return false
	}
	anyOf := func(test func(value string) bool) bool { return slices.ContainsFunc(c.Values, test) }
	query, _ := url.ParseQuery(r.Query)
	switch c.Kind {
	case route.ConditionMethod:
		return among([]string{r.Method})
	case route.ConditionHeader:
		return among(r.Header.(http.Header)[c.Name])
	case route.ConditionHeaderRegexp:
		return anyOf(func(v string) bool {
			return slices.ContainsFunc(r.Header.(http.Header)[c.Name], regexp.MustCompile(v).MatchString)
		})
	case route.ConditionQuery:
		return among(query[c.Name])
	case route.ConditionQueryRegexp:
		return anyOf(func(v string) bool { return slices.ContainsFunc(query[c.Name], regexp.MustCompile(v).MatchString) })
	case route.ConditionClientIP:
		return anyOf(func(v string) bool { return netip.MustParsePrefix(v).Contains(r.Client) })
	case route.ConditionHost:
		return anyOf(func(v string) bool {
			switch {
			case v == "*":
				return true
			case strings.HasPrefix(v, "**."):
				return referenceHost(route.Host{Kind: route.HostDeep, Value: v[3:]}, r.Host)
			case strings.HasPrefix(v, "*."):
				return referenceHost(route.Host{Kind: route.HostWildcard, Value: v[2:]}, r.Host)
			}
			return r.Host == v
		})
	case route.ConditionHostRegexp:
		return anyOf(func(v string) bool { return referenceWhole(v, r.Host) })
	case route.ConditionPath:
		return among([]string{r.Path})
	case route.ConditionPathPrefix:
		return anyOf(func(v string) bool { return referenceBelow(v, r.Path) })
	case route.ConditionPathRegexp:
		return anyOf(func(v string) bool { return referenceWhole(v, r.Path) })
	case route.ConditionPathStart:
		return anyOf(func(v string) bool { return strings.HasPrefix(r.Path, v) })
	case route.ConditionListener:
		return among([]string{r.Listener})
	}
	panic("no such kind: " + c.Kind)
}

// The generators draw from so few names that hits, misses and ties are frequent.

func genName() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "aa"}), 1, 4).Draw(t, "labels"), ".")
	})
}

func genPrefix() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return "/" + strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "aa"}), 0, 3).Draw(t, "segments"), "/")
	})
}

func genPath() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		p := genPrefix().Draw(t, "path")
		if p != "/" && rapid.Bool().Draw(t, "slash") {
			p += "/"
		}
		return p
	})
}

func genHostCondition() *rapid.Generator[route.Host] {
	return rapid.Custom(func(t *rapid.T) route.Host {
		switch k := rapid.SampledFrom([]route.HostKind{route.HostExact, route.HostWildcard, route.HostDeep, route.HostRegexp, route.HostAny}).Draw(t, "host kind"); k {
		case route.HostAny:
			return route.Host{Kind: k}
		case route.HostRegexp:
			return route.Host{Kind: k, Value: rapid.SampledFrom([]string{"a.*", "[ab]\\.a", "(a|b|aa)", ".*b"}).Draw(t, "host expr")}
		default:
			return route.Host{Kind: k, Value: genName().Draw(t, "host")}
		}
	})
}

func genPathCondition() *rapid.Generator[route.Path] {
	return rapid.Custom(func(t *rapid.T) route.Path {
		switch k := rapid.SampledFrom([]route.PathKind{route.PathExact, route.PathPrefix, route.PathRegexp, route.PathStart}).Draw(t, "path kind"); k {
		case route.PathRegexp:
			return route.Path{Kind: k, Value: rapid.SampledFrom([]string{"/a", "/a/.*", "/(a|b)", ".*b", "/[ab]/a/", "/aa.*"}).Draw(t, "path expr")}
		case route.PathExact, route.PathStart:
			return route.Path{Kind: k, Value: genPath().Draw(t, "path")}
		default:
			return route.Path{Kind: k, Value: genPrefix().Draw(t, "path")}
		}
	})
}

func genCondition() *rapid.Generator[route.Condition] {
	return rapid.Custom(func(t *rapid.T) route.Condition {
		sample := func(n int, from ...string) []string {
			return rapid.SliceOfNDistinct(rapid.SampledFrom(from), n, 2, rapid.ID).Draw(t, "values")
		}
		c := route.Condition{
			Kind: rapid.SampledFrom([]route.ConditionKind{
				route.ConditionMethod, route.ConditionHeader, route.ConditionHeaderRegexp, route.ConditionQuery, route.ConditionQueryRegexp, route.ConditionClientIP,
				route.ConditionHost, route.ConditionHostRegexp, route.ConditionPath, route.ConditionPathPrefix, route.ConditionPathRegexp,
				route.ConditionPathStart, route.ConditionListener,
			}).Draw(t, "kind"),
			Not: rapid.Bool().Draw(t, "not"),
		}
		switch c.Kind {
		case route.ConditionMethod:
			c.Values = sample(1, "GET", "POST", "PUT")
		case route.ConditionHeader, route.ConditionQuery:
			c.Name = rapid.SampledFrom([]string{"A", "B", "a b"}).Draw(t, "name")
			c.Values = sample(0, "1", "2", "")
		case route.ConditionHeaderRegexp, route.ConditionQueryRegexp:
			c.Name = rapid.SampledFrom([]string{"A", "B", "a b"}).Draw(t, "name")
			c.Values = sample(1, "1", "^$", "2$")
		case route.ConditionClientIP:
			c.Values = sample(1, "10.0.0.0/8", "10.0.0.1/32", "fd00::/8")
		case route.ConditionHost:
			c.Values = sample(1, "a", "*.a", "**.b", "*")
		case route.ConditionHostRegexp:
			c.Values = sample(1, "a.*", ".*b")
		case route.ConditionPath:
			c.Values = sample(1, "/", "/a", "/a/")
		case route.ConditionPathPrefix:
			c.Values = sample(1, "/", "/a", "/b/a")
		case route.ConditionPathRegexp:
			c.Values = sample(1, "/a.*", ".*/")
		case route.ConditionPathStart:
			c.Values = sample(1, "/", "/a", "/a/", "/b/a")
		case route.ConditionListener:
			c.Values = sample(1, "http", "https")
		}
		slices.Sort(c.Values)
		return c
	})
}

func genMatch() *rapid.Generator[route.Match] {
	return rapid.Custom(func(t *rapid.T) route.Match {
		return route.Match{
			Host:       genHostCondition().Draw(t, "host"),
			Path:       genPathCondition().Draw(t, "path"),
			Conditions: rapid.SliceOfN(genCondition(), 0, 3).Draw(t, "conditions"),
		}
	})
}

func genRoutes() *rapid.Generator[[]*route.Route] {
	one := rapid.Custom(func(t *rapid.T) *route.Route {
		return &route.Route{
			ID:       rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "id"),
			Service:  "s",
			Matches:  rapid.SliceOfN(genMatch(), 1, 3).Draw(t, "matches"),
			Priority: rapid.IntRange(-1, 1).Draw(t, "priority"),
			Claim:    rapid.Uint64Range(0, 3).Draw(t, "claim"),
			Origin:   route.Origin{Source: "test"},
		}
	})
	return rapid.SliceOfNDistinct(one, 0, 12, func(r *route.Route) string { return r.ID })
}

func genRequest() *rapid.Generator[*route.Request] {
	return rapid.Custom(func(t *rapid.T) *route.Request {
		header := http.Header{}
		for _, name := range []string{"A", "B"} {
			if values := rapid.SliceOfN(rapid.SampledFrom([]string{"1", "2", ""}), 0, 2).Draw(t, "header"); len(values) > 0 {
				header[name] = values
			}
		}
		pairs := rapid.SliceOfN(rapid.SampledFrom([]string{"A=1", "A=2", "B", "B=1", "a+b=2", "a%20b=", "%41=1", "", "A%3D1"}), 0, 4).Draw(t, "query")
		return &route.Request{
			Method:   rapid.SampledFrom([]string{"GET", "POST", "PUT"}).Draw(t, "method"),
			Host:     genName().Draw(t, "host"),
			Path:     genPath().Draw(t, "path"),
			Query:    strings.Join(pairs, "&"),
			Header:   header,
			Listener: rapid.SampledFrom([]string{"", "http", "https"}).Draw(t, "listener"),
			Client:   netip.MustParseAddr(rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "192.0.2.1", "fd00::1"}).Draw(t, "client")),
		}
	})
}
