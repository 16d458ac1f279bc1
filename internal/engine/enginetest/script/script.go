// Package script reads the cases of the behaviour suite that are data.
package script

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/txtar"
)

// Case is a case of testdata: tables by name, "" for the first one, and what
// is asked of it.
type Case struct {
	Name   string
	Tables map[string]string
	Files  map[string]string // to be written into the case's directory
	Steps  []Step
}

// Step is one request with everything that is expected of it, or the swap to
// another table.
type Step struct {
	Line  int
	About string
	Apply string // name of a table; then the rest is empty

	Request Request
	Times   int
	Checks  []Check
	Status  string
	Who     []string // endpoints that see the request, in order; the last one answers
	Anyone  bool
}

// Request is what is sent.
type Request struct {
	Raw      string // the whole of it, when not empty
	Method   string
	Host     string
	Target   string
	Listener string
	Header   []string // "Name: value", in order
	Body     string
	// Ends says that the connection has to end with the answer.
	Ends bool
}

// Check is one expectation of what an endpoint saw, or of the answer.
type Check struct {
	Line   int
	Of     string // "saw", "saw-body", "saw-proto", "answer", "answer-body"
	Not    bool
	Name   string // of the header; empty for lines and bodies
	Value  string
	HasVal bool
}

// Parse reads the text of a case.
func Parse(name string, content []byte) (Case, error) {
	c := Case{Name: name, Tables: map[string]string{}, Files: map[string]string{}}
	archive := txtar.Parse(content)
	if len(strings.TrimSpace(string(archive.Comment))) == 0 {
		return c, errors.New("it does not say what it is about")
	}
	line := 1 + strings.Count(string(archive.Comment), "\n")
	for _, f := range archive.Files {
		line++ // the marker
		kind, rest, _ := strings.Cut(f.Name, " ")
		switch kind {
		case "table":
			c.Tables[rest] = string(f.Data)
		case "file":
			c.Files[rest] = string(f.Data)
		case "steps":
			steps, err := parseSteps(string(f.Data), line)
			if err != nil {
				return c, err
			}
			c.Steps = append(c.Steps, steps...)
		default:
			return c, fmt.Errorf("line %d: unknown section %s", line, f.Name)
		}
		line += strings.Count(string(f.Data), "\n")
	}
	if _, ok := c.Tables[""]; !ok || len(c.Steps) == 0 {
		return c, errors.New("it has no table or no steps")
	}
	return c, c.check()
}

// check finds what would only show when the case is played, or never.
func (c Case) check() error {
	for _, s := range c.Steps {
		if _, ok := c.Tables[s.Apply]; !ok {
			return fmt.Errorf("line %d: there is no table %s", s.Line, s.Apply)
		}
		for _, check := range s.Checks {
			if expr, ok := strings.CutPrefix(check.Value, "~"); ok {
				if _, err := regexp.Compile(expr); err != nil {
					return fmt.Errorf("line %d: %w", check.Line, err)
				}
			}
		}
		if s.Times > 1 && len(s.Checks) > 0 {
			return fmt.Errorf("line %d: a request that is repeated has expectations of one", s.Line)
		}
	}
	return nil
}

// parseSteps reads a section "steps" that begins at the line.
func parseSteps(text string, line int) ([]Step, error) {
	var steps []Step
	about := ""
	for _, l := range strings.Split(text, "\n") {
		at := line
		line++
		l = strings.TrimSpace(l)
		word, rest, _ := strings.Cut(l, " ")
		rest = strings.TrimSpace(rest)
		var err error
		switch {
		case l == "":
		case word == "#":
			about = rest
		case word == "apply":
			steps = append(steps, Step{Line: at, Apply: rest})
		case word == "RAW" || isMethod(word):
			s := Step{Line: at, About: about}
			s.Request, s.Times, err = parseRequest(word, rest)
			steps, about = append(steps, s), ""
		case len(steps) == 0:
			err = errors.New("a request has to come first")
		default:
			err = steps[len(steps)-1].add(word, rest, at)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
	}
	for _, s := range steps {
		if s.Apply == "" && s.Status == "" {
			return nil, fmt.Errorf("line %d: the request expects nothing", s.Line)
		}
	}
	return steps, nil
}

// isMethod is true for a word in capitals, with "*N" behind it or without.
func isMethod(word string) bool {
	name, _, _ := strings.Cut(word, "*")
	return name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func parseRequest(word, rest string) (Request, int, error) {
	r := Request{Listener: "http"}
	if word == "RAW" {
		return r, 1, nil
	}
	method, times, repeated := strings.Cut(word, "*")
	n := 1
	if repeated {
		var err error
		if n, err = strconv.Atoi(times); err != nil {
			return r, 0, err
		}
	}
	r.Method = method
	where, via, _ := strings.Cut(rest, " via ")
	if via != "" {
		r.Listener = via
	}
	slash := strings.Index(where, "/")
	if slash < 0 {
		return r, 0, errors.New("want METHOD host/target")
	}
	r.Host, r.Target = where[:slash], where[slash:]
	return r, n, nil
}

// add takes one line about the request into the step.
func (s *Step) add(word, rest string, line int) error {
	switch word {
	case "|":
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(rest, `"`, `\"`) + `"`)
		s.Request.Raw += text + "\r\n"
		return err
	case "|+": // without the end of line
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(rest, `"`, `\"`) + `"`)
		s.Request.Raw += text
		return err
	case "+":
		s.Request.Header = append(s.Request.Header, rest)
		return nil
	case "ends":
		s.Request.Ends = true
		return nil
	case "+body":
		s.Request.Body = rest
		return nil
	case "->":
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return errors.New("a status is missing")
		}
		s.Status, s.Who = fields[0], fields[1:]
		if s.Anyone = slices.Equal(s.Who, []string{"*"}); s.Anyone {
			s.Who = nil
		}
		return nil
	}
	of, not := strings.CutSuffix(word, "-not")
	c := Check{Line: line, Of: of, Not: not}
	switch of {
	case "saw", "answer":
		if name, value, ok := strings.Cut(rest, ":"); ok && !strings.Contains(name, " ") {
			c.Name, c.Value, c.HasVal = name, strings.TrimSpace(value), true
		} else if not {
			c.Name = rest
		} else {
			c.Value, c.HasVal = rest, true
		}
	case "saw-body", "saw-proto", "answer-body":
		c.Value, c.HasVal = rest, true
	default:
		return fmt.Errorf("unknown word %s", word)
	}
	s.Checks = append(s.Checks, c)
	return nil
}

// Text is the request in HTTP/1.1.
func (r Request) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.Method, r.Target)
	if r.Host != "" {
		fmt.Fprintf(&b, "Host: %s\r\n", r.Host)
	}
	closing := true
	for _, h := range r.Header {
		closing = closing && !strings.HasPrefix(strings.ToLower(h), "connection:")
		fmt.Fprintf(&b, "%s\r\n", h)
	}
	if closing {
		b.WriteString("Connection: close\r\n")
	}
	if r.Body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.Body))
	}
	return b.String() + "\r\n" + r.Body
}

// Matches compares a value; "~" in front of the one that is wanted makes it a regular
// expression for the whole of it, quotes make blanks visible.
func (c Check) Matches(have string) bool {
	want := c.Value
	if expr, ok := strings.CutPrefix(want, "~"); ok {
		return regexp.MustCompile(`(?s)^(?:` + expr + `)$`).MatchString(have)
	}
	if text, err := strconv.Unquote(want); err == nil {
		want = text
	}
	return want == have
}

// StatusMatches compares a status with alternatives such as "400|5xx|closed".
func StatusMatches(want, have string) bool {
	for alternative := range strings.SplitSeq(want, "|") {
		if alternative == have ||
			len(alternative) == 3 && len(have) == 3 && strings.HasSuffix(alternative, "xx") && alternative[0] == have[0] {
			return true
		}
	}
	return false
}
