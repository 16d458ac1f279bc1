package app

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairway/internal/engine/haproxy/render"
	"fairway/internal/testkit"
)

// Case 74: who may see the page of statistics, and where. Nobody, unless somebody
// says so.
func TestStatisticsVariables(t *testing.T) {
	for name, tt := range map[string]struct {
		env, secrets map[string]string
		want         *render.Statistics
		notices      int
		fails        bool
	}{
		"nothing":           {},
		"both":              {env: map[string]string{"STATS_USER": "ann", "STATS_PASS": "p:w"}, want: &render.Statistics{URI: "/admin?stats", User: "ann", Password: "p:w"}},
		"none":              {env: map[string]string{"STATS_USER": "none", "STATS_PASS": "none"}, want: &render.Statistics{URI: "/admin?stats"}},
		"half none":         {env: map[string]string{"STATS_USER": "ann", "STATS_PASS": "none"}, notices: 1},
		"no password":       {env: map[string]string{"STATS_USER": "ann"}, notices: 1},
		"where without who": {env: map[string]string{"STATS_URI": "/s", "STATS_PORT": "9999"}, notices: 1},
		"a port of its own": {
			env:  map[string]string{"STATS_USER": "a", "STATS_PASS": "b", "STATS_PORT": "9999", "STATS_URI": "/s"},
			want: &render.Statistics{URI: "/s", User: "a", Password: "b", Address: netip.MustParseAddrPort("[::]:9999")},
		},
		"port 80":    {env: map[string]string{"STATS_USER": "a", "STATS_PASS": "b", "STATS_PORT": "80"}, want: &render.Statistics{URI: "/admin?stats", User: "a", Password: "b"}},
		"other name": {env: map[string]string{"STATS_USER_ENV": "ME", "ME": "me", "STATS_PASS": "b"}, want: &render.Statistics{URI: "/admin?stats", User: "me", Password: "b"}},
		"secrets":    {env: map[string]string{"STATS_USER": "a", "STATS_PASS": "b"}, secrets: map[string]string{"dfp_stats_pass": "s\n"}, want: &render.Statistics{URI: "/admin?stats", User: "a", Password: "s"}},
		"colon":      {env: map[string]string{"STATS_USER": "a:b", "STATS_PASS": "b"}, fails: true},
		"no path":    {env: map[string]string{"STATS_USER": "a", "STATS_PASS": "b", "STATS_URI": "stats"}, fails: true},
		"no port":    {env: map[string]string{"STATS_USER": "a", "STATS_PASS": "b", "STATS_PORT": "x"}, fails: true},
	} {
		e, err := readFlow(tt.env, tt.secrets, flowFaces{proxy: true, haproxy: true})
		if tt.fails {
			if err == nil {
				t.Errorf("%s: accepted", name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, e.haproxy.extra.Statistics, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || len(e.notices) != tt.notices {
			t.Errorf("%s: notices %q (-want +got)\n%s", name, e.notices, diff)
		}
	}
}

// Case 76, and the timeouts: with HAProxy as the engine these are kept.
func TestHAProxyVariables(t *testing.T) {
	env := map[string]string{
		"EXTRA_GLOBAL": "tune.bufsize 32768, ,maxcompcpuusage 90", "EXTRA_FRONTEND": "http-request deny if { path /x }",
		"CAPTURE_REQUEST_HEADER": "User-Agent:20,X-A:3", "TIMEOUT_CLIENT": "7", "TIMEOUT_TUNNEL": "8", "DEBUG": "true",
	}
	e, err := readFlow(env, nil, flowFaces{proxy: true, haproxy: true})
	if err != nil {
		t.Fatal(err)
	}
	want := flowHAProxy{
		extra: render.Extra{
			Global: []string{"tune.bufsize 32768", "maxcompcpuusage 90"}, Frontend: []string{"http-request deny if { path /x }"},
			Captures: []render.Capture{{Name: "User-Agent", Length: 20}, {Name: "X-A", Length: 3}},
		},
		clientTimeout: 7 * time.Second, tunnelTimeout: 8 * time.Second,
	}
	if diff := cmp.Diff(want, e.haproxy, cmp.AllowUnexported(flowHAProxy{}), cmpopts.EquateComparable(netip.AddrPort{})); diff != "" || len(e.notices) > 0 || !e.debug {
		t.Errorf("notices %q (-want +got)\n%s", e.notices, diff)
	}
	for _, wrong := range []string{"User-Agent", "User-Agent:0", ":3", "A:x", "A b:3"} {
		if _, err := readFlow(map[string]string{"CAPTURE_REQUEST_HEADER": wrong}, nil, flowFaces{proxy: true, haproxy: true}); err == nil {
			t.Errorf("%s is taken", wrong)
		}
	}
	for _, v := range flowHAProxyVariables() {
		found := false
		for _, all := range flowProxyVariables() {
			found = found || all.name == v.name && all.secret == v.secret
		}
		if !found {
			t.Errorf("%s is no variable of Docker Flow Proxy, or not a secret of it alike", v.name)
		}
	}
}

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
