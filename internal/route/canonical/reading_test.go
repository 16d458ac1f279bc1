package canonical

import (
	"strings"
	"testing"
)

func TestReadPath(t *testing.T) {
	for _, tt := range []struct {
		raw, canonical, sent, other string
		front                       bool
	}{
		{raw: "/a/b", canonical: "/a/b", sent: "/a/b"},
		{raw: "/ü/%41%20", canonical: "/%C3%BC/A%20", sent: "/%C3%BC/A%20"},
		{raw: "/100%25", canonical: "/100%25", sent: "/100%25"},
		{raw: "/a%25zz", canonical: "/a%25zz", sent: "/a%25zz"},

		{raw: "/a//b//", canonical: "/a/b/", sent: "/a//b//"},
		{raw: "/a/http://b", canonical: "/a/http:/b", sent: "/a/http://b"},
		{raw: "/a//./b", canonical: "/a/b", sent: "/a//b"},
		{raw: "/a/.//b", canonical: "/a/b", sent: "/a//b"},
		{raw: "/a//../b", canonical: "/b", sent: "/b"},
		{raw: "/a//b/..//c", canonical: "/a/c", sent: "/a///c"},
		{raw: "/a/b//%2e%2E", canonical: "/a/", sent: "/a/"},
		{raw: "//", canonical: "/", sent: "//"},
		{raw: "//a", canonical: "/a", sent: "//a", other: "/", front: true},
		{raw: "///a//b/c", canonical: "/a/b/c", sent: "///a//b/c", other: "/b/c", front: true},
		{raw: "//./a", canonical: "/a", sent: "//a", other: "/", front: true},

		{raw: "/a%2Fb", canonical: "/a%2Fb", sent: "/a%2Fb", other: "/a/b"},
		{raw: "/@a%2fb", canonical: "/@a%2Fb", sent: "/@a%2fb", other: "/@a/b"},
		{raw: "/q/%2F/x", canonical: "/q/%2F/x", sent: "/q/%2F/x", other: "/q/x"},
		{raw: "/a/%2f", canonical: "/a/%2F", sent: "/a/%2f", other: "/a/"},
		{raw: "//a%2fb//c", canonical: "/a%2Fb/c", sent: "/a%2fb//c", other: "/a/b/c"},
		{raw: "/..a%2F...", canonical: "/..a%2F...", sent: "/..a%2F...", other: "/..a/..."},

		{raw: "/a;b/c;", canonical: "/a;b/c;", sent: "/a;b/c;", other: "/a/c"},
		{raw: "/;/a", canonical: "/;/a", sent: "/;/a", other: "/a"},
		{raw: "/a/;x", canonical: "/a/;x", sent: "/a/;x", other: "/a/"},
		{raw: "/a%3bb", canonical: "/a%3Bb", sent: "/a%3Bb", other: "/a"},
		{raw: "/a%2Fb;c", canonical: "/a%2Fb;c", sent: "/a%2Fb;c", other: "/a/b"},

		{raw: "/%2541", canonical: "/%2541", sent: "/%2541", other: "/A"},
		{raw: "/%25252541", canonical: "/%25252541", sent: "/%25252541", other: "/A"},
		{raw: "/%25%34%31", canonical: "/%2541", sent: "/%2541", other: "/A"},
		{raw: "/a%252Fb", canonical: "/a%252Fb", sent: "/a%252Fb", other: "/a/b"},
		{raw: "/a%255cb", canonical: "/a%255cb", sent: "/a%255cb", other: "/a/b"},
		{raw: "/%40a", canonical: "/%40a", sent: "/%40a", other: "/@a"},
	} {
		got, err := ReadPath(tt.raw)
		want := RequestPath{Canonical: tt.canonical, Sent: tt.sent, Other: tt.other, Front: tt.front}
		if err != nil || got != want {
			t.Errorf("ReadPath(%q) = %+v, %v; want %+v", tt.raw, got, err, want)
		}
	}
}

func TestReadPathRefuses(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"", "slash"},
		{"%2Fa", "slash"},
		{"/a#b", "'#'"},
		{`/a\b`, "backslash"},
		{"/a%5cb", "backslash"},
		{"/%zz", "broken"},
		{"/a//../..", "above"},
		{"/%c0%af", "overlong"},
		{"/..;/a", "parameter"},
		{"/a/..%2Fb", "behind an encoding"},
		{"/a%2f..", "behind an encoding"},
		{"/a%2F.%2Fb", "behind an encoding"},
		{"/%252e%252e/a", "behind an encoding"},
		{"/x/..%252fa", "behind an encoding"},
		{"/x/..%255ca", "behind an encoding"},
		{"/x/..%3b/a", "behind an encoding"},
		{"/x/%252e%3b/a", "behind an encoding"},
		{"/a;b%2Fc", "semicolon"},
		{"/a%3Bb%252Fc", "semicolon"},
		{"/a;b%255Cc", "semicolon"},
		{"/a%2500", "control"},
		{"/a%25250a", "control"},
	} {
		got, err := ReadPath(tt.raw)
		if err == nil {
			t.Errorf("ReadPath(%q) = %+v; want an error", tt.raw, got)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ReadPath(%q): %q does not speak of %q", tt.raw, err, tt.want)
		}
	}
}

// A path that is encoded as often as fits costs what its length costs: were it the
// square of that, this would take days.
func TestReadPathIsLinear(t *testing.T) {
	path, err := ReadPath("/%" + strings.Repeat("25", 1<<20) + "41")
	if err != nil || path.Other != "/A" {
		t.Fatalf("other reading %.20q, %v", path.Other, err)
	}
}

// FuzzReadPath: whatever comes out says the same when it is read again, and its
// plainest reading has no other.
func FuzzReadPath(f *testing.F) {
	for _, s := range []string{
		"/", "//a//b/../c", "/a/./b;x/..;", "/a%2Fb%252f%5c", "/%25%34%31", "/;/..%3b", "/\xc3\xbc%c0%af", "/a;b%2fc", "/%2e%2e%2f", "///x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := ReadPath(raw)
		if err != nil {
			if p != (RequestPath{}) {
				t.Fatalf("%q: error %v and %+v", raw, err, p)
			}
			return
		}
		if again, err := ReadPath(p.Sent); err != nil || again != p {
			t.Fatalf("%q: %+v is sent, and read as %+v, %v", raw, p, again, err)
		}
		if again, err := ReadPath(p.Canonical); err != nil || again.Canonical != p.Canonical || again.Sent != p.Canonical || again.Front {
			t.Fatalf("%q: %+v, whose canonical form is read as %+v, %v", raw, p, again, err)
		}
		if p.Other == "" {
			return
		}
		if p.Other == p.Canonical {
			t.Fatalf("%q: %+v has no other reading", raw, p)
		}
		if again, err := ReadPath(p.Other); err != nil || again != (RequestPath{Canonical: p.Other, Sent: p.Other}) {
			t.Fatalf("%q: the other reading of %+v is read as %+v, %v", raw, p, again, err)
		}
		if canonical, err := Path(raw); err == nil && canonical != p.Canonical {
			t.Fatalf("%q: canonical %q and %q", raw, canonical, p.Canonical)
		}
	})
}
