package app

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"testing"

	"fairway/internal/api"
	"fairway/internal/testkit"
)

// TestWrongPortIsSeenBeforeARequest: a service at whose address nothing listens is down, in
// every answer, before anybody has asked for it, and healthy once something listens.
func TestWrongPortIsSeenBeforeARequest(t *testing.T) {
	dir := t.TempDir()
	file, address := filepath.Join(dir, "services.yml"), "127.0.0.1:"+testkit.FreePort(t)
	writeServices(t, file, fmt.Sprintf(`services:
  - name: good
    labels: {fairway.host: good.example.com}
    instances: [{address: %q}]
  - name: wrong
    labels: {fairway.host: wrong.example.com}
    instances: [{address: %q}]
`, backend(t, "one"), address))
	p := startProgram(t, file, filepath.Join(dir, "state"), steerable)
	client := p.client(t)
	const id = "wrong@file:services.yml"
	route := func() (wrong, good api.Route) {
		routes, err := client.Routes(t.Context(), api.Query{})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes.Items {
			if r.ID == id {
				wrong = r
			} else {
				good = r
			}
		}
		return wrong, good
	}
	testkit.Eventually(t, "the route is down", func() bool {
		wrong, good := route()
		return wrong.Condition.State == api.StateDown && good.Condition.State == api.StateHealthy
	})
	want := "connection refused at " + address
	wrong, good := route()
	if wrong.Condition.Why() != want || wrong.Ready != 0 || wrong.Endpoints[0].Fault != want || good.Ready != 1 {
		t.Errorf("route %+v, %d ready; the other %d", wrong.Condition, wrong.Ready, good.Ready)
	}
	status, err := client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := func(f api.Finding) bool { return f.Subject == id && f.Text == want }
	if status.State != api.StateDown || status.Routes[api.StateDown] != 1 || !slices.ContainsFunc(status.Findings, found) {
		t.Errorf("status %+v", status)
	}
	services, err := client.Service(t.Context(), id)
	if err != nil || services.Items[0].Condition.State != api.StateDown {
		t.Errorf("service %+v, %v", services.Items, err)
	}
	explained, err := client.Explain(t.Context(), api.ExplainRequest{URL: "http://wrong.example.com/"})
	if err != nil || explained.Winner.Route.Condition.State != api.StateDown {
		t.Errorf("explained %+v, %v", explained, err)
	}
	doctor, err := client.Doctor(t.Context(), "wrong")
	if err != nil || len(doctor.Items) != 1 || doctor.Items[0].Served {
		t.Errorf("doctor %+v, %v", doctor.Items, err)
	}

	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	testkit.Eventually(t, "the route is healthy", func() bool {
		wrong, _ := route()
		return wrong.Condition.State == api.StateHealthy && wrong.Ready == 1
	})
}
