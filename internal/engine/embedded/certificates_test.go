package embedded

import (
	"crypto/tls"
	"net/http"
	"os"
	"testing"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// TestCertificatesByName: certificates are chosen by name, routes by host, whatever the name
// was; versions below 1.2 are refused.
func TestCertificatesByName(t *testing.T) {
	a, b := newApp(t, nil), newApp(t, nil)
	s := newSite(t, Options{})
	s.listeners = append(s.listeners, tlsListener(t, "https", "first.example", "*.wild.example", "exact.wild.example"))
	s.serve("a.example", a.addr())
	s.serve("b.example", b.addr())
	s.apply()
	handshake := func(name string, conf *tls.Config) (string, error) {
		conf.InsecureSkipVerify, conf.ServerName = true, name
		c, err := tls.Dial("tcp", s.addr("https"), conf)
		if err != nil {
			return "", err
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0], nil
	}
	for name, want := range map[string]string{
		"first.example": "first.example", "x.wild.example": "*.wild.example", "EXACT.wild.example": "exact.wild.example",
		"a.b.wild.example": "first.example", "wild.example": "first.example", "unknown.example": "first.example", "": "first.example",
	} {
		if got, err := handshake(name, &tls.Config{}); err != nil || got != want {
			t.Errorf("server name %q: certificate %q, want %q (%v)", name, got, want, err)
		}
	}
	if _, err := handshake("first.example", &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	for _, h2 := range []bool{false, true} {
		client := s.client("https", h2)
		req, _ := http.NewRequest(http.MethodGet, "https://a.example/", nil)
		req.Host = "b.example" // another host than the server name
		before := len(b.all())
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 || len(b.all()) != before+1 || len(a.all()) != 0 {
			t.Errorf("h2 %v: the host did not decide: %d", h2, res.StatusCode)
		}
		if got := b.last().header.Get("X-Forwarded-Proto") + b.last().header.Get("X-Forwarded-Port"); got != "https443" {
			t.Errorf("forwarded as %s", got)
		}
		if (res.ProtoMajor == 2) != h2 {
			t.Errorf("h2 %v: %s", h2, res.Proto)
		}
	}
}

// TestCertificateReload: a new pair is taken without closing connections, a
// broken one is not.
func TestCertificateReload(t *testing.T) {
	a := newApp(t, nil)
	dir := t.TempDir()
	s := newSite(t, Options{})
	cert := writeCertificate(t, dir, "old.example")
	s.listeners = append(s.listeners, route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true, Certificates: []route.Certificate{cert}})
	s.serve("a.example", a.addr())
	s.apply()
	name := func() string {
		c, err := tls.Dial("tcp", s.addr("https"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	open := s.client("https", true)
	if _, err := open.Get("https://a.example/"); err != nil {
		t.Fatal(err)
	}
	replaceFile(t, cert.CertFile, []byte("broken"))
	s.engine.certs.Reload()
	if got := name(); got != "old.example" {
		t.Errorf("with a broken file: %s", got)
	}
	if err := os.Remove(cert.CertFile); err != nil {
		t.Fatal(err)
	}
	s.engine.certs.Reload()
	// A table with the broken pair still applies: the pair is known.
	s.serve("b.example", a.addr())
	s.apply()
	if got := name(); got != "old.example" {
		t.Errorf("without the file: %s", got)
	}
	writeCertificate(t, dir, "new.example")
	testkit.Eventually(t, "the new certificate is served", func() bool { return name() == "new.example" })
	if res, err := open.Get("https://a.example/"); err != nil || res.StatusCode != 200 {
		t.Errorf("open connection: %v", err)
	}
	https := s.listeners[1]
	s.listeners = s.listeners[:1]
	s.apply()
	if err := os.Remove(cert.CertFile); err != nil {
		t.Fatal(err)
	}
	s.listeners = append(s.listeners, https)
	if err := s.engine.Apply(t.Context(), s.table()); err == nil {
		t.Error("a pair that left the table is still known")
	}
}
