package haproxy

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairway/internal/engine/haproxy/render"
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

// TestLeavesMeanwhile: an endpoint that begins to leave while HAProxy is asked about others is judged by
// the next answer, not by that one.
func TestLeavesMeanwhile(t *testing.T) {
	const ready, draining = route.EndpointReady, route.EndpointDraining
	table := func(shop, blog route.EndpointState) *route.Table {
		var list []*route.Backend
		for id, state := range map[string]route.EndpointState{"shop": shop, "blog": blog} {
			list = append(list, &route.Backend{
				ID: id, Service: id, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin},
				Endpoints: []route.Endpoint{{ID: "e1", Address: "127.0.0.1:1", Weight: 1, State: state}},
			})
		}
		made, err := route.New(1, nil, nil, list, nil)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	config := configOf()
	config.Sections[2] = render.Section{Name: "s3", Backend: "blog", Servers: []render.Server{{Name: "v1", Endpoint: "e1", State: ready}}}
	meanwhile := func() {}
	runs := "3"
	r := &readings{
		table: &route.Table{}, leaving: map[endpointKey]*departure{}, heard: map[socket.Kind]heard{},
		counts: map[endpointKey]*endpointCounts{{"shop", "e1"}: {}, {"blog", "e1"}: {}},
	}
	r.OnDrained = func(traffic.Drained) {}
	r.Ask = func(_ context.Context, _ socket.Kind, sections ...string) (socket.Stats, error) {
		text := statsHeader + "s1,v1,,0,UP,,\n"
		if slices.Contains(sections, "s3") {
			text += "s3,v1,," + runs + ",UP,,\n"
		}
		meanwhile()
		return socket.ParseStats(text)
	}
	r.use(config, table(ready, ready))
	r.use(config, table(draining, ready))
	meanwhile = func() { r.use(config, table(draining, draining)) }
	if over := r.left(t.Context()); len(over) != 1 || over[0].Backend != "shop" {
		t.Errorf("%+v have left, want that of shop alone", over)
	}
	meanwhile = func() {}
	if over := r.left(t.Context()); len(over) > 0 {
		t.Errorf("%+v have left with requests", over)
	}
	runs = "0"
	if over := r.left(t.Context()); len(over) != 1 || over[0].Backend != "blog" || over[0].Requests != 3 {
		t.Errorf("%+v have left, want that of blog with 3 requests", over)
	}
}

// TestManyLeave: where the sections of what leaves are many, the answer is shared with who reads all
// endpoints, and is never one of before the table.
func TestManyLeave(t *testing.T) {
	asked := 0
	r := &readings{table: &route.Table{}, leaving: map[endpointKey]*departure{{"shop", "e1"}: {}}, heard: map[socket.Kind]heard{}}
	r.Ask = func(_ context.Context, _ socket.Kind, sections ...string) (socket.Stats, error) {
		if asked++; len(sections) > 0 {
			t.Errorf("asked about %d sections", len(sections))
		}
		return socket.ParseStats(statsHeader + "s1,v1,,1,UP,,\n")
	}
	config := configOf()
	for i := range maxSections {
		config.Sections = append(config.Sections, render.Section{Name: "z" + strconv.Itoa(100+i), Backend: "shop"})
	}
	r.use(config, &route.Table{})
	r.endpoints()
	kept := r.heard[socket.Servers]
	kept.at = time.Now().Add(time.Hour)
	r.heard[socket.Servers] = kept
	if r.left(t.Context()); asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	r.use(config, &route.Table{})
	if r.left(t.Context()); asked != 2 {
		t.Errorf("asked %d times with another table, want twice", asked)
	}
}
