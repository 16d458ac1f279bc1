package haproxy

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// refused applies a table that must be refused with words, after which the one
// before serves on, and the files on disk are those of it.
func (s *site) refused(words ...string) {
	s.t.Helper()
	config := filepath.Join(s.options.Dir, "haproxy.cfg")
	before, err := os.ReadFile(config)
	if err != nil {
		s.t.Fatal(err)
	}
	err = s.engine.Apply(s.t.Context(), s.table())
	if err == nil {
		s.t.Fatal("the table was taken")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			s.t.Errorf("the error says %q, and nothing of %q", err, w)
		}
	}
	s.t.Log(err)
	after, err := os.ReadFile(config)
	if err != nil || string(after) != string(before) {
		s.t.Errorf("the configuration on disk is another: %v", err)
	}
	left, err := filepath.Glob(filepath.Join(s.options.Dir, "*.*.*"))
	for _, path := range left {
		if strings.HasSuffix(path, suffixNew) || strings.HasSuffix(path, suffixOld) {
			s.t.Errorf("%s is left: %v", path, err)
		}
	}
	s.answers("a.example", "a")
	s.exact()
}

// TestTakenAddress: HAProxy must not find out itself that an address is taken, for
// it would stop listening everywhere.
func TestTakenAddress(t *testing.T) {
	t.Parallel()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	before := s.listeners
	s.listeners = append(before, route.Listener{Name: "more", Address: other.Addr().String()})
	s.refused("listener more", other.Addr().String(), "cannot be bound")
	s.refused("listener more")
	if n := s.reloads(); n != 1 {
		t.Errorf("%d starts and reloads, want 1", n)
	}

	// What labels ask for is left out, and bound when it can be.
	s.listeners = append(before, route.Listener{Name: "more", Address: other.Addr().String(), Optional: true})
	s.serve("b.example", startEndpoint(t, "b"))
	s.apply()
	s.answers("b.example", "b")
	if addr := s.engine.Addr("more"); addr != nil {
		t.Errorf("what could not be bound has the address %v", addr)
	}
	_ = other.Close()
	testkit.Eventually(t, "the listener that can be bound now", func() bool {
		addr := s.engine.Addr("more")
		return addr != nil && addr.String() == other.Addr().String()
	})

	conn, err := net.Dial("tcp", other.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	s.exact()
}

func TestBrokenCertificate(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	pair, other := writeCertificate(t, t.TempDir(), "a.example"), writeCertificate(t, t.TempDir(), "b.example")
	for name, c := range map[string]struct {
		pair route.Certificate
		want string
	}{
		"without key":     {route.Certificate{CertFile: pair.CertFile, KeyFile: pair.KeyFile + ".none"}, "has no key"},
		"with its cert":   {route.Certificate{CertFile: pair.CertFile, KeyFile: pair.CertFile}, "key"},
		"of another":      {route.Certificate{CertFile: pair.CertFile, KeyFile: other.KeyFile}, "does not match"},
		"that is missing": {route.Certificate{CertFile: pair.CertFile + ".none", KeyFile: pair.KeyFile}, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			listeners := s.listeners
			defer func() { s.listeners = listeners }()
			s.listeners = append(listeners, route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true, Certificates: []route.Certificate{c.pair}})
			s.refused("listener https", c.pair.CertFile, c.want)
		})
	}
}

// TestFullDisk: what cannot be written is not told to HAProxy.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	for _, file := range []string{"haproxy.cfg", ".map", "sections.json"} {
		t.Run(file, func(t *testing.T) {
			s.engine.mu.Lock()
			write := s.engine.disk.write
			s.engine.disk.write = func(path string, data []byte, mode fs.FileMode) error {
				if strings.Contains(path, file) {
					_ = write(path, data[:len(data)/2], mode)
					return &fs.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
				}
				return write(path, data, mode)
			}
			s.engine.mu.Unlock()
			s.serve("b.example", deadAddress(t))
			s.refused("cannot be written", "no space left")
			s.engine.mu.Lock()
			s.engine.disk.write = write
			s.engine.mu.Unlock()
		})
	}
	s.apply()
	s.exact()
}

// TestFullFileSystem is the same with a file system that is full.
func TestFullFileSystem(t *testing.T) {
	t.Parallel()
	needHAProxy(t)
	dir, err := os.MkdirTemp("", "fairway")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("a file system of its own cannot be mounted: ", err)
	}
	defer syscall.Unmount(dir, 0) //nolint:errcheck // a test
	s := newSite(t, Options{Dir: dir})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	fill, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = fill.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	s.serve("b.example", startEndpoint(t, "b"))
	s.refused("cannot be written", "no space left")
	if err := errors.Join(fill.Close(), os.Remove(fill.Name())); err != nil {
		t.Fatal(err)
	}
	s.apply()
	s.answers("b.example", "b")
	s.exact()
	s.stop()
}

// TestUnwritableSocket: without its socket HAProxy is reloaded for each change.
func TestUnwritableSocket(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	path := filepath.Join(s.options.Dir, fileAdmin)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	s.serve("b.example", startEndpoint(t, "b"))
	s.apply()
	s.answers("b.example", "b")
	if n := s.reloads(); n != 2 {
		t.Errorf("%d starts and reloads, want 2", n)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	s.exact()
	s.serve("c.example", startEndpoint(t, "c"))
	s.apply()
	s.answers("c.example", "c")
	s.exact()
	if n := s.reloads(); n != 2 {
		t.Errorf("%d starts and reloads with the socket back, want 2", n)
	}
}

// TestNoSockets: with neither socket nothing can be said to HAProxy, which is told
// to the operator.
func TestNoSockets(t *testing.T) {
	t.Parallel()
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	for _, name := range []string{fileAdmin, fileMaster} {
		path := filepath.Join(s.options.Dir, name)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
	}
	s.serve("b.example", startEndpoint(t, "b"))
	ctx := t.Context()
	if err := s.engine.Apply(ctx, s.table()); err == nil || !strings.Contains(err.Error(), "socket") {
		t.Errorf("the error says nothing of the socket: %v", err)
	} else {
		t.Log(err)
	}
	s.answers("a.example", "a")
	for _, name := range []string{fileAdmin, fileMaster} {
		path := filepath.Join(s.options.Dir, name)
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
	}
	s.apply()
	s.answers("b.example", "b")
	s.exact()
}

// TestUnusableProgram: what is there is named, and what to do.
func TestUnusableProgram(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "haproxy")
	script := "#!/bin/sh\necho 'HAProxy version 2.4.22-1 2023/02/14 - https://haproxy.org/'\n"
	if err := os.WriteFile(old, []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	for program, words := range map[string][]string{
		old:                     {"2.4.22", "2.6"},
		filepath.Join(dir, "x"): {"not found", "give the path"},
	} {
		_, err := New(Options{Dir: "/tmp/fairway-unused", Program: program})
		if err == nil {
			t.Fatalf("%s can be used", program)
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: the error says %q, and nothing of %q", program, err, w)
			}
		}
	}
	if _, err := New(Options{Dir: "relative"}); err == nil {
		t.Error("a relative directory can be used")
	}
	if _, err := New(Options{Dir: "/" + strings.Repeat("x", 80)}); err == nil {
		t.Error("a directory can be used that is too long for sockets")
	}
}

// TestGate: an endpoint with a check gets nothing before it has passed, neither in a
// HAProxy that runs nor in one that starts, and everything after.
func TestGate(t *testing.T) {
	t.Parallel()
	var ready atomic.Bool
	var early atomic.Int64
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/health" && !ready.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path != "/health":
			if !ready.Load() {
				early.Add(1)
			}
			_, _ = w.Write([]byte("new"))
		}
	}))
	defer app.Close()
	health := &route.Health{Path: "/health", Interval: 100 * time.Millisecond, Timeout: time.Second}
	s := newSite(t, Options{})
	s.serve("a.example", startEndpoint(t, "a"))
	s.apply()
	old := startEndpoint(t, "old")
	s.serve("b.example", old)
	s.apply()

	// A check that is new must first fail to take out what was in use.
	s.backend("b.example", func(b *route.Backend) { b.Health = health }, old)
	s.apply()
	s.answers("b.example", "old")

	s.backend("b.example", func(b *route.Backend) { b.Health = health }, old, app.Listener.Addr().String())
	s.apply()
	for range 10 {
		s.answers("b.example", "old")
	}
	if err := s.engine.reloadAnyway(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		s.answers("b.example", "old")
	}
	ready.Store(true)
	testkit.Eventually(t, "the endpoint that passes", func() bool {
		_, body := s.get("b.example")
		return body == "new"
	})

	s.exact()
	if n := early.Load(); n > 0 {
		t.Errorf("%d requests came before the check had passed", n)
	}
	if n := s.count("fairway_haproxy_verification_failures_total"); n != 0 {
		t.Errorf("%v verifications failed", n)
	}
}

// TestRefusalQuotesNoSecret: when HAProxy refuses a whole configuration, the error
// names the line and the kind of mistake, and quotes nothing that is secret.
func TestRefusalQuotesNoSecret(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"http-request set-header X-Key %[hunter2]", "http-request set-header X-Key hunter2 hunter2", "http-request hunter2",
		"http-request set-header X-Key \"hunter2",
	} {
		s := newSite(t, Options{Logger: quiet(t), Render: render.Options{Extra: render.Extra{Frontend: []string{line}}}})
		s.serve("a.example", startEndpoint(t, "a"))
		err := s.engine.Apply(t.Context(), s.table())
		var refused *binary.RefusedError
		if !errors.As(err, &refused) {
			t.Fatalf("%s: %v", line, err)
		}
		for _, m := range refused.Alerts {
			if strings.Contains(m.Text, "hunter2") {
				t.Errorf("%s: the error says %s", line, m)
			}
		}
		if first := refused.Alerts[0]; first.Line == 0 || first.File == "" || len(first.Text) < 10 {
			t.Errorf("%s: the error does not say where and what: %s", line, first)
		}
		t.Log(err)
	}
}
