package app

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what comes out into testdata")

// Each file in testdata/check is a directory of files, the paths to check and
// the environment, and what comes out, in lines: the files, the problems, the
// routes.
func TestCheck(t *testing.T) {
	paths, err := filepath.Glob("testdata/check/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases", err)
	}
	for _, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { checkCase(t, abs) })
	}
}

func checkCase(t *testing.T, path string) {
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var o CheckOptions
	var want *txtar.File
	t.Chdir(t.TempDir())
	for i, f := range archive.Files {
		switch f.Name {
		case "args":
			o.Paths = strings.Fields(string(f.Data))
		case "env":
			o.Environ = strings.Fields(string(f.Data))
		case "want":
			want = &archive.Files[i]
		default:
			if err := os.MkdirAll(filepath.Dir(f.Name), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(f.Name, f.Data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	checked, err := Check(o)
	if err != nil {
		t.Fatal(err)
	}
	got := checkedText(checked)
	if *update {
		want.Data = []byte(got)
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want.Data), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func checkedText(c *Checked) string {
	var b strings.Builder
	for _, f := range c.Files {
		fmt.Fprintf(&b, "file %s %s\n", f.Path, f.Kind)
	}
	for _, p := range c.Problems {
		fmt.Fprintf(&b, "problem %s %s [%s] %s", p.Position(), p.Code, p.Subject(), p.Text)
		if p.Hint != "" {
			fmt.Fprintf(&b, " (%s)", p.Hint)
		}
		b.WriteString("\n")
	}
	for _, r := range c.Routes {
		fmt.Fprintf(&b, "route %s %s %v %s", r.ID, strings.Join(r.Takes, " || "), r.Filters, r.File)
		if r.Refused != "" {
			fmt.Fprintf(&b, " refused: %s", r.Refused)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestCheckFileThatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := Check(CheckOptions{Paths: []string{"none.yml"}}); err == nil || !strings.Contains(err.Error(), "none.yml") {
		t.Errorf("error %v", err)
	}
	if err := os.WriteFile("large.yml", make([]byte, maxConfigBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Check(CheckOptions{Paths: []string{"large.yml"}}); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("error %v", err)
	}
}

func TestInterpolate(t *testing.T) {
	env := map[string]string{"A": "1", "EMPTY": "", "NAME_2": "two"}
	for _, tt := range []struct{ in, want, missing string }{
		{"plain", "plain", ""},
		{"$A ${A} $NAME_2x", "1 1 ", "NAME_2x"},
		{"$$A $$$A", "$A $1", ""},
		{"${B} $B", " ", "B B"},
		{"${B:-b} ${B-b} ${EMPTY:-e} ${EMPTY-e}|", "b b e |", ""},
		{"${A:+a} ${B:+b} ${EMPTY:+e} ${EMPTY+e}", "a   e", ""},
		{"${A:?gone} ${A?gone} ${EMPTY?gone}", "1 1 ", ""},
		{"${B:-${C:-$A}}", "1", ""},
		{"${B:-a}b}", "ab}", ""},
		{"${B:-{}}", "{}", ""},
	} {
		got, missing, err := interpolate(tt.in, env, nil)
		if err != nil || got != tt.want || strings.Join(missing, " ") != tt.missing {
			t.Errorf("%q: %q, missing %q, %v; want %q, missing %q", tt.in, got, missing, err, tt.want, tt.missing)
		}
	}
	for in, want := range map[string]string{
		"${B:?no B here}": "variable B is not set: no B here",
		"${B?}":           "variable B is not set",
		"${EMPTY:?e}":     "variable EMPTY is not set",
		"$":               "$ without a name",
		"$1":              "$ without a name",
		"${A":             "${ without }",
		"${}":             "a name is expected",
		"${A!x}":          "is expected after the name",
		"${A:}":           "is expected after the name",
		strings.Repeat("${X:-", 20) + strings.Repeat("}", 20): "too deep",
	} {
		if _, _, err := interpolate(in, env, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", in, err, want)
		}
	}
}

func TestParsePorts(t *testing.T) {
	for in, want := range map[string]string{
		"80":                      "[{80 tcp }]",
		"8080:80":                 "[{80 tcp }]",
		"127.0.0.1:8080:80/udp":   "[{80 udp }]",
		"[::1]:8080:80":           "[{80 tcp }]",
		"3000-3002":               "[{3000 tcp } {3001 tcp } {3002 tcp }]",
		"9000-9001:3000-3001/tcp": "[{3000 tcp } {3001 tcp }]",
		"0":                       "[]",
		"70000":                   "[]",
		"5-1":                     "[]",
		"web":                     "[]",
		"/":                       "[]",
	} {
		if got := fmt.Sprint(parsePorts(in)); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	if n := len(parsePorts("1-65535")); n != maxPorts {
		t.Errorf("a wide range gives %d ports", n)
	}
}

// Whatever a file holds, Check has an answer.
func FuzzCheck(f *testing.F) {
	paths, err := filepath.Glob("testdata/check/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			if strings.HasSuffix(file.Name, ".yml") {
				f.Add(file.Data)
			}
		}
	}
	f.Add([]byte("a: &a {<<: *a}\nservices: {w: *a}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "file.yml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		checked, err := Check(CheckOptions{Paths: []string{path}})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range checked.Problems {
			if p.File == "" || p.Text == "" || p.Code == "" {
				t.Errorf("problem %+v", p)
			}
		}
	})
}
