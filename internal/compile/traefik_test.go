package compile

import (
	"fmt"
	"strings"
	"testing"

	"fairway/internal/catalog"
	"fairway/internal/route"
)

// TestTraefikIsBounded: labels that ask for work without end are refused, whether the dialect
// is on or not, and what is read of the labels of one service is bounded.
func TestTraefikIsBounded(t *testing.T) {
	chain := func(name string, n int) string { return strings.TrimSuffix(strings.Repeat(name+",", n), ",") }
	chains := map[string]string{
		"middlewares.a.chain.middlewares": chain("b", 256), "middlewares.b.chain.middlewares": chain("c", 256),
		"middlewares.c.chain.middlewares": chain("d", 256), "middlewares.d.compress": "true", "routers.r.middlewares": "a",
	}
	routers, settings, unknown := map[string]string{}, map[string]string{}, map[string]string{"routers.r.middlewares": "m"}
	for i := range 2000 {
		routers[fmt.Sprintf("routers.r%d.rule", i)] = "Host(`a.example`)"
		settings[fmt.Sprintf("services.r.loadbalancer.healthcheck.headers.x%d", i)] = "x"
	}
	for i := range 128 {
		unknown[fmt.Sprintf("routers.r.middlewarez%d", i)], unknown[fmt.Sprintf("routers.r%d.rule", i)] = "x", "Host(`a.example`)"
		unknown[fmt.Sprintf("routers.r%d.service", i)], unknown[fmt.Sprintf("services.r.unknown%d", i)] = "r", "x"
	}
	for name, c := range map[string]struct {
		labels map[string]string
		want   string
	}{
		"chains":   {chains, "more than 256 middlewares"},
		"routers":  {routers, "more than 256 routers"},
		"settings": {settings, "more than 256 routers"},
		"unknown":  {unknown, "there is no such label"},
		"list":     {map[string]string{"routers.r.middlewares": chain("m", 256) + ",late", "middlewares.m.chain.middlewares": "n", "middlewares.n.retry.attempts": "1"}, "more than 256 items"},
		"entries":  {map[string]string{"routers.r.entrypoints": chain("web", 257)}, "more than 256 items"},
		"users":    {map[string]string{"routers.r.middlewares": "m", "middlewares.m.basicauth.users": chain("u:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", 257)}, "more than 256 items"},
	} {
		t.Run(name, func(t *testing.T) {
			labels := map[string]string{"traefik.enable": "true", "traefik.http.routers.r.rule": "Host(`b.example`)"}
			for key, value := range c.labels {
				labels["traefik.http."+key] = value
			}
			for _, dialects := range [][]string{nil, {"traefik"}} {
				compile := func() *route.Table {
					return New(Settings{Listeners: []route.Listener{{Name: "http", Address: ":80"}}, Dialects: dialects}).Compile(&catalog.Snapshot{Revision: 1, Services: []*catalog.Service{proxied("own", labels, nil)}}, nil)
				}
				table := compile()
				if dialects == nil {
					continue
				}
				if name == "unknown" {
					if n := testing.AllocsPerRun(1, func() { compile() }); n > 60_000 { // each label is looked up once
						t.Errorf("%.0f allocations", n)
					}
				}
				if len(table.Problems) > 500 || !strings.Contains(textOf(table, "own"), c.want) {
					t.Errorf("%d problems, none says %q", len(table.Problems), c.want)
				}
				for _, r := range table.Routes {
					if r.Refused == "" && (r.ID == "own/traefik.r" || name == "routers") {
						t.Fatalf("it is served:\n%s", r.Text())
					}
				}
			}
		})
	}
}
