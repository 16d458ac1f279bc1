// Package quote makes words of HAProxy's files of what people write. Nothing that they
// write is put there but by these functions.
//
// HAProxy reads a line three times: the lexer takes quotes, escapes and variables of the
// environment apart; some arguments are sample expressions, with brackets and commas of
// their own; some are log formats, with "%". Values go into double quotes, where the lexer
// alone undoes what is escaped. They never go into the arguments of sample expressions,
// unless they are of a safe set (see IsArgument).
package quote

import (
	"fmt"
	"strings"
)

// lexed are the characters that mean something to the lexer between double quotes.
var lexed = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`)

// Word is a value as one word.
func Word(s string) string {
	return `"` + Escape(lexed.Replace(s), `\x%02x`, func(c byte) bool { return ' ' <= c && c < 0x7f }) + `"`
}

// Escape writes bytes in a format that may not stand as they are.
func Escape(s, format string, plain func(c byte) bool) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	for i := range len(s) {
		if plain(s[i]) {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, format, s[i])
		}
	}
	return b.String()
}

// Literal is a value inside of a log format: what would be evaluated is not.
func Literal(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// Format is a value as a log format that is nothing but it. Words that begin a
// condition, even quoted, and the empty one, which ends a line, become an expression.
func Format(s string) string {
	switch s {
	case "", "if", "unless":
		return "%[str(" + s + ")]"
	}
	return Word(Literal(s))
}

// IsArgument is true for what may be an argument of a sample expression.
func IsArgument(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 || !IsPlain(byte(r)) })
}

// IsPlain is true for what means nothing anywhere.
func IsPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.", c) >= 0
}

// IsText is true for what may be the value of a header: control characters would end it.
func IsText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// MapWord is a value as a word of a map file, which knows no quoting: what is not
// safe there is percent-encoded, to be undone by url_dec.
func MapWord(s string) string {
	return Escape(s, "%%%02X", func(c byte) bool { return IsPlain(c) || c == '/' || c == ':' })
}

// Comment is a value in a comment: one line, for any content.
func Comment(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c >= 0x7f {
			b[i] = '?'
		}
	}
	return string(b)
}
