package authority

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// house is an authority with a clock of its own.
type house struct {
	*Authority
	dir string
	now time.Time
	log bytes.Buffer
}

func newHouse(t *testing.T) *house {
	h := &house{dir: filepath.Join(t.TempDir(), "authority"), now: time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)}
	h.restart()
	return h
}

func (h *house) restart() {
	h.Authority = New(Options{
		Dir: h.dir, Name: "here", Now: func() time.Time { return h.now },
		Logger: slog.New(slog.NewTextHandler(&h.log, nil)),
	})
}

// issued issues and returns the leaf, after a client that trusts the root has taken it.
func (h *house) issued(t *testing.T, name string) *x509.Certificate {
	t.Helper()
	cert, key, err := h.Issue(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if len(pair.Certificate) != 2 {
		t.Errorf("%d certificates in the chain, want leaf and intermediate", len(pair.Certificate))
	}
	between := x509.NewCertPool()
	between.AppendCertsFromPEM(cert)
	o := x509.VerifyOptions{Roots: h.pool(t), Intermediates: between, CurrentTime: h.now}
	if net.ParseIP(name) == nil {
		o.DNSName = strings.Replace(name, "*.", "any.", 1)
	} else {
		o.DNSName = name
	}
	if _, err := pair.Leaf.Verify(o); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return pair.Leaf
}

func (h *house) pool(t *testing.T) *x509.CertPool {
	t.Helper()
	root, err := h.Root()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root.PEM) {
		t.Fatalf("%s is no certificate", root.PEM)
	}
	return pool
}

func (h *house) fingerprint(t *testing.T) string {
	t.Helper()
	root, err := h.Root()
	if err != nil {
		t.Fatal(err)
	}
	return root.Fingerprint
}

func TestIssue(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"app.localhost", "localhost", "*.shop.internal", "192.0.2.7", "2001:db8::7", strings.Repeat("a", 60) + ".internal"} {
		if leaf := h.issued(t, name); !leaf.NotAfter.Equal(h.now.Add(LeafLife)) {
			t.Errorf("%s holds until %s", name, leaf.NotAfter)
		}
	}
	for _, name := range []string{"", "*", "a b", "*.*.internal", "Shop.internal", "shop.internal.", "a\nb", "fe80::1%eth0", "shop:443"} {
		if _, _, err := h.Issue(t.Context(), name); err == nil {
			t.Errorf("%q gets a certificate", name)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.Issue(ended, "app.localhost"); err == nil {
		t.Error("issued after the end")
	}
}

// TestKeysAreForTheirOwnerAlone: modes, and nothing of a key in what is logged.
func TestKeysAreForTheirOwnerAlone(t *testing.T) {
	h := newHouse(t)
	h.issued(t, "app.localhost")
	for name, mode := range map[string]os.FileMode{"": 0o700, fileRoot: 0o600, fileIntermediate: 0o600} {
		info, err := os.Stat(filepath.Join(h.dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, %v", name, info.Mode(), err)
		}
	}
	if text := h.log.String(); strings.Contains(text, "KEY") || !strings.Contains(text, "fairway trust") {
		t.Errorf("logged: %s", text)
	}
	root, _ := h.Root()
	if bytes.Contains(root.PEM, []byte("KEY")) {
		t.Error("the root comes with its key")
	}
}

// TestLifeTimes: the root stays through restarts and renewals of the intermediate, until it
// could not outlive one more.
func TestLifeTimes(t *testing.T) {
	h := newHouse(t)
	first, issuer := h.fingerprint(t), h.issued(t, "app.localhost").AuthorityKeyId
	h.restart()
	if got := h.issued(t, "app.localhost").AuthorityKeyId; !bytes.Equal(got, issuer) || h.fingerprint(t) != first {
		t.Error("a restart makes another authority")
	}
	h.now = h.now.Add(intermediateLife*2/3 + time.Hour)
	if got := h.issued(t, "app.localhost").AuthorityKeyId; bytes.Equal(got, issuer) || h.fingerprint(t) != first {
		t.Error("the intermediate is not renewed, or the root is")
	}
	for range 60 { // months
		h.now = h.now.Add(30 * 24 * time.Hour)
		h.issued(t, "app.localhost")
	}
	if h.fingerprint(t) != first {
		t.Error("the root is another one after five years")
	}
	h.now = h.now.Add(rootLife)
	h.issued(t, "app.localhost")
	if h.fingerprint(t) == first {
		t.Error("the root is used after its end")
	}
	if _, err := os.Stat(filepath.Join(h.dir, fileRoot+".old-1")); err != nil {
		t.Error(err)
	}
}

// TestDamage: what cannot be read is moved aside, said, and made anew.
func TestDamage(t *testing.T) {
	for name, file := range map[string]string{"root": fileRoot, "intermediate": fileIntermediate} {
		for damage, data := range map[string]string{"empty": "", "nonsense": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
			t.Run(name+" "+damage, func(t *testing.T) {
				h := newHouse(t)
				before := h.fingerprint(t)
				if err := os.WriteFile(filepath.Join(h.dir, file), []byte(data), 0o600); err != nil {
					t.Fatal(err)
				}
				h.restart()
				h.log.Reset()
				h.issued(t, "app.localhost")
				if same := h.fingerprint(t) == before; same != (file == fileIntermediate) {
					t.Errorf("the root is the same: %v", same)
				}
				if aside, err := os.ReadFile(filepath.Join(h.dir, file+".old-1")); err != nil || string(aside) != data {
					t.Errorf("moved aside: %q, %v", aside, err)
				}
				if !strings.Contains(h.log.String(), "damaged") {
					t.Errorf("logged: %s", h.log.String())
				}
			})
		}
	}
}

// TestAtOnce: callers at the same time share one root.
func TestAtOnce(t *testing.T) {
	h := newHouse(t)
	var group sync.WaitGroup
	issuers := make([]string, 8)
	for i := range issuers {
		group.Go(func() {
			cert, key, err := h.Issue(t.Context(), "app.localhost")
			if err != nil {
				t.Error(err)
				return
			}
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Error(err)
				return
			}
			issuers[i] = string(pair.Leaf.AuthorityKeyId)
		})
	}
	group.Wait()
	for _, issuer := range issuers {
		if issuer != issuers[0] || issuer == "" {
			t.Error("there are several issuers")
		}
	}
}

// TestUnreadable: a directory that cannot be used is an error, and nothing is replaced.
func TestUnreadable(t *testing.T) {
	h := newHouse(t)
	if err := os.WriteFile(h.dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Issue(t.Context(), "app.localhost"); err == nil || !strings.HasPrefix(err.Error(), "authority: ") {
		t.Errorf("got %v", err)
	}
}
