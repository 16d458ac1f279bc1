package app

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"fairway/internal/api"
	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/control"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// startFlow runs a Fairway whose services file has this text, with a change to the
// configuration and an environment.
func startFlow(t *testing.T, dir, services string, change func(*Config), environ ...string) *program {
	t.Helper()
	file := filepath.Join(dir, "services.yml")
	writeServices(t, file, services)
	cfg := Defaults()
	cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = "127.0.0.1:0", Off, "127.0.0.1:0"
	cfg.File, cfg.StateDir = []string{file}, filepath.Join(dir, "state")
	cfg.DrainTimeout = time.Second
	withTestEngine(t, &cfg)
	change(&cfg)
	cfg.Complete(nil)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	a, err := New(cfg, Options{Version: "test", Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	p := &program{app: a, file: file, state: cfg.StateDir}
	stopped := false
	p.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run = %v", err)
			}
		}
	}
	t.Cleanup(p.stop)
	return p
}

func asProxy(cfg *Config) { cfg.DockerFlow.Proxy.Listen = "127.0.0.1:0" }

// call makes a call to a face.
func (p *program) call(t *testing.T, face, method, path string, body []byte) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+p.app.Addr("dockerflow."+face+".listen").String()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

const proxyAPI = "/v1/docker-flow-proxy/"

// One Fairway in the place of the Swarm Listener drives another in the place of the
// proxy, through the old calls alone.
func TestListenerDrivesProxy(t *testing.T) {
	_, port, _ := strings.Cut(backend(t, "demo"), ":")
	proxy := startFlow(t, t.TempDir(), "services: []\n", asProxy)
	face := "http://" + proxy.app.Addr("dockerflow.proxy.listen").String() + proxyAPI
	const bystander = "  - {name: other, labels: {x: y}, instances: []}\n"
	service := func(path string) string {
		return fmt.Sprintf("services:\n  - name: localhost\n    labels: {com.df.notify: \"true\", com.df.distribute: \"false\", com.df.servicePath: %s, com.df.port: %q, com.df.alertIf: x}\n    instances: []\n", path, port) + bystander
	}
	listener := startFlow(t, t.TempDir(), service("/demo"), func(cfg *Config) { cfg.DockerFlow.Listener.Listen = "127.0.0.1:0" },
		"DF_NOTIFY_CREATE_SERVICE_URL="+face+"reconfigure", "DF_NOTIFY_REMOVE_SERVICE_URL="+face+"remove", "DF_RETRY_INTERVAL=1")

	testkit.Eventually(t, "the service is served", func() bool {
		s, b := proxy.get("any.example", "/demo/x")
		return s == 200 && b == "demo any.example /demo/x"
	})
	writeServices(t, listener.file, service("/shop"))
	testkit.Eventually(t, "the change is served", func() bool {
		shop, _ := proxy.get("any.example", "/shop")
		demo, _ := proxy.get("any.example", "/demo")
		return shop == 200 && demo == 404
	})
	writeServices(t, listener.file, "services:\n"+bystander)
	testkit.Eventually(t, "the service is gone", func() bool { s, _ := proxy.get("any.example", "/shop"); return s == 404 })

	if code, body := listener.call(t, "listener", "GET", "/v1/docker-flow-swarm-listener/get-services", nil); code != 200 || body != "[]\n" {
		t.Errorf("get-services: %d %s", code, body)
	}
}

// What the book does by hand: one call, and the service is served when it is
// answered; it is seen with where it comes from, survives a restart, and goes when
// it is told to.
func TestReconfigureByHand(t *testing.T) {
	_, port, _ := strings.Cut(backend(t, "demo"), ":")
	dir := t.TempDir()
	p := startFlow(t, dir, "services: []\n", asProxy)
	testkit.Eventually(t, "the first table", func() bool { s, _ := p.get("a", "/"); return s == 404 })
	code, body := p.call(t, "proxy", "GET", proxyAPI+"reconfigure?serviceName=localhost&servicePath=/demo&port="+port, nil)
	if code != 200 || !strings.Contains(body, `"Status":"OK"`) || !strings.Contains(body, `"ServicePath":["/demo"]`) {
		t.Fatalf("%d %s", code, body)
	}
	if s, b := p.get("a.example", "/demo/hello"); s != 200 || b != "demo a.example /demo/hello" {
		t.Errorf("right after the answer: %d %s", s, b)
	}
	if code, body = p.call(t, "proxy", "GET", proxyAPI+"config", nil); code != 200 || !strings.Contains(body, "localhost@posted") {
		t.Errorf("config: %d %s", code, body)
	}
	if code, body = p.call(t, "proxy", "GET", proxyAPI+"config?type=json", nil); code != 200 || !strings.HasPrefix(body, `{"localhost":`) {
		t.Errorf("config as JSON: %d %s", code, body)
	}
	routes, err := p.client(t).Routes(t.Context(), api.Query{})
	if err != nil || len(routes.Items) != 1 || routes.Items[0].Source != "posted" {
		t.Errorf("routes %+v, %v", routes, err)
	}
	// Passwords are told to nobody.
	if code, body = p.call(t, "proxy", "GET", proxyAPI+"reconfigure?serviceName=localhost&servicePath=/demo&users=ann:hunter2&reqMode=http&port="+port, nil); code != 200 || strings.Contains(body, "hunter2") {
		t.Errorf("users: %d %s", code, body)
	}
	if s, _ := p.get("a.example", "/demo"); s != 401 {
		t.Errorf("without a password: %d", s)
	}
	for _, path := range []string{"/v1/routes", "/v1/services", "/v1/services/localhost", "/v1/problems"} {
		res, err := http.Get("http://" + p.app.Addr("admin.listen").String() + path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || strings.Contains(string(data), "hunter2") {
			t.Errorf("%s tells the password: %v %s", path, err, data)
		}
	}
	for _, path := range []string{"config", "config?type=json"} {
		if _, body := p.call(t, "proxy", "GET", proxyAPI+path, nil); strings.Contains(body, "hunter2") {
			t.Errorf("%s tells the password", path)
		}
	}
	if code, body = p.call(t, "proxy", "GET", proxyAPI+"reconfigure?serviceName=localhost&servicePath=/demo&port="+port, nil); code != 200 {
		t.Errorf("without users again: %d %s", code, body)
	}
	p.stop()

	p = startFlow(t, dir, "services: []\n", asProxy)
	if s, b := p.get("a.example", "/demo"); s != 200 {
		t.Errorf("right after the restart: %d %s", s, b)
	}
	if code, body = p.call(t, "proxy", "GET", proxyAPI+"remove?serviceName=localhost", nil); code != 200 {
		t.Errorf("remove: %d %s", code, body)
	}
	if s, _ := p.get("a.example", "/demo"); s != 404 {
		t.Errorf("right after it was removed: %d", s)
	}
	// What is refused is told, and spoils nothing.
	if code, body = p.call(t, "proxy", "GET", proxyAPI+"reconfigure?serviceName=localhost&servicePath=/demo&port=none", nil); code != 500 || !strings.Contains(body, "com.df.port") {
		t.Errorf("a port that is none: %d %s", code, body)
	}
}

// bundle makes a certificate with its key, in PEM.
func bundle(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
}

// served returns the name in the certificate that a client gets who asks for a name.
func (p *program) served(name string) string {
	addr := p.app.Addr("https")
	if addr == nil {
		return ""
	}
	dialer := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}} //nolint:gosec // the certificate is what is looked at
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := dialer.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return ""
	}
	defer c.Close()
	return strings.Join(c.(*tls.Conn).ConnectionState().PeerCertificates[0].DNSNames, " ")
}

// Case 12: a certificate is served as soon as it was sent, also the first one of
// all, and after a restart.
func TestCertificatesReachTheEngine(t *testing.T) {
	dir := t.TempDir()
	change := func(cfg *Config) { asProxy(cfg); cfg.ListenTLS = "127.0.0.1:0" }
	p := startFlow(t, dir, "services: []\n", change)
	if p.app.Addr("https") != nil {
		t.Error("TLS without a certificate")
	}
	for _, name := range []string{"a.example", "b.example"} {
		if code, body := p.call(t, "proxy", "PUT", proxyAPI+"cert?certName="+name+".pem", bundle(t, name)); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
		testkit.Eventually(t, "the certificate is served", func() bool { return p.served(name) == name })
	}
	if code, body := p.call(t, "proxy", "GET", proxyAPI+"certs", nil); code != 200 || strings.Contains(body, "BEGIN") || !strings.Contains(body, "b.example.pem") {
		t.Errorf("certs: %d %s", code, body)
	}
	p.stop()
	// A file of the last run that is gone is no reason not to start.
	if err := os.Remove(filepath.Join(p.state, "certificates", "a.example.pem")); err != nil {
		t.Fatal(err)
	}
	p = startFlow(t, dir, "services: []\n", change)
	if got := p.served("b.example"); got != "b.example" {
		t.Errorf("right after the restart: %q", got)
	}
}

// What labels opened in the last run is served again before any source has answered.
func TestRestartKeepsListenersThatLabelsOpened(t *testing.T) {
	listener := route.Listener{Name: "tcp-5432", Address: ":5432", TCP: true}
	b := &route.Backend{ID: "db", Service: "db", Scheme: route.SchemeTCP}
	r := &route.Route{ID: "db", Service: "db", Backend: "db", Claim: 1, Matches: []route.Match{{
		Host: route.Host{Kind: route.HostAny}, Path: route.Path{Kind: route.PathPrefix, Value: "/"},
		Conditions: []route.Condition{{Kind: route.ConditionListener, Values: []string{"tcp-5432"}}},
	}}}
	last, err := route.New(7, []route.Listener{listener}, []*route.Route{r}, []*route.Backend{b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	settings := compile.Settings{Listeners: []route.Listener{{Name: "http", Address: ":80"}}, TCPPorts: []compile.PortRange{{First: 5432, Last: 5432}}}
	got, err := fitted(&control.LastGood{Table: last}, settings, []catalog.Certificate{{File: "a.pem"}})
	if err != nil {
		t.Fatal(err)
	}
	if l := got.Listeners; len(l) != 2 || l[0].Name != "http" || l[1].Name != "tcp-5432" {
		t.Errorf("listeners %+v", l)
	}
}

func TestFaceOnThePortOfAdmin(t *testing.T) {
	cfg := Defaults()
	cfg.Listen, cfg.File, cfg.StateDir = "127.0.0.1:0", []string{"x"}, t.TempDir()
	cfg.Complete(nil)
	for address, fault := range map[string]bool{":8080": true, "0.0.0.0:8080": true, "127.0.0.1:8080": true, "10.0.0.1:8080": false, ":9000": false} {
		cfg.DockerFlow.Proxy.Listen = address
		if err := cfg.Validate(); (err != nil) != fault {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A damaged file of posted services is told of and keeps nobody from starting.
func TestDamagedPostedServices(t *testing.T) {
	cfg := Defaults()
	asProxy(&cfg)
	cfg.StateDir = t.TempDir()
	if err := os.WriteFile(filepath.Join(cfg.StateDir, "posted.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Complete(nil)
	var log bytes.Buffer
	if _, err := newDockerFlow(&cfg, nil, fstest.MapFS{}, slog.New(slog.NewTextHandler(&log, nil))); err != nil || !strings.Contains(log.String(), "posted.json.damaged") {
		t.Errorf("%v, log %s", err, log.String())
	}
}

// While nginx-proxy's variables are served, the start says that its password files are not read.
func TestStartNamesPasswordsOfNginx(t *testing.T) {
	for _, names := range [][]string{{"nginx-proxy"}, {"traefik"}} {
		cfg := Defaults()
		cfg.Dialects.Dialects, cfg.DockerFlow.Proxy.Listen = names, Off
		var log bytes.Buffer
		_, err := newDockerFlow(&cfg, nil, fstest.MapFS{}, slog.New(slog.NewTextHandler(&log, nil)))
		if n := strings.Count(log.String(), "htpasswd"); err != nil || (n == 1) != (names[0] == "nginx-proxy") {
			t.Errorf("%s: %v, %d times: %s", names, err, n, log.String())
		}
	}
}

// A proxy that is told of services by calls needs no engine; anything else watches
// the one of the machine.
func TestProxyWithoutAnEngine(t *testing.T) {
	for _, tt := range []struct {
		env    string
		change func(*Config)
		want   bool
	}{{"tcp://10.0.0.1:2376", asProxy, true}, {"", func(*Config) {}, true}} {
		cfg := Defaults()
		tt.change(&cfg)
		cfg.Complete(map[string]string{"DOCKER_HOST": tt.env})
		if got := len(cfg.Docker) == 1; got != tt.want {
			t.Errorf("%+v: engines %q", tt.env, cfg.Docker)
		}
	}
	p := startFlow(t, t.TempDir(), "services: []\n", func(cfg *Config) { asProxy(cfg); cfg.File = nil; cfg.Docker = nil; cfg.Admin.Listen = Off },
		"MODE=swarm")
	_, port, _ := strings.Cut(backend(t, "demo"), ":")
	if code, body := p.call(t, "proxy", "GET", proxyAPI+"reconfigure?serviceName=localhost&servicePath=/&port="+port, nil); code != 200 {
		t.Errorf("%d %s", code, body)
	}
}

// Cases 68 and 69: a new replica is ready when it has the services of a listener,
// and stays so when the listener goes away, also over a restart.
func TestReadyWhenPulled(t *testing.T) {
	_, port, _ := strings.Cut(backend(t, "demo"), ":")
	var answers atomic.Bool
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !answers.Load() {
			http.Error(w, "not yet", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, `[{"serviceName":"localhost","servicePath":"/demo","port":%q}]`, port)
	}))
	defer listener.Close()
	env := []string{"LISTENER_ADDRESS=" + listener.URL, "RELOAD_INTERVAL=20"}
	dir := t.TempDir()
	first := startFlow(t, dir, "services: []\n", asProxy, env...)
	state := func(p *program) string {
		r, err := p.client(t).Ready(t.Context())
		if err != nil {
			return err.Error()
		}
		return r.State
	}
	testkit.Eventually(t, "the table is live", func() bool { s, _ := first.get("any.example", "/demo"); return s == 404 })
	if got := state(first); got == api.StateSynced {
		t.Errorf("ready without the services: %s", got)
	}
	answers.Store(true)
	testkit.Eventually(t, "it is ready", func() bool { return state(first) == api.StateSynced })
	testkit.Eventually(t, "and serves", func() bool { s, _ := first.get("any.example", "/demo"); return s == 200 })

	answers.Store(false)
	first.stop()
	second := startFlow(t, dir, "services: []\n", asProxy, env...)
	testkit.Eventually(t, "it is ready without the listener", func() bool { return state(second) == api.StateSynced })
	if s, body := second.get("any.example", "/demo"); s != 200 {
		t.Errorf("after a restart: %d %s", s, body)
	}
}

// Case 56: labels open ports that the operator allows, and no others.
func TestTCPPorts(t *testing.T) {
	_, port, _ := strings.Cut(backend(t, "demo"), ":")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, open, _ := strings.Cut(free.Addr().String(), ":")
	free.Close()
	p := startFlow(t, t.TempDir(), "services: []\n", func(cfg *Config) { asProxy(cfg); cfg.TCPPorts = []string{open} })
	testkit.Eventually(t, "the first table", func() bool { s, _ := p.get("a", "/"); return s == 404 })
	for src, want := range map[string]int{open: 200, "1": 500} {
		path := proxyAPI + "reconfigure?serviceName=localhost&reqMode=tcp&srcPort=" + src + "&port=" + port
		if code, body := p.call(t, "proxy", "GET", path, nil); code != want {
			t.Errorf("port %s: %d %s", src, code, body)
		}
	}
	res, err := (&http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://127.0.0.1:" + open + "/x")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); !strings.HasPrefix(string(body), "demo ") {
		t.Errorf("through the port: %s", body)
	}
}
