package acme

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairway/internal/catalog"
	"fairway/internal/compile"
	"fairway/internal/compile/dockerflow"
	"fairway/internal/owners"
	"fairway/internal/route"
)

// TestForeignNamesAreNotWanted: 10,000 labels of one owner for names that it may not have
// cause no order, and one that may have no certificates causes none for its own names either.
func TestForeignNamesAreNotWanted(t *testing.T) {
	service := func(name, team string, labels map[string]string) *catalog.Service {
		labels["team"] = team
		return &catalog.Service{ID: name + "@docker", Name: name, Source: "docker", Instances: []*catalog.Instance{{
			ID: name, Name: name, Source: "docker", State: catalog.StateReady, Labels: labels,
			Addresses: []catalog.Address{{Host: "10.0.0.1", Port: 80, Reach: catalog.ReachFixed}},
		}}}
	}
	many := map[string]string{}
	for i := range 10_000 {
		host := fmt.Sprintf([]string{"h%d.good.dev", "%d.foreign.dev", "*.h%d.good.dev", "bad..%d", "a.good.dev"}[i%5], i)
		many[fmt.Sprintf("fairway.r%d.host", i)], many[fmt.Sprintf("fairway.r%d.path", i)] = host, fmt.Sprintf("/%d", i)
	}
	snapshot := &catalog.Snapshot{Revision: 1, Services: []*catalog.Service{
		service("bad", "bad", many), service("good", "good", map[string]string{"fairway.host": "a.good.dev, *.good.dev"}),
		service("plain", "plain", map[string]string{"fairway.host": "plain.dev"}),
		service("flow", "flow", map[string]string{
			"com.df.notify": "true", "com.df.port": "80", "com.df.serviceDomain": "*.flow.dev", "com.df.letsencrypt.host": "x.flow.dev,y.flow.dev",
		}),
		service("foreign", "flow", map[string]string{
			"com.df.notify": "true", "com.df.port": "80", "com.df.servicePath": "/x", "com.df.serviceDomain": "*.flow.dev", "com.df.letsencrypt.host": "z.flow.dev,a.good.dev",
		}),
	}}
	table := compile.New(compile.Settings{
		DockerFlow: &dockerflow.Options{},
		Listeners:  []route.Listener{{Name: "https", Address: ":443", TLS: true, Certificates: []route.Certificate{{CertFile: "a", KeyFile: "a"}}}},
		Owners: owners.New([]owners.Record{
			{Name: "good", Labels: []string{"team=good"}, Hosts: []string{"**.good.dev"}},
			{Name: "plain", Labels: []string{"team=plain"}, Hosts: []string{"plain.dev"}, Certificates: []string{"none"}},
			{Name: "flow", Labels: []string{"team=flow"}, Hosts: []string{"**.flow.dev"}},
			{Name: "others", Hosts: []string{"others.dev"}},
		}),
	}).Compile(snapshot, nil)
	var got []string
	for _, w := range wants(table, nil, false, true) {
		got = append(got, w.Name+" for "+w.Service)
	}
	if diff := cmp.Diff([]string{"*.good.dev for good@docker", "x.flow.dev for flow@docker", "y.flow.dev for flow@docker"}, got); diff != "" {
		t.Error(diff)
	}
	if table.Route("plain@docker") == nil {
		t.Error("who may have no certificates is not served")
	}
}
