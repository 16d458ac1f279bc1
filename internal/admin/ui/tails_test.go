package ui

import (
	"net/http/httptest"
	"strings"
	"testing"

	"fairway/internal/api"
)

// TestTailsOfARole: logs and requests as they come are there for operators; everybody sees
// why requests failed.
func TestTailsOfARole(t *testing.T) {
	p := newPages(t)
	a := everything(plainText)
	all := paths(a)
	for _, name := range []string{"service", "route", "instance"} {
		for _, role := range api.Roles() {
			body := look(t, p, a, api.Identity{Name: "x", Role: role, By: api.ByToken}, httptest.NewRequest("GET", all[name], nil)).Body.String()
			if has := strings.Contains(body, "data-stream="); has != (role != api.RoleViewer) {
				t.Errorf("%s offers streams to %s: %v", name, role, has)
			}
			if ids := strings.Count(body, `<details id="t-`); ids != strings.Count(body, "data-stream=") {
				t.Errorf("%s has %d IDs of streams for %s: an update would mistake one for another", name, ids, role)
			}
			if has := strings.Contains(body, "Last errors"); has != (name != "instance") {
				t.Errorf("%s shows %s the last errors: %v", name, role, has)
			}
		}
	}
	a["/v1/errors"] = &api.List[api.Request]{Items: []api.Request{}}
	if body := get(t, p, a, all["service"]).Body.String(); !strings.Contains(body, "No failed request of it is kept.") {
		t.Error("a service without errors does not say so")
	}
	delete(a, "/v1/errors")
	for _, name := range []string{"service", "route"} {
		if rec := get(t, p, a, all[name]); rec.Code != 200 || !strings.Contains(rec.Body.String(), "They could not be asked for.") {
			t.Errorf("%s without errors to ask for: %d", name, rec.Code)
		}
	}
}
