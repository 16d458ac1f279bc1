package admin

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"fairway/internal/api"
	"fairway/internal/condition"
	"fairway/internal/engine/certs"
)

// judgedBy is a world whose conditions know its certificates.
type judgedBy struct {
	*world
	inventory func() *certs.Inventory
}

func (w judgedBy) Report() *condition.Report {
	return condition.Judge(condition.World{Now: day(3), Snapshot: w.snapshot, Compiled: w.table, Live: w.table, Certificates: w.inventory().Fault}, nil)
}

// TestMissingCertificateIsSaid: that a host has no certificate is said by explain, doctor,
// routes and status, with what to type.
func TestMissingCertificateIsSaid(t *testing.T) {
	w := newWorld(t)
	w.doctor = func(string) []api.Diagnosis {
		return []api.Diagnosis{{Service: "shop@docker", Source: "docker", Served: true, Checks: []api.Check{}}}
	}
	coverage := certs.NewCoverage(slog.New(slog.DiscardHandler), nil)
	o := options(t, w)
	o.Certificates = func() *certs.Inventory { return coverage.Of(w.table, day(3)) }
	o.Conditions = judgedBy{w, o.Certificates}
	s := newServer(t, o)
	const add = "add a certificate for secure.example.com to tls.certificates"
	for path, want := range map[string]string{
		"/v1/explain?url=https://shop.example.com/demo":                "no certificate covers shop.example.com, and clients are warned: add a certificate for shop.example.com",
		"/v1/explain?url=http://secure.example.com/&client=10.0.0.1":   "it redirects to HTTPS, and no certificate covers secure.example.com: " + add,
		"/v1/explain?url=http://shop.example.com/demo&client=10.0.0.1": "",
		"/v1/doctor/shop":            add,
		"/v1/routes?service=shop":    add,
		"/v1/status":                 add,
		"/v1/services/shop%40docker": add,
	} {
		rec := ask(t, s, "GET", path, nil)
		var answer json.RawMessage
		if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || rec.Code != 200 {
			t.Fatal(path, rec.Code, rec.Body, err)
		}
		if !strings.Contains(rec.Body.String(), want) || want == "" && strings.Contains(rec.Body.String(), "certificate") {
			t.Errorf("GET %s: %s, want %q", path, rec.Body, want)
		}
	}
	// Where the route can be used without, the doctor says it all the same.
	o = options(t, w)
	if body := ask(t, newServer(t, o), "GET", "/v1/doctor/shop", nil).Body.String(); !strings.Contains(body, `"no certificate covers it"`) {
		t.Error(body)
	}
}
