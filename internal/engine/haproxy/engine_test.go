package haproxy

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestChangesWithoutReload makes each change that needs none, reads it back from
// HAProxy and from what clients see, and counts reloads.
func TestChangesWithoutReload(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	a, b, c := startEndpoint(t, "a"), startEndpoint(t, "b"), startEndpoint(t, "c")
	s.serve("a.example", a)
	s.apply()
	s.answers("a.example", "a")
	s.exact()
	if n := s.reloads(); n != 1 {
		t.Fatalf("%d starts and reloads, want 1", n)
	}

	s.serve("b.example", b)
	s.apply()
	s.answers("b.example", "b")

	s.backend("a.example", nil, a, c) // scale
	s.apply()
	s.exact()
	seen := map[string]bool{}
	for range 4 {
		_, body := s.get("a.example")
		seen[body] = true
	}
	if !seen["a"] || !seen["c"] {
		t.Errorf("after scaling %v answer, want a and c", seen)
	}

	s.backend("a.example", func(b *route.Backend) { b.Endpoints[0].Weight = 0 }, a, c)
	s.apply()
	s.exact()
	for range 4 {
		s.answers("a.example", "c")
	}

	s.backend("a.example", func(b *route.Backend) { b.Endpoints[1].State = route.EndpointDraining }, a, c)
	s.apply()
	s.exact()
	for range 4 {
		s.answers("a.example", "a")
	}

	s.backend("a.example", nil, c) // e00 has moved
	s.apply()
	s.exact()
	s.answers("a.example", "c")

	s.route("a.example", "moved.example", nil)
	s.apply()
	s.exact()
	s.answers("moved.example", "c")
	if status, _ := s.get("a.example"); status != 404 {
		t.Errorf("the host before is answered with %d", status)
	}

	s.remove("b.example")
	s.apply()
	s.exact()
	if status, _ := s.get("b.example"); status != 404 {
		t.Errorf("a removed host is answered with %d", status)
	}
	if n := s.reloads(); n != 1 {
		t.Errorf("%d starts and reloads, want 1", n)
	}
	within(t, 10*time.Second, "deletion of servers", func() bool { return s.count("fairway_haproxy_leaving_servers") == 0 })
	if n := s.count("fairway_haproxy_verification_failures_total") + s.count("fairway_haproxy_runtime_failures_total"); n != 0 {
		t.Errorf("%v failures", n)
	}
}

// TestCertificates: certificates come, are renewed and go without a reload.
func TestCertificates(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	dirs := []string{t.TempDir(), t.TempDir()}
	first := writeCertificate(t, dirs[0], "a.example")
	s.listeners = append(s.listeners, route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true, Certificates: []route.Certificate{first}})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	s.exact()
	if got := s.certificateOf("b.example"); got != "a.example" {
		t.Errorf("an unknown name gets the certificate of %s", got)
	}

	second := writeCertificate(t, dirs[1], "b.example")
	s.listeners[1].Certificates = []route.Certificate{first, second}
	s.apply()
	s.exact()
	if got := s.certificateOf("b.example"); got != "b.example" {
		t.Errorf("b.example gets the certificate of %s", got)
	}

	writeCertificate(t, dirs[1], "c.example") // into the same files
	within(t, 10*time.Second, "the renewed certificate", func() bool { return s.certificateOf("c.example") == "c.example" })
	s.exact()

	s.listeners[1].Certificates = []route.Certificate{first}
	s.apply()
	s.exact()
	if got := s.certificateOf("c.example"); got != "a.example" {
		t.Errorf("after its removal c.example gets the certificate of %s", got)
	}
	if n := s.reloads(); n != 1 {
		t.Errorf("%d starts and reloads, want 1", n)
	}
	left, err := filepath.Glob(filepath.Join(s.options.Dir, "certs", "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files of certificates are left, want 1: %v", len(left), err)
	}
	for _, path := range left {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}

	s.listeners[1].Certificates = []route.Certificate{second, first}
	s.apply()
	s.exact()
	if got := s.certificateOf("nobody.example"); got != "c.example" {
		t.Errorf("an unknown name gets the certificate of %s, which is not the first", got)
	}
	if n := s.reloads(); n != 2 {
		t.Errorf("%d starts and reloads after another first certificate, want 2", n)
	}
}

// certificateOf is the name in the certificate that a client gets that asks for a
// name.
func (s *site) certificateOf(name string) string {
	s.t.Helper()
	conn, err := tls.Dial("tcp", s.engine.Addr("https").String(), &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // what it shows is the question
	if err != nil {
		return fmt.Sprint(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// TestClientAuthorities: the file of authorities is read again when it changes, and
// one that is broken changes nothing, not even when HAProxy is started anew.
func TestClientAuthorities(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	first, second := writeCertificate(t, t.TempDir(), "client one"), writeCertificate(t, t.TempDir(), "client two")
	file := filepath.Join(t.TempDir(), "authorities.pem")
	use := func(c route.Certificate) {
		t.Helper()
		data, err := os.ReadFile(c.CertFile)
		if err != nil {
			t.Fatal(err)
		}
		replaceFile(t, file, data)
	}
	taken := func(c route.Certificate) bool {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		addr := s.engine.Addr("https")
		conn, err := tls.Dial("tcp", addr.String(), &tls.Config{
			InsecureSkipVerify: true, //nolint:gosec // a test
			// Whatever the other side asks for.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
		})
		if err != nil {
			return false
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"); err != nil {
			return false
		}
		_, err = conn.Read(make([]byte, 1))
		return err == nil
	}
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	s.listeners = append(s.listeners, route.Listener{
		Name: "https", Address: "127.0.0.1:0", TLS: true, Certificates: []route.Certificate{first}, ClientCAFile: file,
	})
	s.refused("listener https", "authorities of clients", "no such file")
	replaceFile(t, file, []byte("nothing"))
	s.refused("listener https", "authorities of clients", "no certificate")
	use(first)
	s.apply()
	if !taken(first) || taken(second) {
		t.Error("not the client that the authority has issued is taken")
	}
	use(second)
	within(t, 10*time.Second, "the other authority", func() bool { return taken(second) })
	if taken(first) {
		t.Error("the client of the authority before is taken")
	}
	replaceFile(t, file, []byte("nothing"))
	if err := s.engine.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	master, _ := s.processes()
	if err := syscall.Kill(master, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "another HAProxy", func() bool { now, _ := s.processes(); return now != 0 && now != master })
	s.back()
	if !taken(second) {
		t.Error("a broken file has taken the authority away")
	}
}
