package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// write writes a certificate with its key for a name, and makes the files look old
// enough to be trusted.
func write(t *testing.T, file route.Certificate, name string) {
	t.Helper()
	writeUntil(t, file, name, time.Now().Add(time.Hour))
}

// writeUntil is write for a certificate with another end.
func writeUntil(t *testing.T, file route.Certificate, name string, end time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotAfter: end, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyText := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if file.KeyFile == file.CertFile {
		text = append(text, keyText...)
	} else if err := os.WriteFile(file.KeyFile, keyText, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file.CertFile, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestReload: what a file holds now is taken, and what is broken is not.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	pair := route.Certificate{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	joined := route.Certificate{CertFile: filepath.Join(dir, "both.pem"), KeyFile: filepath.Join(dir, "both.pem")}
	write(t, pair, "Old.example")
	write(t, joined, "joined.example")
	s := New(slog.New(slog.DiscardHandler))
	holds := func(want string) {
		t.Helper()
		pairs, err := s.Pairs([]route.Certificate{pair, joined})
		if err != nil {
			t.Fatal(err)
		}
		issuers, err := s.Authorities(pair.CertFile)
		if err != nil {
			t.Fatal(err)
		}
		if got := pairs[0].Names[0] + " " + pairs[1].Names[0]; got != want || string(issuers.PEM) != string(pairs[0].CertPEM) {
			t.Errorf("got %s, want %s; authorities %s", got, want, issuers.PEM)
		}
	}
	holds("old.example joined.example")
	if s.Reload() {
		t.Error("nothing has changed")
	}
	if err := os.WriteFile(pair.CertFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s.Reload() {
		t.Error("a broken file counts")
	}
	holds("old.example joined.example")
	write(t, pair, "new.example")
	if !s.Reload() {
		t.Error("a change is not seen")
	}
	holds("new.example joined.example")
	for name, broken := range map[string]route.Certificate{
		"has no key": {CertFile: pair.CertFile, KeyFile: filepath.Join(dir, "none")}, "cert.pem: ": {CertFile: pair.CertFile, KeyFile: joined.KeyFile},
	} {
		if _, err := s.Pairs([]route.Certificate{broken}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
	if _, err := s.Authorities(pair.KeyFile); err == nil {
		t.Error("a file without a certificate is taken for authorities")
	}
}

// TestKeep: a pair that one listener needs stays, whatever another one makes of it; one
// that was forgotten is read again.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	pair := route.Certificate{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	write(t, pair, "a.example")
	s := New(slog.New(slog.DiscardHandler))
	names := []route.Certificate{pair}
	first, err := s.Pairs(names)
	if err != nil {
		t.Fatal(err)
	}
	s.Keep([]route.Listener{{Name: "https", TLS: true, Certificates: names}, {Name: "plain", Certificates: names}})
	if again, err := s.Pairs(names); err != nil || again[0] != first[0] {
		t.Errorf("the pair is forgotten (%v)", err)
	}
	s.Keep(nil)
	if again, err := s.Pairs(names); err != nil || again[0] == first[0] {
		t.Errorf("the pair is kept (%v)", err)
	}
}

// TestSlowFilesHoldUpNobody: while a pair is read again, others get what they ask for.
func TestSlowFilesHoldUpNobody(t *testing.T) {
	dir := t.TempDir()
	pair := route.Certificate{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	write(t, pair, "a.example")
	s := New(slog.New(slog.DiscardHandler))
	names := []route.Certificate{pair}
	if _, err := s.Pairs(names); err != nil {
		t.Fatal(err)
	}
	write(t, pair, "b.example")
	reading, disk := make(chan struct{}), make(chan struct{})
	s.pairs.read = func(route.Certificate) (*Pair, error) {
		close(reading)
		<-disk
		return nil, errors.New("it is gone")
	}
	reloaded := make(chan bool)
	go func() { reloaded <- s.Reload() }()
	<-reading
	got := make(chan error)
	go func() {
		_, err := s.Pairs(names)
		got <- err
	}()
	select {
	case err := <-got:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(testkit.Patience):
		t.Error("a reader waits for the disk")
	}
	close(disk)
	if <-reloaded {
		t.Error("a pair that cannot be read has changed")
	}
}
