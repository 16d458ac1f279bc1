package route

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"fairway/internal/route/canonical"
)

// Bounds of what a route may ask for.
const (
	maxPath    = 1024 // bytes
	maxRegexp  = 1024 // bytes
	maxProgram = 1000 // instructions, to which the time of a match is proportional
)

// ParseHost reads a host as it is written in labels: "a.example.com" (that name),
// "*.example.com" (one label in front), "**.example.com" (one or more) or "*"
// (every host). The name is brought into canonical form; a port is an error.
func ParseHost(s string) (Host, error) {
	if s == "*" {
		return Host{Kind: HostAny}, nil
	}
	kind, name := HostExact, s
	if rest, ok := strings.CutPrefix(s, "**."); ok {
		kind, name = HostDeep, rest
	} else if rest, ok := strings.CutPrefix(s, "*."); ok {
		kind, name = HostWildcard, rest
	}
	if err := hintHost(name); err != nil {
		return Host{}, fmt.Errorf("host %s: %w", excerpt(s), err)
	}
	name, err := canonical.Host(name)
	if err != nil {
		return Host{}, err
	}
	if kind != HostExact && strings.IndexByte(name, ':') >= 0 {
		return Host{}, fmt.Errorf("host %s: an address has no wildcard", excerpt(s))
	}
	return Host{Kind: kind, Value: name}, nil
}

// hintHost names the mistakes that people make.
func hintHost(name string) error {
	switch {
	case strings.TrimSpace(name) != name:
		return errors.New("there is a space around the name")
	case strings.Contains(name, "://"):
		return errors.New("a host is wanted, not a URL")
	case strings.Contains(name, "/"):
		return errors.New("a host is wanted; the path goes into a label of its own")
	case strings.Contains(name, "*"):
		return errors.New("a wildcard is the whole first label: *.example.com or **.example.com")
	case strings.ContainsAny(name, ",|"):
		return errors.New("one host is wanted, not a list")
	case strings.Count(name, ":") == 1, strings.Contains(name, "]:"):
		return errors.New("a host has no port; every listener takes it")
	}
	return nil
}

// ParsePath reads a path as it is written in labels and brings it into canonical form, so
// "/a/../b" is "/b"; a prefix loses its trailing slash, a start keeps it. Expressions are
// checked with CheckRegexp.
func ParsePath(kind PathKind, s string) (Path, error) {
	switch kind {
	case PathRegexp:
		if err := CheckRegexp(s); err != nil {
			return Path{}, err
		}
		return Path{Kind: kind, Value: s}, nil
	case PathPrefix, PathExact, PathStart:
	default:
		return Path{}, fmt.Errorf("path kind %s: no such kind", excerpt(string(kind)))
	}
	if err := hintPath(s); err != nil {
		return Path{}, fmt.Errorf("path %s: %w", excerpt(s), err)
	}
	value, err := canonicalOf(Path{Kind: kind, Value: s})
	if err != nil {
		return Path{}, fmt.Errorf("%w: %s", err, excerpt(s))
	}
	if err := checkPlainest(kind, value); err != nil {
		return Path{}, fmt.Errorf("path %s: %w", excerpt(s), err)
	}
	return Path{Kind: kind, Value: value}, nil
}

// checkPlainest refuses a path that could be read in another way, as requests for it are.
func checkPlainest(kind PathKind, path string) error {
	if kind == PathStart {
		path += "x" // it goes on
	}
	plainest, err := canonical.Plainest(path)
	if err == nil && plainest != path {
		err = errors.New("it could be read in another way")
		if kind != PathStart {
			err = fmt.Errorf("it could be read as %s as well", excerpt(plainest))
		}
	}
	if err != nil {
		return fmt.Errorf("%w; leave out parameters and what need not be encoded", err)
	}
	return nil
}

// hintPath is hintHost for paths.
func hintPath(s string) error {
	switch {
	case len(s) > maxPath:
		return fmt.Errorf("it is longer than %d bytes", maxPath)
	case strings.Contains(s, "://"):
		return errors.New("a path is wanted, not a URL")
	case !strings.HasPrefix(s, "/"):
		return errors.New("it does not begin with a slash")
	case strings.HasSuffix(s, "/*"), strings.HasSuffix(s, "/**"):
		return errors.New("a prefix takes all that is below it; leave out the star")
	case strings.ContainsAny(s, "{}"):
		return errors.New("it holds no patterns; use a regular expression")
	case strings.Contains(s, "?"):
		return errors.New("it holds no query; ask for parameters in a rule")
	}
	return nil
}

// CheckRegexp says whether s can be a regular expression of a route: RE2 syntax, at most
// 1024 bytes, and a program of bounded size, so that no request is made expensive by it.
func CheckRegexp(s string) error {
	_, err := parseRegexp(s)
	return err
}

func parseRegexp(s string) (*syntax.Regexp, error) {
	if s == "" {
		return nil, errors.New("regular expression is empty")
	}
	if len(s) > maxRegexp {
		return nil, fmt.Errorf("regular expression is longer than %d bytes", maxRegexp)
	}
	re, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		if e, ok := errors.AsType[*syntax.Error](err); ok {
			return nil, fmt.Errorf("regular expression %s: %s at %s", excerpt(s), e.Code, excerpt(e.Expr))
		}
		return nil, fmt.Errorf("regular expression %s: %w", excerpt(s), err)
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, fmt.Errorf("regular expression %s: %w", excerpt(s), err)
	}
	if len(prog.Inst) > maxProgram {
		return nil, fmt.Errorf("regular expression %s: it is too large once its repetitions are written out", excerpt(s))
	}
	return re, nil
}

// compileRegexp compiles an expression that matches anywhere in a text.
func compileRegexp(s string) (*regexp.Regexp, error) {
	if _, err := parseRegexp(s); err != nil {
		return nil, err
	}
	return regexp.Compile(s)
}

// compileWhole compiles an expression that must match the whole text, and counts the bytes
// that every match begins with. It is printed from its parsed form, so that nothing in it
// can reach around the anchors.
func compileWhole(s string) (re *regexp.Regexp, literal int, err error) {
	parsed, err := parseRegexp(s)
	if err != nil {
		return nil, 0, err
	}
	re, err = regexp.Compile(`\A(?:` + parsed.String() + `)\z`)
	if err != nil {
		return nil, 0, fmt.Errorf("regular expression %s: %w", excerpt(s), err)
	}
	literal, _ = literalPrefix(parsed)
	return re, literal, nil
}

// literalPrefix returns how many bytes every match begins with, and whether that is all.
func literalPrefix(re *syntax.Regexp) (n int, whole bool) {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return 0, false
		}
		return len(string(re.Rune)), true
	case syntax.OpCapture:
		return literalPrefix(re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			more, whole := literalPrefix(sub)
			n += more
			if !whole {
				return n, false
			}
		}
		return n, true
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEndText, syntax.OpEndLine:
		return 0, true
	}
	return 0, false
}
