package compile

import (
	"strings"
	"unicode/utf8"

	"fairway/internal/human"
)

// excerpt quotes s for a message, cut to a length that fits a line.
func excerpt(s string) string {
	return human.Quote(s, 60)
}

// printable returns s fit for a message or a name: valid UTF-8, no control
// characters, at most 256 bytes.
func printable(s string) string {
	const limit = 256
	if len(s) > limit {
		s = s[:limit] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || 0x80 <= r && r < 0xa0 {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
}

// hasControl says whether s holds control characters or is not UTF-8.
func hasControl(s string) bool {
	if !utf8.ValidString(s) {
		return true
	}
	return strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || 0x7f <= r && r < 0xa0 })
}

// isToken says whether s is a token of RFC 9110 (5.6.2): the name of a header, a
// method, a cookie.
func isToken(s string) bool {
	if s == "" || len(s) > 256 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !isLetter(c) && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}
