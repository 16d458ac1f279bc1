package ui

import (
	"encoding/csv"
	"encoding/json"
	"html"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"fairway/internal/api"
)

// Each list of a page can be had as CSV and as JSON, by links below it, as the API has it.
func TestExport(t *testing.T) {
	p, a := newPages(t), everything(plainText)
	a["/v1/routes"].(*api.List[api.Route]).Items[0].Service = "id"
	for name, heading := range map[string]string{
		"services": "SERVICE", "routes": "ROUTE", "problems": "SERVICE", "nodes": "NODE", "sources": "SOURCE", "certificates": "NAMES", "events": "AT", "history": "ENTRY",
		"fleet": "HOST", "access": "WHEN",
	} {
		body := get(t, p, a, "/"+name).Body.String()
		for _, format := range []string{"csv", "json"} {
			if !strings.Contains(body, `<a href="/`+name+`?format=`+format+`" download`) {
				t.Errorf("%s has no link to %s", name, format)
			}
		}
		rec := get(t, p, a, "/"+name+"?format=csv")
		rows, err := csv.NewReader(rec.Body).ReadAll()
		if err != nil || len(rows) != 2 || rows[0][0] != heading || !strings.Contains(rec.Header().Get("Content-Disposition"), `filename="fairway-`+name+`-20260303.csv"`) {
			t.Errorf("%s: %v %v %q", name, err, rec.Header(), rows)
		}
		rec = get(t, p, a, "/"+name+"?format=json")
		var found struct{ Items []map[string]any }
		if err := json.Unmarshal(rec.Body.Bytes(), &found); err != nil || len(found.Items) != 1 || rec.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v %s", name, err, rec.Body)
		}
		if rec := get(t, p, a, "/"+name+"?format=csv&q=nothing-has-this"); name != "history" && strings.Count(rec.Body.String(), "\n") != 1 {
			t.Errorf("%s: what does not match is exported: %s", name, rec.Body)
		}
	}
	if body := get(t, p, a, "/history?before=9").Body.String(); !strings.Contains(body, `<a href="/history?format=csv" download`) {
		t.Error("the file of the history begins where its page does")
	}
	for path, want := range map[string]int{"/routes?format=xml": 400, "/?format=csv": 400, "/plan?format=csv": 400} {
		if rec := get(t, p, a, path); rec.Code != want {
			t.Errorf("%s: %d, want %d", path, rec.Code, want)
		}
	}
	rec := look(t, p, a, api.Identity{}, httptest.NewRequest("GET", "/routes?format=csv", nil))
	if rec.Code != 303 || strings.Contains(rec.Body.String(), "ROUTE") {
		t.Errorf("without a role: %d %s", rec.Code, rec.Body)
	}
}

// All of a list is exported, not the first page of it.
func TestExportOfLongLists(t *testing.T) {
	p, a := newPages(t), everything(plainText)
	a["/v1/routes"].(*api.List[api.Route]).Items[0].Service = "id"
	services := a["/v1/services"].(*api.List[api.Service])
	for range 249 {
		services.Items = append(services.Items, services.Items[0])
	}
	rows, err := csv.NewReader(get(t, p, a, "/services?format=csv&page=2").Body).ReadAll()
	if err != nil || len(rows) != 251 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// Wherever a page offers its list as a file, there is one.
func TestExportLinks(t *testing.T) {
	p, a := newPages(t), everything(plainText)
	links := regexp.MustCompile(`<a href="([^"]*\bformat=[^"]*)" download`)
	for name, path := range paths(a) {
		for _, m := range links.FindAllStringSubmatch(get(t, p, a, path).Body.String(), -1) {
			if rec := get(t, p, a, html.UnescapeString(m[1])); rec.Code != 200 || rec.Header().Get("Content-Disposition") == "" {
				t.Errorf("%s offers %s: %d", name, m[1], rec.Code)
			}
		}
	}
}
