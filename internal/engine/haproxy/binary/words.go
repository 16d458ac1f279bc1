package binary

import (
	"encoding/hex"
	"errors"
	"strings"
)

var (
	errZero  = errors.New("a NUL character")
	errBrace = errors.New("unmatched brace in the name of a variable")
)

// maxLine bounds a line after its variables are expanded.
const maxLine = 1 << 20

// Words splits one line of a configuration as HAProxy does: '…' quotes everything, "…"
// all but $NAME, ${NAME}, ${NAME-default} and ${NAME[*]}, which become the value that env
// gives; nil gives none. An error is one that makes HAProxy refuse the line.
func Words(line string, env func(name string) string) ([]string, error) {
	if strings.IndexByte(line, 0) >= 0 {
		return nil, errZero
	}
	if env == nil {
		env = func(string) string { return "" }
	}
	s := splitter{line: line, env: env}
	for s.at < len(s.line) {
		if err := s.step(); err != nil {
			return nil, err
		}
		if s.word.Len() > maxLine {
			return nil, errors.New("a variable makes the line too long")
		}
	}
	if s.double || s.single {
		return nil, errors.New("unmatched quote")
	}
	s.end()
	return s.words, nil
}

type splitter struct {
	line           string
	at             int
	env            func(string) string
	double, single bool
	begun          bool // the word has begun, perhaps with nothing in it yet
	word           strings.Builder
	words          []string
}

func (s *splitter) end() {
	if s.begun {
		s.words = append(s.words, s.word.String())
	}
	s.word.Reset()
	s.begun = false
}

func (s *splitter) put(c byte) {
	s.begun = true
	s.word.WriteByte(c)
	s.at++
}

// step reads one character, or the comment that the rest is.
func (s *splitter) step() error {
	switch c := s.line[s.at]; {
	case c == '"' && !s.single:
		s.double, s.begun = !s.double, true
		s.at++
	case c == '\'' && !s.double:
		s.single, s.begun = !s.single, true
		s.at++
	case c == '\\' && !s.single:
		return s.escape()
	case s.single:
		s.put(c)
	case c == '#' && !s.double, c == '\n', c == '\r':
		s.at = len(s.line)
	case (c == ' ' || c >= '\t' && c <= '\r') && !s.double:
		s.end()
		s.at++
	case c == '$' && s.double:
		return s.variable()
	default:
		s.put(c)
	}
	return nil
}

// escape reads a backslash and what it stands before. It stays where it means nothing.
func (s *splitter) escape() error {
	if s.at+1 >= len(s.line) {
		s.put('\\')
		return nil
	}
	next := s.line[s.at+1]
	switch {
	case strings.IndexByte(` \#"'`, next) >= 0, next == '$' && s.double:
	case next == 'r':
		next = '\r'
	case next == 'n':
		next = '\n'
	case next == 't':
		next = '\t'
	case next == 'x':
		digits, err := hex.DecodeString(s.line[s.at+2 : min(s.at+4, len(s.line))])
		switch {
		case err != nil || len(digits) == 0:
			return errors.New(`\x needs two hexadecimal digits`)
		case digits[0] == 0:
			return errZero
		}
		next = digits[0]
		s.at += 2
	default:
		s.put('\\')
		return nil
	}
	s.put(next)
	s.at++
	return nil
}

// variable reads $NAME or one of the forms in braces.
func (s *splitter) variable() error {
	rest := s.line[s.at+1:]
	braced := strings.HasPrefix(rest, "{")
	if braced {
		rest = rest[1:]
	}
	n := 0
	for n < len(rest) && (rest[n] == '_' || rest[n]|0x20 >= 'a' && rest[n]|0x20 <= 'z' || n > 0 && rest[n] >= '0' && rest[n] <= '9') {
		n++
	}
	if n == 0 {
		return errors.New("a variable needs a name after $")
	}
	value, rest := s.env(rest[:n]), rest[n:]
	expand := false
	if braced {
		if rest, expand = strings.CutPrefix(rest, "[*]"); !expand && strings.HasPrefix(rest, "[") {
			return errBrace
		}
		inside, after, ok := strings.Cut(rest, "}")
		fallback, isDefault := strings.CutPrefix(inside, "-")
		if !ok || inside != "" && !isDefault {
			return errBrace
		}
		if value == "" {
			value = fallback
		}
		rest = after
	}
	s.at = len(s.line) - len(rest)
	s.begun = true
	if !expand {
		s.word.WriteString(value)
		return nil
	}
	for i, word := range strings.Fields(value) {
		if i > 0 {
			s.end()
		}
		s.begun = true
		s.word.WriteString(word)
	}
	return nil
}
