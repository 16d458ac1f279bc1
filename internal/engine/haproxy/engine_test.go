package haproxy

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/route"
	"fairway/internal/testkit"
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

	s.engine.Endpoints()
	s.backend("a.example", func(b *route.Backend) { b.Endpoints[1].State = route.EndpointDraining }, a, c)
	s.apply()
	if n := len(s.engine.readings.heard); n > 0 { // what runs is asked for anew: it may have grown since
		t.Errorf("%d answers of before the table count on", n)
	}
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
	testkit.Eventually(t, "deletion of servers", func() bool { return s.count("fairway_haproxy_leaving_servers") == 0 })
	if n := s.count("fairway_haproxy_verification_failures_total") + s.count("fairway_haproxy_runtime_failures_total"); n != 0 {
		t.Errorf("%v failures", n)
	}
}

// TestAddedServerKeepsConnections: what is added while HAProxy runs is asked over
// connections that stay, as what it was started with.
func TestAddedServerKeepsConnections(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.apply()
	var connections atomic.Int32
	backend := httptest.NewUnstartedServer(http.NotFoundHandler())
	backend.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	backend.Start()
	t.Cleanup(backend.Close)
	s.serve("a.example", backend.Listener.Addr().String())
	s.apply()
	if n := s.reloads(); n != 1 {
		t.Fatalf("%d starts and reloads, want 1", n)
	}
	client := s.client()
	for range 20 {
		if status, body := s.ask(client, "a.example", "/"); status != http.StatusNotFound {
			t.Fatalf("%d %s", status, body)
		}
	}
	if n := connections.Load(); n > 2 {
		t.Errorf("%d connections for 20 requests, one after the other", n)
	}
}

// TestBusyListenerIsSampled: of many requests only some are told of, and those stand
// for all; what says 5xx is told of each time.
func TestBusyListenerIsSampled(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(backend.Close)
	s.serve("a.example", backend.Listener.Addr().String())
	s.apply()
	const most, failures = 20_000, 100
	client := s.client()
	ask := func(path string, want int) {
		if status, body := s.ask(client, "a.example", path); status != want {
			t.Fatalf("%s: %d %s, want %d", path, status, body, want)
		}
	}
	began, asked := time.Now(), 0
	for ; asked < most && time.Since(began) < 4*time.Second; asked++ {
		ask("/", http.StatusOK)
	}
	for range failures {
		ask("/bad", http.StatusInternalServerError)
	}
	if rate := float64(asked) / time.Since(began).Seconds(); rate < 1000 {
		t.Skipf("this machine makes %.0f requests a second, too few to be sampled", rate)
	}
	counted := func(code string) float64 { return testkit.Metrics(t, s.registry)["requests_total "+code+" a.example"] }
	testkit.Eventually(t, "all failures are counted", func() bool { return counted("5xx") == failures })
	t.Logf("%d requests, %.0f counted", asked, counted("2xx"))
	if n := counted("2xx"); n < 0.7*float64(asked) || n > 1.4*float64(asked) || n == float64(asked) {
		t.Errorf("%.0f requests counted of %d, by a sample", n, asked)
	}
}

// TestCertificates: certificates come, are renewed and go without a reload.
func TestCertificates(t *testing.T) {
	t.Parallel()
	dirs := []string{t.TempDir(), t.TempDir()}
	s := newSite(t, Options{UserDirs: dirs})
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

	named := second
	named.Host = "b.example"
	s.listeners[1].Certificates = []route.Certificate{first, named}
	s.apply()
	s.exact()
	if got := s.certificateOf("b.example"); got != "b.example" {
		t.Errorf("by a label b.example gets the certificate of %s", got)
	}
	s.listeners[1].Certificates = []route.Certificate{first, second}
	s.apply()
	s.exact()

	writeCertificate(t, dirs[1], "c.example") // into the same files
	testkit.Eventually(t, "the renewed certificate", func() bool { return s.certificateOf("c.example") == "c.example" })
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
	s.refused("listener https", "client authorities", "no such file")
	replaceFile(t, file, []byte("nothing"))
	s.refused("listener https", "client authorities", "no certificate")
	use(first)
	s.apply()
	if !taken(first) || taken(second) {
		t.Error("not the client that the authority has issued is taken")
	}
	use(second)
	testkit.Eventually(t, "the other authority", func() bool { return taken(second) })
	if taken(first) {
		t.Error("the client of the authority before is taken")
	}
	replaceFile(t, file, []byte("nothing"))
	if err := s.engine.reloadAnyway(t.Context()); err != nil {
		t.Fatal(err)
	}
	master, _ := s.processes()
	if err := syscall.Kill(master, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, "another HAProxy", func() bool { now, _ := s.processes(); return now != 0 && now != master })
	s.back()
	if !taken(second) {
		t.Error("a broken file has taken the authority away")
	}
}
