package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fairway/internal/api"
)

// A search leads to the page of each thing, also of pages; of those that one may not see
// it says nothing.
func TestSearch(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	a["/v1/search"] = &api.List[api.Found]{Items: []api.Found{
		{Kind: api.FoundService, ID: "a/b", Name: "a/b"},
		{Kind: api.FoundRoute, ID: "r1", Name: "shop.example.com", Service: "shop@docker"},
		{Kind: api.FoundInstance, ID: "c1", Name: "shop-1", Service: "shop@docker"},
		{Kind: api.FoundNode, ID: "n1", Name: "n1"},
		{Kind: api.FoundDocument, ID: "web", Name: "web"},
		{Kind: api.FoundEntry, ID: "12", Name: "a rollback"},
	}}
	body := get(t, p, a, "/search?q=acce").Body.String()
	for _, want := range []string{
		`"/access"`, `"` + link("services", "a/b") + `"`, `"/routes/r1"`, `"/instances/c1"`,
		`"/nodes/n1"`, `"/fleet/web"`, `"/history/12"`,
	} {
		if !strings.Contains(body, "<li><a href="+want) {
			t.Errorf("no result leads to %s", want)
		}
	}
	viewer := api.Identity{Name: "x", Role: api.RoleViewer, By: api.ByToken}
	if body := look(t, p, a, viewer, httptest.NewRequest("GET", "/search?q=acce", nil)).Body.String(); strings.Contains(body, `<li><a href="/access"`) {
		t.Error("a viewer finds the page Access")
	}
	asked := ""
	spy := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/v1/search" {
			asked = r.URL.RawQuery
		}
		return a.RoundTrip(r)
	})
	if get(t, p, spy, "/search?q=+two+words+"); asked != "limit=50&q=two+words" {
		t.Errorf("asked for %q", asked)
	}
	if asked = ""; get(t, p, spy, "/search?q="+strings.Repeat("x", 1000)).Code != 200 || asked != "" {
		t.Errorf("a long text is searched for: %q", asked)
	}
}

// Every page has the search, the keys and what leads to them without a mouse.
func TestEveryPageHasKeysAndSearch(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	for name, path := range paths(a) {
		body := get(t, p, a, path).Body.String()
		for _, want := range []string{`<dialog id="search"`, `<dialog id="keys"`, `data-open="keys"`, `href="/search" data-search`} {
			if strings.Count(body, want) != 1 {
				t.Errorf("%s has %d of %s", name, strings.Count(body, want), want)
			}
		}
	}
}
