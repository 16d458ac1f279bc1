// Package pebbletest starts pebble, the certificate authority of Let's Encrypt's authors, for
// tests. scripts/lab.sh builds it; a test that needs it is skipped where it is missing.
package pebbletest

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// Options change how it behaves. The zero value knows every name at 127.0.0.1 and demands no
// external account.
type Options struct {
	// Server is the name server that it asks, host:port; empty is one of its own.
	Server string
	// Environ is added to the environment.
	Environ []string
	// MACKeys are those of the external accounts that it demands, by their IDs, in base64url.
	MACKeys map[string]string
	// HTTP and TLS are the ports that it asks at; empty are free ones.
	HTTP, TLS string
	// Address is that of every name; empty is 127.0.0.1.
	Address string
}

// Pebble is a running certificate authority, with its DNS.
type Pebble struct {
	// Directory is the URL for clients, Root a PEM file that its server is trusted by.
	Directory, Root string
	// Manage is its management address, and DNS the one where names are managed: both are URLs.
	Manage, DNS string
	// Server is the name server that it asks, host:port; HTTP and TLS are the ports that it asks at.
	Server, HTTP, TLS string
	client            *http.Client
}

// Program is the path of one of its programs, or the test is skipped.
func Program(t testing.TB, name string) string {
	t.Helper()
	lab := os.Getenv("FAIRWAY_LAB")
	if cache, err := os.UserCacheDir(); lab == "" && err == nil {
		lab = filepath.Join(cache, "fairway-lab")
	}
	program := filepath.Join(lab, name)
	if _, err := os.Stat(program); err != nil {
		t.Skipf("no %s: scripts/lab.sh pebble builds it", name)
	}
	return program
}

// Start runs one until the test ends.
func Start(t testing.TB, o Options) *Pebble {
	t.Helper()
	program, names := Program(t, "pebble"), Program(t, "pebble-challtestsrv")
	dir := t.TempDir()
	port := func() string { return "127.0.0.1:" + testkit.FreePort(t) }
	listen, manage, dns, dnsManage := port(), port(), port(), port()
	p := &Pebble{
		Directory: "https://" + listen + "/dir", Root: filepath.Join(dir, "cert.pem"), Manage: "https://" + manage, DNS: "http://" + dnsManage,
		Server: cmp.Or(o.Server, dns), HTTP: o.HTTP, TLS: o.TLS,
	}
	if p.HTTP == "" {
		p.HTTP, p.TLS = testkit.FreePort(t), testkit.FreePort(t)
	}
	cert, key := testkit.KeyPair(t, "pebble")
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": manage, "certificate": p.Root, "privateKey": filepath.Join(dir, "key.pem"),
		"httpPort": number(t, p.HTTP), "tlsPort": number(t, p.TLS), "externalAccountBindingRequired": len(o.MACKeys) > 0, "externalAccountMACKeys": o.MACKeys,
		"retryAfter": map[string]int{"authz": 1, "order": 1}, "profiles": map[string]any{"default": map[string]any{"description": "d", "validityPeriod": 7776000}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{p.Root: cert, filepath.Join(dir, "key.pem"): key, filepath.Join(dir, "config.json"): config} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	Run(t, nil, names, "-defaultIPv4", cmp.Or(o.Address, "127.0.0.1"), "-defaultIPv6", "", "-dnsserver", dns, "-management", dnsManage,
		"-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", "")
	Run(t, slices.Concat([]string{"PEBBLE_VA_NOSLEEP=1"}, o.Environ), program, "-config", filepath.Join(dir, "config.json"), "-dnsserver", p.Server)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	t.Cleanup(transport.CloseIdleConnections)
	p.client = &http.Client{Transport: transport, Timeout: 5 * time.Second}
	testkit.Eventually(t, "pebble answers", func() bool {
		resp, err := p.client.Get(p.Directory)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return true
	})
	return p
}

func number(t testing.TB, port string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Get is the body of an answer of its management.
func (p *Pebble) Get(t testing.TB, path string) []byte {
	t.Helper()
	resp, err := p.client.Get(p.Manage + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s %v", path, resp.StatusCode, data, err)
	}
	return data
}

// Trust is a pool with the root that signs certificates.
func (p *Pebble) Trust(t testing.TB) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.Get(t, "/roots/0"))
	return pool
}

// Run runs a program until the test ends.
func Run(t testing.TB, environ []string, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), environ...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text := out.String()
			t.Logf("%s: %s", filepath.Base(program), text[max(0, len(text)-6000):])
		}
	})
}
