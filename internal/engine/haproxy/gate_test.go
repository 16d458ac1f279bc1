package haproxy

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

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
