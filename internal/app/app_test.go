package app

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(fewFiles); dir != "" {
		if err := serveWithFewFiles(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// program is a whole Fairway in this process, on free ports, with a services
// file as its source.
type program struct {
	app   *App
	file  string
	state string
	stop  func()
}

// startProgram runs Fairway on the services file and the state directory until
// the test ends or stop is called. change may change its configuration.
func startProgram(t *testing.T, file, state string, change ...func(*Config)) *program {
	t.Helper()
	cfg := Defaults()
	cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = "127.0.0.1:0", Off, "127.0.0.1:0"
	cfg.File, cfg.StateDir = []string{file}, state
	cfg.DrainTimeout = time.Second
	withTestEngine(t, &cfg)
	for _, c := range change {
		c(&cfg)
	}
	a, err := New(cfg, Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	p := &program{app: a, file: file, state: state}
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	}
	t.Cleanup(p.stop)
	return p
}

// writeServices replaces the services file as an editor does.
func writeServices(t *testing.T, file, text string) {
	t.Helper()
	tmp := file + ".new"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, file); err != nil {
		t.Fatal(err)
	}
}

// get asks Fairway for a path on a host; it returns status 0 when the request
// fails.
func (p *program) get(host, path string) (status int, body string) {
	req, err := http.NewRequest(http.MethodGet, "http://"+p.app.Addr("http").String()+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	req.Host = host
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(data)
}

func (p *program) client(t *testing.T) *api.Client {
	t.Helper()
	c, err := api.NewClient(api.ClientOptions{URL: "http://" + p.app.Addr("admin.listen").String()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// backend answers with its name.
func backend(t *testing.T, name string) (address string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", name, r.Host, r.URL.Path)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func TestChangesOfTheFileReachTraffic(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	one, two := backend(t, "one"), backend(t, "two")
	writeServices(t, file, fmt.Sprintf(`services:
  - name: shop
    labels: {fairway.host: shop.example.com, fairway.path: /demo}
    instances: [{address: %q}]
`, one))
	p := startProgram(t, file, filepath.Join(dir, "state"))
	testkit.Eventually(t, "the service is served", func() bool {
		status, body := p.get("shop.example.com", "/demo/x")
		return status == 200 && body == "one shop.example.com /demo/x"
	})
	if status, body := p.get("shop.example.com", "/demonstration"); status != 404 {
		t.Errorf("a path beside the prefix: %d %s", status, body)
	}
	if status, body := p.get("other.example.com", "/demo"); status != 404 {
		t.Errorf("an unknown host: %d %s", status, body)
	}

	writeServices(t, file, fmt.Sprintf(`services:
  - name: shop
    labels: {fairway.host: shop.example.com, fairway.path: /demo}
    instances: [{address: %q}]
  - name: blog
    labels: {fairway.host: blog.example.com}
    instances: [{address: %q}]
`, two, one))
	testkit.Eventually(t, "the change is served", func() bool {
		_, shop := p.get("shop.example.com", "/demo")
		_, blog := p.get("blog.example.com", "/")
		return shop == "two shop.example.com /demo" && blog == "one blog.example.com /"
	})
}

func TestABrokenFileFreezesItsRoutesAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	writeServices(t, file, fmt.Sprintf("services:\n  - name: shop\n    labels: {fairway.host: shop.example.com}\n    instances: [{address: %q}]\n", backend(t, "one")))
	p := startProgram(t, file, filepath.Join(dir, "state"))
	testkit.Eventually(t, "the service is served", func() bool { s, _ := p.get("shop.example.com", "/"); return s == 200 })

	writeServices(t, file, "services: [")
	client := p.client(t)
	testkit.Eventually(t, "the source is stale", func() bool {
		l, err := client.Sources(t.Context())
		return err == nil && len(l.Items) == 1 && l.Items[0].State == api.SourceStale && strings.Contains(l.Items[0].Error, "services.yml")
	})
	if status, body := p.get("shop.example.com", "/"); status != 200 {
		t.Errorf("the frozen route: %d %s", status, body)
	}
}

func TestRestartServesTheLastGoodTableWithoutItsSource(t *testing.T) {
	dir := t.TempDir()
	file, state := filepath.Join(dir, "services.yml"), filepath.Join(dir, "state")
	writeServices(t, file, fmt.Sprintf("services:\n  - name: shop\n    labels: {fairway.host: shop.example.com}\n    instances: [{address: %q}]\n", backend(t, "one")))
	first := startProgram(t, file, state)
	testkit.Eventually(t, "the service is served", func() bool { s, _ := first.get("shop.example.com", "/"); return s == 200 })
	first.remembers(t, "shop.example.com")
	first.stop()

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	second := startProgram(t, file, state)
	// No waiting: the table of the last run is there before anything else.
	if status, body := second.get("shop.example.com", "/"); status != 200 {
		t.Fatalf("right after the restart: %d %s", status, body)
	}
	testkit.Eventually(t, "the state is restored", func() bool {
		ready, err := second.client(t).Ready(t.Context())
		return err == nil && ready.State == api.StateRestored
	})
}

func TestAPortThatIsTakenIsAnErrorOfNew(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := Defaults()
	cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = l.Addr().String(), Off, Off
	cfg.File, cfg.StateDir = []string{"none.yml"}, t.TempDir()
	if _, err := New(cfg, Options{}); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Fatalf("New = %v; want an error that names %s", err, l.Addr())
	}
}

func TestBeforeAnySourceAnsweredNothingIsSaidToBeMissing(t *testing.T) {
	dir := t.TempDir()
	p := startProgram(t, filepath.Join(dir, "missing.yml"), filepath.Join(dir, "state"))
	if status, body := p.get("shop.example.com", "/"); status != 503 {
		t.Errorf("before the first answer: %d %s; want 503", status, body)
	}
	ready, err := p.client(t).Ready(t.Context())
	if err == nil && ready.Ready() {
		t.Errorf("ready = %+v before anything is served", ready)
	}
	writeServices(t, p.file, "services: []\n")
	testkit.Eventually(t, "the answer that there is nothing is believed", func() bool {
		status, _ := p.get("shop.example.com", "/")
		return status == 404
	})
}

func TestSourceNamesDependOnTheURLAlone(t *testing.T) {
	for raw, want := range map[string]string{
		"unix:///var/run/docker.sock": "docker",
		"unix:///run/docker.sock":     "docker",
		"unix:///tmp/other.sock":      "docker:/tmp/other.sock",
		"tcp://10.0.0.1:2376":         "docker:10.0.0.1:2376",
		"ssh://root@build.example":    "docker:build.example",
	} {
		if got := dockerSourceName(raw); got != want {
			t.Errorf("%s is called %q, want %q", raw, got, want)
		}
	}
	cfg := Defaults()
	cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = "127.0.0.1:0", Off, Off
	cfg.File, cfg.StateDir = []string{"a/s.yml", "b/s.yml"}, t.TempDir()
	if _, err := New(cfg, Options{}); err == nil || !strings.Contains(err.Error(), "file:s.yml") {
		t.Errorf("two sources of one name: %v", err)
	}
}

// A state directory that others may look into keeps its mode, and the log says so.
func TestAnOpenStateDirectoryIsSaid(t *testing.T) {
	for mode, want := range map[os.FileMode]bool{0o755: true, 0o700: false} {
		dir := t.TempDir()
		file, state := filepath.Join(dir, "services.yml"), filepath.Join(dir, "state")
		writeServices(t, file, "services: []\n")
		if err := os.Mkdir(state, mode); err != nil {
			t.Fatal(err)
		}
		cfg := Defaults()
		cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = "127.0.0.1:0", Off, Off
		cfg.File, cfg.StateDir = []string{file}, state
		var log strings.Builder
		a, err := New(cfg, Options{Version: "test", Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.lifecycle.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(log.String(), "chmod 700 "+state); got != want {
			t.Errorf("mode %o: the log is %s", mode, log.String())
		}
		if info, err := os.Stat(state); err != nil || info.Mode().Perm() != mode {
			t.Errorf("the mode is %v now: %v", info.Mode(), err)
		}
	}
}
