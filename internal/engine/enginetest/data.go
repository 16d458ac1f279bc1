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
	"slices"
	"strconv"
	"strings"
	"testing"

	"fairway/internal/engine/enginetest/script"
)

//go:embed testdata/*.txtar
var dataFiles embed.FS

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
		c, err := script.Parse(strings.TrimSuffix(entry.Name(), ".txtar"), content)
		if err != nil {
			t.Fatalf("testdata/%s: %v", entry.Name(), err)
		}
		cases = append(cases, goCase{c.Name, func(w *world) { playCase(w, c) }})
	}
	return cases
}

// playCase plays the case.
func playCase(w *world, c script.Case) {
	for name, content := range c.Files {
		w.writeFile(name, content)
	}
	w.apply(c.Tables[""])
	for _, s := range c.Steps {
		if s.Apply != "" {
			w.apply(c.Tables[s.Apply])
			continue
		}
		if !play(w, c, s) {
			return
		}
	}
}

// play sends the request of a step as often as it says and compares. It reports
// whether the case can go on.
func play(w *world, c script.Case, s script.Step) bool {
	w.Helper()
	fail := func(line int, format string, args ...any) {
		w.Errorf("%s.txtar:%d: %s\n\t%s", c.Name, line, s.About, fmt.Sprintf(format, args...))
	}
	before := w.log.len()
	got := map[string]int{}
	for range s.Times {
		a, err := w.send(s.Request)
		status := "closed"
		if errors.Is(err, errGoesOn) {
			status = err.Error()
		}
		if err == nil {
			status = strconv.Itoa(a.StatusCode)
			got[a.Header.Get(headerEndpoint)]++
		}
		if !script.StatusMatches(s.Status, status) || strings.HasPrefix(a.body, "400 Bad Request") { // of net/http: an endpoint's
			fail(s.Line, "answered %s, want %s; body: %s", status, s.Status, a.body)
			return true
		}
		if s.Times > 1 {
			continue
		}
		sawBy := w.log.since(before)
		var names []string
		for _, saw := range sawBy {
			if saw.BodyErr == "" { // else it has seen no request
				names = append(names, saw.Endpoint)
			}
		}
		if right := slices.Equal(names, s.Who) || s.Anyone && len(names) == 1; !right {
			fail(s.Line, "seen by %v, want %v", names, s.Who)
			return true
		}
		for _, check := range s.Checks {
			if problem := problemOf(check, a, sawBy); problem != "" {
				fail(check.Line, "%s", problem)
			}
		}
	}
	if s.Times > 1 && !s.Anyone {
		want := map[string]int{}
		for _, who := range s.Who {
			name, n, _ := strings.Cut(who, "*")
			want[name], _ = strconv.Atoi(n)
		}
		if !maps.Equal(got, want) {
			fail(s.Line, "answered by %v, want %v", got, want)
		}
	}
	return true
}

// problemOf compares; an empty string means that it is as expected.
func problemOf(c script.Check, a answer, saw []seen) string {
	if strings.HasPrefix(c.Of, "saw") && len(saw) == 0 {
		return "no endpoint saw the request"
	}
	var have string
	present := true
	switch c.Of {
	case "saw":
		last := saw[len(saw)-1]
		if c.Name == "" {
			have = last.Line
			break
		}
		have, present = last.get(c.Name)
	case "saw-proto":
		have = saw[len(saw)-1].Proto
	case "saw-body":
		have = saw[len(saw)-1].Body
	case "answer":
		values, ok := a.Header[http.CanonicalHeaderKey(c.Name)]
		have, present = strings.Join(values, ", "), ok
	case "answer-body":
		have = a.body
		if !strings.HasPrefix(c.Value, "~") && strings.Contains(have, c.Value) {
			have = c.Value
		}
	}
	same := present && (!c.HasVal || c.Matches(have))
	if same == c.Not {
		return fmt.Sprintf("%s %s is %q (present: %v), want%s %q", c.Of, c.Name, have, present,
			map[bool]string{true: " anything but"}[c.Not], c.Value)
	}
	return ""
}

// send plays a request over a connection of its own, byte by byte as the case
// has it, and reads the answer. "via h2" sends it over HTTP/2 instead.
func (w *world) send(r script.Request) (answer, error) {
	w.Helper()
	if r.Listener == "h2" || w.quic && r.Raw == "" && (r.Listener == "http" || r.Listener == "https") {
		return w.sendH2(r)
	}
	var conn net.Conn
	if r.Listener == "https" {
		conn = w.dialTLS(nameOf(r.Host))
	} else {
		conn = w.dial(r.Listener)
	}
	defer conn.Close()
	text, method := r.Raw, r.Method
	if text == "" {
		text = r.Text()
	} else {
		method, _, _ = strings.Cut(text, " ")
	}
	c := &raw{w, conn, newReader(conn)}
	c.send(text)
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	a := readAnswer(resp)
	if r.Ends && !w.differs {
		var timeout net.Error
		if rest, err := io.ReadAll(c.r); len(rest) > 0 || errors.As(err, &timeout) && timeout.Timeout() {
			return a, fmt.Errorf("%s, %w with %.20q", resp.Status, errGoesOn, rest)
		}
	}
	return a, nil
}

// errGoesOn means that a connection did not end with an answer.
var errGoesOn = errors.New("and the connection goes on")

func (w *world) sendH2(r script.Request) (answer, error) {
	config := &tls.Config{InsecureSkipVerify: true, ServerName: nameOf(r.Host)}
	c := w.client("https", true)
	if w.quic {
		c = w.overQUIC(config)
	} else {
		c.Transport.(*http.Transport).TLSClientConfig = config
	}
	var body io.Reader
	if r.Body != "" {
		body = strings.NewReader(r.Body)
	}
	return w.do(c, r.Method, "https://"+r.Host+r.Target, body, r.Header...), nil
}

// nameOf is the server name a client asks for when it wants the host.
func nameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return host
}
