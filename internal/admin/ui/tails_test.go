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
			if has := strings.Contains(body, "Last errors"); has != (name != "instance") {
				t.Errorf("%s shows %s the last errors: %v", name, role, has)
			}
		}
	}
	a["/v1/errors"] = &api.List[api.Request]{Items: []api.Request{}}
	if body := get(t, p, a, all["service"]).Body.String(); !strings.Contains(body, "No request of it has failed") {
		t.Error("a service without errors does not say so")
	}
	delete(a, "/v1/errors")
	if rec := get(t, p, a, all["service"]); rec.Code != 200 {
		t.Errorf("without errors to ask for: %d", rec.Code)
	}
}
