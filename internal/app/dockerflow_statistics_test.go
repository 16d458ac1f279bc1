package app

import (
	"encoding/csv"
	"strings"
	"testing"
)

// TestStatisticsOfTheEmbeddedEngine reads the call metrics as a script that was
// written for Docker Flow Proxy does: CSV, columns by the names in the first line.
func TestStatisticsOfTheEmbeddedEngine(t *testing.T) {
	_, port, _ := strings.Cut(backend(t, "demo"), ":")
	p := startFlow(t, t.TempDir(), "services: []\n", func(cfg *Config) { asProxy(cfg); cfg.Engine = EngineEmbedded })
	if code, body := p.call(t, "proxy", "GET", proxyAPI+"reconfigure?serviceName=localhost&servicePath=/demo&port="+port, nil); code != 200 {
		t.Fatalf("%d %s", code, body)
	}
	for range 3 {
		if s, _ := p.get("a.example", "/demo"); s != 200 {
			t.Fatalf("answered %d", s)
		}
	}
	code, body := p.call(t, "proxy", "GET", proxyAPI+"metrics", nil)
	text, found := strings.CutPrefix(body, "# ")
	if code != 200 || !found {
		t.Fatalf("%d %s", code, body)
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]map[string]string{}
	for _, row := range rows[1:] {
		cells := map[string]string{}
		for i, column := range rows[0] {
			cells[column] = row[i]
		}
		lines[cells["svname"]] = cells
	}
	if f := lines["FRONTEND"]; f["pxname"] != "http" || f["status"] != "OPEN" {
		t.Errorf("the listener: %v", f)
	}
	if b := lines["BACKEND"]; !strings.HasPrefix(b["pxname"], "localhost@posted") || b["req_tot"] != "3" || b["hrsp_2xx"] != "3" || b["hrsp_5xx"] != "0" {
		t.Errorf("the route: %v", b)
	}
	delete(lines, "FRONTEND")
	delete(lines, "BACKEND")
	if len(lines) != 1 {
		t.Errorf("endpoints: %v", lines)
	}
	for _, e := range lines {
		if e["stot"] != "3" || e["status"] != "UP" || e["act"] != "1" || !strings.HasSuffix(e["addr"], ":"+port) {
			t.Errorf("the endpoint: %v", e)
		}
	}
}
