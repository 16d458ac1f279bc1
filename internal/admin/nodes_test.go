package admin

import (
	"encoding/json"
	"fmt"
	"testing"

	"fairway/internal/api"
	"fairway/internal/catalog"
)

// Nodes that a services file names are listed beside those that a source sees.
func TestNodesOfServicesFiles(t *testing.T) {
	w := newWorld(t)
	snapshot := *w.snapshot
	snapshot.Services = append([]*catalog.Service{}, snapshot.Services...)
	snapshot.Services = append(snapshot.Services, &catalog.Service{ID: "z@file:services.yml", Name: "z", Source: "file:services.yml", Instances: []*catalog.Instance{
		{ID: "z/1", Name: "1", Source: "file:services.yml", Node: "rack-2", State: catalog.StateReady},
		{ID: "z/2", Name: "2", Source: "file:services.yml", Node: "rack-2", State: catalog.StateReady},
		{ID: "z/3", Name: "3", Source: "file:services.yml", State: catalog.StateReady},
	}})
	w.snapshot = &snapshot
	s := newServer(t, options(t, w))
	for query, want := range map[string]string{
		"":                          "host1 ready 2, rack-2 not watched 2, ",
		"?source=file:services.yml": "rack-2 not watched 2, ",
		"?source=docker":            "host1 ready 2, ",
	} {
		var found api.List[api.Node]
		if err := json.Unmarshal(ask(t, s, "GET", "/v1/nodes"+query, nil).Body.Bytes(), &found); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, n := range found.Items {
			got += fmt.Sprintf("%s %s %d, ", n.Name, n.State, n.Instances)
		}
		if got != want {
			t.Errorf("%q: %s\nwant %s", query, got, want)
		}
	}
}
