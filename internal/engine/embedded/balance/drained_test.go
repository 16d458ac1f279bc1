package balance

import (
	"slices"
	"testing"

	"fairway/internal/engine/traffic"
	"fairway/internal/route"
)

// An endpoint that leaves is reported once, when the last of its requests is over, with
// how many of them it has not answered; one that never had any is not.
func TestDrained(t *testing.T) {
	var reports []traffic.Drained
	set := NewSet(Options{OnDrained: func(d traffic.Drained) { reports = append(reports, d) }})
	defer set.Close()
	backend := func(states ...route.EndpointState) *route.Backend {
		b := &route.Backend{ID: "b", Service: "web@docker"}
		for i, state := range states {
			id := string(rune('a' + i))
			b.Endpoints = append(b.Endpoints, route.Endpoint{ID: id, Address: id + ":80", Instance: "web-" + id, Weight: 1, State: state})
		}
		return b
	}
	const ready, draining = route.EndpointReady, route.EndpointDraining
	set.Update([]*route.Backend{backend(ready)})
	b := set.Backend("b")
	pick := func() *Endpoint {
		e, err := b.Pick(Key{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	first, second, third := pick(), pick(), pick()
	first.Done(ResultFailed) // before it leaves: none of those that count
	set.Update([]*route.Backend{backend(draining, ready)})
	set.Update([]*route.Backend{backend(draining, ready)})
	second.Done(ResultFailed)
	if len(reports) != 0 {
		t.Fatalf("it reports %+v with a request under way", reports)
	}
	third.Done(ResultOK)
	idle := pick()
	idle.Done(ResultOK)
	set.Update([]*route.Backend{backend(draining, draining, ready)})
	set.Update(nil)
	for i := range reports {
		reports[i].Took = 0
	}
	want := []traffic.Drained{
		{Backend: "b", Endpoint: "a", Service: "web@docker", Instance: "web-a", Requests: 2, Failed: 1},
		{Backend: "b", Endpoint: "b", Service: "web@docker", Instance: "web-b"},
	}
	if !slices.Equal(reports, want) {
		t.Errorf("it reports %+v, want %+v", reports, want)
	}
}
