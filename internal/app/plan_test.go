package app

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/api"
)

// The whole way: the plan by the API is what the API says after the file has been
// written.
func TestPlanByTheAPI(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	one := backend(t, "one")
	shops(t, file, "shop shop.example.com "+one)
	p := startProgram(t, file, filepath.Join(dir, "state"))
	p.answers(t, "shop.example.com", "one")
	client := p.client(t)
	before := newest(t, client)
	text := fmt.Sprintf("services:\n  - name: shop\n    labels: {fairway.host: www.example.com}\n    instances: [{address: %q}, {address: '127.0.0.1:1'}]\n"+
		"  - name: late\n    labels: {fairway.host: www.example.com}\n", one)
	plan, err := client.Plan(t.Context(), api.PlanRequest{Files: []api.PlanFile{{Path: "services.yml", Text: text}}})
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Changes || len(plan.Routes) != 1 || len(plan.Backends) != 1 || len(plan.Problems) != 1 || plan.Problems[0].Line != 6 || len(plan.Names) != 2 {
		t.Errorf("plan %+v", plan)
	}
	writeServices(t, file, text)
	p.answers(t, "www.example.com", "one")
	d, err := client.Diff(t.Context(), before.Number, 0)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range d.Routes { // which is not in a plan
		d.Routes[i].Lines = slices.DeleteFunc(r.Lines, func(line string) bool { return strings.Contains(line, " claim ") })
	}
	if diff := cmp.Diff(d.Routes, plan.Routes); diff != "" {
		t.Errorf("happened (-) and planned (+):\n%s", diff)
	}
}

// With HAProxy a plan has its lines, too, and no secret in them.
func TestPlanTellsTheLinesOfHAProxy(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("no haproxy here")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "services.yml")
	one := backend(t, "one")
	text := func(host, secret string) string {
		return fmt.Sprintf("services:\n  - name: shop\n    labels:\n      fairway.rule: 'Host(`%s`) && HeaderRegexp(`X-Token`, `%s.*`)'\n"+
			"      fairway.headers.request.set.X-Key: %s\n    instances: [{address: %q}]\n", host, secret, secret, one)
	}
	writeServices(t, file, text("shop.example.com", "hunter2"))
	p := startProgram(t, file, filepath.Join(dir, "state"), func(cfg *Config) {
		cfg.Engine, cfg.HAProxy.StopWithFairway = EngineHAProxy, true
	})
	client := p.client(t)
	newest(t, client)
	plan, err := client.Plan(t.Context(), api.PlanRequest{Files: []api.PlanFile{{Path: "services.yml", Text: text("www.example.com", "hunter3")}}})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Join(plan.Lines, "\n")
	if !strings.Contains(lines, "\n+map ") || !strings.Contains(lines, "www.example.com") || strings.Contains(lines, "hunter") {
		t.Errorf("lines:\n%s\nremarks: %q", lines, plan.Remarks)
	}
	for _, r := range plan.Routes {
		if strings.Contains(strings.Join(r.Lines, " "), "hunter") {
			t.Errorf("a secret in %q", r.Lines)
		}
	}
}
