package route

import "testing"

func TestSplit(t *testing.T) {
	table := sealed(t, full())
	requests, connections := table.Split()
	if len(requests) != 2 || len(connections) != 1 || connections[0].ID != "db@docker" {
		t.Errorf("requests %v, connections %v", requests, connections)
	}
	refused := full()
	refused.Routes[2].Backend, refused.Routes[2].Refused = "", "its file is not there"
	if _, connections := sealed(t, refused).Split(); len(connections) != 1 {
		t.Error("a refused route for connections is taken for one for requests")
	}
	plain := full()
	plain.Listeners, plain.Routes = plain.Listeners[:2], plain.Routes[:2]
	if requests, connections := sealed(t, plain).Split(); len(requests) != 2 || connections != nil {
		t.Errorf("without TCP listeners: requests %v, connections %v", requests, connections)
	}
}
