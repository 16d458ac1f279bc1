package rule

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"fairway/internal/compile/chars"
	"fairway/internal/nearest"
)

// The bounds of a rule, which keep a hostile one cheap to compile and to match.
const (
	MaxBytes        = 8 << 10
	maxDepth        = 64
	maxCalls        = 128
	MaxAlternatives = 64
	maxConditions   = 1024 // of all alternatives together
	maxExpressions  = 128  // regular expressions of all alternatives together
)

// node is a part of a parsed rule, by the token that makes it: tokenName is a call, which
// has a function and arguments, tokenNot has one side (left), tokenAnd and tokenOr have two.
type node struct {
	token
	left, right *node
	function    *Function
	args        []token // strings
}

// parser reads a rule: ! binds tighter than &&, which binds tighter than ||.
type parser struct {
	language Language
	rule     string
	tokens   []token
	at       int
	depth    int
	calls    int
}

// parse reads a rule. Errors are *Error.
func (l Language) parse(rule string) (*node, error) {
	if len(rule) > MaxBytes {
		return nil, &Error{rule, MaxBytes, fmt.Sprintf("the rule is longer than %d bytes", MaxBytes), "use several routes"}
	}
	tokens, err := lex(rule)
	if err != nil {
		return nil, err
	}
	p := &parser{language: l, rule: rule, tokens: tokens}
	n, err := p.expression()
	if err != nil {
		return nil, err
	}
	if t := p.next(); t.kind != tokenEnd {
		return nil, p.fault(t, fmt.Sprintf("%s is not expected here", t.kind), p.hintAfterOperand(t))
	}
	return n, nil
}

// expression reads alternatives, each of which is a conjunction.
func (p *parser) expression() (*node, error) {
	return p.joined(tokenOr, func() (*node, error) { return p.joined(tokenAnd, p.operand) })
}

// joined reads what stands between operators of one kind, and groups it to the left.
func (p *parser) joined(operator tokenKind, operand func() (*node, error)) (*node, error) {
	left, err := operand()
	for err == nil && p.tokens[p.at].kind == operator {
		n := &node{token: p.next(), left: left}
		n.right, err = operand()
		left = n
	}
	return left, err
}

// operand reads a call, a negation or what is in parentheses.
func (p *parser) operand() (*node, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.fault(p.tokens[p.at], fmt.Sprintf("the rule is nested deeper than %d", maxDepth), "")
	}
	defer func() { p.depth-- }()
	switch t := p.next(); t.kind {
	case tokenNot:
		n, err := p.operand()
		return &node{token: t, left: n}, err
	case tokenOpen:
		n, err := p.expression()
		if err != nil {
			return nil, err
		}
		if end := p.next(); end.kind != tokenClose {
			return nil, p.fault(end, fmt.Sprintf("%s stands where ) is expected", end.kind), p.hintAfterOperand(end))
		}
		return n, nil
	case tokenName:
		return p.call(t)
	default:
		return nil, p.fault(t, fmt.Sprintf("%s stands where a function is expected", t.kind), "a function is written like Host(`a.example`)")
	}
}

func (p *parser) call(t token) (*node, error) {
	f := p.language.of(t.text)
	if f == nil {
		hint := "the functions are " + strings.Join(p.language.names(), ", ")
		if near := nearest.Word(t.text, p.language.names()); near != "" {
			hint = "did you mean " + near + "?"
		}
		return nil, p.fault(t, fmt.Sprintf("there is no function %s", chars.Excerpt(t.text)), hint)
	}
	if p.calls++; p.calls > maxCalls {
		return nil, p.fault(t, fmt.Sprintf("the rule has more than %d functions", maxCalls), "use several routes")
	}
	n := &node{token: t, function: f}
	if open := p.next(); open.kind != tokenOpen {
		return nil, p.fault(open, fmt.Sprintf("%s stands where the ( of %s is expected", open.kind, f.Name), "write it like "+f.Example)
	}
	for {
		arg := p.next()
		if arg.kind != tokenString {
			return nil, p.fault(arg, fmt.Sprintf("%s stands where a string is expected", arg.kind), "write it like "+f.Example)
		}
		n.args = append(n.args, arg)
		switch end := p.next(); end.kind {
		case tokenComma:
		case tokenClose:
			if most := f.most(); len(n.args) > most {
				return nil, p.fault(t, fmt.Sprintf("%s takes %d strings at most", f.Name, most), "join several with ||")
			}
			if len(n.args) < f.least {
				return nil, p.fault(t, fmt.Sprintf("%s wants at least %d strings", f.Name, f.least), "write it like "+f.Example)
			}
			return n, nil
		default:
			return nil, p.fault(end, fmt.Sprintf("%s stands where , or ) is expected", end.kind), "write it like "+f.Example)
		}
	}
}

// next returns the next token and steps over it; the end is never stepped over.
func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

func (p *parser) fault(t token, text, hint string) error {
	return &Error{p.rule, t.pos, text, hint}
}

// hintAfterOperand helps where an operator or the end should have come.
func (p *parser) hintAfterOperand(t token) string {
	switch t.kind {
	case tokenName, tokenOpen, tokenNot:
		if strings.EqualFold(t.text, "and") || strings.EqualFold(t.text, "or") {
			return "write && for and, || for or"
		}
		return "join conditions with && or ||"
	case tokenClose:
		return "there are more ) than ("
	}
	return ""
}

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
