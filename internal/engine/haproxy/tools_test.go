package haproxy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/plan"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/metrics"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// needHAProxy skips the test without a haproxy that can be used.
func needHAProxy(t testing.TB) *binary.Binary {
	t.Helper()
	program, err := binary.Find(context.Background(), os.Getenv("FAIRWAY_HAPROXY"))
	if errors.Is(err, binary.ErrNotFound) {
		t.Skip("no haproxy: ", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if !program.Version.Supported() {
		t.Skip("this haproxy is too old: ", program.Version)
	}
	return program
}

// testLog passes the log on to the test.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// quiet is testLog for what should not happen.
func quiet(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// site is an engine with a table that a test changes piece by piece.
type site struct {
	t        testing.TB
	engine   *Engine
	options  Options
	registry *metrics.Set

	revision  uint64
	listeners []route.Listener
	routes    map[string]*route.Route
	backends  map[string]*route.Backend
}

// newSite starts an engine with one listener, "http", in clear.
func newSite(t testing.TB, o Options) *site {
	t.Helper()
	needHAProxy(t)
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "fairway") // short: it holds sockets
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		o.Dir = dir
	}
	if o.Logger == nil {
		o.Logger = testLog(t)
	}
	o.Program = os.Getenv("FAIRWAY_HAPROXY")
	if o.ReloadInterval == 0 {
		o.ReloadInterval = time.Millisecond
	}
	s := &site{
		t: t, options: o,
		listeners: []route.Listener{{Name: "http", Address: "127.0.0.1:0"}},
		routes:    map[string]*route.Route{},
		backends:  map[string]*route.Backend{},
	}
	s.start()
	t.Cleanup(func() { s.stop() })
	return s
}

// start starts an engine in the site's directory.
func (s *site) start() {
	s.t.Helper()
	o := s.options
	s.registry = &metrics.Set{}
	o.Metrics = s.registry
	e, err := New(o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.engine = e
}

// stop ends the engine and HAProxy.
func (s *site) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_ = s.engine.Stop(ctx)
}

// route adds or replaces a route for all paths of a host. change may adapt it.
func (s *site) route(id, host string, change func(*route.Route)) {
	r := &route.Route{
		ID: id, Service: id, Backend: id,
		Matches: []route.Match{{Host: route.Host{Kind: route.HostExact, Value: host}, Path: route.Path{Kind: route.PathPrefix, Value: "/"}}},
	}
	if change != nil {
		change(r)
	}
	s.routes[id] = r
}

// backend adds or replaces the backend of a route.
func (s *site) backend(id string, change func(*route.Backend), addresses ...string) {
	b := &route.Backend{ID: id, Service: id, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
	for i, a := range addresses {
		b.Endpoints = append(b.Endpoints, route.Endpoint{
			ID: fmt.Sprintf("e%02d", i), Address: a, Weight: 1, State: route.EndpointReady, Instance: fmt.Sprintf("%s-%d", id, i),
		})
	}
	if change != nil {
		change(b)
	}
	s.backends[id] = b
}

// serve adds a route for host with a backend of these addresses.
func (s *site) serve(host string, addresses ...string) {
	s.route(host, host, nil)
	s.backend(host, nil, addresses...)
}

// remove takes a route and its backend away.
func (s *site) remove(host string) {
	delete(s.routes, host)
	delete(s.backends, host)
}

// table makes the table of what there is.
func (s *site) table() *route.Table {
	s.t.Helper()
	s.revision++
	t, err := route.New(s.revision, s.listeners, slices.Collect(maps.Values(s.routes)), slices.Collect(maps.Values(s.backends)), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return t
}

func (s *site) apply() {
	s.t.Helper()
	if err := s.engine.Apply(s.t.Context(), s.table()); err != nil {
		s.t.Fatal(err)
	}
}

// get asks for a URL of a host and returns status and body.
func (s *site) get(host string) (int, string) {
	s.t.Helper()
	return s.ask(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}, host, "/")
}

// client is one that keeps its connections until the end of the test.
func (s *site) client() *http.Client {
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

// ask asks for a path of a host and returns status and body, or zero and what went
// wrong.
func (s *site) ask(client *http.Client, host, path string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.engine.Addr("http").String()+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// answers demands that a host is answered by one of these endpoints, by the text
// that each answers with.
func (s *site) answers(host string, texts ...string) {
	s.t.Helper()
	if status, body := s.get(host); status != 200 || !slices.Contains(texts, body) {
		s.t.Errorf("%s: %d %q, want one of %q", host, status, body, texts)
	}
}

// reloads is how often HAProxy was started or reloaded, but for the reason given.
func (s *site) count(name string) float64 {
	s.t.Helper()
	name = strings.TrimPrefix(name, "fairway_")
	sum := 0.0
	for key, value := range testkit.Metrics(s.t, s.registry) {
		if key == name || strings.HasPrefix(key, name+" ") {
			sum += value
		}
	}
	return sum
}

// reloads is how often HAProxy was started or reloaded.
func (s *site) reloads() int { return int(s.count("fairway_haproxy_reloads_total")) }

// session talks to HAProxy beside the engine.
func (s *site) session() *socket.Session {
	s.t.Helper()
	session, err := s.engine.client.Open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(session.Close)
	return session
}

// exact demands that HAProxy has exactly what the table of the engine means, read
// back from it.
func (s *site) exact() {
	s.t.Helper()
	if diff := s.differences(); len(diff) > 0 {
		s.t.Errorf("HAProxy is not as it must be: %q", diff)
	}
}

// differences between what HAProxy has and what it must have. Servers that wait for
// their deletion are none.
func (s *site) differences() []string {
	s.t.Helper()
	s.engine.mu.Lock()
	defer s.engine.mu.Unlock()
	session, err := s.engine.client.Open(s.t.Context())
	if err != nil {
		return []string{err.Error()}
	}
	defer session.Close()
	must := plan.WorkerOf(s.engine.target.Target)
	has, err := plan.Observe(s.t.Context(), session, s.engine.opts.Dir)
	if err != nil {
		return []string{err.Error()}
	}
	has.Remember(s.engine.target.Target)
	for section, servers := range has.Servers {
		for name, sv := range servers {
			if _, ok := must.Servers[section][name]; !ok && sv.State == socket.StateMaint {
				delete(servers, name)
			}
		}
	}
	return plan.Drift(must, has)
}

// startEndpoint starts an endpoint that answers with its text.
func startEndpoint(t testing.TB, text string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// deadAddress is one at which nobody listens.
func deadAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// writeCertificate writes a new self-signed pair into dir.
func writeCertificate(t testing.TB, dir string, names ...string) route.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	files := route.Certificate{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	replaceFile(t, files.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	replaceFile(t, files.CertFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return files
}

func replaceFile(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path+".tmp", data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		t.Fatal(err)
	}
}

// reloadAnyway has HAProxy read its files anew although nothing asks for it, and returns
// when the new worker serves.
func (e *Engine) reloadAnyway(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped || e.table == nil || e.proc == nil {
		return errors.New("nothing is served that could be reloaded")
	}
	return e.bring(ctx, e.target, plan.Plan{Reload: plan.ReloadRuntime, Text: "a test asked for it"})
}
