package ui

import (
	"strings"
	"testing"

	"fairway/internal/api"
)

// A problem leads to what its label means, also of a route with a name.
func TestLabels(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/problems"].(*api.List[api.Problem]).Items[0].Label = "fairway.api.host"
	a["/v1/labels"] = &api.List[api.Label]{Items: []api.Label{
		{Name: "fairway.host", Value: "list of hosts", Meaning: "Hosts: `*` for <every> host.", Example: "a.example"}, {Name: "fairway.path", Meaning: "Paths", Example: "/x"},
	}}
	if body := get(t, p, a, "/problems").Body.String(); !strings.Contains(body, `<a href="/labels?for=fairway.api.host"><code>fairway.api.host`) {
		t.Error("a problem does not lead to its label")
	}
	body := get(t, p, a, "/labels?for=fairway.api.host").Body.String()
	_, meant, _ := strings.Cut(body, `id="meant"`)
	for _, want := range []string{">fairway.host<", "Hosts: <code>*</code> for &lt;every&gt; host.", `data-copy="fairway.host=a.example"`} {
		if !strings.Contains(meant, want) {
			t.Errorf("the label asked for lacks %s", want)
		}
	}
	if body := get(t, p, a, "/labels?for=fairway.hots&sort=-name").Body.String(); !strings.Contains(body, "There is no label") || strings.Index(body, ">fairway.path<") > strings.Index(body, ">fairway.host<") {
		t.Error("of a label that there is not, the page does not say so")
	}
}
