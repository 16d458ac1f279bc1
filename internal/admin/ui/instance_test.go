package ui

import (
	"strings"
	"testing"
	"time"

	"fairway/internal/api"
)

// An instance has a page with what is known of it, which its service, its machine and a
// search lead to.
func TestInstance(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	s := &a["/v1/services"].(*api.List[api.Service]).Items[0]
	s.Instances = []api.Instance{
		{
			ID: "0123", Name: "shop-1", Source: "docker", Image: "shop:2.1", State: "unhealthy", StateReason: "its health check fails: exit code 7: no such table",
			Node: "node", NodeName: "n1", Started: now().Add(-3 * time.Hour), Restarts: 7, Labels: map[string]string{"fairway.basic-auth": "***"},
			Addresses: []api.Address{{Host: "172.17.0.9", Network: "bridge"}}, Ports: []api.Port{{Number: 8080, Protocol: "tcp", Published: "0.0.0.0:80"}},
		},
		{ID: "0124", Name: "shop-2", Source: "docker", State: "stopped", Started: now()},
	}
	a["/v1/doctor/"] = &api.List[api.Diagnosis]{Items: []api.Diagnosis{
		{Service: s.ID, Instance: "shop-1", Checks: []api.Check{{Name: "its own check", Text: "is red"}}},
		{Service: s.ID, Instance: "shop-2", Checks: []api.Check{{Name: "of another", Text: "is green"}}},
	}}
	body := get(t, p, a, "/instances/shop-1@docker").Body.String()
	for _, want := range []string{
		"shop:2.1", "<dt>restarts</dt><dd>7</dd>", "exit code 7: no such table", "up <time", `href="/nodes/node">n1`, "172.17.0.9 on network bridge", "8080/tcp, published on 0.0.0.0:80",
		"its own check", "fairway.basic-auth", `data-copy="0123"`, `href="` + link("services", s.ID) + `"`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(body, "of another") {
		t.Error("it has the diagnosis of another instance")
	}
	for _, path := range []string{link("services", s.ID), "/nodes/" + a["/v1/nodes"].(*api.List[api.Node]).Items[0].ID} {
		a["/v1/nodes"].(*api.List[api.Node]).Items[0].ID = "node"
		if path = strings.Replace(path, "/nodes/id", "/nodes/node", 1); !strings.Contains(get(t, p, a, path).Body.String(), `href="/instances/shop-1@docker"`) {
			t.Errorf("%s does not lead there", path)
		}
	}
	if body := get(t, p, a, "/instances/shop-2@docker").Body.String(); !strings.Contains(body, "last started") {
		t.Error("what has stopped is up")
	}
	if rec := get(t, p, a, "/instances/none@docker"); rec.Code != 404 {
		t.Errorf("what does not exist: %d", rec.Code)
	}
}
