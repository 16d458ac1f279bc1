package compile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
)

// TestHAProxy renders the tables of the golden cases for HAProxy and compares what
// comes of them, beyond the configuration of a table without services, with
// testdata/haproxy. HAProxy looks at each of them when it is there.
func TestHAProxy(t *testing.T) {
	for _, file := range goldenFiles(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			settings := settingsOf(t, archive)
			settings.Unsupported = func(r *route.Route, b *route.Backend) string {
				return render.Unsupported(r, b, render.Capabilities{})
			}
			compiler := New(settings)
			var previous *route.Table
			var running *render.Config
			got := &txtar.Archive{}
			for _, section := range archive.Files {
				if section.Name != "catalog" {
					continue
				}
				snapshot := parseCatalog(t, section.Data)
				snapshot.Revision = uint64(len(got.Files) + 1)
				previous = compiler.Compile(snapshot, previous)
				running = rendered(t, previous, running)
				got.Files = append(got.Files, txtar.File{Name: "haproxy", Data: []byte(beyondEmpty(t, previous, running))})
				if !testing.Short() && name != "df-52" { // it has a line that HAProxy refuses, which the engine finds
					checkWithHAProxy(t, previous)
				}
			}
			compareGolden(t, filepath.Join("testdata", "haproxy", name+".txtar"), string(txtar.Format(got)))
		})
	}
}

func rendered(t *testing.T, table *route.Table, previous *render.Config) *render.Config {
	t.Helper()
	c, err := render.Render(table, previous, render.Options{Dir: "/haproxy", Spares: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// beyondEmpty is what the configuration has that one without services does not, and
// its maps.
func beyondEmpty(t *testing.T, table *route.Table, c *render.Config) string {
	t.Helper()
	empty, err := route.New(1, table.Listeners, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"": true}
	for line := range strings.Lines(string(rendered(t, empty, nil).Text)) {
		known[line] = true
	}
	var b strings.Builder
	for line := range strings.Lines(string(c.Text)) {
		if !known[line] && strings.TrimSpace(line) != "" && !strings.Contains(line, socket.MarkerVariable) {
			b.WriteString(line)
		}
	}
	for _, m := range c.Maps {
		for _, e := range m.Entries {
			fmt.Fprintf(&b, "%s: %s %s\n", m.Name, e.Key, e.Value)
		}
	}
	return b.String()
}

// haproxyProgram skips the test when there is none.
func haproxyProgram(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("haproxy")
	if err != nil {
		if program = "/usr/sbin/haproxy"; !isFile(program) {
			t.Skip("no haproxy")
		}
	}
	return program
}

// checkWithHAProxy has HAProxy look at the table's configuration.
func checkWithHAProxy(t *testing.T, table *route.Table) {
	t.Helper()
	program := haproxyProgram(t)
	dir, err := os.MkdirTemp("", "compile")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	c := writeForHAProxy(t, dir, table)
	// Certificates are not there; without them HAProxy would look no further.
	if len(c.CertLists) > 0 {
		return
	}
	if out, err := exec.CommandContext(t.Context(), program, "-c", "-dW", "-f", filepath.Join(dir, render.FileConfig)).CombinedOutput(); err != nil {
		t.Errorf("haproxy -c: %v\n%s\n%s", err, out, c.Text)
	}
}

// writeForHAProxy writes all that HAProxy reads of a table.
func writeForHAProxy(t *testing.T, dir string, table *route.Table) *render.Config {
	t.Helper()
	c, err := render.Render(table, nil, render.Options{Dir: dir, Spares: 1})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{render.FileConfig: c.Text}
	for name, content := range c.Files {
		files[name] = content
	}
	for _, m := range c.Maps {
		var b strings.Builder
		for _, e := range m.Entries {
			b.WriteString(e.Key + " " + e.Value + "\n")
		}
		files[filepath.Join(render.DirMaps, m.Name+".map")] = []byte(b.String())
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("-want +got (run with -update to accept):\n%s", diff)
	}
}
