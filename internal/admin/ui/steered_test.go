package ui

import (
	"net/http/httptest"
	"strings"
	"testing"

	"fairway/internal/api"
)

// A weight is no drain: one may drain beside it, and nothing offers to end it as a drain.
// What the machine of an instance obeys is ended there.
func TestUndrainEndsADrain(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	service := api.Service{ID: "web", Name: "web", Labelled: true, Instances: []api.Instance{{ID: "web-1", Name: "web-1", Source: "docker", Node: "a", State: "ready"}}}
	a["/v1/services"] = &api.List[api.Service]{Items: []api.Service{service}}
	a["/v1/nodes"] = &api.List[api.Node]{Items: []api.Node{{ID: "a", Name: "a", State: "ready"}}}
	route := a["/v1/routes"].(*api.List[api.Route]).Items[0]
	route.Service, route.Endpoints[0].Instance, route.Endpoints[0].Source = "web", "web-1", "docker"
	a["/v1/routes"] = &api.List[api.Route]{Items: []api.Route{route}}
	weight, drain, machine := api.Command{ID: "weight:x", Kind: api.CommandWeight}, api.Command{ID: "drain:x", Kind: api.CommandDrain}, api.Command{ID: "drain:a", Kind: api.CommandDrain, Node: "a"}
	own := func(c api.Command) api.Command { c.Instance, c.Source = "web-1", "docker"; return c }
	on := func(c api.Command) api.Command { c.Node = "a"; return c }
	const drainIt, undrain, led = "Drain…", "<button>Undrain</button>", "Its node is drained"
	for _, tt := range []struct {
		name, path string
		commands   []api.Command
		want       string
	}{
		{"a weight of the node", "/nodes/a", []api.Command{on(weight)}, drainIt},
		{"a drain of the node before a weight", "/nodes/a", []api.Command{on(drain), on(weight)}, undrain},
		{"a weight of the instance", "/instances/web-1@docker", []api.Command{own(weight)}, drainIt},
		{"a drain of the instance", "/instances/web-1@docker", []api.Command{own(drain), own(weight), machine}, undrain},
		{"a drain of its node", "/instances/web-1@docker", []api.Command{machine}, led},
		{"a weight among the instances", "/services/web", []api.Command{own(weight)}, drainIt},
		{"a drain among the instances", "/services/web", []api.Command{own(drain)}, undrain},
		{"a drain of the node among the instances", "/services/web", []api.Command{machine}, led},
	} {
		a["/v1/commands"] = &api.List[api.Command]{Items: tt.commands}
		body := get(t, p, a, tt.path).Body.String()
		if _, row, ok := strings.Cut(body, `<tr id="i-`); ok && strings.HasPrefix(tt.path, "/services/") {
			body, _, _ = strings.Cut(row, "</tr>")
		}
		for _, text := range []string{drainIt, undrain, led} {
			if has := strings.Contains(body, text); has != (text == tt.want) {
				t.Errorf("%s: has %q: %v", tt.name, text, has)
			}
		}
	}
}

// What is copied, and where one comes back to after signing in, are whole.
func TestNothingIsCut(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	long := strings.Repeat("0123456789", 300)
	services := a["/v1/services"].(*api.List[api.Service])
	services.Items[0].Labels = map[string]string{"fairway.rule": long}
	path := paths(a)["service"]
	if body := get(t, p, a, path).Body.String(); !strings.Contains(body, `data-copy="fairway.rule=`+long+`"`) {
		t.Error("a label that is copied is cut")
	}
	body := look(t, p, a, api.Identity{Role: api.RoleViewer, By: api.ByNothing}, httptest.NewRequest("GET", "/services?q="+long, nil)).Body.String()
	if !strings.Contains(body, `href="/sign-in?to=%2fservices%3fq%3d`+long+`"`) {
		t.Error("the way back is cut")
	}
}
