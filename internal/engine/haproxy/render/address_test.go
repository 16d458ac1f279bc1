package render

import (
	"fmt"
	"net/netip"
	"testing"

	"fairway/internal/route"
)

// TestNamesBecomeAddresses: an endpoint with a name has the address of the name and its
// own port; one whose name has no address is left out.
func TestNamesBecomeAddresses(t *testing.T) {
	table := services(t, 1, func(_ int, _ *route.Route, b *route.Backend) {
		b.Endpoints = nil
		for i, address := range []string{"one.example:81", "none.example:80", "[fd00::2]:82", "10.0.0.9:83"} {
			b.Endpoints = append(b.Endpoints, route.Endpoint{ID: fmt.Sprint("e", i), Address: address, Weight: 1, State: route.EndpointReady})
		}
	})
	config := mustRender(t, table, nil, Options{Addresses: map[string]netip.Addr{"one.example": netip.MustParseAddr("10.0.0.1")}})
	var got []string
	for _, s := range config.Sections {
		for _, server := range s.Servers {
			if server.Address.IsValid() {
				got = append(got, server.Address.String())
			}
		}
	}
	if want := "[10.0.0.1:81 [fd00::2]:82 10.0.0.9:83]"; fmt.Sprint(got) != want {
		t.Errorf("servers %v, want %s", got, want)
	}
}
