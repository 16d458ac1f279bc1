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
