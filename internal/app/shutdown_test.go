package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// Fairway that ends says that it is not ready, takes nothing new and finishes what
// runs, whatever else takes its time to end; readiness and metrics are there until
// that is over.
func TestShutdownDrainsFirstAndAdminEndsLast(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/slow" {
			return
		}
		close(arrived)
		<-finish
		fmt.Fprint(w, "finished")
	}))
	defer slow.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	writeServices(t, file, fmt.Sprintf("services:\n  - name: shop\n    labels: {fairway.host: shop.example.com}\n    instances: [{address: %q}]\n", strings.TrimPrefix(slow.URL, "http://")))
	cfg := Defaults()
	cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = "127.0.0.1:0", Off, "127.0.0.1:0"
	cfg.File, cfg.StateDir = []string{file}, filepath.Join(dir, "state")
	cfg.DrainTimeout = 10 * testkit.Patience
	withTestEngine(t, &cfg)
	a, err := New(cfg, Options{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	// A part that ends slowly, as a step of a rollout does.
	step := make(chan struct{})
	a.parts = append(a.parts, func(ctx context.Context) error {
		<-ctx.Done()
		<-step
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	p := &program{app: a, file: file}
	admin := func(path string) int {
		client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get("http://" + a.Addr("admin.listen").String() + path)
		if err != nil {
			return 0
		}
		res.Body.Close()
		return res.StatusCode
	}
	testkit.Eventually(t, "it is ready", func() bool {
		status, _ := p.get("shop.example.com", "/")
		return status == 200 && admin("/ready") == 200
	})
	answer := make(chan string, 1)
	go func() {
		req, _ := http.NewRequest(http.MethodGet, "http://"+a.Addr("http").String()+"/slow", nil)
		req.Host = "shop.example.com"
		res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answer <- fmt.Sprint(res.StatusCode, " ", string(body))
	}()
	<-arrived

	cancel()
	testkit.Eventually(t, "it is not ready and takes nothing new", func() string {
		if status := admin("/ready"); status != 503 {
			return fmt.Sprintf("/ready says %d", status)
		}
		if status, _ := p.get("shop.example.com", "/new"); status != 0 {
			return fmt.Sprintf("a new request gets %d", status)
		}
		return ""
	})
	if got := admin("/metrics"); got != 200 {
		t.Errorf("/metrics says %d during the drain", got)
	}
	close(finish)
	if got := <-answer; got != "200 finished" {
		t.Errorf("the request that ran: %s", got)
	}
	close(step)
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if got := admin("/ready"); got != 0 {
		t.Errorf("/ready says %d after the end", got)
	}
}
