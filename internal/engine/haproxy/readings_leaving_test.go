package haproxy

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/engine/traffic"
	"fairway/internal/metrics"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// TestDepartures: an endpoint that leaves is told of when nothing runs there any
// more, once, and not when it comes back or was never asked for anything.
func TestDepartures(t *testing.T) {
	table := func(states ...route.EndpointState) *route.Table {
		b := &route.Backend{ID: "shop", Service: "shop@docker", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
		for i, s := range states {
			if s != "" {
				id := []string{"e1", "e2", "e3"}[i]
				b.Endpoints = append(b.Endpoints, route.Endpoint{ID: id, Address: "127.0.0.1:1", Weight: 1, State: s, Instance: id + "-1"})
			}
		}
		made, err := route.New(1, nil, nil, []*route.Backend{b}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	var answer atomic.Pointer[string]
	var asked atomic.Pointer[[]string]
	says := func(text string) { answer.Store(&text) }
	says("s1,v1,,2,UP,,\n")
	told := make(chan traffic.Drained, 10)
	r, err := newReadings(readingOptions{
		Socket: filepath.Join(t.TempDir(), "log.sock"), Logger: slog.New(slog.DiscardHandler), Metrics: &metrics.Set{},
		OnDrained: func(d traffic.Drained) { told <- d },
		Ask: func(_ context.Context, _ socket.Kind, sections ...string) (socket.Stats, error) {
			asked.Store(&sections)
			return socket.ParseStats(statsHeader + *answer.Load())
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.close() }()
	const ready, draining = route.EndpointReady, route.EndpointDraining
	r.use(configOf(), table(ready, ready, ready))
	r.take(request("-", "200", "0", "-", "s1", "v1"))
	r.take(request("-", "200", "0", "-", "s1", "v2"))
	// The first one leaves with two requests, the second comes back, the third was
	// never asked for anything.
	r.use(configOf(), table(draining, draining, ""))
	r.use(configOf(), table(draining, ready, ""))
	testkit.Eventually(t, "it is known what runs", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		d := r.leaving[endpointKey{"shop", "e1"}]
		return d != nil && d.asked && len(r.leaving) == 1
	})

	r.take(strings.Replace(request("-", "502", "0", "-", "s1", "v1"), "--", "SD", 1))
	says("s1,v1,,0,UP,,\n")
	got := <-told
	want := traffic.Drained{Backend: "shop", Endpoint: "e1", Service: "shop@docker", Instance: "e1-1", Requests: 2, Failed: 1}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(traffic.Drained{}, "Took")); diff != "" || got.Took <= 0 {
		t.Errorf("after %v (-want +got):\n%s", got.Took, diff)
	}
	// Only sections of the backend are asked about, not those of all.
	if got := *asked.Load(); !slices.Equal(got, []string{"s1", "s2"}) {
		t.Errorf("asked about %q", got)
	}
	if len(told) > 0 {
		t.Errorf("somebody else is said to have left: %+v", <-told)
	}
}
