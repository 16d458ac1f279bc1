package nginxproxy

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/nginx-proxy.md anew")

// TestReference holds docs/nginx-proxy.md to the table of keys, which stands behind its last
// heading.
func TestReference(t *testing.T) {
	const file, heading = "../../../docs/nginx-proxy.md", "## Variables and labels\n"
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
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, k.Meaning, k.Here)
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

// TestEveryKeyIsRead: what is in the table is one of the dialect.
func TestEveryKeyIsRead(t *testing.T) {
	for _, k := range keys {
		if !(*Dialect)(nil).Owns(k.Name) {
			t.Errorf("%s is in the table, and is not read", k.Name)
		}
	}
}
