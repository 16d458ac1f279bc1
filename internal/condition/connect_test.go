package condition

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/route"
)

// tableOf is a table with one endpoint for each address.
func tableOf(t *testing.T, health *route.Health, addresses ...string) *route.Table {
	t.Helper()
	b := &route.Backend{ID: "web", Service: "web", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}, Health: health}
	for _, a := range slices.Sorted(slices.Values(addresses)) {
		b.Endpoints = append(b.Endpoints, route.Endpoint{ID: a, Address: a, Weight: 1, State: route.EndpointReady})
	}
	table, err := route.New(1, nil, nil, []*route.Backend{b}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestConnect connects to a port that is listened on and to one that is not.
func TestConnect(t *testing.T) {
	open, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	c := newConnector()
	c.round(t.Context(), tableOf(t, nil, open.Addr().String(), closed.Addr().String()))
	found := c.newest()
	if got := found[open.Addr().String()]; got.Error != "" || got.At.IsZero() {
		t.Errorf("the open port: %+v", got)
	}
	if got := found[closed.Addr().String()]; got.Error != "connection refused" {
		t.Errorf("the closed port: %+v", got)
	}
	c.round(t.Context(), tableOf(t, nil))
	if found = c.newest(); len(found) > 0 {
		t.Errorf("what is in no table any more is kept: %v", found)
	}
}

// TestPaceOfConnections connects at once to what is new, soon again to what refuses, seldom
// to what accepts, and never to what has an active check.
func TestPaceOfConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		made := map[string]int{}
		c := newConnector()
		c.dial = func(_ context.Context, address string) error {
			mu.Lock()
			defer mu.Unlock()
			made[address]++
			if address == "10.0.0.2:80" {
				return context.DeadlineExceeded
			}
			return nil
		}
		table := tableOf(t, nil, "10.0.0.1:80", "10.0.0.2:80")
		checked := tableOf(t, &route.Health{Path: "/"}, "10.0.0.3:80")
		for range 60 {
			c.round(t.Context(), table)
			time.Sleep(time.Second)
		}
		c.round(t.Context(), checked)
		if made["10.0.0.1:80"] != 2 || made["10.0.0.2:80"] != 12 || made["10.0.0.3:80"] != 0 {
			t.Errorf("connections in a minute: %v", made)
		}
	})
}
