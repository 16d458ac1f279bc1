package main

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// What is wrong with a command line is told before any engine is asked.
func TestServiceUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"service"}, `expected one of "create", "scale", "update", "rollback", "rm"`},
		{[]string{"service", "create", "web"}, `expected "<image>"`},
		{[]string{"service", "create", "web", "web:1", "--publish", "mode=host", "--label", "x"}, `label "x": write KEY=VALUE`},
		{[]string{"service", "create", "web", "web:1", "--timeout", "0s"}, "--timeout must be above 0"},
		{[]string{"service", "scale", "web"}, `"web": write NAME=N`},
		{[]string{"service", "scale", "web=-1"}, `"web=-1": write NAME=N`},
		{[]string{"service", "update", "web"}, "nothing to change; --force replaces the tasks as they are"},
		{[]string{"service", "update", "web", "--env-add", "geheim"}, "environment variable number 1: write KEY=VALUE"},
		{[]string{"service", "rm"}, `expected "<name> ..."`},
		{[]string{"service", "rm", "web", "--swarm", "http://a"}, `swarm "http://a": write unix:///PATH`},
		{[]string{"stats", "--stream", "--every", "1ms"}, "--every 1ms: at least 100ms"},
	} {
		code, stdout, stderr := runAt(t, []string{"DOCKER_HOST=unix:///nowhere/docker.sock"}, tt.args...)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, tt.want) || strings.Contains(stderr, "geheim") {
			t.Errorf("%q: code %d, stdout %q, stderr %q, want %q", tt.args, code, stdout, stderr, tt.want)
		}
	}
}

// TestEngineFlagsOfEveryCommand: each command that has the flags hears them, and asks
// the engine that they name, not that of the configuration.
func TestEngineFlagsOfEveryCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("fairway.yml", []byte("swarm: ['unix:///configured/docker.sock']\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := newParser(&grammar{}, newCLI(io.Discard, io.Discard, nil))
	if err != nil {
		t.Fatal(err)
	}
	arguments := map[string][]string{
		"service create": {"web", "web:1"}, "service scale": {"web=1"}, "service update": {"web", "--force"},
		"service rollback": {"web"}, "service rm": {"web"}, "stats": {},
	}
	found := 0
	for _, leaf := range p.Model.Leaves(false) {
		name := strings.TrimPrefix(leaf.Path(), "fairway ")
		has := func(flag string) bool {
			return slices.ContainsFunc(leaf.Flags, func(f *kong.Flag) bool { return f.Name == flag })
		}
		if !has("docker") || !has("swarm") || !has("docker-insecure") || name == "run" || name == "config" {
			continue
		}
		found++
		args, known := arguments[name]
		if !known {
			t.Errorf("%s has engine flags: say here how it is called", name)
			continue
		}
		args = append(append(strings.Fields(name), args...), "--swarm", "unix:///asked/docker.sock")
		_, stdout, stderr := runAt(t, nil, args...)
		if said := stdout + stderr; !strings.Contains(said, "unix:///asked/docker.sock: ") || strings.Contains(said, "configured") {
			t.Errorf("%s: %s", name, said)
		}
	}
	if found != len(arguments) {
		t.Errorf("%d commands have engine flags, not %d", found, len(arguments))
	}
}

// An engine that does not answer is an error of a change, and a line of a report.
func TestEnginesThatDoNotAnswer(t *testing.T) {
	t.Chdir(t.TempDir())
	environ := []string{"DOCKER_HOST=unix:///nowhere/docker.sock"}
	code, stdout, stderr := runAt(t, environ, "service", "create", "web", "web:1", "--swarm")
	if code != exitFailed || stdout != "" || !strings.HasPrefix(stderr, "fairway: no manager: unix:///nowhere/docker.sock: ") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	code, stdout, stderr = runAt(t, environ, "stats")
	if code != exitNo || !strings.HasPrefix(stdout, "not read: unix:///nowhere/docker.sock: ") || stderr != "No containers run.\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	code, stdout, stderr = runAt(t, environ, "stats", "-o", "csv")
	if code != exitNo || !strings.HasPrefix(stdout, "SERVICE / CONTAINER,ENGINE,") || !strings.Contains(stderr, "\nnot read: unix:///nowhere/docker.sock: ") {
		t.Errorf("as CSV: code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}
