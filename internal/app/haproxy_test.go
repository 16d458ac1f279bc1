package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/api"
	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/testkit"
)

// needHAProxy skips the test without an HAProxy that can be used.
func needHAProxy(t *testing.T) {
	t.Helper()
	if program, err := binary.Find(t.Context(), ""); err != nil || !program.Version.Supported() {
		t.Skipf("no haproxy that can be used: %v", err)
	}
}

// shortDir is a directory whose name is short enough for sockets in it.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fairway")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// withTestEngine makes the programs of other tests run with HAProxy, too:
// FAIRWAY_TEST_ENGINE=haproxy go test ./internal/app.
func withTestEngine(t *testing.T, cfg *Config) {
	t.Helper()
	if os.Getenv("FAIRWAY_TEST_ENGINE") != EngineHAProxy {
		return
	}
	needHAProxy(t)
	cfg.Engine = EngineHAProxy
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	short := filepath.Join(shortDir(t), "s") // by another, shorter name
	if err := os.Symlink(cfg.StateDir, short); err != nil {
		t.Fatal(err)
	}
	cfg.StateDir = short
}

// lockedBuffer may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// startEngine runs a Fairway with an engine on a services file. outlive is that of
// Options.
func startEngine(t *testing.T, engine, dir, services string, log *lockedBuffer, outlive func() bool, environ ...string) *program {
	t.Helper()
	file := filepath.Join(dir, "services.yml")
	writeServices(t, file, services)
	cfg := Defaults()
	cfg.Engine, cfg.AccessLog, cfg.LabelFiles = engine, "-", []string{dir}
	cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = "127.0.0.1:0", Off, "127.0.0.1:0"
	cfg.DockerFlow.Proxy.Listen = "127.0.0.1:0"
	cfg.File, cfg.StateDir = []string{file}, filepath.Join(dir, "state")
	cfg.DrainTimeout = time.Second
	cfg.Complete(nil)
	cfg.ListenTLS = Off
	a, err := New(cfg, Options{Version: "test", Stdout: log, Outlive: outlive, Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	p := &program{app: a, file: file, state: cfg.StateDir}
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

// told is what a program tells of one series of requests: the names of its metrics,
// the values of those about traffic, the keys of each line of its access log, and
// its endpoints.
type told struct {
	Names     []string
	Traffic   map[string]string
	Lines     []string
	Endpoints []string
}

// tell makes requests of an engine and returns what is told of them.
func tell(t *testing.T, engine string) told {
	t.Helper()
	var log lockedBuffer
	p := startEngine(t, engine, shortDir(t), fmt.Sprintf(`services:
  - name: shop
    labels: {fairway.host: shop.example, fairway.path: /demo}
    instances: [{address: %q}]
  - name: gone
    labels: {fairway.host: gone.example}
`, backend(t, "one")), &log, nil)
	testkit.Eventually(t, "the service is served", func() bool { s, _ := p.get("shop.example", "/demo"); return s == 200 })
	p.get("shop.example", "/demo/x?secret=1")
	p.get("gone.example", "/")
	p.get("shop.example", "/elsewhere")
	p.get("unknown.example", "/")
	p.get("bad_host_name..", "/")
	out := told{Traffic: map[string]string{}}
	metrics := func() string {
		res, err := http.Get("http://" + p.app.Addr("admin.listen").String() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b bytes.Buffer
		if _, err := b.ReadFrom(res.Body); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	testkit.Eventually(t, "all is counted, and the table is known to be live", func() bool {
		text := metrics()
		return strings.Contains(text, `fairway_guard_refusals_total{reason="bad-host"} 1`) && strings.Contains(text, "fairway_apply_duration_seconds_count{")
	})
	for line := range strings.Lines(metrics()) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "# HELP fairway_"); ok && !strings.HasPrefix(name, "haproxy_") {
			out.Names = append(out.Names, name)
		}
		if name, value, _ := strings.Cut(line, " "); strings.HasPrefix(name, "fairway_requests_total{") || strings.HasPrefix(name, "fairway_request_duration_seconds_count{") {
			out.Traffic[name] = value
		}
	}
	// How often was asked before the service was there is chance.
	delete(out.Traffic, `fairway_requests_total{code="5xx",route=""}`)
	delete(out.Traffic, `fairway_request_duration_seconds_count{route=""}`)
	// What HAProxy reports is read at most once a second: the reading may be of a request.
	testkit.Eventually(t, "no request is in flight", func() bool {
		routes, err := p.client(t).Routes(t.Context(), api.Query{Live: true})
		if err != nil {
			t.Fatal(err)
		}
		out.Endpoints = nil
		busy := 0
		for _, r := range routes.Items {
			for _, e := range r.Endpoints {
				busy += e.Live.InFlight
				out.Endpoints = append(out.Endpoints, fmt.Sprintf("%s %s %+v", r.ID, e.State, *e.Live))
			}
		}
		return busy == 0
	})
	p.stop()
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if strings.Contains(line, "secret") {
			t.Errorf("the query is in the log: %s", line)
		}
		text := fmt.Sprintf("%v %v %v %v %v %v %v", fields["method"], fields["host"], fields["path"], fields["status"], fields["route"], fields["attempts"], fields["client"])
		text += " " + strings.Join(slices.Sorted(maps.Keys(fields)), ",")
		if fields["status"] == 400.0 {
			text = "400" // of what was refused HAProxy tells no host, and an ID
		}
		if !slices.Contains(out.Lines, text) && fields["status"] != 503.0 {
			out.Lines = append(out.Lines, text)
		}
	}
	slices.Sort(out.Lines) // which of two answers is over first is chance
	return out
}

// TestEnginesTellAlike: metrics and access log of the same requests are the same,
// whichever engine has served them.
func TestEnginesTellAlike(t *testing.T) {
	needHAProxy(t)
	want, got := tell(t, EngineEmbedded), tell(t, EngineHAProxy)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-embedded +haproxy:\n%s", diff)
	}
}

// Cases 13 and 74 on HAProxy: the configuration and the statistics are its own, by
// the names of the table.
func TestFaceShowsHAProxy(t *testing.T) {
	needHAProxy(t)
	dir := shortDir(t)
	users := filepath.Join(dir, "users")
	if err := os.WriteFile(users, []byte("ann:{SHA}nU4eI71bcnBGqeO0t9tXvY1u5oQ=\nbob:$6$fairwaysalt$eaDQV3Xc/onT9k3gVcFinZWb2zMab1b3H1KIXF1rwdfja0kHKn178flZQI2ODNuKbFM4OxnilxKTL/CjK508V/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startEngine(t, EngineHAProxy, dir, fmt.Sprintf(`services:
  - name: shop
    labels: {fairway.host: shop.example, fairway.basic-auth: "file:%s"}
    instances: [{address: %q}]
`, users, backend(t, "one")), &lockedBuffer{}, nil)
	testkit.Eventually(t, "the service is served", func() bool { s, _ := p.get("shop.example", "/"); return s == 401 })
	var (
		code int
		text string
	)
	// The worker serves a moment before the change is over.
	testkit.Eventually(t, "the configuration has the service", func() bool {
		code, text = p.call(t, "proxy", "GET", proxyAPI+"config", nil)
		return strings.Contains(text, "shop@file:services.yml")
	})
	if code != 200 || !strings.Contains(text, "\nfrontend ") ||
		strings.Contains(text, "nU4eI71bcnBGqeO0t9tXvY1u5oQ") || strings.Contains(text, "eaDQV3Xc/onT9k3gVcFi") {
		t.Errorf("configuration: %d\n%s", code, text)
	}
	code, text = p.call(t, "proxy", "GET", proxyAPI+"metrics", nil)
	if code != 200 || !strings.HasPrefix(text, "# pxname,svname,") || !strings.Contains(text, "\nshop@file:services.yml,BACKEND,") ||
		!strings.Contains(text, "\nhttp,FRONTEND,") {
		t.Errorf("statistics: %d\n%s", code, text)
	}
}

// A Fairway that cannot start ends the HAProxy that it has started, and leaves one
// that it has taken over.
func TestFailedStart(t *testing.T) {
	needHAProxy(t)
	dir := shortDir(t)
	services := fmt.Sprintf("services:\n  - name: shop\n    labels: {fairway.host: shop.example}\n    instances: [{address: %q}]\n", backend(t, "one"))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	fails := func() {
		t.Helper()
		cfg := Defaults()
		cfg.Engine = EngineHAProxy
		cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = "127.0.0.1:0", Off, taken.Addr().String()
		cfg.File, cfg.StateDir = []string{filepath.Join(dir, "services.yml")}, filepath.Join(dir, "state")
		if _, err := New(cfg, Options{Outlive: func() bool { return true }}); err == nil {
			t.Fatal("the address of the admin API is taken, and it starts")
		}
	}
	fails()
	if _, err := net.Dial("unix", filepath.Join(dir, "state", "haproxy", "master.sock")); err == nil {
		t.Error("HAProxy was left behind")
	}
	first := startEngine(t, EngineHAProxy, dir, services, &lockedBuffer{}, func() bool { return true })
	testkit.Eventually(t, "the service is served", func() bool { s, _ := first.get("shop.example", "/"); return s == 200 })
	first.stop()
	fails()
	if status, body := first.get("shop.example", "/"); status != 200 {
		t.Errorf("what served was ended: %d %s", status, body)
	}
	startEngine(t, EngineHAProxy, dir, services, &lockedBuffer{}, nil).stop() // ends it
}

// TestNamesOfEndpoints: an endpoint may have a name in the place of an address.
func TestNamesOfEndpoints(t *testing.T) {
	needHAProxy(t)
	_, port, _ := strings.Cut(backend(t, "one"), ":")
	p := startEngine(t, EngineHAProxy, shortDir(t), fmt.Sprintf(`services:
  - name: shop
    labels: {fairway.host: shop.example}
    instances: [{address: "localhost:%s"}]
  - name: nowhere
    labels: {fairway.host: nowhere.example}
    instances: [{address: "nowhere.invalid:80"}]
`, port), &lockedBuffer{}, nil)
	testkit.Eventually(t, "the service is served", func() bool { s, _ := p.get("shop.example", "/"); return s == 200 })
	if status, body := p.get("nowhere.example", "/"); status != 503 {
		t.Errorf("a name without an address: %d %s", status, body)
	}
}

// TestHAProxyOutlivesFairway: the next Fairway takes HAProxy over, and while there
// is none it serves on.
func TestHAProxyOutlivesFairway(t *testing.T) {
	needHAProxy(t)
	dir := shortDir(t)
	services := fmt.Sprintf("services:\n  - name: shop\n    labels: {fairway.host: shop.example}\n    instances: [{address: %q}]\n", backend(t, "one"))
	first := startEngine(t, EngineHAProxy, dir, services, &lockedBuffer{}, func() bool { return true })
	testkit.Eventually(t, "the service is served", func() bool { s, _ := first.get("shop.example", "/"); return s == 200 })
	address := first.app.Addr("http").String()
	first.stop()
	if status, body := first.get("shop.example", "/"); status != 200 {
		t.Errorf("without Fairway: %d %s", status, body)
	}

	second := startEngine(t, EngineHAProxy, dir, services, &lockedBuffer{}, nil)
	if got := second.app.Addr("http").String(); got != address {
		t.Errorf("the next one listens on %s, not on %s", got, address)
	}
	if status, body := second.get("shop.example", "/"); status != 200 {
		t.Errorf("right after: %d %s", status, body)
	}
	second.stop()
	if status, _ := second.get("shop.example", "/"); status != 0 {
		t.Errorf("HAProxy serves on although it was to end: %d", status)
	}
}
