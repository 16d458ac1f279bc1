package dockerflow

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write docs/docker-flow.md anew")

// flowFile is what Docker Flow's users read first.
const flowFile = "../../../docs/docker-flow.md"

// flowData is docs/docker-flow.yml: acceptance cases, each with where it is tested, and
// what became of the peculiarities of the original. Both are numbered from one.
type flowData struct {
	Cases []struct {
		Title string   `yaml:"title"`
		Tests []string `yaml:"tests"`
		Note  string   `yaml:"note"`
	} `yaml:"cases"`
	Peculiarities []struct {
		Status status `yaml:"status"`
		Now    string `yaml:"now"`
	} `yaml:"peculiarities"`
}

func readFlowData(t *testing.T) (data flowData) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/docker-flow.yml")
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&data); err != nil {
		t.Fatal(err)
	}
	return data
}

// TestFlowReference holds docs/docker-flow.md to the table of parameters and the
// lists here.
func TestFlowReference(t *testing.T) {
	want := flowReference(readFlowData(t))
	if *update {
		if err := os.WriteFile(flowFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(flowFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not current (run with -update to write it):\n%s", flowFile, diff)
	}
}

// places are the directories of packages that cases name.
var places = map[string]string{
	"compile": "../", "dockerflow": "../../dockerflow", "env": "../../dockerflow/env", "enginetest": "../../engine/enginetest", "embedded": "../../engine/embedded", "users": "../../engine/users",
	"swarm": "../../discovery/swarm", "posted": "../../discovery/posted", "certificates": "../../discovery/certificates", "app": "../../app", "haproxy": "../../engine/haproxy",
}

// TestCasesAreTested: every case is tested where the page says so, or has a reason.
func TestCasesAreTested(t *testing.T) {
	cases := readFlowData(t).Cases
	if len(cases) != 87 {
		t.Errorf("%d cases, want 87", len(cases))
	}
	for i, c := range cases {
		if len(c.Tests) == 0 && c.Note == "" {
			t.Errorf("case %d is tested nowhere", i+1)
		}
		for _, test := range c.Tests {
			if err := isTested(test); err != nil {
				t.Errorf("case %d: %v", i+1, err)
			}
		}
	}
}

// isTested reports whether a test that a case names exists.
func isTested(test string) error {
	place, name, _ := strings.Cut(test, " ")
	switch {
	case place == "compile" && !strings.HasPrefix(name, "Test"):
		_, err := os.Stat("../testdata/" + name + ".txtar")
		return err
	case place == "behaviour":
		_, err := os.Stat("../../engine/enginetest/testdata/" + name + ".txtar")
		return err
	}
	files, err := filepath.Glob(filepath.Join(places[place], "*.go"))
	if err != nil {
		return err
	}
	if place == "compile" {
		children, err := filepath.Glob("../*/*_test.go")
		if err != nil {
			return err
		}
		files = append(files, children...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "\nfunc "+name+"(") {
			return nil
		}
	}
	return fmt.Errorf("there is no %s", test)
}

// flowReference prints docs/docker-flow.md.
func flowReference(data flowData) string {
	var b strings.Builder
	b.WriteString(`# Docker Flow

This page is printed from the table that labels are read with (` + "`internal/compile/dockerflow/keys.go`" + `) and
` + "`docs/docker-flow.yml`" + `; a test keeps it current.

Labels that begin with ` + "`com.df.`" + ` are read when Docker Flow is switched on. They belong to services, under ` + "`deploy.labels`" + `
in a stack file; outside Swarm, those of containers count. A service may have labels of both kinds; each makes its own routes:
` + "`<service>/com.df`" + `, or ` + "`<service>/com.df.1`" + ` for the first destination, and so on.

What differs from the original in every case:

- A label that is wrong costs its own route, which keeps its last good form or answers 503; no other service notices. ` + "`fairway problems`" + `
  says what to do.
- Requests go to the instances themselves, not to the virtual address of the service. There is no polling, and no reload.
- Hosts and paths that no route takes answer 404, not 503, unless a service is the default backend.
- Of several routes that take a request, the one with the more specific host, then the longer path, then more conditions wins;
  aclName decides between services that ask for exactly the same. Where only one of two has an aclName, the one that was
  there first has the requests.
- Connections that are passed through (reqMode tcp and sni) need a port that the operator allows, and that no listener for HTTP has.
- A service with redirects or passwords that cannot be understood is never served without them.
- ` + "`get-services` and `get-nodes`" + ` of the Swarm Listener answer everybody, but secrets and labels of other programs are for receivers: callers
  whose address DNS has for the name in a URL of ` + "`DF_NOTIFY_*_URL`" + `, or for ` + "`tasks.<name>`" + `. For all others such parameters are left out
  (nothing stands in their place), and so is a service that would be less protected without them: with passwords in users,
  credentials in serviceHeader, or backendExtra. The log says so once. A proxy that pulls from the listener must be one of its receivers.

## Parameters

*Kept* is as it was; *fixed* is kept but for what was wrong with it; *no effect* is accepted and not needed; *dropped* is a problem
that says what to use. Those with an N may have an index, from .1 to .10. The last column is how the same is said in labels of
Fairway. Parameters that are not listed are ignored, as they always were.

| com.df. | N | | meaning | instead |
|---|---|---|---|---|
`)
	for _, k := range parameters {
		indexed := ""
		if k.Indexed {
			indexed = "N"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, indexed, k.status, cell(k.meaning), cell(k.native))
	}
	b.WriteString("\n## Peculiarities of the original\n\n| | | now |\n|---|---|---|\n")
	for i, p := range data.Peculiarities {
		fmt.Fprintf(&b, "| Q%d | %s | %s |\n", i+1, p.Status, cell(p.Now))
	}
	b.WriteString(`
## Acceptance cases

Where each is tested: *compile* is ` + "`internal/compile/testdata`" + `, *behaviour* ` + "`internal/engine/enginetest/testdata`" + `, which every
engine passes; the others are tests of packages.

| | case | tested by | |
|---|---|---|---|
`)
	for i, c := range data.Cases {
		for j, test := range c.Tests {
			c.Tests[j] = "`" + test + "`"
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", i+1, cell(c.Title), strings.Join(c.Tests, ", "), cell(c.Note))
	}
	return b.String()
}

// cell makes a text fit for a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
