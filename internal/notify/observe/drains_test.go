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
	"testing/synctest"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/metrics"
	"fairway/internal/notify"
	"fairway/internal/route"
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
	const day = 24 * time.Hour
	write := func(name string, life time.Duration, expires time.Time) string {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		made := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: expires.Add(-life), NotAfter: expires, DNSNames: []string{"a.example"}}
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
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][]string{
		write("good.pem", 90*day, now.Add(30*day)):          nil,
		write("soon.pem", 90*day, now.Add(10*day)):          {"14 days"},
		write("near.pem", 90*day, now.Add(2*day)):           {"3 days", "14 days"},
		write("gone.pem", 90*day, now.Add(-day)):            {"expired", "3 days", "14 days"},
		write("short.pem", 7*day, now.Add(2*day)):           nil,
		write("short-soon.pem", 7*day, now.Add(day)):        {"14 days"},
		write("short-near.pem", 7*day, now.Add(day/2)):      {"3 days", "14 days"},
		write("short-gone.pem", 7*day, now.Add(-time.Hour)): {"expired", "3 days", "14 days"},
		empty:                            {"unreadable"},
		filepath.Join(dir, "absent.pem"): {"unreadable"},
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

// TestCertificateThatIsGone: what was said of a file is withdrawn with the file, once it is
// known that no label names it; what is said of orders is left alone.
func TestCertificateThatIsGone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, err := notify.New(notify.Options{Dir: dir, Feed: &catalog.Feed{}, Metrics: &metrics.Set{}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		synced := false
		o := Observer{Notifier: n, Synced: func() bool { return synced }}
		with := func(files ...string) *route.Table {
			l := route.Listener{Name: "https", TLS: true}
			for _, name := range files {
				l.Certificates = append(l.Certificates, route.Certificate{CertFile: filepath.Join(dir, name)})
			}
			return &route.Table{Listeners: []route.Listener{l}}
		}
		standing := func() (names []string) {
			for _, e := range n.Standing() {
				names = append(names, filepath.Base(e.Name))
			}
			slices.Sort(names)
			return names
		}
		if err := n.Report(notify.Event{Kind: notify.CertificateBad, Subject: "certificate/acme/app.example", Name: "order", Text: "no"}); err != nil {
			t.Fatal(err)
		}
		o.reportCertificates(with("gone.pem", "left.pem"))
		o.reportCertificates(with("left.pem"))
		if got := standing(); !slices.Equal(got, []string{"gone.pem", "left.pem", "order"}) {
			t.Errorf("before all is known: %q", got)
		}
		synced = true
		o.reportCertificates(with("left.pem"))
		if got := standing(); !slices.Equal(got, []string{"left.pem", "order"}) {
			t.Errorf("standing are %q", got)
		}
	})
}
