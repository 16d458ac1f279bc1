package dockerapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/dockerapi/dockertest"
)

// execEngine is an engine on which commands can be run: they say what they were
// given and leave.
type execEngine struct {
	*dockertest.Engine
	exit int
	hang chan struct{} // commands wait for it, when it is there
	mu   sync.Mutex
	args []string
}

func (e *execEngine) serve() *execEngine {
	e.Engine = dockertest.New(&e.mu)
	e.Answer("POST /containers/{id}/exec", func(r *http.Request) any {
		var asked struct {
			Cmd             []string
			User            string
			Tty, Privileged bool
		}
		_ = json.NewDecoder(r.Body).Decode(&asked)
		e.args = append(slices.Clone(asked.Cmd), asked.User, fmt.Sprint(asked.Tty || asked.Privileged))
		return dockertest.Status{Code: http.StatusCreated, Body: `{"Id":"e1"}`}
	})
	e.HandleFunc("POST /exec/e1/start", e.start)
	e.Say("GET /exec/e1/json", fmt.Sprintf(`{"ID":"e1","Running":false,"ExitCode":%d}`, e.exit))
	e.Say("POST /containers/{id}/kill", "")
	e.Answer("GET /containers/{id}/logs", func(*http.Request) any {
		return append(dockertest.Piece(1, "2026-11-21T04:00:01.000000002Z line\n"), dockertest.Piece(2, "2026-11-21T04:00:02Z [ALERT] no\n")...)
	})
	return e
}

func (e *execEngine) start(w http.ResponseWriter, r *http.Request) {
	conn, in, err := dockertest.Upgrade(w, r)
	if err != nil {
		return
	}
	defer conn.Close()
	if e.hang != nil {
		<-e.hang
		return
	}
	stdin, _ := io.ReadAll(in)
	_, _ = conn.Write(dockertest.Piece(1, fmt.Sprintf("read %d: ", len(stdin))))
	_, _ = conn.Write(dockertest.Piece(2, "trouble"))
	_, _ = conn.Write(dockertest.Piece(1, string(stdin[:min(len(stdin), 40)])))
}

// TestExec runs commands over a unix socket and over TLS: input, both outputs,
// exit code.
func TestExec(t *testing.T) {
	e := (&execEngine{exit: 3}).serve()
	a := newAuthority(t)
	a.issue(t, "engine", &x509.Certificate{IPAddresses: []net.IP{net.ParseIP("127.0.0.1")}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	a.issue(t, "client", &x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	pair, err := tls.LoadX509KeyPair(a.file("engine"), a.file("engine-key"))
	check(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	s := httptest.NewUnstartedServer(e)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}
	s.StartTLS()
	t.Cleanup(s.Close)
	for name, c := range map[string]*Client{
		"unix": newClient(t, Options{URL: e.Listen(t)}),
		"tls":  newClient(t, Options{URL: "tcp://" + s.Listener.Addr().String(), CAFile: a.file("ca"), CertFile: a.file("client"), KeyFile: a.file("client-key")}),
	} {
		for _, size := range []int{0, 5, 3 << 20} {
			stdin := bytes.Repeat([]byte("a"), size)
			got, err := c.ContainerExec(t.Context(), "web", Exec{Args: []string{"cat", "-"}, User: "0", Stdin: stdin})
			check(t, err)
			want := ExecResult{ExitCode: 3, Stdout: fmt.Appendf(nil, "read %d: %s", size, strings.Repeat("a", min(size, 40))), Stderr: []byte("trouble")}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %d bytes (-want +got):\n%s", name, size, diff)
			}
		}
		got, err := c.ContainerExec(t.Context(), "web", Exec{Args: []string{"cat"}, MaxOutput: 4})
		check(t, err)
		if !got.Truncated || string(got.Stdout) != "read" || string(got.Stderr) != "trou" {
			t.Errorf("%s: output %q %q, truncated %v", name, got.Stdout, got.Stderr, got.Truncated)
		}
	}
	if diff := cmp.Diff([]string{"cat", "", "false"}, e.args); diff != "" {
		t.Errorf("what was asked (-want +got):\n%s", diff)
	}
}

// TestExecDeadline runs a command that never ends.
func TestExecDeadline(t *testing.T) {
	e := (&execEngine{hang: make(chan struct{})}).serve()
	defer close(e.hang)
	c := newClient(t, Options{URL: e.Listen(t)})
	if _, err := c.ContainerExec(context.Background(), "web", Exec{Args: []string{"sleep"}, Stdin: make([]byte, 8<<20), Timeout: 50 * time.Millisecond}); err == nil {
		t.Error("no error")
	}
}

// TestNoArchive holds to the wire what the fleet does to a container: a command
// with its input, a signal, a look at the log. No call writes a file from
// outside.
func TestNoArchive(t *testing.T) {
	e := (&execEngine{}).serve()
	c := newClient(t, Options{URL: e.Listen(t)})
	_, err := c.ContainerExec(t.Context(), "web", Exec{Args: []string{"cat"}, Stdin: []byte("x")})
	check(t, err)
	check(t, c.ContainerSignal(t.Context(), "web", "USR2"))
	log, err := c.ContainerLog(t.Context(), "web", 10)
	check(t, err)
	wantLog := []LogLine{
		{Time: time.Date(2026, 11, 21, 4, 0, 1, 2, time.UTC), Text: "line"},
		{Time: time.Date(2026, 11, 21, 4, 0, 2, 0, time.UTC), Text: "[ALERT] no", Stderr: true},
	}
	if diff := cmp.Diff(wantLog, log); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	if err := c.ContainerSignal(t.Context(), "web", ""); err == nil {
		t.Error("a signal without a name was sent")
	}
	want := []string{"POST /containers/web/exec", "POST /exec/e1/start", "GET /exec/e1/json", "POST /containers/web/kill", "GET /containers/web/logs"}
	// The first call of all agrees on the API version.
	got := slices.DeleteFunc(e.Calls(), func(call string) bool { return call == "HEAD /_ping" })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// FuzzDemultiplex takes outputs apart that no engine would send: never a panic,
// never more kept than there is room for.
func FuzzDemultiplex(f *testing.F) {
	f.Add(append(dockertest.Piece(1, "out"), dockertest.Piece(2, "err")...))
	f.Add([]byte{1, 0, 0, 0, 255, 255, 255, 255, 'x'})
	f.Fuzz(func(t *testing.T, data []byte) {
		out := &kept{left: 16}
		_ = demultiplex(bytes.NewReader(data), out, out)
		if out.buf.Len() > 16 {
			t.Errorf("%d bytes kept", out.buf.Len())
		}
	})
}
