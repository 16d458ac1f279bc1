package compile

import (
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/compile/certified"
	"fairway/internal/route"
)

// TestNoRedirectWithoutHTTPS: what was obtained redirects nothing where no listener takes HTTPS,
// or where the operator does not want that.
func TestNoRedirectWithoutHTTPS(t *testing.T) {
	obtained := []catalog.Certificate{{File: "/a.pem", Source: "acme", Name: "a.example"}}
	matches := []route.Match{{Host: route.Host{Kind: route.HostExact, Value: "a.example"}}}
	secure := []route.Listener{{Name: "https", TLS: true}}
	for name, s := range map[string]Settings{
		"no listener": {RedirectObtained: true, Listeners: []route.Listener{{Name: "http"}}},
		"turned off":  {Listeners: secure},
	} {
		if certified.Of(s.Listeners, nil, obtained, s.RedirectObtained).Cover(matches, true) {
			t.Errorf("%s: it redirects", name)
		}
	}
	if !certified.Of(secure, nil, obtained, true).Cover(matches, true) {
		t.Error("no redirect where there is all that it needs")
	}
}
