package check

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"fairway/internal/app"
	"fairway/internal/plan"
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
	var paths, environ []string
	var want *txtar.File
	stack := false
	t.Chdir(t.TempDir())
	for i, f := range archive.Files {
		switch f.Name {
		case "args":
			for _, arg := range strings.Fields(string(f.Data)) {
				if arg == "--stack" {
					stack = true
				} else {
					paths = append(paths, arg)
				}
			}
		case "env":
			environ = strings.Fields(string(f.Data))
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
	checked, err := Files(paths, environ, stack)
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

func checkedText(c *plan.Checked) string {
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
	for _, p := range c.Notes {
		fmt.Fprintf(&b, "note %s %s [%s] %s (%s)\n", p.Position(), p.Code, p.Subject(), p.Text, p.Hint)
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
	if _, err := Files([]string{"none.yml"}, nil, false); err == nil || !strings.Contains(err.Error(), "none.yml") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat("/etc/fairway/fairway.yml"); err != nil {
		if _, err := Files(nil, nil, false); err == nil || !strings.Contains(err.Error(), "nothing to check") || !strings.HasSuffix(err.Error(), "\nhint: name a file: fairway check compose.yml") {
			t.Errorf("without any configuration: error %v", err)
		}
	}
	if err := os.WriteFile("large.yml", make([]byte, app.MaxConfigBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Files([]string{"large.yml"}, nil, false); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("error %v", err)
	}
}
