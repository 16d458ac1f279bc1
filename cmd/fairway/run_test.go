package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"fairway/internal/testkit"
)

// syncBuffer may be read while a command writes.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// The whole program, as a user has it: run serves a services file, the other
// commands look into it, and the end of ctx ends it in peace.
func TestRunAndLookIntoIt(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("hello"))
	}))
	defer backend.Close()
	t.Chdir(t.TempDir())
	services := "services:\n  - name: shop\n    labels: {fairway.host: shop.example.com}\n    instances: [{address: \"" + strings.TrimPrefix(backend.URL, "http://") + "\"}]\n"
	if err := os.WriteFile("services.yml", []byte(services), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr syncBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"run", "--file", "services.yml", "--listen", "127.0.0.1:0", "--state-dir", "state", "--access-log", "-"},
			&stdout, &stderr, []string{"FAIRWAY_ADMIN_LISTEN=127.0.0.1:0", "FAIRWAY_LOG_FORMAT=json", "FAIRWAY_DRAIN_TIMEOUT=2s"})
	}()

	up := regexp.MustCompile(`"listeners":\["http (\S+)"\],"admin":"(\S+?)"`)
	var addresses []string
	testkit.Eventually(t, "it is up", func() bool { addresses = up.FindStringSubmatch(stderr.String()); return addresses != nil })
	environ := []string{"FAIRWAY_ADMIN=http://" + addresses[2]}
	testkit.Eventually(t, "the route is there", func() bool {
		code, out, _ := runAt(t, environ, "routes")
		return code == exitOK && strings.Contains(out, "shop@file:services.yml")
	})
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"healthcheck"}, exitOK, "synced"},
		{[]string{"services", "shop"}, exitOK, "fairway.host=shop.example.com"},
		{[]string{"sources"}, exitOK, "file:services.yml  current"},
		{[]string{"problems"}, exitOK, ""},
		{[]string{"explain", "GET", "http://shop.example.com/"}, exitOK, "routed"},
		{[]string{"explain", "GET", "http://other.example.com/"}, exitNo, "no-route"},
		{[]string{"doctor", "shop"}, exitOK, "served"},
		{[]string{"doctor", "nobody"}, exitNo, ""},
	} {
		code, out, errs := runAt(t, environ, tt.args...)
		if code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%q: code %d, want %d; %s%s", tt.args, code, tt.code, out, errs)
		}
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+addresses[1]+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.example.com"
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("a request gets %s", res.Status)
	}
	req.Host = "other.example.com"
	if res, err = http.DefaultClient.Do(req); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	testkit.Eventually(t, "the error is kept", func() bool {
		code, out, _ := runAt(t, environ, "errors")
		return code == exitOK && strings.Contains(out, "404") && strings.Contains(out, "no route for host other.example.com")
	})

	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("run ends with %d: %s", code, stderr.String())
	}
	if !strings.Contains(stdout.String(), "shop.example.com") {
		t.Errorf("the access log is %q", stdout.String())
	}
}

func TestRunWithAPortThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Chdir(t.TempDir())
	code, _, stderr := runAt(t, nil, "run", "--listen", l.Addr().String(), "--admin.listen", "off", "--state-dir", "state", "--file", "none.yml")
	if code != exitFailed || !strings.Contains(stderr, "fairway: ") || !strings.Contains(stderr, l.Addr().String()) {
		t.Errorf("code %d: %s", code, stderr)
	}
}

func TestInterrupted(t *testing.T) {
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"routes", "--admin", server.URL}, &out, &errs, nil); code != exitStopped || errs.Len() > 0 {
		t.Errorf("code %d, stderr %q", code, errs.String())
	}
}

// Without a Fairway, doctor looks into the sources itself; but never when the
// user has said which Fairway to ask.
func TestDoctorWithoutFairway(t *testing.T) {
	t.Chdir(t.TempDir())
	services := "services:\n  - name: shop\n    labels: {fairway.hsot: shop.example.com}\n    instances: [{address: \"10.0.0.1:80\"}]\n"
	if err := os.WriteFile("services.yml", []byte(services), 0o600); err != nil {
		t.Fatal(err)
	}
	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	environ := []string{"FAIRWAY_ADMIN_LISTEN=" + strings.TrimPrefix(nobody.URL, "http://"), "FAIRWAY_FILE=services.yml"}
	code, stdout, stderr := runAt(t, environ, "doctor", "shop")
	if code != exitNo || !strings.Contains(stdout, "not served") || !strings.Contains(stdout, "fairway.hsot") || !strings.Contains(stderr, "Reading the sources directly.") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr = runAt(t, environ, "doctor", "nobody")
	if code != exitNo || stdout != "" || !strings.Contains(stderr, `fairway: nothing is called "nobody"`) {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	code, _, stderr = runAt(t, append(environ, "FAIRWAY_QUIET=banana"), "doctor", "shop")
	if code != exitUsage || !strings.Contains(stderr, "FAIRWAY_QUIET") {
		t.Errorf("with a faulty configuration: code %d: %s", code, stderr)
	}
}
