package haproxy

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"fairway/internal/engine/haproxy/plan"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// TestClosedGateAsksTheCheckOfToday: a check that is put right lets an endpoint in that
// the one before has kept out, although the endpoint is the same.
func TestClosedGateAsksTheCheckOfToday(t *testing.T) {
	asked := make(chan string, 100)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.URL.Path:
		default:
		}
		if r.URL.Path != "/right" {
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer app.Close()
	table := func(path string) *route.Table {
		return &route.Table{Backends: []*route.Backend{{
			ID: "b", Scheme: route.SchemeHTTP, Health: &route.Health{Path: path},
			Endpoints: []route.Endpoint{{ID: "e", Address: app.Listener.Addr().String(), State: route.EndpointReady}},
		}}}
	}
	passed := make(chan struct{}, 1)
	g := newGates(slog.New(slog.DiscardHandler), func() { passed <- struct{}{} })
	defer g.close()
	g.watch(table("/wrong"))
	if path := <-asked; path != "/wrong" {
		t.Fatalf("it asks for %s", path)
	}
	g.watch(table("/right"))
	testkit.Eventually(t, "the gate opens", func() bool {
		select {
		case <-passed:
			return true
		default:
			return false
		}
	})
}

// TestGateOfNameIsTrusted: an endpoint with a name that a HAProxy serves which was taken
// over goes on without a check, at the address that it has there and at no other.
func TestGateOfNameIsTrusted(t *testing.T) {
	table := &route.Table{Backends: []*route.Backend{{
		ID: "b", Scheme: route.SchemeHTTP, Health: &route.Health{Path: "/"},
		Endpoints: []route.Endpoint{{ID: "e", Address: "app.example:80", State: route.EndpointReady}},
	}}}
	for found, waits := range map[string]int{"10.0.0.1": 0, "10.0.0.2": 1} {
		g := newGates(slog.New(slog.DiscardHandler), func() {})
		defer g.close()
		g.trust(&render.Config{Sections: []render.Section{{
			Name: "s1", Backend: "b", Servers: []render.Server{{Name: "v1", Endpoint: "e", Address: netip.MustParseAddrPort("10.0.0.1:80")}},
		}}}, &plan.Worker{Servers: map[string]map[string]plan.Server{"s1": {"v1": {State: socket.StateReady}}}})
		if closed := g.closed(table, map[string]netip.Addr{"app.example": netip.MustParseAddr(found)}); len(closed) != waits {
			t.Errorf("at %s %d endpoints wait, want %d", found, len(closed), waits)
		}
	}
}
