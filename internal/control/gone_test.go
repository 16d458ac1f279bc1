package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// containersOf makes a snapshot of "SERVICE LETTER ADDRESS": a container whose ID is that
// letter 64 times.
func containersOf(lines ...string) *catalog.Snapshot {
	s := &catalog.Snapshot{Revision: 1}
	for _, line := range lines {
		f := strings.Fields(line)
		s.Services = append(s.Services, &catalog.Service{
			ID: f[0], Name: f[0], Source: "docker",
			Instances: []*catalog.Instance{{
				ID: strings.Repeat(f[1], 64), Name: f[0], Source: "docker", State: catalog.StateReady,
				Addresses: []catalog.Address{{Host: f[2], Reach: catalog.ReachBridge}},
			}},
		})
	}
	slices.SortFunc(s.Services, func(a, b *catalog.Service) int { return strings.Compare(a.ID, b.ID) })
	return s
}

// servedOf makes a table of what a snapshot has, with endpoints called as compiling does.
func servedOf(t *testing.T, s *catalog.Snapshot) *route.Table {
	t.Helper()
	var backends []*route.Backend
	for _, svc := range s.Services {
		b := &route.Backend{ID: svc.ID, Service: svc.ID, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
		for _, in := range svc.Instances {
			b.Endpoints = append(b.Endpoints, route.Endpoint{
				ID: in.ShortID() + ":8080", Address: in.Addresses[0].Host + ":8080", Weight: 1, State: route.EndpointReady, Instance: in.Name, Source: in.Source,
			})
		}
		backends = append(backends, b)
	}
	table, err := route.New(s.Revision, nil, nil, backends, nil)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// What a hold recorded is never another container, even one with its address.
func TestHeldEndpointsAreOfTheSameContainer(t *testing.T) {
	held := containersOf("a a 172.17.0.25", "c c 172.17.0.30")
	for _, test := range []struct {
		name     string
		now      []string
		recorded bool
		want     string
		gone     int
	}{
		{"all as it was", []string{"a a 172.17.0.25", "c c 172.17.0.30"}, true, "a=172.17.0.25:8080 c=172.17.0.30:8080", 0},
		{"another container has the address", []string{"b b 172.17.0.25", "c c 172.17.0.30"}, true, "a= c=172.17.0.30:8080", 1},
		{"the same, with the endpoints of today", []string{"b b 172.17.0.25", "c c 172.17.0.30"}, false, "a= c=172.17.0.30:8080", 1},
		{"two have exchanged their addresses", []string{"a a 172.17.0.30", "c c 172.17.0.25"}, true, "a= c=", 2},
		{"the same, with the endpoints of today", []string{"a a 172.17.0.30", "c c 172.17.0.25"}, false, "a=172.17.0.30:8080 c=172.17.0.25:8080", 0},
		{"a new container of the service", []string{"a b 172.17.0.25", "c c 172.17.0.30"}, true, "a= c=172.17.0.30:8080", 1},
	} {
		now := containersOf(test.now...)
		w := steering{compiled: servedOf(t, now), snapshot: now, held: servedOf(t, held)}
		h := Hold{Entry: 41, Release: ReleaseByHand, RecordedEndpoints: test.recorded}
		w.commands = []Command{{ID: holdID, Kind: CommandRollback, Hold: &h}}
		table, _, err := steer(w)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, b := range table.Backends {
			word := b.ID + "="
			for _, e := range b.Endpoints {
				word += e.Address
			}
			words = append(words, word)
		}
		if got := strings.Join(words, " "); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		var remarks []string
		if test.gone > 0 {
			remarks = []string{fmt.Sprintf("gone since entry 41, and left out: %d endpoint", test.gone)}
		}
		if test.gone > 1 {
			remarks[0] += "s"
		}
		if h.Hash = w.held.Hash; !slices.Equal(holdRemarks(w, h), remarks) {
			t.Errorf("%s: remarks %q, want %q", test.name, holdRemarks(w, h), remarks)
		}
	}
}

// What an endpoint says of itself decides whether it still exists.
func TestEndpointsThatExist(t *testing.T) {
	task, container := strings.Repeat("z9", 12)+"z", strings.Repeat("a", 64)
	s := &catalog.Snapshot{Services: []*catalog.Service{{
		ID: "shop", Virtual: []catalog.Address{{Host: "10.0.1.2"}},
		Instances: []*catalog.Instance{
			{ID: container, Source: "docker", State: catalog.StateReady, Ports: []catalog.Port{{Number: 80, Published: "192.0.2.1:8080"}}},
			{ID: strings.Repeat("b", 64), Source: "docker", State: catalog.StateStopped, Addresses: []catalog.Address{{Host: "172.17.0.9"}}},
			{ID: task, Source: "swarm", State: catalog.StateReady, Addresses: []catalog.Address{{Host: "10.0.1.3"}}},
		},
	}}}
	for _, test := range []struct {
		id, source, address string
		want                bool
	}{
		{"aaaaaaaaaaaa:8080", "docker", "192.0.2.1:8080", true},
		{"aaaaaaaaaaaa:8080@docker", "docker", "192.0.2.1:8080", true},
		{"aaaaaaaaaaaa:8080", "docker", "192.0.2.1:8081", false},
		{"aaaaaaaaaaaa:8080", "other", "192.0.2.1:8080", false},
		{"bbbbbbbbbbbb:80", "docker", "172.17.0.9:80", false},
		{task + ":80", "swarm", "10.0.1.3:80", true},
		{task + ":80", "swarm", "10.0.1.4:80", false},
		{"virtual:80", "swarm", "10.0.1.2:80", true},
		{"virtual:80", "swarm", "10.0.1.9:80", false},
		{"host:80", "docker", "db.example.com:80", true},
		{"shop/192.0.2.7:80:80", "file", "192.0.2.7:80", true},
	} {
		e := route.Endpoint{ID: test.id, Source: test.source, Address: test.address}
		if got := worldOf(s).has(&route.Backend{Service: "shop"}, e); got != test.want {
			t.Errorf("%+v exists: %t, want %t", test, got, test.want)
		}
	}
}
