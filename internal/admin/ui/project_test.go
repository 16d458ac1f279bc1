package ui

import (
	"strings"
	"testing"

	"fairway/internal/api"
)

// A project or stack is shown with its services, also those that ask for nothing, and the
// machines that its instances run on.
func TestProject(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	on := func(node string, names ...string) (all []api.Instance) {
		for _, name := range names {
			all = append(all, api.Instance{ID: name, Name: name, Source: "docker", Node: node, State: "ready"})
		}
		return all
	}
	a["/v1/nodes"] = &api.List[api.Node]{Items: []api.Node{{ID: "a", Name: "node-a", State: "ready"}, {ID: "b", Name: "node-b", State: "ready"}, {ID: "c", Name: "node-c", State: "ready"}}}
	a["/v1/services"] = &api.List[api.Service]{Items: []api.Service{
		{ID: "web", Name: "web", Project: "shop", Labelled: true, Instances: append(on("a", "web-1"), on("b", "web-2")...)},
		{ID: "db", Name: "db", Project: "shop", Instances: on("b", "db-1")},
		{ID: "blog", Name: "blog", Project: "blog", Labelled: true, Instances: on("c", "blog-1")},
	}}
	body := get(t, p, a, "/services?project=shop").Body.String()
	for want, n := range map[string]int{`<tr id="s-`: 2, "node-a": 1, "node-b": 1, "node-c": 0, "/instances/web-1@docker": 1, "/instances/db-1@docker": 1, "blog-1": 0, "All <b>2</b>": 1, "Not routed <b>1</b>": 1, "Without labels <b>1</b>": 1} {
		if got := strings.Count(body, want); got != n {
			t.Errorf("%d of %s, want %d", got, want, n)
		}
	}
	for _, path := range []string{"/services", "/services/web"} {
		if !strings.Contains(get(t, p, a, path).Body.String(), `href="/services?project=shop"`) {
			t.Errorf("%s does not lead to the project", path)
		}
	}
}
