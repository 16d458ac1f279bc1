package human

import (
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain":              "plain",
		"Hafen-Café ⚓":       "Hafen-Café ⚓",
		"a\x1b[31mred":       `a\x1b[31mred`,
		"two\nlines\tand":    `two\nlines\tand`,
		"c1 \u009b31m":       `c1 \u009b31m`,
		"bidi \u202egnp":     `bidi \u202egnp`,
		"\x7f":               `\x7f`,
		"broken \xff\xfe":    `broken \xff\xfe`,
		"replacement \ufffd": "replacement \ufffd",
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzVisible: what is shown makes no terminal do anything, and turns no text around.
func FuzzVisible(f *testing.F) {
	for _, s := range []string{"", "plain", "a\x1b[31m", "\u009b", "bidi \u202egnp", "zero\u200bwidth", "two\nlines\t", "\xff\xfe", strings.Repeat("ä\u2066", 100)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{Escape(s), Excerpt(s, 50)} {
			for _, r := range got {
				if !unicode.IsPrint(r) {
					t.Fatalf("%q is shown as %q", s, got)
				}
			}
		}
		for _, r := range Lines(s, 50) {
			if !unicode.IsPrint(r) && r != '\n' && r != '\t' {
				t.Fatalf("%q is shown as %q", s, Lines(s, 50))
			}
		}
	})
}

func TestExcerpt(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Excerpt("äöü", 3), "äöü"},
		{Excerpt("äöüß", 3), "äöü… (8 bytes)"},
		{Excerpt("\n\n", 1), `\n… (2 bytes)`},
		{Lines("a\tb\nc\x1b", 9), "a\tb\nc\\x1b"},
		{Quote("a\"b", 3), `"a\"b"`},
		{Quote("abcd", 3), `"abc"… (4 bytes)`},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[uint64]string{0: "0B", 1023: "1023B", 1024: "1KiB", 1536: "1.5KiB", 256 << 20: "256MiB", 1<<64 - 1: "16EiB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	for text, want := range map[string]int64{"1": 1, "512k": 512 << 10, "256m": 256 << 20, "256MB": 256 << 20, "1.5g": 3 << 29, "2GiB": 2 << 30} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "m", "12x", "1e40", "9999999999999g", "NaN", "1 1"} {
		if n, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d", text, n)
		}
	}
}

func FuzzParseBytes(f *testing.F) {
	for _, text := range []string{"256m", "1.5g", "9999999999g", "1e40", "0.1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseBytes(text); err == nil && n <= 0 {
			t.Errorf("ParseBytes(%q) = %d", text, n)
		}
	})
}

func TestTime(t *testing.T) {
	at := time.Date(2026, 5, 1, 14, 3, 2, 9, time.FixedZone("", 7200))
	if got := Time(at); got != "2026-05-01 12:03:02Z" {
		t.Error(got)
	}
	if got := Time(time.Time{}); got != "" {
		t.Error(got)
	}
}

func TestPlural(t *testing.T) {
	for _, tt := range []struct {
		n          int
		noun, want string
	}{{0, "route", "0 routes"}, {1, "entry", "1 entry"}, {2, "entry", "2 entries"}, {2, "key", "2 keys"}} {
		if got := Plural(tt.n, tt.noun); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestDiffSign(t *testing.T) {
	for line, want := range map[string]byte{"+a": '+', "-a": '-', "@@ -1 +1 @@": '@', "--- a": '@', "+++ b": '@', " c": ' ', "": ' '} {
		if got := DiffSign(line); got != want {
			t.Errorf("DiffSign(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestDays(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Hour: "0 s", 5 * time.Hour: "5 h", 47 * time.Hour: "47 h", 50 * time.Hour: "2 days", 400 * 24 * time.Hour: "400 days"} {
		if got := Days(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
