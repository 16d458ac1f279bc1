package resolve

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/route"
)

// dns stands for what resolves names.
type dns struct {
	mu    sync.Mutex
	hosts map[string][]netip.Addr
	asked map[string]int
}

func (d *dns) lookup(_ context.Context, host string) ([]netip.Addr, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked[host]++
	if d.hosts[host] == nil {
		return nil, errors.New("no such host")
	}
	return append([]netip.Addr(nil), d.hosts[host]...), nil
}

func (d *dns) set(host string, addrs ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hosts[host] = nil
	for _, a := range addrs {
		d.hosts[host] = append(d.hosts[host], netip.MustParseAddr(a))
	}
}

// backendsOf makes a table of backends with these addresses.
func backendsOf(t *testing.T, addresses ...[]string) *route.Table {
	t.Helper()
	var backends []*route.Backend
	for i, list := range addresses {
		b := &route.Backend{ID: string(rune('a' + i)), Service: "s", Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
		for j, a := range list {
			b.Endpoints = append(b.Endpoints, route.Endpoint{ID: string(rune('a' + j)), Address: a, Weight: 1, State: route.EndpointReady})
		}
		backends = append(backends, b)
	}
	table, err := route.New(1, nil, nil, backends, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestResolver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dns{hosts: map[string][]netip.Addr{}, asked: map[string]int{}}
		d.set("one.example", "10.0.0.2", "fd00::1", "10.0.0.1")
		changes := make(chan struct{}, 10)
		r := New(slog.New(slog.DiscardHandler), func() { changes <- struct{}{} }, d.lookup)
		defer r.Close()
		see := func(table *route.Table, want map[string]string) {
			t.Helper()
			got := map[string]string{}
			for name, address := range r.Addresses(t.Context(), table) {
				got[name] = address.String()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("addresses (-want +got):\n%s", diff)
			}
		}

		plain := backendsOf(t, []string{"10.1.1.1:80"})
		see(plain, map[string]string{})
		named := backendsOf(t, []string{"10.1.1.1:80", "one.example:81"}, []string{"none.example:80"}, []string{"[fd00::2]:80"})
		for range 2 {
			see(named, map[string]string{"one.example": "10.0.0.1"})
		}
		if d.asked["one.example"] != 1 {
			t.Errorf("asked %d times", d.asked["one.example"])
		}

		// An address that is still there is kept; one that is not is replaced.
		d.set("one.example", "10.0.0.1", "10.0.0.0")
		pauseFor(resolveInterval)
		if len(changes) > 0 {
			t.Error("the address has changed for no reason")
		}
		d.set("one.example", "10.0.0.9")
		d.set("none.example", "10.0.0.7")
		pauseFor(resolveInterval)
		if len(changes) != 1 {
			t.Error("the change was not told")
		}
		want := map[string]string{"one.example": "10.0.0.9", "none.example": "10.0.0.7"}
		see(named, want)
		// While nobody answers it stays.
		d.set("one.example")
		pauseFor(resolveInterval)
		see(named, want)
		// What nobody has is not asked for any more.
		see(plain, map[string]string{})
		before := d.asked["one.example"]
		pauseFor(2 * resolveInterval)
		if d.asked["one.example"] != before {
			t.Error("a name that is gone is asked for")
		}
	})
}

// pauseFor lets the fake clock run a little longer than d.
func pauseFor(d time.Duration) {
	time.Sleep(d + time.Second/10)
	synctest.Wait()
}
