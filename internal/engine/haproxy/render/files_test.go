package render

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// writeFiles writes the configuration to its directory, as an engine does.
func writeFiles(t testing.TB, dir string, c *Config) {
	t.Helper()
	write := func(name string, content []byte) {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, name)
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(FileConfig, c.Text)
	for name, content := range c.Files {
		write(name, content)
	}
	for _, m := range c.Maps {
		var b bytes.Buffer
		for _, e := range m.Entries {
			fmt.Fprintf(&b, "%s %s\n", e.Key, e.Value)
		}
		write(m.Path, b.Bytes())
	}
	for _, l := range c.CertLists {
		var b bytes.Buffer
		for _, cert := range l.Certificates {
			pair, err := os.ReadFile(cert.Pair.CertFile)
			if err != nil {
				t.Fatal(err)
			}
			key, err := os.ReadFile(cert.Pair.KeyFile)
			if err != nil {
				t.Fatal(err)
			}
			write(cert.Path, append(pair, key...))
			fmt.Fprintln(&b, cert.Path)
		}
		write(l.Path, b.Bytes())
	}
}

// haproxy is the path of HAProxy; the test is skipped where there is none.
func haproxy(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = "/usr/sbin/haproxy"
		if _, err := os.Stat(path); err != nil {
			t.Skip("haproxy is not installed")
		}
	}
	return path
}

// check has HAProxy look at the configuration in a directory.
func check(t testing.TB, dir string) {
	t.Helper()
	out, err := exec.Command(haproxy(t), "-c", "-dW", "-f", filepath.Join(dir, FileConfig)).CombinedOutput()
	if err != nil {
		text, _ := os.ReadFile(filepath.Join(dir, FileConfig))
		t.Fatalf("haproxy -c: %v\n%s\n%s", err, numbered(string(text)), out)
	}
}

func numbered(text string) string {
	var b strings.Builder
	for i, l := range strings.Split(text, "\n") {
		fmt.Fprintf(&b, "%4d %s\n", i+1, l)
	}
	return b.String()
}

func freePort(t testing.TB) netip.AddrPort {
	t.Helper()
	return netip.MustParseAddrPort("127.0.0.1:" + testkit.FreePort(t))
}

// testOptions are options for a directory of the test, with free ports for all
// listeners.
func testOptions(t testing.TB, table *route.Table) Options {
	t.Helper()
	dir, err := os.MkdirTemp("", "render")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	o := Options{Dir: dir, Bind: map[string]netip.AddrPort{}, Spares: 2, Threads: 1}
	for _, l := range table.Listeners {
		o.Bind[l.Name] = freePort(t)
	}
	return o
}

// serve starts HAProxy on what the table is rendered to.
func serve(t testing.TB, table *route.Table, o Options) *Config {
	t.Helper()
	c, err := Render(table, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	writeFiles(t, o.Dir, c)
	check(t, o.Dir)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, haproxy(t), "-db", "-f", filepath.Join(o.Dir, FileConfig))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() && out.Len() > 0 {
			t.Log("haproxy said: " + out.String())
		}
	})
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := net.Dial("unix", filepath.Join(o.Dir, "admin.sock"))
		if err == nil {
			_ = conn.Close()
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("haproxy does not answer: %v\n%s", err, out.String())
		}
	}
}
