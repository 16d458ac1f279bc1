package owners

import (
	"strings"
	"testing"

	"fairway/internal/route"
)

// FuzzHosts: what a record allows takes no name that none of its patterns takes, and none
// that it leaves out.
func FuzzHosts(f *testing.F) {
	for _, pattern := range []string{"a.example", "*.a.example", "**.a.example", "*", "!a.example"} {
		for _, asked := range []string{"b.a.example", "*.a.example", "**.b.a.example", "*", "a.example"} {
			f.Add(pattern, "b.example", "!x.a.example", asked, "c.b.a.example")
		}
	}
	f.Fuzz(func(t *testing.T, first, second, third, asked, name string) {
		h, err := route.ParseHost(asked)
		record := Record{Name: "a", Hosts: []string{first, second, third}}
		if err != nil || len(record.Check()) > 0 {
			return
		}
		rights := New([]Record{record}).Of(Who{})
		if rights.judgeHost(h) != nil || !h.Matches(name) {
			return
		}
		allowed := false
		for _, outer := range rights.hosts {
			allowed = allowed || outer.Matches(name)
		}
		for _, out := range rights.except {
			allowed = allowed && !out.Matches(name)
		}
		if !allowed {
			t.Fatalf("%v allow %s, which takes %s", record.Hosts, asked, name)
		}
	})
}

// FuzzPaths: the same for paths.
func FuzzPaths(f *testing.F) {
	for _, kind := range []byte{0, 1, 2, 3} {
		f.Add("/a", "/a/b", kind, "/a/b/c")
		f.Add("/a/", "/ab", kind, "/a")
		f.Add("/", "/a/", kind, "/a/x")
	}
	kinds := []route.PathKind{route.PathExact, route.PathPrefix, route.PathStart, route.PathRegexp}
	f.Fuzz(func(t *testing.T, allowed, asked string, kind byte, path string) {
		record := Record{Name: "a", Paths: []string{allowed}}
		p := route.Path{Kind: kinds[int(kind)%len(kinds)], Value: asked}
		if len(record.Check()) > 0 {
			return
		}
		rights := New([]Record{record}).Of(Who{})
		takes := func(p route.Path) bool {
			switch p.Kind {
			case route.PathExact:
				return path == p.Value
			case route.PathStart:
				return strings.HasPrefix(path, p.Value)
			case route.PathPrefix:
				return path == p.Value || strings.HasPrefix(path, strings.TrimSuffix(p.Value, "/")+"/")
			}
			return strings.HasPrefix(path, "/") // any expression may
		}
		if !rights.path(p) || !takes(p) {
			return
		}
		if outer := rights.paths[0]; outer != "" && !takes(route.Path{Kind: route.PathPrefix, Value: outer}) {
			t.Fatalf("%q allows %v, which takes %q", allowed, p, path)
		}
	})
}

// FuzzPatterns: a pattern fits as an expression would.
func FuzzPatterns(f *testing.F) {
	f.Add("shop-*", "shop-1")
	f.Add("*a*b*", "xaxbx")
	f.Add("a*a", "a")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if got, want := fits(pattern, text), text != "" && slow(pattern, text); got != want {
			t.Fatalf("fits(%q, %q) is %t", pattern, text, got)
		}
	})
}

// slow is fits, tried in every way.
func slow(pattern, text string) bool {
	rows := make([]bool, len(text)+1)
	rows[0] = true
	for i := range len(pattern) {
		next := make([]bool, len(text)+1)
		for j := range next {
			if pattern[i] == '*' {
				next[j] = rows[j] || j > 0 && next[j-1]
			} else {
				next[j] = j > 0 && rows[j-1] && pattern[i] == text[j-1]
			}
		}
		rows = next
	}
	return rows[len(text)]
}
