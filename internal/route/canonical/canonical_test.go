package canonical

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestCanonicalHost(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, tt := range []struct{ raw, want string }{
		{"a.example", "a.example"},
		{"A.Example.COM.:80", "a.example.com"},
		{"a.example:", "a.example"},
		{"localhost", "localhost"},
		{"127.0.0.1:8000", "127.0.0.1"},
		{"_dmarc.a_b.example", "_dmarc.a_b.example"},
		{"-a-.r3---sn.example", "-a-.r3---sn.example"},
		{"[::1]", "::1"},
		{"[2001:DB8:0:0::1]:443", "2001:db8::1"},
		{"2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.0.0.1]", "::ffff:10.0.0.1"},
		{"bücher.example", "xn--bcher-kva.example"},
		{"BÜCHER.Example.", "xn--bcher-kva.example"},
		{"XN--BCHER-KVA.example", "xn--bcher-kva.example"},
		{"a。example", "a.example"},
		{"a.example。", "a.example"},
		{"ＡＢＣ.example", "abc.example"},
		{long + "." + long + "." + long + "." + long[:61], long + "." + long + "." + long + "." + long[:61]},
	} {
		if got, err := Host(tt.raw); err != nil || got != tt.want {
			t.Errorf("Host(%q) = %q, %v; want %q", tt.raw, got, err, tt.want)
		}
	}
}

func TestCanonicalHostRefuses(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, tt := range []struct{ raw, want string }{
		{"", "empty"},
		{".", "empty"},
		{":80", "empty"},
		{"a..example", "empty"},
		{".a.example", "empty"},
		{"a.example..", "empty"},
		{"a.example.。", "empty"},
		{"a b", "not allowed"},
		{"a/b", "not allowed"},
		{"a%2eexample", "not allowed"},
		{"a\x00", "not allowed"},
		{"a,b", "not allowed"},
		{"user@a.example", "not allowed"},
		{"*.example.com", "not allowed"},
		{"a／b.example", "not allowed"}, // a wide slash becomes a slash
		{"℀.example", "not allowed"},   // becomes a/c
		{"a.example:http", "not a number"},
		{"a.example:-1", "not a number"},
		{"a.example:65536", "above 65535"},
		{"a.example:99999999999999999999", "above 65535"},
		{"a:1:2", "IPv6"},
		{"[::1", "brackets"},
		{"[a.example]", "brackets"},
		{"[::1]80", "brackets"},
		{"[fe80::1%25eth0]", "IPv6"},
		{"[fe80::1%eth0]", "IPv6"},
		{long + ".example", "too long"},
		{strings.Repeat("a.", 128), "too long"},
		{strings.Repeat("ü", 10_000), "too long"},
		{"xn--a", "international"},
		{"xn--example-.com", "international"}, // the encoding of plain ASCII
		{"a\xff.example", "UTF-8"},
		{"a\ufffd.example", "international"},
		{"\u202eelpmaxe.com", "international"},
	} {
		got, err := Host(tt.raw)
		if err == nil {
			t.Errorf("Host(%q) = %q; want an error", tt.raw, got)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Host(%q): %q does not speak of %q", tt.raw, err, tt.want)
		}
	}
}

func TestCanonicalPath(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"/", "/"},
		{"/a/b", "/a/b"},
		{"/a/b/", "/a/b/"},
		{"//", "/"},
		{"//a///b//", "/a/b/"},
		{"/.", "/"},
		{"/./a/.", "/a/"},
		{"/a/../b", "/b"},
		{"/a/..", "/"},
		{"/a/b/..", "/a/"},
		{"/a/b/../..", "/"},
		{"/a//../b", "/b"}, // runs first
		{"/a/%2e%2E/b", "/b"},
		{"/a/.%2e/b", "/b"},
		{"/a/%2e/b", "/a/b"},
		{"/.a/..b/c..", "/.a/..b/c.."},
		{"/...", "/..."},
		{"/...;a", "/...;a"},
		{"/%7Euser/%41%2d%5f", "/~user/A-_"},
		{"/%c3%bc", "/%C3%BC"},
		{"/ü", "/%C3%BC"},
		{"/%e9", "/%E9"}, // Latin-1 stays what it is
		{"/\xe9", "/%E9"},
		{"/a;v=1/b;/;c", "/a;v=1/b;/;c"},
		{"/a%3Bb", "/a%3Bb"},
		{"/100%25", "/100%25"},
		{"/%252e%252e/%252f", "/%252e%252e/%252f"},
		{"/a%20b%3Fc%23d", "/a%20b%3Fc%23d"},
		{"/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~"},
		{"/%40%2b", "/%40%2B"}, // reserved: not the same as @+
		{`/"<>[]^` + "`{|}", "/%22%3C%3E%5B%5D%5E%60%7B%7C%7D"},
	} {
		if got, err := Path(tt.raw); err != nil || got != tt.want {
			t.Errorf("Path(%q) = %q, %v; want %q", tt.raw, got, err, tt.want)
		}
	}
}

func TestCanonicalPathRefuses(t *testing.T) {
	for _, tt := range []struct{ raw, want string }{
		{"", "slash"},
		{"*", "slash"},
		{"a/b", "slash"},
		{"%2Fa", "slash"},
		{"http://a.example/", "slash"},
		{"/a#b", "'#'"},
		{"/a?b", "'?'"},
		{"/a b", "' '"},
		{"/a\tb", "control"},
		{"/a\x00", "control"},
		{"/a\x7f", "control"},
		{"/a%00", "control"},
		{"/a%0d%0aX:", "control"},
		{"/a%1f", "control"},
		{"/a%7F", "control"},
		{`/a\b`, "backslash"},
		{`/..\admin`, "backslash"},
		{"/a%5cb", "backslash"},
		{"/a%2fb", "encoded slash"},
		{"/a%2F..%2Fb", "encoded slash"},
		{"/%", "broken"},
		{"/%2", "broken"},
		{"/%zz", "broken"},
		{"/%u002f", "broken"},
		{"/a%%32f", "broken"},
		{"/..", "above"},
		{"/../a", "above"},
		{"/a/../../b", "above"},
		{"//../a", "above"},
		{"/%2e%2e", "above"},
		{"/a/%2e%2e/..", "above"},
		{"/%c0%ae%c0%ae/", "overlong"},
		{"/%c0%af", "overlong"},
		{"/\xc0\xaf", "overlong"},
		{"/%c1%9c", "overlong"},
		{"/%e0%80%af", "overlong"},
		{"/%f0%80%80%af", "overlong"},
		{"/a/..;/admin", "parameter"},
		{"/a/..;x=1/admin", "parameter"},
		{"/a/%2e%2e;", "parameter"},
		{"/a/.;/b", "parameter"},
	} {
		got, err := Path(tt.raw)
		if err == nil {
			t.Errorf("Path(%q) = %q; want an error", tt.raw, got)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Path(%q): %q does not speak of %q", tt.raw, err, tt.want)
		}
	}
}

// TestCanonicalPathHasNoAlias draws paths of what attackers use. Whatever comes
// out, a second reader of it finds nothing left to resolve.
func TestCanonicalPathHasNoAlias(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		"/", "//", ".", "..", "%2e", "%2E", "%2f", "%5c", `\`, ";", "%3b", "%25", "%252e", "%c0%ae", "a", "%61", "ü", "%", "+", "%00", "#",
	})
	rapid.Check(t, func(t *rapid.T) {
		raw := "/" + strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
		checkCanonicalPath(t, raw)
	})
}

// checkCanonicalPath fails when the canonical form of raw, if it has one, is not
// stable, or means something else to net/url.
func checkCanonicalPath(t interface {
	Helper()
	Fatalf(string, ...any)
}, raw string,
) {
	t.Helper()
	path, err := Path(raw)
	if err != nil {
		if path != "" {
			t.Fatalf("%q: error %v and a path %q", raw, err, path)
		}
		return
	}
	if again, err := Path(path); err != nil || again != path {
		t.Fatalf("%q: %q becomes %q, %v", raw, path, again, err)
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		t.Fatalf("%q: %q: %v", raw, path, err)
	}
	u, err := url.ParseRequestURI(path)
	if strings.HasPrefix(path, "//") || err != nil || u.Path != decoded || u.EscapedPath() != path && u.RawPath == "" {
		t.Fatalf("%q: net/url reads %q as %+v, %v", raw, path, u, err)
	}
	for segment := range strings.SplitSeq(decoded[1:], "/") {
		if segment == "." || segment == ".." || segment == "" && !strings.HasSuffix(decoded, "/") {
			t.Fatalf("%q: %q has a segment %q", raw, path, segment)
		}
	}
	if strings.Contains(path, "//") || strings.ContainsAny(decoded, "\\\x00\r\n") {
		t.Fatalf("%q: %q is ambiguous", raw, path)
	}
	if want, err := url.PathUnescape(raw); err == nil && !strings.Contains(want, "//") && !strings.Contains(want, "/.") && want != decoded {
		t.Fatalf("%q: decoded %q, but the canonical form %q", raw, want, decoded)
	}
}

func FuzzCanonicalPath(f *testing.F) {
	for _, s := range []string{
		"/", "/a/./b/../c//d/", "/%7e%2e%2E/x", "/a;b/%3b", "/%252f", "/\xc3\xbc", "/%c0%af", "/a%2fb", "/..;/x", "/%zz", "/a\\b", "/a#b", "/[::]",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) { checkCanonicalPath(t, raw) })
}

func FuzzCanonicalHost(f *testing.F) {
	for _, s := range []string{
		"A.Example.COM.:80", "[::1]:443", "::1", "bücher.example", "xn--bcher-kva.example", "a。b", "a..b", "_x.y", "℀.example", "[fe80::1%25en0]", "1.2.3.4",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		host, err := Host(raw)
		if err != nil {
			return
		}
		if again, err := Host(host); err != nil || again != host {
			t.Fatalf("%q: %q becomes %q, %v", raw, host, again, err)
		}
		if strings.Contains(host, ":") {
			if _, err := netip.ParseAddr(host); err != nil {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		if len(host) > 253 || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.HasSuffix(host, ".") {
			t.Fatalf("%q: %q is not canonical", raw, host)
		}
		if upper, err := Host(strings.ToUpper(host) + ".:1"); err != nil || upper != host {
			t.Fatalf("%q: upper case of %q becomes %q, %v", raw, host, upper, err)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Host("app-17.example.com:8080"); err != nil {
			b.Fatal(err)
		}
		if _, err := Path("/demo/some/path.html"); err != nil {
			b.Fatal(err)
		}
	}
}
