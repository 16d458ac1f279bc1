package app

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// fewFiles makes the test's own program a Fairway that may have 400 files, with the
// services file and the state in this directory; see
// TestIdleClientsTakeNotAllFiles.
const fewFiles = "FAIRWAY_TEST_FEW_FILES"

// fewFilesAre is what the program says of itself.
type fewFilesAre struct{ HTTP, Admin string }

// serveWithFewFiles is the program: it serves for as long as its input is open.
func serveWithFewFiles(dir string) error {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 400, Max: 400}); err != nil {
		return err
	}
	cfg := Defaults()
	cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = "127.0.0.1:0", Off, "127.0.0.1:0"
	cfg.File, cfg.StateDir = []string{filepath.Join(dir, "services.yml")}, filepath.Join(dir, "state")
	cfg.MaxConnectionsPerClient = 10_000 // here all come from one address
	a, err := New(cfg, Options{Version: "test"})
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(fewFilesAre{a.Addr("http").String(), a.Addr("admin.listen").String()}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return a.Run(ctx)
}

// TestIdleClientsTakeNotAllFiles: 420 clients that keep their connections idle, where
// the process may have 400 files, keep nobody from being served, and neither the
// admin API nor the files of the state.
func TestIdleClientsTakeNotAllFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	web := backend(t, "web")
	service := func(name string) string {
		return fmt.Sprintf("services:\n  - name: %s\n    labels: {fairway.host: %s.example}\n    instances: [{address: %s}]\n", name, name, web)
	}
	writeServices(t, file, service("web"))
	program := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	program.Env = append(os.Environ(), fewFiles+"="+dir)
	program.Stderr = os.Stderr
	in, err := program.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := program.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := program.Wait(); err != nil {
			t.Errorf("the program: %v", err)
		}
	})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	var at fewFilesAre
	if err != nil || json.Unmarshal([]byte(line), &at) != nil {
		t.Fatalf("the program said %q (%v)", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()

	client := &http.Client{Timeout: testkit.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(addr, host, path string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			return err.Error()
		}
		req.Host = host
		res, err := client.Do(req)
		if err != nil {
			return err.Error()
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		return fmt.Sprintf("%d %s", res.StatusCode, body)
	}
	serves := func(name string) {
		t.Helper()
		testkit.Eventually(t, name+" is served", func() string {
			if got := get(at.HTTP, name+".example", "/"); got != "200 web "+name+".example /" {
				return got
			}
			return ""
		})
	}
	serves("web")
	for i := range 420 {
		c, err := net.Dial("tcp", at.HTTP)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(testkit.Patience))
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.example\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("client %d: %v", i, err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
	for range 20 {
		if got := get(at.HTTP, "web.example", "/"); got != "200 web web.example /" {
			t.Errorf("an honest client got %s", got)
		}
	}
	for _, path := range []string{"/healthz", "/v1/info", "/v1/services", "/metrics"} {
		if got := get(at.Admin, at.Admin, path); !strings.HasPrefix(got, "200 ") {
			t.Errorf("%s: %.200s", path, got)
		} else if path == "/metrics" && !strings.Contains(got, `fairway_evicted_connections_total{reason="connection-limit"}`) {
			t.Error("the metrics do not tell that connections were closed")
		}
	}
	// The services file is read, and the state written.
	writeServices(t, file, service("next"))
	serves("next")
	testkit.Eventually(t, "the state is written", func() string {
		data, err := os.ReadFile(filepath.Join(dir, "state", "last-good.json"))
		if err != nil || !strings.Contains(string(data), "next.example") {
			return fmt.Sprintf("%.200s %v", data, err)
		}
		return ""
	})
}
