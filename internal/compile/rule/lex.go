package rule

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// tokenKind is the kind of one word of a rule.
type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenString
	tokenAnd
	tokenOr
	tokenNot
	tokenOpen
	tokenClose
	tokenComma
)

// String names the kind in messages. The contents of strings are never named:
// they may be credentials.
func (k tokenKind) String() string {
	switch k {
	case tokenEnd:
		return "the end"
	case tokenName:
		return "a name"
	case tokenString:
		return "a string"
	case tokenAnd:
		return "&&"
	case tokenOr:
		return "||"
	case tokenNot:
		return "!"
	case tokenOpen:
		return "("
	case tokenClose:
		return ")"
	case tokenComma:
		return ","
	}
	return "something"
}

// token is one word of a rule, with the byte it begins at. text is the name, or
// the string without its quotes.
type token struct {
	kind tokenKind
	text string
	pos  int
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
			return append(tokens, token{kind: tokenEnd, pos: pos}), nil
		}
		t, n, err := lexOne(rule, pos)
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, t)
		pos += n
	}
}

// lexOne reads the word at pos and says how many bytes it takes.
func lexOne(rule string, pos int) (token, int, error) {
	rest := rule[pos:]
	fault := func(text, hint string) (token, int, error) {
		return token{}, 0, &Error{rule, pos, text, hint}
	}
	switch c := rest[0]; {
	case c == '(':
		return token{tokenOpen, "", pos}, 1, nil
	case c == ')':
		return token{tokenClose, "", pos}, 1, nil
	case c == ',':
		return token{tokenComma, "", pos}, 1, nil
	case c == '!':
		return token{tokenNot, "", pos}, 1, nil
	case strings.HasPrefix(rest, "&&"):
		return token{tokenAnd, "", pos}, 2, nil
	case strings.HasPrefix(rest, "||"):
		return token{tokenOr, "", pos}, 2, nil
	case c == '&' || c == '|':
		return fault(fmt.Sprintf("a single %q means nothing", c), fmt.Sprintf("write %c%c", c, c))
	case c == '`':
		text, _, ok := strings.Cut(rest[1:], "`")
		if !ok {
			return fault("the string has no end", "close it with a backquote")
		}
		return token{tokenString, text, pos}, len(text) + 2, nil
	case c == '"':
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return fault("the string has no end, or an escape in it is unknown", "strings in backquotes need no escapes")
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return fault("an escape in the string is unknown", "strings in backquotes need no escapes")
		}
		return token{tokenString, text, pos}, len(quoted), nil
	case c == '\'':
		return fault("single quotes mean nothing", "use backquotes or double quotes")
	case isLetter(c):
		n := 1
		for n < len(rest) && isLetter(rest[n]) {
			n++
		}
		return token{tokenName, rest[:n], pos}, n, nil
	}
	r, _ := utf8.DecodeRuneInString(rest)
	return fault(fmt.Sprintf("the character %q means nothing here", r), "")
}

func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
