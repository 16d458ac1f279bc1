package main

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The exit codes of `haproxy update` are those of the scripts in whose place it
// stands: what is wrong must never look like "nothing new".
func TestHAProxyExitCodes(t *testing.T) {
	for _, args := range [][]string{{"haproxy", "update", "--nonsense"}, {"haproxy", "update", "extra"}, {"-o", "json", "haproxy", "apply", "--nonsense"}, {"haproxy", "update"}, {"haproxy", "update", "-o", "csv"}, {"healthcheck", "--nonsense"}, {"healthcheck", "-o", "csv"}, {"healthcheck", "--admin", "nonsense"}} {
		if code, _, stderr := runAt(t, nil, args...); code != exitNo || stderr == "" {
			t.Errorf("%v: code %d: %s", args, code, stderr)
		}
	}
	if code, _, _ := runAt(t, nil, "explain", "GET", "haproxy", "--nonsense"); code != exitUsage {
		t.Errorf("another command: code %d", code)
	}
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("no haproxy on this machine")
	}
	centre := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/127.0.0.1") || r.Header.Get("Authorization") != "" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"))
	}))
	defer centre.Close()
	dir := t.TempDir()
	environ := []string{"VIP=127.0.0.1", "CFG_GET_URL=" + centre.URL + "/", "STORAGE_DIR=" + filepath.Join(dir, "etc"), "RUN_DIR=" + filepath.Join(dir, "run")}
	for _, want := range []int{exitOK, 2, 2} {
		if code, stdout, stderr := runAt(t, environ, "haproxy", "update"); code != want {
			t.Errorf("code %d, want %d: %s%s", code, want, stdout, stderr)
		}
	}
	if code, stdout, _ := runAt(t, environ, "haproxy", "update", "--name", "other", "--fetch-retries", "0"); code != exitNo || !strings.Contains(stdout, "no configuration of this name") {
		t.Errorf("no such name: code %d: %s", code, stdout)
	}
	if code, stdout, _ := runAt(t, environ, "haproxy", "status", "-o", "json"); code != exitNo || !strings.Contains(stdout, `"worker": 0`) {
		t.Errorf("nothing runs: code %d: %s", code, stdout)
	}
	if code, _, stderr := runAt(t, environ, "haproxy", "update", "--backups=-1"); code != exitNo || !strings.Contains(stderr, "number of backups") {
		t.Errorf("a bad number: code %d: %s", code, stderr)
	}
}
