package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"fairway/internal/api"
	"fairway/internal/owners"
	"fairway/internal/route/tlsoption"
	"fairway/internal/testkit"
)

// lastRun serves shop.example.com and a port that a label has opened, and ends. It
// returns the port.
func lastRun(t *testing.T, dir string, do ...func(*program)) (port string) {
	t.Helper()
	port = testkit.FreePort(t)
	file := filepath.Join(dir, "services.yml")
	address := backend(t, "one")
	writeServices(t, file, fmt.Sprintf(`services:
  - name: shop
    labels: {fairway.host: shop.example.com}
    instances: [{address: %q}]
  - name: database
    labels: {fairway.scheme: tcp, fairway.listen: %q}
    instances: [{address: %q}]
`, address, port, address))
	p := startProgram(t, file, filepath.Join(dir, "state"), func(c *Config) { steerable(c); c.TCPPorts = []string{port} })
	testkit.Eventually(t, "the last run serves", func() bool {
		status, _ := p.get("shop.example.com", "/")
		live := p.app.control.Table() // HAProxy serves it before that is proven
		return status == 200 && through(port) == 200 && live != nil && len(live.Routes) == 2
	})
	p.remembers(t, "shop.example.com", port)
	for _, f := range do {
		f(p)
	}
	p.stop()
	if err := os.Remove(file); err != nil { // what follows has only the last run
		t.Fatal(err)
	}
	return port
}

// remembers waits until the last good table has the texts: HAProxy serves a table a
// moment before it is known to.
func (p *program) remembers(t *testing.T, texts ...string) {
	t.Helper()
	testkit.Eventually(t, "the last good table is kept", func() string {
		body, err := os.ReadFile(filepath.Join(p.state, "last-good.json"))
		if err != nil {
			return err.Error()
		}
		for _, text := range texts {
			if !bytes.Contains(body, []byte(text)) {
				return "it has no " + text
			}
		}
		return ""
	})
}

// through is the status of a request to a port; 0 for none.
func through(port string) int {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://127.0.0.1:" + port)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// A last good table that does not fit today's configuration does not keep Fairway
// from starting: what fits is served without any source.
func TestStartAfterAChangeOfTheConfiguration(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, c *Config, port string){
		"TLS on the port that a label opened": func(t *testing.T, c *Config, port string) {
			cert := filepath.Join(t.TempDir(), "a.pem")
			if err := os.WriteFile(cert, bundle(t, "shop.example.com"), 0o600); err != nil {
				t.Fatal(err)
			}
			c.ListenTLS, c.TLS.Certificates = ":"+port, []tlsoption.Certificate{{Cert: cert, Key: cert}}
		},
		"HTTP on it":            func(_ *testing.T, c *Config, port string) { c.Listen = "127.0.0.1:" + port },
		"the admin API on it":   func(_ *testing.T, c *Config, port string) { c.Admin.Listen = "127.0.0.1:" + port },
		"Docker Flow on it":     func(_ *testing.T, c *Config, port string) { c.DockerFlow.Listener.Listen = "127.0.0.1:" + port },
		"labels open no ports":  func(_ *testing.T, c *Config, _ string) { c.TCPPorts = nil },
		"no HTTP listener":      func(t *testing.T, c *Config, _ string) { c.Listen, c.TCPPorts = Off, nil },
		"another name of files": func(_ *testing.T, c *Config, _ string) { c.File = []string{filepath.Join(c.StateDir, "none.yml")} },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			port := lastRun(t, dir)
			p := startProgram(t, filepath.Join(dir, "services.yml"), filepath.Join(dir, "state"), func(c *Config) {
				c.TCPPorts = []string{port}
				change(t, c, port)
			})
			if name == "labels open no ports" && through(port) != 0 {
				t.Error("the port is open")
			}
			if p.app.Addr("http") == nil || name == "another name of files" {
				return // it has started
			}
			testkit.Eventually(t, "what fits is served", func() bool {
				status, _ := p.get("shop.example.com", "/")
				return status == 200
			})
		})
	}
}

// What owners of today may not claim is not served after a restart either, before any
// source has answered.
func TestStartWithOtherOwners(t *testing.T) {
	dir := t.TempDir()
	port := lastRun(t, dir)
	p := startProgram(t, filepath.Join(dir, "services.yml"), filepath.Join(dir, "state"), func(c *Config) {
		c.TCPPorts = []string{port}
		c.Owners = []owners.Record{{Name: "files", Sources: []string{"file:*"}, Hosts: []string{"blog.example.com"}, TCPPorts: []string{port}}}
	})
	if status, _ := p.get("shop.example.com", "/"); status == 200 {
		t.Error("a host that may not be claimed is served")
	}
	testkit.Eventually(t, "what may be claimed is served", func() bool { return through(port) == 200 })
	if status, _ := p.get("shop.example.com", "/"); status == 200 {
		t.Error("a host that may not be claimed is served later")
	}
}

// A last good table of another version does not keep Fairway from starting either,
// and its snapshot serves on where that can be read.
func TestStartWithALastGoodFileOfAnotherVersion(t *testing.T) {
	replace := func(pattern, by string) func([]byte) []byte {
		return func(body []byte) []byte {
			out := regexp.MustCompile(pattern).ReplaceAll(body, []byte(by))
			if bytes.Equal(out, body) {
				panic("nothing is replaced: " + string(body))
			}
			return out
		}
	}
	for _, c := range []struct {
		name   string
		change func(body []byte) []byte
		served bool // before any source
	}{
		{"texts are hashed differently", replace(`"hash":"[0-9a-f]{8}`, `"hash":"00000000`), true},
		{"a match that is not canonical any more", replace(`shop\.example\.com`, `SHOP.example.com`), true},
		{"a field of another type", replace(`"claim":([0-9]+)`, `"claim":"$1"`), true},
		{"a listener that it refuses", replace(`"name":"http"`, `"name":""`), true},
		{"no table", replace(`"table":`, `"tables":`), true},
		{"no snapshot", replace(`"snapshot":`, `"snapshots":`), false},
		{"something else", func([]byte) []byte { return []byte("{}\n") }, false},
		{"nothing", func([]byte) []byte { return nil }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			lastRun(t, dir)
			file := filepath.Join(dir, "state", "last-good.json")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			header, body, _ := bytes.Cut(data, []byte("\n"))
			body = c.change(body)
			sum := sha256.Sum256(body)
			kept, _, _ := strings.Cut(string(header), ":")
			if err := os.WriteFile(file, append([]byte(kept+":"+hex.EncodeToString(sum[:])+"\n"), body...), 0o600); err != nil {
				t.Fatal(err)
			}
			p := startProgram(t, filepath.Join(dir, "services.yml"), filepath.Join(dir, "state"))
			if !c.served {
				if status, _ := p.get("shop.example.com", "/"); status != 503 {
					t.Errorf("status %d before any source has answered", status)
				}
				return
			}
			testkit.Eventually(t, "the snapshot of the last run is served", func() bool {
				status, _ := p.get("shop.example.com", "/")
				return status == 200
			})
		})
	}
}

// A table that an operator holds, whose port is another listener's today, does not
// keep the rest of it from being served.
func TestStartWithAHoldThatDoesNotFit(t *testing.T) {
	dir := t.TempDir()
	port := lastRun(t, dir, func(p *program) {
		testkit.Eventually(t, "it is held", func() string {
			_, err := p.client(t).Give(t.Context(), api.NewCommand{Kind: api.CommandPin})
			return fmt.Sprint(errText(err))
		})
	})
	cert := filepath.Join(t.TempDir(), "a.pem")
	if err := os.WriteFile(cert, bundle(t, "shop.example.com"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProgram(t, filepath.Join(dir, "services.yml"), filepath.Join(dir, "state"), func(c *Config) {
		c.ListenTLS, c.TLS.Certificates = ":"+port, []tlsoption.Certificate{{Cert: cert, Key: cert}}
	})
	testkit.Eventually(t, "the held table is live", func() string {
		if table := p.app.control.Table(); table == nil || table.Revision == 0 {
			return "there is none"
		}
		return p.app.control.Status().Pending
	})
	if status, _ := p.get("shop.example.com", "/"); status != 200 {
		t.Errorf("what fits of it answers %d", status)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
