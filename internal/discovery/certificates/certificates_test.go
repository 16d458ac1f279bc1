package certificates

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"fairway/internal/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bundle makes a certificate with its key.
func bundle(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{name}}
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

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// found lists what Read finds, relative to dir.
func found(t *testing.T, s *Source, dir string) string {
	t.Helper()
	list, err := s.Read()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range list {
		name, err := filepath.Rel(dir, c.File)
		if err != nil || c.Source != Name {
			t.Fatal(c, err)
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func TestReadFindsSoundFilesInOrder(t *testing.T) {
	dir := t.TempDir()
	good := bundle(t, "a.example")
	for _, name := range []string{"put/b.pem", "put/a.pem", "put/.hidden", "secrets/CERT_x", "secrets/cert-y", "secrets/password"} {
		write(t, filepath.Join(dir, name), good)
	}
	write(t, filepath.Join(dir, "put/broken.pem"), good[:len(good)/2])
	if err := os.Mkdir(filepath.Join(dir, "put/folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := New(Options{
		Dir:       filepath.Join(dir, "put"),
		More:      []Dir{{Path: filepath.Join(dir, "secrets"), Prefixes: []string{"cert-", "cert_"}}, {Path: filepath.Join(dir, "none")}},
		Preferred: []string{"b*", "cert-*"},
		Logger:    slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, want := found(t, s, dir), "put/b.pem secrets/cert-y put/a.pem secrets/CERT_x"; got != want {
			t.Errorf("files %q, want %q", got, want)
		}
	}
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, "broken.pem") || strings.Contains(got, "BEGIN") {
		t.Errorf("log %q", got)
	}

	// Where there are too many, the preferred ones stay.
	s.most = 2
	if got, want := found(t, s, dir), "put/b.pem secrets/cert-y"; got != want {
		t.Errorf("of too many files %q stay, want %q", got, want)
	}
	s.most = MaxFiles

	// What was sound stays while it is being replaced; what is gone is gone.
	write(t, filepath.Join(dir, "put/a.pem"), []byte("half of a new one"))
	if err := os.Remove(filepath.Join(dir, "put/b.pem")); err != nil {
		t.Fatal(err)
	}
	if got, want := found(t, s, dir), "secrets/cert-y put/a.pem secrets/CERT_x"; got != want {
		t.Errorf("files %q, want %q", got, want)
	}
}

func TestPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "certificates")
	s, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	good := bundle(t, "a.example")
	if err := s.Put("a.example.combined.pem", good); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "a.example.combined.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info, err)
	}
	if back, err := s.Get("a.example.combined.pem"); err != nil || !bytes.Equal(back, good) {
		t.Errorf("Get: %v", err)
	}

	cert, key, _ := bytes.Cut(good, []byte("-----BEGIN PRIVATE"))
	other, _, _ := bytes.Cut(bundle(t, "b.example"), []byte("-----BEGIN PRIVATE"))
	for name, bad := range map[string]struct {
		name string
		pem  []byte
	}{
		"parent":      {"../a.pem", good},
		"absolute":    {"/etc/a.pem", good},
		"folder":      {"a/b.pem", good},
		"backslash":   {`..\a.pem`, good},
		"dots":        {"..", good},
		"hidden":      {".a.pem", good},
		"zero":        {"a\x00.pem", good},
		"no name":     {"", good},
		"long name":   {strings.Repeat("a", 201), good},
		"empty":       {"b.pem", nil},
		"no key":      {"b.pem", cert},
		"no cert":     {"b.pem", append([]byte("-----BEGIN PRIVATE"), key...)},
		"foreign key": {"b.pem", append(bytes.Clone(other), append([]byte("-----BEGIN PRIVATE"), key...)...)},
		"large":       {"b.pem", append(bytes.Clone(good), make([]byte, MaxBytes)...)},
	} {
		if err := s.Put(bad.name, bad.pem); !errors.Is(err, ErrInvalid) || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if names, err := s.Names(); err != nil || len(names) != 1 {
		t.Errorf("names %q, %v", names, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := s.Get("../posted.json"); !errors.Is(err, ErrInvalid) {
		t.Errorf("Get of a parent: %v", err)
	}
}

func TestRunAnswersAfterPut(t *testing.T) {
	s, err := New(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	out, done := make(chan catalog.Answer), make(chan struct{})
	go func() { defer close(done); s.Run(ctx, out) }()
	if a := <-out; len(a.Certificates) != 0 || a.Err != nil {
		t.Errorf("first answer %+v", a)
	}
	if err := s.Put("a.pem", bundle(t, "a.example")); err != nil {
		t.Fatal(err)
	}
	if a := <-out; len(a.Certificates) != 1 {
		t.Errorf("second answer %+v", a)
	}
	cancel()
	<-done
}

func TestNewRefusesBadPatterns(t *testing.T) {
	if _, err := New(Options{Dir: "x", Preferred: []string{"["}}); err == nil {
		t.Error("accepted")
	}
}

// A certificate is put only where all of its names may be.
func TestPutAsksWhoMayHaveTheNames(t *testing.T) {
	var asked []string
	dir := t.TempDir()
	s, err := New(Options{Dir: dir, May: func(names []string) error {
		if asked = names; names[0] != "good.example" {
			return errors.New("it is not yours")
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put("good.pem", bundle(t, "good.example")); err != nil {
		t.Error(err)
	}
	if err := s.Put("bad.pem", bundle(t, "bad.example")); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "it is not yours") {
		t.Errorf("the error is %v", err)
	}
	if got := strings.Join(asked, " "); got != "bad.example" {
		t.Errorf("asked for %q", got)
	}
	if got := found(t, s, dir); got != "good.pem" {
		t.Errorf("kept are %q", got)
	}
}
