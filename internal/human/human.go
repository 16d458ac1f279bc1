// Package human formats what people read, the same for the command line and the
// pages: sizes, times, counts, lines of a diff, and text from outside, which is
// escaped here and nowhere else.
package human

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/docker/go-units"
)

// Escape returns s with everything that cannot be seen as a Go escape: control
// characters, bytes that are not UTF-8, marks that change the direction of text.
func Escape(s string) string { return Excerpt(s, len(s)) }

// Excerpt is Escape for at most limit characters, with the length of what was cut.
func Excerpt(s string, limit int) string { return visible(s, limit, "") }

// Lines is Excerpt for text of several lines: line ends and tabs stay.
func Lines(s string, limit int) string { return visible(s, limit, "\n\t") }

// visible escapes s up to limit characters; those of keep stay.
func visible(s string, limit int, keep string) string {
	var b strings.Builder
	n := 0
	for i, r := range s {
		if n++; n > limit {
			fmt.Fprintf(&b, "… (%d bytes)", len(s))
			break
		}
		switch _, size := utf8.DecodeRuneInString(s[i:]); {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r), r == utf8.RuneError, strings.ContainsRune(keep, r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// Quote quotes s for a message. Of a long text it quotes the first limit bytes.
func Quote(s string, limit int) string {
	if len(s) <= limit {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:limit], len(s))
}

// Bytes formats a number of bytes in powers of 1024, as Docker does: 1.5GiB.
func Bytes(n uint64) string { return units.BytesSize(float64(n)) }

// ParseBytes reads a number of bytes above 0: 268435456, 256m, 1.5GiB (by 1024).
func ParseBytes(text string) (int64, error) {
	n, err := units.RAMInBytes(text)
	if err != nil || n <= 0 || n > 1<<62 {
		return 0, fmt.Errorf("write a number of bytes, such as 268435456 or 256m")
	}
	return n, nil
}

// Age formats how long something has lasted, in its largest unit: 5 s, 3 min, 2 h, 4 d.
func Age(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// Days formats how long something lasts in days, below two of them as Age does: 12 days, 5 h.
func Days(d time.Duration) string {
	if d < 48*time.Hour {
		return Age(d)
	}
	return Plural(int(d.Hours()/24), "day")
}

// Time formats a moment in UTC, to the second. It is empty for the zero time.
func Time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// Plural returns n with its noun: 1 route, 2 routes, 3 entries.
func Plural(n int, noun string) string {
	stem, y := strings.CutSuffix(noun, "y")
	switch {
	case n == 1:
	case y && !strings.HasSuffix(stem, "a") && !strings.HasSuffix(stem, "e") && !strings.HasSuffix(stem, "o"):
		noun = stem + "ies"
	default:
		noun += "s"
	}
	return strconv.Itoa(n) + " " + noun
}

// DiffSign returns what a line of a unified diff is: '+' for added, '-' for removed,
// '@' for a header, ' ' for context.
func DiffSign(line string) byte {
	switch {
	case strings.HasPrefix(line, "@@"), strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
		return '@'
	case strings.HasPrefix(line, "+"), strings.HasPrefix(line, "-"):
		return line[0]
	}
	return ' '
}
