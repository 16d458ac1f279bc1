package app

import (
	"errors"
	"fmt"
	"strings"
)

// maxInterpolation bounds how deep defaults may hold variables in turn.
const maxInterpolation = 8

// interpolate puts variables into text the way Compose does: $NAME, ${NAME},
// ${NAME:-default}, ${NAME-default}, ${NAME:?text}, ${NAME?text}, ${NAME:+text}
// and ${NAME+text}; $$ is a dollar sign. The colon makes an empty value count as
// none. A variable that has no value and no default becomes nothing and is
// named in missing. Those that were looked up and have a value are put into used,
// unless it is nil.
func interpolate(text string, env, used map[string]string) (result string, missing []string, err error) {
	i := interpolation{env: env, used: used}
	result, err = i.text(text, maxInterpolation)
	return result, i.missing, err
}

type interpolation struct {
	env, used map[string]string
	missing   []string
}

// value looks a variable up.
func (i *interpolation) value(name string) (value string, set bool) {
	value, set = i.env[name]
	if set && i.used != nil {
		i.used[name] = value
	}
	return value, set
}

func (i *interpolation) text(text string, depth int) (string, error) {
	if depth == 0 {
		return "", errors.New("variables inside of variables, too deep")
	}
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "{"):
			end := closing(rest)
			if end < 0 {
				return "", fmt.Errorf("${ without } in %q", "$"+rest)
			}
			value, err := i.braced(rest[1:end], depth)
			if err != nil {
				return "", err
			}
			b.WriteString(value)
			text = rest[end+1:]
		default:
			name := leadingName(rest)
			if name == "" {
				return "", fmt.Errorf("$ without a name in %q", "$"+rest)
			}
			b.WriteString(i.plain(name))
			text = rest[len(name):]
		}
	}
}

// closing returns the index of the brace that closes the one s begins with, or
// -1.
func closing(s string) int {
	depth := 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// braced returns the value of what stands between braces.
func (i *interpolation) braced(s string, depth int) (string, error) {
	name := leadingName(s)
	operator := s[len(name):]
	if name == "" {
		return "", fmt.Errorf("${%s}: a name is expected after ${", s)
	}
	if operator == "" {
		return i.plain(name), nil
	}
	value, set := i.value(name)
	if rest, ok := strings.CutPrefix(operator, ":"); ok {
		operator, set = rest, set && value != ""
	}
	if operator == "" {
		return "", fmt.Errorf("${%s}: -, ? or + is expected after the name", s)
	}
	word, err := "", error(nil)
	switch kind := operator[0]; {
	case kind == '-' && set, kind == '?' && set:
		return value, nil
	case kind == '+' && !set:
		return "", nil
	case kind == '-', kind == '+':
		word, err = i.text(operator[1:], depth-1)
	case kind == '?':
		err = fmt.Errorf("variable %s is not set: %s", name, operator[1:])
	default:
		err = fmt.Errorf("${%s}: -, ? or + is expected after the name", s)
	}
	return word, err
}

func (i *interpolation) plain(name string) string {
	value, set := i.value(name)
	if !set {
		i.missing = append(i.missing, name)
	}
	return value
}

// leadingName returns the variable name that s begins with.
func leadingName(s string) string {
	n := 0
	for n < len(s) {
		c := s[n]
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (n == 0 || c < '0' || c > '9') {
			break
		}
		n++
	}
	return s[:n]
}
