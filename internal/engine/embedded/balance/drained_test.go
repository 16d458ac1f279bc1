package balance

import (
	"slices"
	"testing"

	"fairway/internal/route"
)

// An endpoint that leaves tells once when the last of its requests is over, and
// how many of them it has not answered; one that never had any tells nothing.
func TestDrained(t *testing.T) {
	var told []Drained
	set := NewSet(Options{OnDrained: func(d Drained) { told = append(told, d) }})
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
	if len(told) != 0 {
		t.Fatalf("told %+v with a request under way", told)
	}
	third.Done(ResultOK)
	idle := pick()
	idle.Done(ResultOK)
	set.Update([]*route.Backend{backend(draining, draining, ready)})
	set.Update(nil)
	for i := range told {
		told[i].Took = 0
	}
	want := []Drained{
		{Backend: "b", Endpoint: "a", Service: "web@docker", Instance: "web-a", Requests: 2, Failed: 1},
		{Backend: "b", Endpoint: "b", Service: "web@docker", Instance: "web-b"},
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v, want %+v", told, want)
	}
}
