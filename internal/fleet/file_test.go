package fleet

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/fleet/driver"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// testSecrets are the files that fleet files in tests may name.
func testSecrets(file string) (string, error) {
	switch file {
	case "edge.token":
		return "0123456789abcdef", nil
	case "short.token":
		return "0123", nil
	case "stats":
		return "admin:123456", nil
	}
	return "", errors.New("no such file")
}

// TestParseMap reads fleet files, good ones and others, and compares what they
// say with the golden files.
func TestParseMap(t *testing.T) {
	files, err := filepath.Glob("testdata/map/*.txtar")
	check(t, err)
	if len(files) == 0 {
		t.Fatal("no cases")
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		check(t, err)
		a := txtar.Parse(data)
		m, err := ParseMap(a.Files[0].Data, testSecrets)
		got := ""
		if err != nil {
			got = err.Error() + "\n"
		} else {
			got = describe(m)
		}
		if *update {
			a.Files = append(a.Files[:1], txtar.File{Name: "want", Data: []byte(got)})
			check(t, os.WriteFile(name, txtar.Format(a), 0o644))
			continue
		}
		if diff := cmp.Diff(string(a.Files[1].Data), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// describe writes a map down. Secrets are not in it.
func describe(m *Map) string {
	var b strings.Builder
	for _, p := range m.Targets {
		p.StatsUser = strings.Repeat("*", len(p.StatsUser))
		fmt.Fprintf(&b, "place %s at %s: document %s, by %s, file %s, stats %q %s, values %v\n",
			p.Host, p.Docker, p.Document, p.Selector(), p.File, p.Stats, p.StatsUser, p.Values)
	}
	for name := range m.Templates {
		fmt.Fprintf(&b, "template %s\n", name)
	}
	for _, r := range m.Readers {
		fmt.Fprintf(&b, "reader %s: token %v, certificate %q, documents %q\n", r.Name, r.Token != nil, r.Certificate, r.Documents)
	}
	return b.String()
}

// TestReadMap reads a file and the secrets beside it.
func TestReadMap(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "fleet.yml")
	check(t, os.WriteFile(file, []byte("hosts: []\nreaders: [{name: edge, token-file: t, documents: ['*']}]\n"), 0o600))
	if _, err := ReadMap(file); err == nil || !strings.Contains(err.Error(), "fleet.yml: line 2:") {
		t.Errorf("without the token: %v", err)
	}
	check(t, os.WriteFile(filepath.Join(dir, "t"), []byte("0123456789abcdef\n"), 0o600))
	m, err := ReadMap(file)
	check(t, err)
	if len(m.Readers) != 1 || m.Readers[0].Token == nil {
		t.Errorf("readers %+v", m.Readers)
	}
	if _, err := ReadMap(filepath.Join(dir, "nothing")); err == nil {
		t.Error("no error without a file")
	}
}

// FuzzParseMap reads what nobody would write: never a panic, and what is taken
// holds to the rules.
func FuzzParseMap(f *testing.F) {
	files, _ := filepath.Glob("testdata/map/*.txtar")
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(txtar.Parse(data).Files[0].Data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMap(data, testSecrets)
		if err != nil {
			return
		}
		seen := map[targetKey]bool{}
		for _, p := range m.Targets {
			key := targetKey{p.Host, p.Document}
			if seen[key] || !IsDocument(p.Document) || !strings.HasPrefix(p.File, "/") || (p.Container == "") == (p.Label == "") {
				t.Errorf("place %+v", p)
			}
			seen[key] = true
			for _, v := range p.Values {
				if strings.ContainsAny(v, "\n\r\x00") {
					t.Errorf("value %q", v)
				}
			}
		}
	})
}

// TestRender fills templates in.
func TestRender(t *testing.T) {
	p := driver.Target{Host: "edge1", Document: "web", Values: map[string]string{"address": "10.0.0.1", "weight": "5"}}
	for template, want := range map[string]string{
		"bind {{address}}:80\n":                      "bind 10.0.0.1:80\n",
		"{{ host }} {{weight}}{{weight}}":            "edge1 55",
		"a\r\n{{\thost }}\r\n  # %{+Q}o { path /a }": "a\r\nedge1\r\n  # %{+Q}o { path /a }",
		"\x00\xff{ { }}":                             "\x00\xff{ { }}",
		"":                                           "",
		"a\n{{port}}\n":                              "error: web: line 2: host edge1 has no value \"port\" (it has address, host, weight)",
		"{{host}":                                    "error: web: line 1: {{ without a name and }}",
		"{{ 1a }}":                                   "error: web: line 1: {{ without a name and }}",
	} {
		got, err := Render([]byte(template), p)
		if err != nil {
			got = []byte("error: " + err.Error())
		}
		if string(got) != want {
			t.Errorf("%q: %q, want %q", template, got, want)
		}
	}
}

// FuzzRender changes nothing but {{names}}: what is around them stays, byte by
// byte.
func FuzzRender(f *testing.F) {
	f.Add([]byte("bind {{host}}:80"), "x")
	f.Add([]byte("{{{host}}}\n"), "{{host}}")
	f.Fuzz(func(t *testing.T, template []byte, value string) {
		got, err := Render(template, driver.Target{Host: "h", Values: map[string]string{"v": value}})
		if err != nil {
			return
		}
		if !strings.Contains(string(template), "{{") && string(got) != string(template) {
			t.Errorf("%q became %q", template, got)
		}
		want := placeholder.ReplaceAllStringFunc(string(template), func(m string) string {
			if strings.Trim(m, "{} \t") == "v" {
				return value
			}
			return "h"
		})
		if string(got) != want {
			t.Errorf("%q became %q, want %q", template, got, want)
		}
	})
}
