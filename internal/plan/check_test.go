package plan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

// Check has an answer for any file.
func FuzzCheck(f *testing.F) {
	paths, err := filepath.Glob("../app/testdata/check/*.txtar")
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
		checked, err := Check(CheckOptions{
			Paths:         []string{path},
			Configuration: func(string, []byte) Configured { return Configured{} },
			Default:       func() (string, []byte, error) { return "", nil, nil },
		})
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
