package enginetest

import (
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

//go:embed testdata/*.txtar
var dataFiles embed.FS

// dataCase is a case of testdata: tables by name, "" for the first one, and what
// is asked of it.
type dataCase struct {
	name   string
	tables map[string]string
	files  map[string]string // to be written into the case's directory
	steps  []step
}

// step is one request with everything that is expected of it, or the swap to
// another table.
type step struct {
	line  int
	about string
	apply string // name of a table; then the rest is empty

	request request
	times   int
	checks  []check
	status  string
	who     []string // endpoints that see the request, in order; the last one answers
	anyone  bool
}

// request is what is sent.
type request struct {
	raw      string // the whole of it, when not empty
	method   string
	host     string
	target   string
	listener string
	header   []string // "Name: value", in order
	body     string
}

// check is one expectation of what an endpoint saw, or of the answer.
type check struct {
	line   int
	of     string // "saw", "saw-body", "saw-proto", "answer", "answer-body"
	not    bool
	name   string // of the header; empty for lines and bodies
	value  string
	hasVal bool
}

// dataCases reads testdata: each file is a case.
func dataCases(t testing.TB) []goCase {
	t.Helper()
	entries, err := dataFiles.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var cases []goCase
	for _, entry := range entries {
		content, err := dataFiles.ReadFile("testdata/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseCase(strings.TrimSuffix(entry.Name(), ".txtar"), content)
		if err != nil {
			t.Fatalf("testdata/%s: %v", entry.Name(), err)
		}
		cases = append(cases, goCase{c.name, c.run})
	}
	return cases
}

func parseCase(name string, content []byte) (dataCase, error) {
	c := dataCase{name: name, tables: map[string]string{}, files: map[string]string{}}
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
			c.tables[rest] = string(f.Data)
		case "file":
			c.files[rest] = string(f.Data)
		case "steps":
			steps, err := parseSteps(string(f.Data), line)
			if err != nil {
				return c, err
			}
			c.steps = append(c.steps, steps...)
		default:
			return c, fmt.Errorf("line %d: unknown section %s", line, f.Name)
		}
		line += strings.Count(string(f.Data), "\n")
	}
	if _, ok := c.tables[""]; !ok || len(c.steps) == 0 {
		return c, errors.New("it has no table or no steps")
	}
	return c, c.check()
}

// check finds what would only show when the case is played, or never.
func (c dataCase) check() error {
	for _, s := range c.steps {
		if _, ok := c.tables[s.apply]; !ok {
			return fmt.Errorf("line %d: there is no table %s", s.line, s.apply)
		}
		for _, check := range s.checks {
			if expr, ok := strings.CutPrefix(check.value, "~"); ok {
				if _, err := regexp.Compile(expr); err != nil {
					return fmt.Errorf("line %d: %w", check.line, err)
				}
			}
		}
		if s.times > 1 && len(s.checks) > 0 {
			return fmt.Errorf("line %d: a request that is repeated has expectations of one", s.line)
		}
	}
	return nil
}

// parseSteps reads a section "steps" that begins at the line.
func parseSteps(text string, line int) ([]step, error) {
	var steps []step
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
			steps = append(steps, step{line: at, apply: rest})
		case word == "RAW" || isMethod(word):
			s := step{line: at, about: about}
			s.request, s.times, err = parseRequest(word, rest)
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
		if s.apply == "" && s.status == "" {
			return nil, fmt.Errorf("line %d: the request expects nothing", s.line)
		}
	}
	return steps, nil
}

// isMethod is true for a word in capitals, with "*N" behind it or without.
func isMethod(word string) bool {
	name, _, _ := strings.Cut(word, "*")
	return name != "" && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

func parseRequest(word, rest string) (request, int, error) {
	r := request{listener: "http"}
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
	r.method = method
	where, via, _ := strings.Cut(rest, " via ")
	if via != "" {
		r.listener = via
	}
	slash := strings.Index(where, "/")
	if slash < 0 {
		return r, 0, errors.New("want METHOD host/target")
	}
	r.host, r.target = where[:slash], where[slash:]
	return r, n, nil
}

// add takes one line about the request into the step.
func (s *step) add(word, rest string, line int) error {
	switch word {
	case "|":
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(rest, `"`, `\"`) + `"`)
		s.request.raw += text + "\r\n"
		return err
	case "|+": // without the end of line
		text, err := strconv.Unquote(`"` + strings.ReplaceAll(rest, `"`, `\"`) + `"`)
		s.request.raw += text
		return err
	case "+":
		s.request.header = append(s.request.header, rest)
		return nil
	case "+body":
		s.request.body = rest
		return nil
	case "->":
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return errors.New("a status is missing")
		}
		s.status, s.who = fields[0], fields[1:]
		if s.anyone = slices.Equal(s.who, []string{"*"}); s.anyone {
			s.who = nil
		}
		return nil
	}
	of, not := strings.CutSuffix(word, "-not")
	c := check{line: line, of: of, not: not}
	switch of {
	case "saw", "answer":
		if name, value, ok := strings.Cut(rest, ":"); ok && !strings.Contains(name, " ") {
			c.name, c.value, c.hasVal = name, strings.TrimSpace(value), true
		} else if not {
			c.name = rest
		} else {
			c.value, c.hasVal = rest, true
		}
	case "saw-body", "saw-proto", "answer-body":
		c.value, c.hasVal = rest, true
	default:
		return fmt.Errorf("unknown word %s", word)
	}
	s.checks = append(s.checks, c)
	return nil
}

// run plays the case.
func (c dataCase) run(w *world) {
	for name, content := range c.files {
		w.writeFile(name, content)
	}
	w.apply(c.tables[""])
	for _, s := range c.steps {
		if s.apply != "" {
			w.apply(c.tables[s.apply])
			continue
		}
		if !c.play(w, s) {
			return
		}
	}
}

// play sends the request of a step as often as it says and compares. It reports
// whether the case can go on.
func (c dataCase) play(w *world, s step) bool {
	w.Helper()
	fail := func(line int, format string, args ...any) {
		w.Errorf("%s.txtar:%d: %s\n\t%s", c.name, line, s.about, fmt.Sprintf(format, args...))
	}
	before := w.log.len()
	got := map[string]int{}
	for range s.times {
		a, err := w.send(s.request)
		status := "closed"
		if err == nil {
			status = strconv.Itoa(a.StatusCode)
			got[a.Header.Get(headerEndpoint)]++
		}
		if !statusMatches(s.status, status) {
			fail(s.line, "answered %s, want %s; body: %s", status, s.status, a.body)
			return true
		}
		if s.times > 1 {
			continue
		}
		sawBy := w.log.since(before)
		var names []string
		for _, saw := range sawBy {
			names = append(names, saw.Endpoint)
		}
		if right := slices.Equal(names, s.who) || s.anyone && len(names) == 1; !right {
			fail(s.line, "seen by %v, want %v", names, s.who)
			return true
		}
		for _, check := range s.checks {
			if problem := check.problem(a, sawBy); problem != "" {
				fail(check.line, "%s", problem)
			}
		}
	}
	if s.times > 1 && !s.anyone {
		want := map[string]int{}
		for _, who := range s.who {
			name, n, _ := strings.Cut(who, "*")
			want[name], _ = strconv.Atoi(n)
		}
		if !maps.Equal(got, want) {
			fail(s.line, "answered by %v, want %v", got, want)
		}
	}
	return true
}

// problem compares; an empty string means that it is as expected.
func (c check) problem(a answer, saw []seen) string {
	if strings.HasPrefix(c.of, "saw") && len(saw) == 0 {
		return "no endpoint saw the request"
	}
	var have string
	present := true
	switch c.of {
	case "saw":
		last := saw[len(saw)-1]
		if c.name == "" {
			have = last.Line
			break
		}
		have, present = last.get(c.name)
	case "saw-proto":
		have = saw[len(saw)-1].Proto
	case "saw-body":
		have = saw[len(saw)-1].Body
	case "answer":
		values, ok := a.Header[http.CanonicalHeaderKey(c.name)]
		have, present = strings.Join(values, ", "), ok
	case "answer-body":
		have = a.body
		if !strings.HasPrefix(c.value, "~") && strings.Contains(have, c.value) {
			have = c.value
		}
	}
	same := present && (!c.hasVal || valueMatches(c.value, have))
	if same == c.not {
		return fmt.Sprintf("%s %s is %q (present: %v), want%s %q", c.of, c.name, have, present,
			map[bool]string{true: " anything but"}[c.not], c.value)
	}
	return ""
}

// valueMatches compares a value; "~" in front of want makes it a regular
// expression for the whole of it, quotes make blanks visible.
func valueMatches(want, have string) bool {
	if expr, ok := strings.CutPrefix(want, "~"); ok {
		return regexp.MustCompile(`(?s)^(?:` + expr + `)$`).MatchString(have)
	}
	if text, err := strconv.Unquote(want); err == nil {
		want = text
	}
	return want == have
}

// statusMatches compares a status with alternatives such as "400|5xx|closed".
func statusMatches(want, have string) bool {
	for alternative := range strings.SplitSeq(want, "|") {
		if alternative == have ||
			len(alternative) == 3 && len(have) == 3 && strings.HasSuffix(alternative, "xx") && alternative[0] == have[0] {
			return true
		}
	}
	return false
}

// send plays a request over a connection of its own, byte by byte as the case
// has it, and reads the answer. "via h2" sends it over HTTP/2 instead.
func (w *world) send(r request) (answer, error) {
	w.Helper()
	if r.listener == "h2" {
		return w.sendH2(r)
	}
	var conn net.Conn
	if r.listener == "https" {
		conn = w.dialTLS(nameOf(r.host))
	} else {
		conn = w.dial(r.listener)
	}
	defer conn.Close()
	text, method := r.raw, r.method
	if text == "" {
		text = r.text()
	} else {
		method, _, _ = strings.Cut(text, " ")
	}
	c := &raw{w, conn, newReader(conn)}
	c.send(text)
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	return readAnswer(resp), nil
}

// text is the request in HTTP/1.1.
func (r request) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", r.method, r.target)
	if r.host != "" {
		fmt.Fprintf(&b, "Host: %s\r\n", r.host)
	}
	closing := true
	for _, h := range r.header {
		closing = closing && !strings.HasPrefix(strings.ToLower(h), "connection:")
		fmt.Fprintf(&b, "%s\r\n", h)
	}
	if closing {
		b.WriteString("Connection: close\r\n")
	}
	if r.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	return b.String() + "\r\n" + r.body
}

func (w *world) sendH2(r request) (answer, error) {
	c := w.client("https", true)
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true, ServerName: nameOf(r.host)}
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(r.body)
	}
	return w.do(c, r.method, "https://"+r.host+r.target, body, r.header...), nil
}

// nameOf is the server name a client asks for when it wants the host.
func nameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
