package deploy

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"fairway/internal/app"
	"fairway/internal/check"
)

// maxLines is how long a file to start from may be.
const maxLines = 25

// stack is what the tests look at in a Compose or stack file.
type stack struct {
	Services map[string]struct {
		Image       string
		Command     []string
		Environment map[string]string
		Networks    []string
		Volumes     []string
		Ports       []any
		Deploy      struct {
			EndpointMode string `yaml:"endpoint_mode"`
		}
	}
	Networks, Volumes map[string]any
}

// TestStacks holds each file to what it promises: it is short and it parses, no
// label in it is refused, what it tells Fairway is a configuration that holds, and
// what it names is there.
func TestStacks(t *testing.T) {
	paths, err := filepath.Glob("*.yml")
	if err != nil || len(paths) < 5 {
		t.Fatal("files are missing: ", paths, err)
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := bytes.Count(data, []byte("\n")); n > maxLines {
				t.Errorf("%d lines, more than %d", n, maxLines)
			}
			checked, err := check.Files([]string{path}, nil, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range checked.Problems {
				t.Errorf("%s: %s: %s", p.Position(), p.Subject(), p.Text)
			}
			var s stack
			if err := yaml.Unmarshal(data, &s); err != nil {
				t.Fatal(err)
			}
			for name, service := range s.Services {
				for _, network := range service.Networks {
					if _, ok := s.Networks[network]; !ok && network != "default" {
						t.Errorf("%s: network %s is not declared", name, network)
					}
				}
				for _, v := range service.Volumes {
					source, _, _ := strings.Cut(v, ":")
					if _, ok := s.Volumes[source]; !ok && !strings.HasPrefix(source, "/") {
						t.Errorf("%s: volume %s is not declared", name, source)
					}
					if source == "/var/run/docker.sock" && !strings.HasSuffix(v, ":ro") {
						t.Errorf("%s: the socket is mounted writable", name)
					}
				}
				if service.Image == "fairway" || service.Image == "fairway-haproxy" {
					holds(t, name, service.Command, service.Environment)
				}
				if service.Deploy.EndpointMode == "" && bytes.Contains(data, []byte("deploy:")) {
					t.Errorf("%s: no endpoint_mode", name)
				}
			}
		})
	}
}

// holds loads the configuration that a service's command and environment make.
func holds(t *testing.T, name string, command []string, environment map[string]string) {
	t.Helper()
	if len(command) > 0 && command[0] != "run" {
		return // The demo's service.
	}
	bare := map[string]bool{}
	var keys, environ []string
	for _, f := range app.Fields(new(app.Config)) {
		keys = append(keys, f.Name)
		_, isSwitch := f.Pointer.(*bool)
		bare[f.Name] = isSwitch
	}
	flags := map[string][]string{}
	for i := 1; i < len(command); i++ {
		key, ok := strings.CutPrefix(command[i], "--")
		if !ok || !slices.Contains(keys, key) {
			t.Errorf("%s: %q is no flag", name, command[i])
			continue
		}
		value := "true"
		if !bare[key] {
			i++
			value = command[i]
		}
		flags[key] = append(flags[key], value)
	}
	for key, value := range environment {
		environ = append(environ, key+"="+value)
	}
	loaded, err := app.Load(app.LoadOptions{Environ: environ, Flags: flags})
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if len(loaded.Ignored) > 0 {
		t.Errorf("%s: these variables mean nothing: %v", name, loaded.Ignored)
	}
}

// TestImage holds the Dockerfile to its promises.
func TestImage(t *testing.T) {
	data, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"FROM scratch", "USER 65532:65532", `ENTRYPOINT ["/fairway"]`, `CMD ["run"]`,
		`HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["/fairway", "healthcheck"]`,
	} {
		if !slices.Contains(strings.Split(string(data), "\n"), line) {
			t.Errorf("the Dockerfile has no line %q", line)
		}
	}
	with, err := os.ReadFile("../Dockerfile.haproxy")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"USER 65532:65532", "ENV FAIRWAY_STATE_DIR=/var/lib/fairway FAIRWAY_ENGINE=haproxy", `ENTRYPOINT ["fairway"]`, `CMD ["run"]`,
		`HEALTHCHECK --interval=5s --timeout=3s --start-period=10s CMD ["fairway", "healthcheck"]`,
	} {
		if !slices.Contains(strings.Split(string(with), "\n"), line) {
			t.Errorf("Dockerfile.haproxy has no line %q", line)
		}
	}
	ignored, err := os.ReadFile("../.dockerignore")
	if err != nil || !strings.HasPrefix(string(ignored), "*\n") {
		t.Errorf(".dockerignore lets everything in: %v", err)
	}
}
