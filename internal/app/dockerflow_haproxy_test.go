package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"fairway/internal/testkit"
)

// Cases 74 and 76 on HAProxy itself.
func TestHAProxyHonoursVariables(t *testing.T) {
	needHAProxy(t)
	dir, services := shortDir(t), fmt.Sprintf("services:\n  - name: shop\n    labels: {fairway.host: shop.example}\n    instances: [{address: %q}]\n", backend(t, "one"))
	var log lockedBuffer
	p := startEngine(t, EngineHAProxy, dir, services, &log, nil,
		"STATS_USER=ann", "STATS_PASS=secret", "CAPTURE_REQUEST_HEADER=User-Agent:9",
		"EXTRA_FRONTEND=http-response set-header X-Extra yes", "EXTRA_GLOBAL=maxcompcpuusage 90")
	testkit.Eventually(t, "the service is served", func() bool { s, _ := p.get("shop.example", "/"); return s == 200 })
	ask := func(user, password string) *http.Response {
		req, err := http.NewRequest(http.MethodGet, "http://"+p.app.Addr("http").String()+"/admin?stats", nil)
		if err != nil {
			t.Fatal(err)
		}
		if user != "" {
			req.SetBasicAuth(user, password)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res
	}
	if got := ask("", ""); got.StatusCode != 401 {
		t.Errorf("the page without a password: %d", got.StatusCode)
	}
	if got := ask("ann", "secret"); got.StatusCode != 200 || got.Header.Get("X-Extra") != "" && got.Header.Get("X-Extra") != "yes" {
		t.Errorf("the page: %d", got.StatusCode)
	}
	_, text := p.call(t, "proxy", "GET", proxyAPI+"config", nil)
	for _, line := range []string{"maxcompcpuusage ***", "http-response ***", "capture request header"} {
		if !strings.Contains(text, line) {
			t.Errorf("the configuration has no %q", line)
		}
	}
	if strings.Contains(text, "secret") {
		t.Error("the configuration shows the password")
	}
	p.stop()
	if !strings.Contains(log.String(), `"captured":["Go-http-c"]`) {
		t.Errorf("the access log has no captured header: %s", log.String())
	}

	plain := startEngine(t, EngineHAProxy, shortDir(t), services, &lockedBuffer{}, nil)
	testkit.Eventually(t, "the service is served", func() bool { s, _ := plain.get("shop.example", "/"); return s == 200 })
	if status, _ := plain.get("any.example", "/admin?stats"); status != 404 {
		t.Errorf("there is a page that nobody asked for: %d", status)
	}
	http.DefaultClient.CloseIdleConnections()
}

// What HAProxy refuses of the operator's lines keeps Fairway from starting, and the
// variable is named.
func TestExtraLinesAreChecked(t *testing.T) {
	needHAProxy(t)
	for name, value := range map[string]string{"EXTRA_GLOBAL": "nonsense", "EXTRA_FRONTEND": "backend evil"} {
		cfg := Defaults()
		cfg.Engine, cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = EngineHAProxy, "127.0.0.1:0", Off, Off
		cfg.DockerFlow.Labels = true
		cfg.File, cfg.StateDir = []string{"none.yml"}, shortDir(t)
		_, err := New(cfg, Options{Environ: []string{name + "=" + value}})
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
