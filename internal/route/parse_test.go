package route

import (
	"strings"
	"testing"
)

func TestParseHost(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want Host
	}{
		{"a.example", Host{HostExact, "a.example"}},
		{"A.Example.", Host{HostExact, "a.example"}},
		{"*.Bücher.example", Host{HostWildcard, "xn--bcher-kva.example"}},
		{"**.example.com", Host{HostDeep, "example.com"}},
		{"*", Host{HostAny, ""}},
		{"[::1]", Host{HostExact, "::1"}},
		{"2001:db8::1", Host{HostExact, "2001:db8::1"}},
	} {
		got, err := ParseHost(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("ParseHost(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
}

func TestParseHostRefuses(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", "empty"},
		{"*.", "empty"},
		{"**", "wildcard"},
		{"a.*.example", "wildcard"},
		{"*a.example", "wildcard"},
		{"***.example", "wildcard"},
		{"*.*.example", "wildcard"},
		{"a.example:80", "no port"},
		{"[::1]:80", "no port"},
		{"*.a.example:80", "no port"},
		{"*.::1", "no wildcard"},
		{"http://a.example", "URL"},
		{"a.example/x", "path"},
		{"a.example,b.example", "list"},
		{" a.example", "space"},
		{"a example", "not allowed"},
		{"a\n.example", "not allowed"},
	} {
		got, err := ParseHost(tt.in)
		if err == nil {
			t.Errorf("ParseHost(%q) = %v; want an error", tt.in, got)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseHost(%q): %q does not speak of %q", tt.in, err, tt.want)
		}
	}
}

func TestParsePath(t *testing.T) {
	for _, tt := range []struct {
		kind PathKind
		in   string
		want string
	}{
		{PathPrefix, "/", "/"},
		{PathPrefix, "/demo", "/demo"},
		{PathPrefix, "/demo/", "/demo"},
		{PathPrefix, "//a/./b//../c/", "/a/c"},
		{PathPrefix, "/ü", "/%C3%BC"},
		{PathExact, "/demo/", "/demo/"},
		{PathExact, "/%41", "/A"},
		{PathExact, "/a*b", "/a*b"},
		{PathStart, "/", "/"},
		{PathStart, "//", "/"},
		{PathStart, "/demo/", "/demo/"},
		{PathStart, "/a/.", "/a/."}, // what /a/.well-known begins with
		{PathStart, "/a/..", "/a/.."},
		{PathStart, "/a/../b", "/b"},
		{PathStart, "/%41", "/A"},
		{PathRegexp, "^/a/[0-9]+$", "^/a/[0-9]+$"},
		{PathRegexp, "(?i)/A", "(?i)/A"},
	} {
		got, err := ParsePath(tt.kind, tt.in)
		if err != nil || got != (Path{tt.kind, tt.want}) {
			t.Errorf("ParsePath(%s, %q) = %v, %v; want %q", tt.kind, tt.in, got, err, tt.want)
		}
	}
}

func TestParsePathRefuses(t *testing.T) {
	for _, tt := range []struct {
		kind     PathKind
		in, want string
	}{
		{PathPrefix, "", "begin with a slash"},
		{PathPrefix, "demo", "begin with a slash"},
		{PathPrefix, "/demo/*", "leave out the star"},
		{PathPrefix, "/users/{id}", "regular expression"},
		{PathPrefix, "/a?b=c", "query"},
		{PathPrefix, "http://a/b", "URL"},
		{PathPrefix, "/a b", "' '"},
		{PathExact, "/a/../..", "above the root"},
		{PathPrefix, "/a;b", "read as"},
		{PathPrefix, "/%40admin", `read as "/@admin"`},
		{PathExact, "/a%2541", "read as"},
		{PathPrefix, "/a%2Fb", "encoded slash"},
		{PathStart, "/a;", "read in another way"},
		{PathStart, "", "begin with a slash"},
		{PathStart, "/a%4", "broken percent-encoding"},
		{PathStart, "/../b", "above the root"},
		{PathExact, "/" + strings.Repeat("a", 1024), "longer"},
		{PathRegexp, "", "empty"},
		{PathRegexp, "(", "missing closing )"},
		{PathRegexp, "(?=a)", "invalid or unsupported Perl syntax"},
		{PathRegexp, strings.Repeat("a", 1025), "longer"},
		{PathRegexp, "((a{30}){30}){30}", "invalid repeat count"},
		{PathRegexp, "(?:a?){900}", "too large"},
		{"suffix", "/a", "no such kind"},
	} {
		got, err := ParsePath(tt.kind, tt.in)
		if err == nil {
			t.Errorf("ParsePath(%s, %q) = %v; want an error", tt.kind, tt.in, got)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParsePath(%s, %q): %q does not speak of %q", tt.kind, tt.in, err, tt.want)
		}
	}
}

// TestRegexpIsAnchored has expressions that would reach around anchors that were
// put in front and behind as text.
func TestRegexpIsAnchored(t *testing.T) {
	for _, tt := range []struct {
		expr     string
		takes    []string
		takesNot []string
	}{
		{expr: "/a|/b", takes: []string{"/a", "/b"}, takesNot: []string{"/ax", "x/b", "/a/b"}},
		{expr: `(?m)^/a$`, takes: []string{"/a"}, takesNot: []string{"/a\n/b"}},
		{expr: `/a.*\Q`, takes: []string{"/a", "/abc"}, takesNot: []string{"/b"}},
		{expr: `\Q/a+`, takes: []string{"/a+"}, takesNot: []string{"/aa"}},
		{expr: `(?i)/a`, takes: []string{"/A"}, takesNot: []string{"/A/"}},
		{expr: `(?U)/a.*`, takes: []string{"/abc"}, takesNot: []string{"b/abc"}},
	} {
		re, _, err := compileWhole(tt.expr)
		if err != nil {
			t.Errorf("%q: %v", tt.expr, err)
			continue
		}
		for _, s := range tt.takes {
			if !re.MatchString(s) {
				t.Errorf("%q does not take %q", tt.expr, s)
			}
		}
		for _, s := range tt.takesNot {
			if re.MatchString(s) {
				t.Errorf("%q takes %q", tt.expr, s)
			}
		}
	}
}

func TestLiteralOfRegexp(t *testing.T) {
	for _, tt := range []struct {
		expr string
		want int
	}{
		{"/api", 4},
		{"^/api/.*$", 5},
		{"/api(/v1)/[0-9]+", 8},
		{"/(a|b)", 1},
		{"(?i)/api", 0}, // letters of either case are not literal
		{"/ap?", 2},
		{".*", 0},
		{"/ü.", 3},
	} {
		_, got, err := compileWhole(tt.expr)
		if err != nil || got != tt.want {
			t.Errorf("%q begins with %d literal bytes, %v; want %d", tt.expr, got, err, tt.want)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	for _, s := range []string{"*", "*.a.example", "**.B.example", "a.example:80", "[::1]", "*.bücher", "**", "http://x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHost(s)
		if err != nil {
			return
		}
		if again, err := ParseHost(h.String()); err != nil || again != h {
			t.Fatalf("%q: %q becomes %v, %v", s, h, again, err)
		}
		m := Match{Host: h, Path: Path{PathPrefix, "/"}}
		if _, err := compileMatch(&m); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
	})
}
