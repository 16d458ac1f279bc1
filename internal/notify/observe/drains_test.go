package observe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/notify"
)

// Departures of a service are reported although endpoints of others, or of itself,
// go on leaving.
func TestDeparturesAreReportedUnderSteadyChurn(t *testing.T) {
	began := time.Unix(1000, 0)
	waiting := departures{}
	waiting.add(Drained{Service: "quiet"}, began)
	reported := map[string]time.Duration{}
	for after := time.Duration(0); after <= time.Minute; after += time.Second {
		waiting.add(Drained{Service: "busy"}, began.Add(after))
		for service := range waiting.take(began.Add(after)) {
			if _, again := reported[service]; !again {
				reported[service] = after
			}
		}
	}
	for service, want := range map[string]time.Duration{"quiet": drainQuiet, "busy": drainLatest} {
		if got, ok := reported[service]; !ok || got != want {
			t.Errorf("service %s is reported after %s, want %s (%v)", service, got, want, ok)
		}
	}
	if due, ok := waiting.due(); !ok || due.Before(began.Add(time.Minute)) {
		t.Errorf("what has left since is due at %s, %v", due, ok)
	}
}

func TestDrainEvent(t *testing.T) {
	list := []Drained{{Requests: 3, Took: time.Second}, {Requests: 2, Failed: 1, Took: 2 * time.Second}}
	e := drainEvent("web@docker", list)
	if e.Kind != notify.DrainCut || e.Details["cut"] != "1" || e.Details["took"] != "2s" || !strings.Contains(e.Text, "1 of 5") {
		t.Errorf("%+v", e)
	}
	if e = drainEvent("web@docker", list[:1]); e.Kind != notify.DrainClean || e.Details["requests"] != "3" {
		t.Errorf("%+v", e)
	}
}

func TestCertificateEvents(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	write := func(name string, expires time.Time) string {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		made := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: expires, DNSNames: []string{"a.example"}}
		der, err := x509.CreateCertificate(rand.Reader, made, made, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		data := append([]byte("-----BEGIN X-----\n-----END X-----\n"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const day = 24 * time.Hour
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		write("good.pem", now.Add(30*day)): nil,
		write("soon.pem", now.Add(10*day)): {"14 days"},
		write("near.pem", now.Add(2*day)):  {"3 days", "14 days"},
		write("gone.pem", now.Add(-day)):   {"expired", "3 days", "14 days"},
		empty:                              {"unreadable"},
		filepath.Join(dir, "absent.pem"):   {"unreadable"},
	} {
		var bad []string
		for _, e := range certificateEvents(path, now) {
			if e.Kind == notify.CertificateBad {
				bad = append(bad, strings.TrimPrefix(e.Subject, "certificate/"+path+"/"))
			}
		}
		if !slices.Equal(bad, want) {
			t.Errorf("%s: %q, want %q", filepath.Base(path), bad, want)
		}
	}
}
