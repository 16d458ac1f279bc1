package setup_test

import (
	"path/filepath"
	"strings"
	"testing"

	"fairway/internal/acme/setup"
)

// What is wrong with Consul is said of the key that has it.
func TestConsulKeys(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for want, c := range map[string]setup.Consul{
		"":                      {Addresses: []string{"127.0.0.1:8500"}},
		"acme.consul.addresses": {Addresses: []string{"ftp://x"}},
		"acme.consul.ca":        {CA: missing},
		"acme.consul.cert":      {Cert: missing, Key: missing},
	} {
		var keys []string
		cfg := setup.Config{Agree: true, Storage: "consul", CA: "https://ca.example/", Challenges: []string{"http-01"}, Consul: c}
		cfg.Check(false, true, true, func(key, _, _ string) { keys = append(keys, key) })
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("%q is wrong, want %q", got, want)
		}
	}
}

// TestChallenges: what cannot be answered is refused, and nothing is advised that is refused.
func TestChallenges(t *testing.T) {
	for _, tt := range []struct {
		challenge      string
		haproxy, plain bool
		want           string
	}{
		{"http-01", true, true, ""},
		{"http-01", false, false, "needs listen, for HTTP"},
		{"tls-alpn-01", false, false, ""},
		{"tls-alpn-01", true, true, "HAProxy cannot answer it; use http-01 or dns-01"},
		{"dns-01", false, true, "needs acme.dns.provider, which adds the records: write acme.dns.provider: rfc2136"},
	} {
		c := &setup.Config{Agree: true, CA: "https://acme.example/directory", Challenges: []string{tt.challenge}}
		var said []string
		c.Check(tt.haproxy, tt.plain, true, func(key, _, reason string) { said = append(said, key+": "+reason) })
		want := ""
		if tt.want != "" {
			want = "acme.challenges: " + tt.want
		}
		if got := strings.Join(said, "; "); got != want {
			t.Errorf("%s, HAProxy %v, HTTP %v: %q, want %q", tt.challenge, tt.haproxy, tt.plain, got, want)
		}
	}
}
