package compile

import (
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// TestTableLeavesOutWhatDoesNotFit: should something slip through the reading of
// labels that no table takes, it costs its own service only.
func TestTableLeavesOutWhatDoesNotFit(t *testing.T) {
	c := New(Settings{})
	s := snapshotOf(neighbour(1), &catalog.Service{ID: "bad", Source: "docker", Instances: []*catalog.Instance{
		instanceWith("bad-1", map[string]string{"fairway.host": "bad.example"}),
	}})
	want := partOf(c.Compile(s, nil), "good@docker")
	bad := c.plans["bad"]
	bad.routes = []*route.Route{{ID: "bad", Service: "bad"}} // without a match
	routes := append(bad.routes, c.plans["good@docker"].routes...)
	backends := append(bad.backends, c.plans["good@docker"].backends...)
	table := c.table(7, routes, backends, nil)
	if got := partOf(table, "good@docker"); got != want || table.Revision != 7 {
		t.Errorf("the others are not served as before:\n%s", table.Text())
	}
	if table.Route("bad") != nil || len(table.Problems) != 1 || table.Problems[0].Service != "bad" || table.Problems[0].Code != route.CodeUnsupported {
		t.Errorf("nothing is told about the service that does not fit:\n%s", table.Text())
	}
}
