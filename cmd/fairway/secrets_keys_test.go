package main

import (
	"encoding/pem"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fairway/internal/acme/pebbletest"
	"fairway/internal/app"
	"fairway/internal/testkit"
)

// keyed has Fairway get certificates, whose keys are secrets, with the secrets that this needs:
// by the embedded engine from pebble, which demands an external account, and by HAProxy with a
// storage in Consul that says no. The authority of Fairway's own issues in both.
func (h *secretHouse) keyed(engine string) (config string) {
	h.t.Helper()
	h.write("eab", "CAN-95-key-of-external-accounts-that-is-long")
	h.write("consul", "CAN-96-token-of-consul")
	h.write("dns", "CAN-97-token-of-dns")
	config = "acme:\n  agree: true\n  internal: \"true\"\n  redirect: false\n  eab-key-id: kid\n  eab-key-file: eab\n"
	if engine == app.EngineEmbedded {
		if p := h.pebble(); p != nil {
			return config + "  challenges: [tls-alpn-01]\n  ca: " + p.Directory + "\n  ca-root: " + p.Root + "\n" + "listen-tls: 127.0.0.1:" + p.TLS + "\n"
		}
	}
	away := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "Permission denied: token lacks permission 'key:write'", http.StatusForbidden)
	}))
	h.t.Cleanup(away.Close)
	return config + "  ca: https://127.0.0.1:1/directory\n  storage: consul\n  consul: {addresses: [\"" + away.URL + "\"], token-file: consul}\n" +
		"  dns: {provider: hetzner, token-file: dns}\nlisten-tls: 127.0.0.1:0\n"
}

// pebble is a certificate authority; nil where it is missing.
func (h *secretHouse) pebble() (p *pebbletest.Pebble) {
	h.t.Run("pebble is there", func(t *testing.T) { pebbletest.Program(t, "pebble"); p = &pebbletest.Pebble{} })
	if p == nil {
		return nil
	}
	return pebbletest.Start(h.t, pebbletest.Options{MACKeys: map[string]string{"kid": "CAN-95-key-of-external-accounts-that-is-long"}})
}

// obtained waits for the keys that engine gets, and keeps their lines as secrets.
func (h *secretHouse) obtained(config string) {
	h.t.Helper()
	files := []string{"acme/live/own.localhost.pem", "authority/root.pem"}
	if strings.Contains(config, "ca-root") {
		files = append(files, "acme/live/a-host.test.pem", "*.key of an account")
	}
	testkit.Eventually(h.t, "keys are there", func() string {
		h.keys = nil
		found := map[string]bool{}
		_ = filepath.WalkDir("state", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.Contains(path, "acme") && !strings.Contains(path, "authority") {
				return nil
			}
			data, _ := os.ReadFile(path)
			if lines := keyLines(data); len(lines) > 0 {
				found[strings.TrimPrefix(path, "state/")] = true
				if strings.Contains(path, "/users/") {
					found["*.key of an account"] = true
				}
				h.keys = append(h.keys, lines...)
			}
			return nil
		})
		for _, file := range files {
			if !found[file] {
				log := h.log.String()
				return "no key in " + file + ": " + log[max(0, len(log)-3000):]
			}
		}
		return ""
	})
	h.keys = slices.Compact(slices.Sorted(slices.Values(h.keys)))
}

// keyLines are the lines of the private keys in a file that have some of the secret number of an
// elliptic curve: what stands behind it is public.
func keyLines(data []byte) (lines []string) {
	secret := map[string]int{"PRIVATE KEY": 2, "EC PRIVATE KEY": 1}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if n := secret[block.Type]; n > 0 {
			lines = append(lines, strings.Split(string(pem.EncodeToMemory(block)), "\n")[1:1+n]...)
		}
	}
	return lines
}
