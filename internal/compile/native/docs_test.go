package native

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/compile/draft"
	"fairway/internal/compile/rule"
)

// labelsFile is the label reference.
const labelsFile = "../../../docs/labels.md"

var update = flag.Bool("update", false, "write docs/labels.md anew")

// TestLabelReference holds docs/labels.md to the table of keys.
func TestLabelReference(t *testing.T) {
	want := labelReference()
	if *update {
		if err := os.WriteFile(labelsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(labelsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not current (run with -update to write it):\n%s", labelsFile, diff)
	}
}

// TestExamples demands that the example of every key is accepted.
func TestExamples(t *testing.T) {
	for _, k := range keys {
		l := &label{key: &k, value: k.Example}
		if strings.HasSuffix(k.Name, ".") {
			l.header = "X-Example"
		}
		if err := k.read(&reading{Draft: draft.New("")}, l); err != nil {
			t.Errorf("%s: the example %q is refused: %v", k.Name, k.Example, err)
		}
	}
	for _, f := range rule.Functions() {
		if _, err := rule.Matches(f.Example); err != nil {
			t.Errorf("%s: the example %q is refused: %v", f.Name, f.Example, err)
		}
	}
}

// labelReference prints the label reference.
func labelReference() string {
	var b strings.Builder
	b.WriteString(`# Labels

This page is printed from the table that labels are read with (` + "`internal/compile/native/keys.go`" + `); a test keeps it current.

Labels of Docker Flow, ` + "`com.df.*`" + `, have [a page of their own](docker-flow.md). In Swarm, labels belong to the service: ` + "`deploy.labels`" + ` in a
stack file.

One label is enough: ` + "`fairway.host=app.example.com`" + `. A service without any label that begins with ` + "`fairway.`" + ` is left alone.

A service may have several routes. ` + "`fairway.host`" + ` belongs to its unnamed route, ` + "`fairway.api.host`" + ` to the route that it
names ` + "`api`" + `; names are local to the service, consist of ` + "`a-z`, `0-9`, `-` and `_`" + `, and are not words of the tables below. Nothing is
handed down from the unnamed route to the others. Keys are compared without regard to case; values are trimmed.

The operator may have [defaults](config.md#defaults) for some labels: every route has them, of every name, unless its own label says something else.
` + "`off`" + `, or ` + "`false`" + ` where a label is true or false, takes a default off. A default that the operator has locked (` + "`defaults.locked`" + `) stays: a label that
says something else is a problem, and its route answers 503.

A label that does not exist or cannot be read is a **problem**, shown by ` + "`fairway problems`" + `. It costs its own route and no other:
the route keeps its last good form; where there is none it answers 503, so that nothing wider serves what it was meant to protect.
There is one exception. A route that decides who may ask (` + "`ip-allow`, `basic-auth`" + `) and whose host, path or rule cannot be read, or is
missing, closes what it may have meant: other routes of the same service answer 503, too, on the hosts and paths that can be read, or
altogether. Mending or removing its labels opens them again.

When the instances of a service have different labels, as they do during an update, those of the newest one count.
`)
	for _, part := range []struct {
		scope scope
		title string
	}{
		{scopeMatch, "Which requests a route takes"},
		{scopeFilter, "What happens on the way\n\nFilters are applied in this order, in whichever order the labels stand"},
		{scopeRoute, "Waiting"},
		{scopeBackend, "How the service is used"},
		{scopeInstance, "Read from each instance"},
		{scopeService, "The service as a whole\n\nThese never stand behind the name of a route"},
	} {
		title, note, _ := strings.Cut(part.title, "\n\n")
		fmt.Fprintf(&b, "\n## %s\n\n", title)
		if note != "" {
			fmt.Fprintf(&b, "%s.\n\n", note)
		}
		b.WriteString("| label | value | meaning | example |\n|---|---|---|---|\n")
		for _, k := range keys {
			if k.scope != part.scope {
				continue
			}
			name := prefix + k.Name
			if strings.HasSuffix(name, ".") {
				name += "<name>"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, cell(k.Value), cell(k.Meaning), code(k.Example))
		}
	}
	fmt.Fprintf(&b, `
A name of a service is claimed like a host: containers of another Compose project that give the same name are no part of the service, but one of their own
with an ID such as %s, and get the problem %s. The project that was there first has the name, until it has no container left; containers
without a project (%s, else %s) are of one owner. The configuration key %s lists names that all may join.

A request that several routes would take goes to the one with the higher priority; then the more specific host; then the longer
path; then more conditions; then to the one that was there first. Two services that ask for exactly the same are a conflict:
the one that was there first serves, the other gets a problem. One of which nothing runs or starts, nor has in the last ten seconds, gives
way to one of which something does.

## How paths are read

Paths are compared in one form: dot segments resolved, runs of slashes merged, what need not be encoded decoded. The service gets that form with its
slashes as they came, runs of them and encoded ones. An encoded slash is a character of its segment: %s is below %s, and not
below %s.

Not every application reads a path that way. One with encoded slashes, parameters (%s) or something encoded twice is therefore read once more,
with all of it decoded and the parameters taken away. A request that another route would take by that reading, or none, is answered with
400: %s, %s, %s and %s never get past a route for %s. Where one route takes both, the path is sent as it came.

The case of letters counts: %s is not below %s. To protect an application that does not care, use an expression: %s.

## Rules

%s says what a route takes in one expression: functions joined by %s and %s, turned round by %s, grouped by parentheses. Strings
stand in backquotes, which know no escapes, or in double quotes. Several strings of one function are alternatives. A rule is at
most %d bytes long and at most %d alternatives wide.

| function | holds when | example |
|---|---|---|
`, code("shop~other"), code("name-taken"), code("com.docker.compose.project"), code("com.docker.stack.namespace"), code("shared-services"),
		code("/api/a%2Fb"), code("/api"), code("/api/a"), code(";x"), code("/admin;x"), code("/;/admin"), code("/admin%2Fx"), code("/%2561dmin"), code("/admin"),
		code("/ADMIN"), code("/admin"), code(prefix+"path-regexp=/(?i)admin.*"), code(prefix+"rule"), code("&&"), code("||"), code("!"), rule.MaxBytes, rule.MaxAlternatives)
	for _, f := range rule.Functions() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", f.Name, cell(f.Meaning), code(f.Example))
	}
	return b.String()
}

// cell makes a text fit for a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// code sets s as code, also when it holds backquotes.
func code(s string) string {
	if strings.Contains(s, "`") {
		return "`` " + cell(s) + " ``"
	}
	return "`" + cell(s) + "`"
}
