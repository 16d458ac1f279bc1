package route_test

import (
	"slices"
	"testing"

	"golang.org/x/tools/txtar"

	"fairway/internal/route"
	"fairway/internal/route/diff"
)

func TestDiff(t *testing.T) {
	old := route.Sealed(t, route.Full())
	changed := route.Full()
	shop := changed.Routes[0]
	shop.Matches = slices.Delete(shop.Matches, 1, 2)
	shop.Filters[11].StripPrefix.Prefix = "/api/v1"
	shop.Origin.Stale = false
	backend := changed.Backends[0]
	backend.Endpoints[1].State = route.EndpointReady
	backend.Endpoints = append(backend.Endpoints, route.Endpoint{ID: "c3", Address: "10.0.0.7:80", Weight: 1, State: route.EndpointReady})
	changed.Backends[1].ID = "fresh@docker"
	changed.Listeners[1].Address = ":80"
	changed.Problems = changed.Problems[:1]
	changed.Problems[0].Text = "other"
	fresh := route.Sealed(t, changed)

	route.Golden(t, "diff",
		txtar.File{Name: "changed", Data: []byte(diff.Tables(old, fresh).String())},
		txtar.File{Name: "from nothing", Data: []byte(diff.Tables(nil, old).String())},
		txtar.File{Name: "to nothing", Data: []byte(diff.Tables(old, nil).String())},
	)
	for _, same := range []diff.Changes{diff.Tables(nil, nil), diff.Tables(old, old), diff.Tables(old, route.Sealed(t, route.Full())), diff.Tables(nil, &route.Table{})} {
		if same.String() != "" {
			t.Errorf("equal tables differ:\n%s", same)
		}
	}
}

// TestDiffIgnoresLabels: labels that make the same route change nothing.
func TestDiffIgnoresLabels(t *testing.T) {
	changed := route.Full()
	changed.Routes[0].Origin.Labels = map[string]string{"fairway.rule": "Host(`shop.example.com`)"}
	if c := diff.Tables(route.Sealed(t, route.Full()), route.Sealed(t, changed)); c.String() != "" {
		t.Errorf("labels show:\n%s", c)
	}
}
