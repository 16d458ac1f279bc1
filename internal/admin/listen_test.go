package admin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/api"
)

// run starts s and returns the function that ends it and returns its error.
func run(t *testing.T, s *Server) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestNew(t *testing.T) {
	tests := []struct {
		name string
		edit func(*Options)
		want string // part of the error; empty for none
	}{
		{"loopback without token", func(*Options) {}, ""},
		{"loopback with token", func(o *Options) { o.Token = goodToken }, ""},
		{"IPv4 loopback of another number", func(o *Options) { o.Listen = "127.1.2.3:0" }, ""},
		{"name of loopback", func(o *Options) { o.Listen = "localhost:0" }, ""},
		{"all addresses", func(o *Options) { o.Listen = ":0" }, "can be reached from other machines: set admin.tls-cert"},
		{"0.0.0.0", func(o *Options) { o.Listen = "0.0.0.0:0" }, "can be reached from other machines"},
		{"all addresses with token", func(o *Options) { o.Listen, o.Token = ":0", goodToken }, "can be reached from other machines"},
		{"all addresses without TLS, which is allowed", func(o *Options) { o.Listen, o.Insecure = ":0", true }, ""},
		{"all addresses, for everybody", func(o *Options) { o.Listen, o.Insecure, o.Anonymous = ":0", true, api.RoleViewer }, "for this machine alone"},
		{"all addresses, for nobody", func(o *Options) { o.Listen, o.Insecure, o.Anonymous = ":0", true, api.RoleNone }, ""},
		{"certificate that is not there", func(o *Options) { o.TLS.CertFile, o.TLS.KeyFile = "none.pem", "none.key" }, "certificate: open none.pem"},
		{"authorities without certificate", func(o *Options) { o.TLS.ClientCAFile = "ca.pem" }, "TLS needs a certificate"},
		{"short token", func(o *Options) { o.Token = "hunter2" }, "fewer than 16 characters"},
		{"no address", func(o *Options) { o.Listen = "nowhere" }, "missing port"},
		{"allowed host with a scheme", func(o *Options) { o.AllowedHosts = []string{"http://a.example"} }, "allowed host"},
		{"allowed host with a wildcard", func(o *Options) { o.AllowedHosts = []string{"*.example"} }, "allowed host"},
		{"empty allowed host", func(o *Options) { o.AllowedHosts = []string{""} }, "allowed host"},
		{"no engine", func(o *Options) { o.Engine = nil }, "required"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := options(t, newWorld(t))
			tt.edit(&o)
			s, err := New(o)
			if err == nil {
				defer s.Close()
				if port := s.Addr().(*net.TCPAddr).Port; port == 0 {
					t.Error("the address has no port")
				}
			}
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("New = %v, want %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

func TestNewLeavesNothingBehindWhenItFails(t *testing.T) {
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, newWorld(t))
	o.Listen = ln.Addr().String()
	ln.Close()
	if _, err := New(o); err == nil {
		t.Fatal("listening for everybody without a token")
	}
	again, err := net.Listen("tcp", o.Listen)
	if err != nil {
		t.Fatal("the address is still taken:", err)
	}
	again.Close()
}

func TestStopLetsARunningRequestFinish(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	w := newWorld(t)
	w.doctor = func(string) []api.Diagnosis {
		close(entered)
		<-leave
		return []api.Diagnosis{{Service: "a"}}
	}
	s := newServer(t, options(t, w))
	stop := run(t, s)
	c := newClient(t, api.ClientOptions{URL: "http://" + s.Addr().String()})
	got := make(chan error, 1)
	go func() {
		_, err := c.Doctor(context.Background(), "a")
		got <- err
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for { // until stopping has begun, which gives up the address first
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			break
		}
		conn.Close()
		time.Sleep(time.Millisecond)
	}
	close(leave)
	if err := <-got; err != nil {
		t.Error("the running request failed:", err)
	}
	if err := <-stopped; err != nil {
		t.Error("Run:", err)
	}
}

func TestRunEndsWhenTheListenerFails(t *testing.T) {
	s := newServer(t, options(t, newWorld(t)))
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Run = %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	o := options(t, newWorld(t))
	o.Listen = "unix://" + path
	dead, err := net.Listen("unix", path) // a process that died leaves its file behind
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	dead.Close()

	s := newServer(t, o)
	run(t, s)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("socket %v, %v", info, err)
	}
	c := newClient(t, api.ClientOptions{URL: o.Listen})
	if _, err := c.Info(t.Context()); err != nil {
		t.Error(err)
	}
	second := options(t, newWorld(t))
	second.Listen = o.Listen
	if _, err := New(second); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("a second listener on the same socket: %v", err)
	}
	if _, err := c.Info(t.Context()); err != nil {
		t.Error("the first listener lost its socket:", err)
	}
}

// A file that is no socket is never removed.
func TestUnixSocketLeavesFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t, newWorld(t))
	o.Listen = "unix://" + path
	if _, err := New(o); err == nil {
		t.Error("listening in the place of a file")
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
