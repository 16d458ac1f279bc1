package compose

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

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
		got, err := interpolate(tt.in, Variables{Values: env})
		if err != nil || got.text != tt.want || strings.Join(got.missing, " ") != tt.missing || got.loose {
			t.Errorf("%q: %+v, %v; want %q, missing %q", tt.in, got, err, tt.want, tt.missing)
		}
	}
	for in, want := range map[string]string{
		"${B:?no B here}": "variable B is not set: no B here",
		"${B?}":           "variable B is not set",
		"${EMPTY:?e}":     "variable EMPTY is not set",
		"${A":             "${ without }",
		"${}":             "a name is expected",
		"${A!x}":          "is expected after the name",
		"${A:}":           "is expected after the name",
		strings.Repeat("${X:-", 20) + strings.Repeat("}", 20): "too deep",
	} {
		if _, err := interpolate(in, Variables{Values: env}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", in, err, want)
		}
	}
}

// A dollar sign that begins no variable stays, as in Compose; a stack may have none.
func TestLooseDollar(t *testing.T) {
	for _, text := range []string{"$", "$1", "^/x$", "Path(`^/a$`)", "${B:-$}", "$ {A}"} {
		want := strings.Replace(text, "${B:-$}", "$", 1)
		if got, err := interpolate(text, Variables{}); err != nil || got.text != want || !got.loose {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	p := project(t, "services: {web: {labels: {fairway.rule: 'PathRegexp(`^/x$`)'}}}")
	if len(p.Problems) != 1 || !p.Problems[0].OnlyStack || p.Services[0].Labels["fairway.rule"] != "PathRegexp(`^/x$`)" {
		t.Errorf("problems %+v, labels %v", p.Problems, p.Services[0].Labels)
	}
}

func project(t *testing.T, text string) *Project {
	t.Helper()
	p := &Project{Name: "shop"}
	p.Add("compose.yml", root(t, text), Variables{})
	return p
}

func root(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	return n.Content[0]
}

// A later file overrides an earlier one label by label, and what it does not name
// stays.
func TestLaterFilesOverride(t *testing.T) {
	p := project(t, `
services:
  web:
    labels: {fairway.host: a, fairway.path: /x, other: z}
    expose: [80]
    networks: [front]
    deploy: {replicas: 2}
networks: {front: {external: true}, back: {name: rear}}
`)
	p.Add("override.yml", root(t, `
services:
  web:
    container_name: one
    labels: [fairway.host=b]
    ports: ["8080:80", {target: 9000, protocol: udp}]
`), Variables{})
	s := p.Service("web")
	got := fmt.Sprint(s.Labels, s.Lines["fairway.host"], s.Lines["fairway.path"], s.At, s.Networks, s.Ports, *s.Replicas, s.Container, len(p.Services))
	const want = "map[fairway.host:b fairway.path:/x] {override.yml 5} {compose.yml 4} {override.yml 3} [{front true}] [{80 tcp 192.0.2.1:80 } {9000 udp  }] 2one1"
	if got != want {
		t.Errorf("%s, want\n%s", got, want)
	}
}

func TestIsStack(t *testing.T) {
	for text, want := range map[string]bool{
		"services: {a: {labels: {fairway.host: x}}}": false, "services: {a: {deploy: {labels: {x: y}}}}": false,
		"services: {a: {deploy: {labels: {fairway.host: x}}}}": true, "services: {a: {deploy: {labels: [com.df.notify=true]}}}": true,
	} {
		if IsStack(root(t, text)) != want {
			t.Errorf("%s: %t", text, !want)
		}
	}
}

// Compose reads .env with quotes, comments and variables; the environment comes first.
func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "compose.yml")
	if env, err := Environment(file, []string{"A=1"}); err != nil || len(env) != 1 {
		t.Errorf("%v, %v", env, err)
	}
	write("# all\nA=file\nexport B=two # comment\nC='x # y'\nD=\"a\\nb\"\nE=${B}-${A}\n")
	env, err := Environment(file, []string{"A=1"})
	if got := fmt.Sprintf("%q", env); err != nil || got != `map["A":"1" "B":"two" "C":"x # y" "D":"a\nb" "E":"two-1"]` {
		t.Errorf("%s, %v", got, err)
	}
	write(`A="open`)
	if env, err := Environment(file, []string{"B=1"}); err == nil || !strings.Contains(err.Error(), ".env: line 1") || env["B"] != "1" {
		t.Errorf("%v, %v", env, err)
	}
}

// Compose's order: the environment, the file, the directory.
func TestProjectName(t *testing.T) {
	named, plain := root(t, "name: file"), root(t, "services: {}")
	vars := Variables{Values: map[string]string{"COMPOSE_PROJECT_NAME": "env"}}
	for _, tt := range []struct {
		path string
		root *yaml.Node
		vars Variables
		want string
	}{
		{"/x/My Shop/c.yml", named, vars, "env"},
		{"/x/My Shop/c.yml", named, Variables{}, "file"},
		{"/x/My Shop/c.yml", plain, Variables{}, "myshop"},
		{"/x/--/c.yml", plain, Variables{}, "default"},
	} {
		if got := ProjectName(tt.path, tt.root, tt.vars); got != tt.want {
			t.Errorf("%s is %s, want %s", tt.path, got, tt.want)
		}
	}
}

func TestParsePorts(t *testing.T) {
	for in, want := range map[string]string{
		"80":                      "[{80 tcp  }]",
		"8080:80":                 "[{80 tcp  }]",
		"127.0.0.1:8080:80/udp":   "[{80 udp  }]",
		"[::1]:8080:80":           "[{80 tcp  }]",
		"3000-3002":               "[{3000 tcp  } {3001 tcp  } {3002 tcp  }]",
		"9000-9001:3000-3001/tcp": "[{3000 tcp  } {3001 tcp  }]",
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
