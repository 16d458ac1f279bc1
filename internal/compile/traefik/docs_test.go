package traefik

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/traefik.md anew")

// TestReference holds docs/traefik.md to the table of keys, which stands behind its last
// heading.
func TestReference(t *testing.T) {
	const file, heading = "../../../docs/traefik.md", "## Labels\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	front, _, found := strings.Cut(string(text), heading)
	if !found {
		t.Fatalf("%s has no heading %q", file, heading)
	}
	var b strings.Builder
	b.WriteString(front + heading + "\n| | meaning there | here |\n|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, cell(k.Meaning), cell(k.Here))
	}
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(b.String(), string(text)); diff != "" {
		t.Errorf("%s is not current (run with -update to write it):\n%s", file, diff)
	}
}

// cell escapes what would end a cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// TestEveryTypeHasKeys: each type of middleware that is read has keys, and the other way round.
func TestEveryTypeHasKeys(t *testing.T) {
	has := map[string]bool{}
	for _, k := range keys {
		if local, ok := strings.CutPrefix(k.Name, "http.middlewares.*."); ok {
			kind, _, _ := strings.Cut(local, ".")
			if has[kind] = true; types[kind] == nil {
				t.Errorf("%s is in the table, and is not read", k.Name)
			}
		}
	}
	for kind := range types {
		if !has[kind] {
			t.Errorf("%s is read, and not in the table", kind)
		}
	}
}
