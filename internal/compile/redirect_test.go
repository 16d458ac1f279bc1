package compile

import (
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// TestNoRedirectWithoutHTTPS: what was obtained redirects nothing where no listener takes HTTPS,
// or where the operator does not want that.
func TestNoRedirectWithoutHTTPS(t *testing.T) {
	obtained := []catalog.Certificate{{File: "/a.pem", Source: "acme", Name: "a.example"}}
	secure := []route.Listener{{Name: "https", TLS: true}}
	for name, s := range map[string]Settings{
		"no listener": {RedirectObtained: true, Listeners: []route.Listener{{Name: "http"}}},
		"turned off":  {Listeners: secure},
	} {
		if names := s.obtained(obtained); names != nil {
			t.Errorf("%s: %v redirect", name, names)
		}
	}
	if names := (Settings{RedirectObtained: true, Listeners: secure}).obtained(obtained); !names["a.example"] {
		t.Error("no redirect where there is all that it needs")
	}
}
