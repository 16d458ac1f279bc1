package route

import (
	"strings"
	"testing"

	"fairway/internal/route/canonical"
)

func TestRewritePath(t *testing.T) {
	for _, tt := range []struct{ search, replace, path, want string }{
		{"^/a/(.*)", `/b/\1`, "/a/x/y", "/b/x/y"},
		{"a", "b", "/aaa", "/baa"}, // the first match only
		{"(x)?/", `\1/`, "/y", "/y"},
		{"/a", "", "/a/b", "/b"},
		{"/b", "/c", "/a", "/a"},
		{"/(.)(.)", `/\2\1\0\\`, "/ab", ""}, // a backslash in a path is refused
		{"/a", "/../..", "/a", ""},
		{"^/", "", "/a", ""},
		{"/a", "/ü b", "/a", ""},
		{"/a", "/%41/../é", "/a", "/%C3%A9"},
	} {
		w, err := RewritePath{tt.search, tt.replace}.Compile()
		if err != nil {
			t.Errorf("%q to %q: %v", tt.search, tt.replace, err)
			continue
		}
		got, err := w.Path(tt.path)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%q to %q makes %q of %q, %v; want %q", tt.search, tt.replace, got, tt.path, err, tt.want)
		}
	}
}

func TestRewritePathRefuses(t *testing.T) {
	for _, r := range []RewritePath{{"", "/"}, {"(", "/"}, {"/a", `\1`}, {"/(a)", `\2`}, {"/a", `\`}, {"/a", `\n`}} {
		if _, err := r.Compile(); err == nil || !strings.HasPrefix(err.Error(), "rewrite-path: ") {
			t.Errorf("%q to %q: error %v", r.Search, r.Replace, err)
		}
	}
}

func FuzzRewritePath(f *testing.F) {
	f.Add("^/a/(.*)", `/b/\1`, "/a/x")
	f.Add("a|(b)", `\1\\`, "/ab")
	f.Fuzz(func(t *testing.T, search, replace, path string) {
		w, err := RewritePath{search, replace}.Compile()
		if err != nil {
			return
		}
		clean, err := canonical.Path(path)
		if err != nil {
			return
		}
		got, err := w.Path(clean)
		if err != nil {
			return
		}
		if again, err := canonical.Path(got); err != nil || again != got {
			t.Fatalf("%q is not canonical: %q, %v", got, again, err)
		}
	})
}
