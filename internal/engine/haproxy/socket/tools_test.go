package socket

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// instance is a HAProxy that runs for a test.
type instance struct {
	dir    string
	client *Client
	master *Master
}

// startHAProxy starts HAProxy with a map, a backend, a crt-list and, in proc.word,
// a string.
func startHAProxy(t *testing.T) *instance {
	t.Helper()
	program := os.Getenv("FAIRWAY_HAPROXY")
	if program == "" {
		program = "haproxy"
	}
	path, err := exec.LookPath(program)
	if err != nil {
		path = "/usr/sbin/haproxy"
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no haproxy: ", err)
	}
	dir, err := os.MkdirTemp("", "fairway")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.map", "one 1\ntwo 2\n")
	write("cert.pem", string(newPair(t, "a.example")))
	write("list", filepath.Join(dir, "cert.pem")+" [alpn h2,http/1.1] a.example\n")
	write("haproxy.cfg", strings.NewReplacer("DIR", dir).Replace(`
global
  stats socket DIR/admin.sock level admin mode 600
  set-var proc.word str(hello)
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 5s
frontend in
  bind unix@DIR/in.sock
  http-request set-var(txn.x) path,map_beg(DIR/a.map)
  default_backend be
frontend tls
  bind unix@DIR/tls.sock ssl crt-list DIR/list
  default_backend be
backend be
  balance roundrobin
  server first 127.0.0.1:1 weight 7
`))
	cmd := exec.Command(path, "-W", "-S", filepath.Join(dir, "master.sock"), "-f", filepath.Join(dir, "haproxy.cfg"))
	var said bytes.Buffer
	cmd.Stderr, cmd.Stdout = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("haproxy said:\n%s", &said)
		}
	})
	i := &instance{dir: dir, client: New(filepath.Join(dir, "admin.sock"), 0), master: NewMaster(filepath.Join(dir, "master.sock"), 0)}
	testkit.Eventually(t, "haproxy serves its sockets", func() string {
		all, err := i.master.Processes(t.Context())
		if err != nil || len(all.Workers) == 0 {
			return fmt.Sprintf("%d workers, %v", len(all.Workers), err)
		}
		session, err := i.client.Open(t.Context())
		if err != nil {
			return err.Error()
		}
		session.Close()
		return ""
	})
	return i
}

func (i *instance) path(name string) string { return filepath.Join(i.dir, name) }

// open opens a session that ends with the test.
func (i *instance) open(t *testing.T) *Session {
	t.Helper()
	s, err := i.client.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// must sends a command that must not be refused.
func must(t *testing.T, s *Session, c Command, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := s.Do(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// newPair is a new self-signed certificate with its key.
func newPair(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
}
