package rule

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tokenKind is the kind of one word of a rule, as messages name it. The contents of
// strings are never named: they may be credentials.
type tokenKind string

const (
	tokenEnd    tokenKind = "the end"
	tokenName   tokenKind = "a name"
	tokenString tokenKind = "a string"
	tokenAnd    tokenKind = "&&"
	tokenOr     tokenKind = "||"
	tokenNot    tokenKind = "!"
	tokenOpen   tokenKind = "("
	tokenClose  tokenKind = ")"
	tokenComma  tokenKind = ","
)

// token is one word of a rule, with the byte it begins at and the one behind it. text is
// the name, or the string without its quotes.
type token struct {
	kind     tokenKind
	text     string
	pos, end int
}

// Error is a fault in a rule, at a byte of it.
type Error struct {
	rule string
	pos  int
	text string
	Hint string // what to write; may be empty
}

// Error returns the fault with its column, counted in characters from one.
func (e *Error) Error() string {
	return fmt.Sprintf("column %d: %s", e.column(), e.text)
}

// column is the place of the fault in characters, from one.
func (e *Error) column() int { return utf8.RuneCountInString(e.rule[:e.pos]) + 1 }

// lex cuts a rule into words; the last one is tokenEnd.
func lex(rule string) ([]token, error) {
	var tokens []token
	for pos := 0; ; {
		rest := strings.TrimLeft(rule[pos:], " \t\r\n")
		pos = len(rule) - len(rest)
		if rest == "" {
			return append(tokens, token{tokenEnd, "", pos, pos}), nil
		}
		kind, text, n, err := lexOne(rule, pos)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token{kind, text, pos, pos + n})
		pos += n
	}
}

// lexOne reads the word at pos and says how many bytes it takes.
func lexOne(rule string, pos int) (kind tokenKind, text string, n int, err error) {
	rest := rule[pos:]
	fault := func(text, hint string) (tokenKind, string, int, error) {
		return "", "", 0, &Error{rule, pos, text, hint}
	}
	for _, sign := range []tokenKind{tokenOpen, tokenClose, tokenComma, tokenNot, tokenAnd, tokenOr} {
		if strings.HasPrefix(rest, string(sign)) {
			return sign, "", len(sign), nil
		}
	}
	switch c := rest[0]; {
	case c == '&' || c == '|':
		return fault(fmt.Sprintf("a single %q means nothing", c), fmt.Sprintf("write %c%c", c, c))
	case c == '`':
		text, _, ok := strings.Cut(rest[1:], "`")
		if !ok {
			return fault("the string has no end", "close it with a backquote")
		}
		return tokenString, text, len(text) + 2, nil
	case c == '"':
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return fault("the string has no end, or an escape in it is unknown", "strings in backquotes need no escapes")
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return fault("an escape in the string is unknown", "strings in backquotes need no escapes")
		}
		return tokenString, text, len(quoted), nil
	case c == '\'':
		return fault("single quotes mean nothing", "use backquotes or double quotes")
	case isLetter(c):
		for n < len(rest) && isLetter(rest[n]) {
			n++
		}
		return tokenName, rest[:n], n, nil
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return fault(fmt.Sprintf("the character %q means nothing here", r), "")
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
