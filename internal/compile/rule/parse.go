package rule

import (
	"fmt"
	"strings"

	"fairway/internal/compile/chars"
	"fairway/internal/nearest"
)

// The bounds of a rule. They keep a hostile rule cheap: what it costs to compile
// and to match grows with the conditions of its alternatives.
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

// parser reads a rule by operator precedence: ! binds tighter than &&, which
// binds tighter than ||; operators of one kind group to the left.
type parser struct {
	rule   string
	tokens []token
	at     int
	depth  int
	calls  int
}

// parse reads a rule. Errors are *Error.
func parse(rule string) (*node, error) {
	if len(rule) > MaxBytes {
		return nil, &Error{rule, MaxBytes, fmt.Sprintf("the rule is longer than %d bytes", MaxBytes), "use several routes"}
	}
	tokens, err := lex(rule)
	if err != nil {
		return nil, err
	}
	p := &parser{rule: rule, tokens: tokens}
	n, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	if t := p.next(); t.kind != tokenEnd {
		return nil, p.fault(t, fmt.Sprintf("%s is not expected here", t.kind), p.hintAfterOperand(t))
	}
	return n, nil
}

// binding is how tight a binary operator binds; zero for what is none.
func binding(k tokenKind) int {
	switch k {
	case tokenOr:
		return 1
	case tokenAnd:
		return 2
	}
	return 0
}

// expression reads operands joined by operators that bind tighter than least.
func (p *parser) expression(least int) (*node, error) {
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	for {
		op := p.tokens[p.at]
		b := binding(op.kind)
		if b <= least {
			return left, nil
		}
		p.at++
		right, err := p.expression(b)
		if err != nil {
			return nil, err
		}
		left = &node{token: op, left: left, right: right}
	}
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
		n, err := p.expression(0)
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

// call reads the arguments of the function that is named by t.
func (p *parser) call(t token) (*node, error) {
	f := functionOf(t.text)
	if f == nil {
		hint := "the functions are " + strings.Join(functionNames(), ", ")
		if near := nearest.Word(t.text, functionNames()); near != "" {
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
