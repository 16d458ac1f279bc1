package hostile

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"encoding/xml"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// H2Spec puts the engine through h2spec, which plays a client of HTTP/2 in some 146 ways.
// Those of failing, named by section and what is sent, must fail, and no others.
func H2Spec(t *testing.T, e Engine, failing ...string) {
	t.Helper()
	program := lab(t, "h2spec")
	s := serve(t, Endpoint{})
	dir := t.TempDir()
	r := newRoute("any", "any", "/", 0)
	r.Matches[0].Host = route.Host{Kind: route.HostAny}
	listener := route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true, Certificates: []route.Certificate{newCertificate(t, dir)}}
	table, err := route.New(1, []route.Listener{listener}, []*route.Route{r}, []*route.Backend{newBackend("any", s.Addr().String())}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Apply(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	_, port, _ := net.SplitHostPort(e.Addr("https").String())
	report := filepath.Join(dir, "report.xml")
	said, _ := exec.CommandContext(ctx, program, "-t", "-k", "-S", "-h", "127.0.0.1", "-p", port, "-o", "5", "-j", report).CombinedOutput() // it fails with a test
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	var suites struct {
		Suites []struct {
			Cases []struct {
				Section string    `xml:"package,attr"`
				Sends   string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		t.Fatal(err)
	}
	all, skipped := 0, 0
	var failed []string
	for _, suite := range suites.Suites {
		for _, c := range suite.Cases {
			all++
			switch {
			case c.Failure != nil || c.Error != nil:
				failed = append(failed, c.Section+" "+c.Sends)
			case c.Skipped != nil:
				skipped++
			}
		}
	}
	t.Logf("h2spec: %d of %d passed, %d skipped, failed: %q", all-skipped-len(failed), all, skipped, failed)
	slices.Sort(failed)
	slices.Sort(failing)
	if all < 140 || !slices.Equal(failed, failing) {
		t.Errorf("of %d failed %q, want %q", all, failed, failing)
	}
}

// lab is a program that scripts/lab.sh builds, or the test is skipped.
func lab(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("FAIRWAY_LAB")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip(err)
		}
		dir = filepath.Join(cache, "fairway-lab")
	}
	file := filepath.Join(dir, name)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("no %s: scripts/lab.sh test builds it", name)
	}
	return file
}

// newCertificate writes a key pair for any name.
func newCertificate(t *testing.T, dir string) route.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a.example"}, DNSNames: []string{"a.example"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := route.Certificate{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	for file, block := range map[string]*pem.Block{c.CertFile: {Type: "CERTIFICATE", Bytes: der}, c.KeyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
