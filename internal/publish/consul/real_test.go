package consul

import (
	"context"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/consul"
	"fairway/internal/consul/consultest"
	"fairway/internal/publish"
	"fairway/internal/testkit"
)

// The real agent: the entry of Registrator's form as case 58 has it, its state, and its end.
func TestRealConsul(t *testing.T) {
	a := consultest.Start(t)
	c, err := consul.New(consul.Config{Addresses: []string{a.Address}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	feed := &catalog.Feed{}
	p, err := New(Options{Feed: feed, Reader: c, Writer: c, Settings: publish.Settings{
		Owner: owner, Dialect: publish.Registrator, Host: "mylaptop2-reg", IP: "192.168.1.88",
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })

	hopper := instance(1, 8000)
	hopper.Name, hopper.Labels = "evil_hopper", map[string]string{"SERVICE_NAME": "files", "SERVICE_TAGS": "v1", "SERVICE_REGION": "eu"}
	const id = "mylaptop2-reg:evil_hopper:80"
	is := func(what string, want func(s consul.Service, checks map[string]consul.Check) bool) time.Duration {
		t.Helper()
		return testkit.Eventually(t, what, func() bool {
			services, err := c.AgentServices(t.Context())
			checks, err2 := c.AgentChecks(t.Context())
			return err == nil && err2 == nil && want(services[id], checks)
		})
	}
	publishing := func(in *catalog.Instance, status string) {
		t.Helper()
		feed.Publish(snapshot(in))
		took := is("the entry is "+status, func(s consul.Service, checks map[string]consul.Check) bool {
			return s.Name == "files" && s.Address == "192.168.1.88" && s.Port == 8000 && len(s.Tags) == 1 && s.Meta["region"] == "eu" && checks[stateID(id)].Status == status
		})
		testkit.Figure(t, "an instance that is "+string(in.State)+", in Consul", "%s", took)
	}
	publishing(hopper, consul.Passing)
	publishing(in(catalog.StateUnhealthy, "health check: unhealthy", hopper), consul.Critical)
	publishing(hopper, consul.Passing)
	publishing(in(catalog.StateLeaving, "SIGTERM", hopper), consul.Critical)
	entries, _, err := c.Health(t.Context(), "files", consul.Query{})
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	feed.Publish(snapshot(in(catalog.StateStopped, "exited", hopper)))
	is("no entry", func(s consul.Service, checks map[string]consul.Check) bool { return s.ID == "" && len(checks) == 0 })
	if s := p.State(); s.State != stateCurrent || len(s.Entries) > 0 {
		t.Errorf("%+v", s)
	}
}
