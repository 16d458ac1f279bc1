package ui

import (
	"strings"
	"testing"

	"fairway/internal/api"
)

// Hosts open in a tab of their own, which knows nothing of the page, and are copied as a
// line for the shell.
func TestHostsOpen(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/info"].(*api.Info).Listeners = []api.Listener{{Name: "http", Address: ":8000"}}
	routes := a["/v1/routes"].(*api.List[api.Route])
	routes.Items[0].Matches = []api.Match{{Host: "shop.example.com", HostKind: "exact", Path: "/", PathKind: "prefix"}}
	routes.Items[0].Backend.Scheme = "http"
	routes.Items[0].Service = a["/v1/services"].(*api.List[api.Service]).Items[0].ID
	for _, path := range []string{"/services", "/routes", link("services", routes.Items[0].Service)} {
		body := get(t, p, a, path).Body.String()
		if !strings.Contains(body, `href="http://shop.example.com:8000/" target="_blank" rel="noopener noreferrer">shop.example.com`) {
			t.Errorf("%s has no link to the host", path)
		}
		if path != "/services" && !strings.Contains(body, `data-copy="curl -i &#39;http://shop.example.com:8000/&#39;"`) {
			t.Errorf("%s has no line for curl", path)
		}
	}
}

// The page of sources says of each what is wrong, since when, and what to type.
func TestSources(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/sources"] = &api.List[api.Source]{Items: []api.Source{
		{Name: "docker", State: api.SourceStale, Error: "permission denied", Services: 3, LastSuccess: now(), Condition: api.Condition{
			State: api.StateDown, Reasons: []api.Reason{{Code: "stale", Text: "it does not answer", Hint: "sudo usermod -aG docker fairway", Since: now()}},
		}},
		{Name: "file:services.yml", State: api.SourceCurrent, Condition: api.Condition{State: api.StateHealthy}, Held: []string{"cart"}},
		{Name: "swarm", State: api.SourceNeverAnswered, Condition: api.Condition{State: api.StateDown}},
		{Name: "well", State: api.SourceCurrent, Condition: api.Condition{State: api.StateHealthy}},
	}}
	body := get(t, p, a, "/sources?sort=-state").Body.String()
	for _, want := range []string{"it does not answer", `data-copy="sudo usermod -aG docker fairway"`, "permission denied", ">never-answered<", "1 service held", "Not current <b>3</b>", ">never<"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if body := get(t, p, a, "/sources?only=trouble").Body.String(); strings.Count(body, "<tr id=") != 3 {
		t.Errorf("not current are %d", strings.Count(body, "<tr id="))
	}
	if !strings.Contains(get(t, p, a, "/").Body.String(), `href="/sources#o-`+key("docker")) {
		t.Error("the overview does not lead to a source")
	}
}
