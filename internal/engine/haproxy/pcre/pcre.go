// Package pcre prints RE2 expressions for HAProxy, which has PCRE2, on bytes, in the part
// of the language that both read alike. The rest is an error: text that is not ASCII, of
// which PCRE2 would see bytes, and repetitions inside of repetitions, which can take it
// for ever.
package pcre

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"slices"
	"strings"
)

// RecordMark and UnitMark separate the parameters of a query, and name and value of
// one, in the text that Query expressions search.
const RecordMark, UnitMark = "\x1e", "\x1f"

// Dialect is how a few things are printed that depend on what is searched.
type Dialect struct {
	begin, end string // of the text
	any        string // any character at all
	not        string // to be added to classes that are turned round
}

// Plain is the dialect for a text of its own.
func Plain() Dialect { return Dialect{begin: `\A`, end: `\z`, any: `[\x00-\xff]`} }

// Query is the dialect for the value of a parameter, between UnitMark and RecordMark.
func Query() Dialect {
	return Dialect{begin: `(?<=` + UnitMark + `)`, end: `(?=` + RecordMark + `)`, any: "[^" + RecordMark + "]", not: RecordMark}
}

// Translate prints an RE2 expression for PCRE2, or says why it cannot be.
func Translate(expr string, d Dialect) (string, error) {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return "", err
	}
	p := &printer{Dialect: d}
	p.print(re.Simplify())
	if p.err == nil && nested(re, false) {
		p.err = errors.New("a repetition without end is in another one")
	}
	return p.String(), p.err
}

type printer struct {
	strings.Builder
	Dialect
	err error
}

func (p *printer) print(re *syntax.Regexp) {
	if text, ok := p.fixed(re.Op); ok {
		p.WriteString(text)
		return
	}
	switch re.Op {
	case syntax.OpLiteral:
		p.literal(re)
	case syntax.OpCharClass:
		p.class(re.Rune)
	case syntax.OpCapture:
		p.group("(", re.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
		p.repeat(re)
	case syntax.OpConcat, syntax.OpAlternate:
		for i, sub := range re.Sub {
			if i > 0 && re.Op == syntax.OpAlternate {
				p.WriteByte('|')
			}
			p.group("(?:", sub)
		}
	default: // a counted repetition, which Simplify has written out
		p.err = fmt.Errorf("operation %v is not known", re.Op)
	}
}

// fixed is how an operation is printed that has no parts.
func (d Dialect) fixed(op syntax.Op) (text string, ok bool) {
	text, ok = map[syntax.Op]string{
		syntax.OpNoMatch:        `(?!)`,
		syntax.OpEmptyMatch:     `(?:)`,
		syntax.OpAnyChar:        d.any,
		syntax.OpAnyCharNotNL:   `[^\x0a` + d.not + `]`,
		syntax.OpBeginText:      d.begin,
		syntax.OpEndText:        d.end,
		syntax.OpBeginLine:      `(?:` + d.begin + `|(?<=\x0a))`,
		syntax.OpEndLine:        `(?:` + d.end + `|(?=\x0a))`,
		syntax.OpWordBoundary:   `\b`,
		syntax.OpNoWordBoundary: `\B`,
	}[op]
	return text, ok
}

// group prints in brackets, which are left out where nothing can go wrong.
func (p *printer) group(open string, re *syntax.Regexp) {
	if open == "(?:" {
		switch re.Op {
		case syntax.OpCapture, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpBeginText, syntax.OpEndText,
			syntax.OpLiteral, syntax.OpStar, syntax.OpPlus, syntax.OpQuest:
			p.print(re)
			return
		}
	}
	p.WriteString(open)
	p.print(re)
	p.WriteByte(')')
}

func (p *printer) repeat(re *syntax.Regexp) {
	sub := re.Sub[0]
	switch sub.Op {
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpCapture:
		p.print(sub)
	default:
		p.WriteString("(?:")
		p.print(sub)
		p.WriteByte(')')
	}
	p.WriteByte(map[syntax.Op]byte{syntax.OpStar: '*', syntax.OpPlus: '+', syntax.OpQuest: '?'}[re.Op])
	if re.Flags&syntax.NonGreedy != 0 {
		p.WriteByte('?')
	}
}

func (p *printer) literal(re *syntax.Regexp) {
	fold := re.Flags&syntax.FoldCase != 0
	if fold {
		p.WriteString("(?i:")
	}
	for _, c := range re.Rune {
		if c > 0x7e {
			p.err = errors.New("it has characters that are not ASCII")
			return
		}
		p.char(c)
	}
	if fold {
		p.WriteByte(')')
	}
}

// char prints one character, so that it means itself everywhere.
func (p *printer) char(c rune) {
	if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '/' {
		p.WriteByte(byte(c))
		return
	}
	fmt.Fprintf(p, `\x%02x`, c)
}

// class prints a class of characters. One that goes on to the end of Unicode takes
// every byte above ASCII.
func (p *printer) class(ranges []rune) {
	p.WriteByte('[')
	empty := true
	for i := 0; i < len(ranges); i += 2 {
		lo, hi := ranges[i], ranges[i+1]
		if lo > 0x7f {
			if !isFold(lo, hi) {
				p.err = errors.New("it has characters that are not ASCII")
			}
			continue
		}
		if hi > 0x7f {
			if hi != 0x10ffff {
				p.err = errors.New("it has characters that are not ASCII")
			}
			hi = 0xff
		}
		for _, r := range p.without(lo, hi) {
			empty = false
			fmt.Fprintf(p, `\x%02x-\x%02x`, r[0], r[1])
		}
	}
	if empty {
		p.err = errors.New("it has a class of characters that are not ASCII")
	}
	p.WriteByte(']')
}

// without cuts the mark of the dialect out of a range.
func (p *printer) without(lo, hi rune) [][2]rune {
	if p.not == "" || rune(p.not[0]) < lo || rune(p.not[0]) > hi {
		return [][2]rune{{lo, hi}}
	}
	mark := rune(p.not[0])
	return slices.DeleteFunc([][2]rune{{lo, mark - 1}, {mark + 1, hi}}, func(r [2]rune) bool { return r[0] > r[1] })
}

// isFold is true for the two characters beyond ASCII that fold to letters of it, which a
// class that ignores case has beside them.
func isFold(lo, hi rune) bool {
	return lo == hi && (lo == 'ſ' || lo == 'K')
}

// nested finds a repetition without end inside of another.
func nested(re *syntax.Regexp, inside bool) bool {
	endless := re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpRepeat && re.Max < 0
	if endless && inside {
		return true
	}
	for _, sub := range re.Sub {
		if nested(sub, inside || endless) {
			return true
		}
	}
	return false
}

// Whole matches a whole text that one of the expressions does.
func Whole(exprs ...string) string { return `\A(?:` + AnyOf(Plain(), exprs...) + `)\z` }

// AnyOf matches what one of the expressions does, none for one without translation.
func AnyOf(d Dialect, exprs ...string) string {
	out := make([]string, len(exprs))
	for i, e := range exprs {
		s, err := Translate(e, d)
		if err != nil {
			s = `(?!)`
		}
		out[i] = "(?:" + s + ")"
	}
	return strings.Join(out, "|")
}
