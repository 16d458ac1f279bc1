package main

import (
	"strings"
	"testing"
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
}

// Bytes are written as docker stats writes memory.
func TestBytesText(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0B", 1023: "1023B", 1024: "1.0KiB", 1536: "1.5KiB", 1<<20 - 1: "1.0MiB", 1 << 30: "1.0GiB", 1<<64 - 1: "16.0EiB",
	} {
		if got := bytesText(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
