package setup_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/acme/pebbletest"
	"fairway/internal/app"
	"fairway/internal/testkit"
)

func TestMain(m *testing.M) {
	// The storage looks after its locks for some seconds after they are gone.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/caddyserver/certmagic.keepLockfileFresh"))
}

// pebble is a certificate authority for tests, with its DNS.
type pebble = pebbletest.Pebble

// startPebble runs one. environ may change how it behaves.
func startPebble(t *testing.T, environ ...string) *pebble {
	t.Helper()
	return startPebbleAsking(t, "", environ...)
}

// startPebbleAsking runs one that asks a name server; empty is one of its own.
func startPebbleAsking(t *testing.T, server string, environ ...string) *pebble {
	t.Helper()
	return pebbletest.Start(t, pebbletest.Options{Server: server, Environ: environ})
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fairway is a Fairway in this process.
type fairway struct {
	app   *app.App
	state string
	log   testkit.Log
	https string
	trust *x509.CertPool
	admin string
	file  string
}

// startFairway runs one with an authority, on a services file. change may change its
// configuration.
func startFairway(t *testing.T, p *pebble, services string, change ...func(*app.Config)) *fairway {
	t.Helper()
	f := startOn(t, "127.0.0.1:"+p.HTTP, "127.0.0.1:"+p.TLS, services, slices.Concat([]func(*app.Config){func(c *app.Config) {
		c.ACME.Agree, c.ACME.CA, c.ACME.CARoot, c.ACME.Email = true, p.Directory, p.Root, "ops@example.com"
	}}, change)...)
	f.trust = p.Trust(t)
	return f
}

// startAlone runs one with an authority of its own alone.
func startAlone(t *testing.T, services string) *fairway {
	t.Helper()
	f := startOn(t, "127.0.0.1:0", "127.0.0.1:"+testkit.FreePort(t), services, func(c *app.Config) { c.ACME.Internal = "true" })
	f.trust = x509.NewCertPool()
	testkit.Eventually(t, "there is a root", func() bool {
		data, err := os.ReadFile(filepath.Join(f.state, "authority", "root.pem"))
		return err == nil && f.trust.AppendCertsFromPEM(data)
	})
	return f
}

func startOn(t *testing.T, plain, tls, services string, change ...func(*app.Config)) *fairway {
	t.Helper()
	dir, err := os.MkdirTemp("", "fairway") // short enough for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &fairway{state: filepath.Join(dir, "s"), file: filepath.Join(dir, "services.yml"), https: tls}
	write(t, f.file, []byte(services))
	cfg := app.Defaults()
	cfg.Listen, cfg.ListenTLS, cfg.Admin.Listen = plain, tls, "127.0.0.1:0"
	cfg.File, cfg.StateDir, cfg.DrainTimeout = []string{f.file}, f.state, time.Second
	for _, c := range change {
		c(&cfg)
	}
	cfg.Complete(nil)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if f.app, err = app.New(cfg, app.Options{Version: "test", Logger: slog.New(slog.NewTextHandler(&f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.app.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
		if t.Failed() {
			t.Log(f.log.String())
		}
	})
	f.admin = "http://" + f.app.Addr("admin.listen").String()
	return f
}

// client connects to the HTTPS listener for every host.
func (f *fairway) client(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: f.trust},
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, f.https)
		},
	}
	return &http.Client{Transport: transport, Timeout: testkit.Patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// leaf is the certificate that is shown for a host that answers 200.
func (f *fairway) leaf(t *testing.T, host string) (*x509.Certificate, error) {
	t.Helper()
	resp, err := f.client(t).Get("https://" + host + "/")
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("status %d", resp.StatusCode)
	}
	return resp.TLS.PeerCertificates[0], nil
}

// await waits for HTTPS with a certificate of the authority.
func (f *fairway) await(t *testing.T, host string) *x509.Certificate {
	t.Helper()
	var leaf *x509.Certificate
	testkit.Eventually(t, host+" is served over HTTPS", func() string {
		var err error
		if leaf, err = f.leaf(t, host); err != nil {
			return err.Error()
		}
		return ""
	})
	return leaf
}

// engines runs a test with each engine.
func engines(t *testing.T, test func(t *testing.T, engine string)) {
	for _, engine := range []string{app.EngineEmbedded, app.EngineHAProxy} {
		t.Run(engine, func(t *testing.T) {
			if engine == app.EngineHAProxy {
				if _, err := exec.LookPath("haproxy"); err != nil {
					t.Skip("no haproxy: apt-get install haproxy")
				}
			}
			test(t, engine)
		})
	}
}

func backend(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// service is an entry of a services file.
func service(name, host, address string, labels ...string) string {
	labels = append([]string{"fairway.host: " + strconv.Quote(host)}, labels...)
	return fmt.Sprintf("  - name: %s\n    labels: {%s}\n    instances: [{address: %q}]\n", name, strings.Join(labels, ", "), address)
}

// TestHTTP01: a label names a host, and HTTPS works a moment later, by the challenge over
// HTTP: also where everything is redirected and behind a login. What is kept is for its owner alone.
func TestHTTP01(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, engine string) {
		p := startPebble(t)
		address, began := backend(t), time.Now()
		f := startFairway(t, p, "services:\n"+service("a", "a.test", address, "fairway.redirect-https: \"true\""), func(c *app.Config) {
			c.Engine, c.ACME.Challenges = engine, []string{"http-01"}
		})
		first := f.await(t, "a.test")
		testkit.Figure(t, engine+": certificate by http-01", "%v from the start of Fairway", time.Since(began).Round(10*time.Millisecond))
		if !slices.Equal(first.DNSNames, []string{"a.test"}) {
			t.Errorf("names %v", first.DNSNames)
		}
		err := filepath.WalkDir(filepath.Join(f.state, "acme"), func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil && info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		for _, secret := range []string{"PRIVATE KEY", "keyAuthorization"} {
			if strings.Contains(f.log.String(), secret) {
				t.Errorf("the log has %s", secret)
			}
		}
	})
}

// TestTLSALPN01: the challenge over TLS, which needs no HTTP at all.
func TestTLSALPN01(t *testing.T) {
	t.Parallel()
	p := startPebble(t)
	began := time.Now()
	f := startFairway(t, p, "services:\n"+service("a", "a.test", backend(t)), func(c *app.Config) {
		c.Listen, c.ACME.Challenges = app.Off, []string{"tls-alpn-01"}
	})
	f.await(t, "a.test")
	testkit.Figure(t, "certificate by tls-alpn-01", "%v from the start of Fairway", time.Since(began).Round(10*time.Millisecond))
}

// TestInternal: hosts that no public authority issues for have certificates of Fairway's own,
// and so have those of the label, without any authority outside.
func TestInternal(t *testing.T) {
	t.Parallel()
	address := backend(t)
	f := startAlone(t, "services:\n"+service("a", "app.localhost", address)+service("b", "b.example.com", address, "fairway.tls: internal")+
		service("c", "c.example.com", address))
	for _, host := range []string{"app.localhost", "b.example.com"} {
		f.await(t, host)
	}
	if _, err := f.leaf(t, "c.example.com"); err == nil {
		t.Error("a host that no authority issues for has a certificate")
	}
}

// call asks for an operation as an administrator.
func (f *fairway) call(t *testing.T, path string) string {
	t.Helper()
	token, err := os.ReadFile(filepath.Join(f.state, "admin-token"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(resp.StatusCode, " ", strings.TrimSpace(string(data)))
}

// TestRenewAndRevoke: an operator renews and revokes; requests under way get what is newest
// without one that fails, and HAProxy is not reloaded. The soak renews fifty.
func TestRenewAndRevoke(t *testing.T) {
	t.Parallel()
	engines(t, func(t *testing.T, engine string) {
		hosts := 3
		if testkit.Soaking() {
			hosts = 50
		}
		p, address, services := startPebble(t), backend(t), "services:\n"
		name := func(n int) string { return fmt.Sprintf("h%02d.test", n) }
		for n := range hosts {
			services += service(fmt.Sprint("h", n), name(n), address)
		}
		f := startFairway(t, p, services, func(c *app.Config) { c.Engine, c.ACME.Challenges = engine, []string{"http-01"} })
		first := map[string]string{}
		for n := range hosts {
			first[name(n)] = f.await(t, name(n)).SerialNumber.String()
		}
		reloads := strings.Count(f.log.String(), "HAProxy reloaded")
		stop, asked := load(t, f, hosts, name)
		for n := range hosts {
			if got := f.call(t, "/v1/certificates/"+name(n)+"/renew"); !strings.HasPrefix(got, "200") {
				t.Fatal(got)
			}
		}
		var last *x509.Certificate
		for n := range hosts {
			testkit.Within(t, 10*time.Minute, name(n)+" is renewed", func() string {
				leaf, err := f.leaf(t, name(n))
				if err != nil {
					return err.Error()
				}
				if leaf.SerialNumber.String() == first[name(n)] {
					return "the first is in use"
				}
				last = leaf
				return ""
			})
		}
		stop()
		if n := asked(); n == 0 {
			t.Error("no request was made")
		}
		testkit.Figure(t, engine+": renewals under load", "%d renewals, %d requests, 0 failed", hosts, asked())
		if n := strings.Count(f.log.String(), "HAProxy reloaded"); n != reloads {
			t.Errorf("%d reloads", n-reloads)
		}
		if got := f.call(t, "/v1/certificates/"+name(hosts-1)+"/revoke?compromised=true"); !strings.HasPrefix(got, "200") {
			t.Fatal(got)
		}
		if status := string(p.Get(t, fmt.Sprintf("/cert-status-by-serial/%x", last.SerialNumber))); !strings.Contains(status, `"Status": "Revoked"`) {
			t.Errorf("status %s", status)
		}
		testkit.Eventually(t, "another one is in use", func() string {
			leaf, err := f.leaf(t, name(hosts-1))
			if err != nil {
				return err.Error()
			}
			if leaf.SerialNumber.Cmp(last.SerialNumber) == 0 {
				return "the revoked one is in use"
			}
			return ""
		})
		if got := f.call(t, "/v1/certificates/none.test/renew"); !strings.HasPrefix(got, "404") {
			t.Error(got)
		}
	})
}

// load asks for all hosts in turn until stop, each time over a new connection; every answer has
// to be 200, over TLS that is trusted.
func load(t *testing.T, f *fairway, hosts int, name func(int) string) (stop func(), asked func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done, n := make(chan struct{}), 0
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; n++ {
			if _, err := f.leaf(t, name(n%hosts)); err != nil {
				t.Errorf("%s: %v", name(n%hosts), err)
				return
			}
		}
	}()
	return func() { cancel(); <-done }, func() int { return n }
}
