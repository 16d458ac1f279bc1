package consulfake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"fairway/internal/consul"
	"fairway/internal/consul/consultest"
	"fairway/internal/testkit"
)

// agent is what the fake has of the client.
type agent interface {
	Services(ctx context.Context, q consul.Query) (map[string][]string, consul.Meta, error)
	Health(ctx context.Context, name string, q consul.Query) ([]consul.Entry, consul.Meta, error)
	Checks(ctx context.Context, q consul.Query) (consul.Meta, error)
	Leader(ctx context.Context, datacenter string) (string, error)
	Register(ctx context.Context, r consul.Registration) error
	RegisterCheck(ctx context.Context, d consul.Definition) error
	Deregister(ctx context.Context, id string) error
	DeregisterCheck(ctx context.Context, id string) error
	UpdateCheck(ctx context.Context, id, status, output string) error
	AgentServices(ctx context.Context) (map[string]consul.AgentService, error)
	AgentChecks(ctx context.Context) (map[string]consul.Check, error)
	AgentAddress(ctx context.Context) (string, error)
}

func TestFake(t *testing.T) { behaves(t, New("dev", "127.0.0.1")) }

func TestReal(t *testing.T) {
	a := consultest.Start(t)
	c, err := consul.New(consul.Config{Addresses: []string{a.Address}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	behaves(t, c)
}

// behaves is what both must do.
func behaves(t *testing.T, a agent) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if leader, err := a.Leader(ctx, ""); err != nil || leader == "" {
		t.Errorf("leader %q, %v", leader, err)
	}
	if at, err := a.AgentAddress(ctx); err != nil || at != "127.0.0.1" {
		t.Errorf("agent at %q, %v", at, err)
	}
	if err := a.Register(ctx, consul.Registration{ID: "dot", Name: "dot", Meta: map[string]string{"fairway.host": "a"}}); err == nil {
		t.Error("a key of metadata with a dot")
	}
	names, before, err := a.Services(ctx, consul.Query{})
	must(err)
	if _, servers := names["consul"]; !servers || before.Index == 0 || before.NoLeader || before.Filtered {
		t.Errorf("names %v, %+v", names, before)
	}
	checks, err := a.Checks(ctx, consul.Query{})
	must(err)
	woken := make(chan consul.Meta, 2)
	hold := func(read func() (consul.Meta, error)) {
		go func() {
			m, err := read()
			if err != nil {
				t.Error(err)
			}
			woken <- m
		}()
	}
	hold(func() (consul.Meta, error) {
		_, m, err := a.Services(ctx, consul.Query{Index: before.Index, Wait: time.Minute})
		return m, err
	})
	hold(func() (consul.Meta, error) {
		return a.Checks(ctx, consul.Query{Index: checks.Index, Wait: time.Minute})
	})
	must(a.Register(ctx, consul.Registration{
		ID: "w:1", Name: "w", Tags: []string{"fairway.host=w.example", "v1"}, Address: "10.0.0.7", Port: 80, Meta: map[string]string{"k": "v"},
		Checks: []consul.Definition{{CheckID: "w:1:state", Name: "state", TTL: "1h", Status: consul.Passing, DeregisterCriticalServiceAfter: "72h0m0s"}},
	}))
	for range 2 {
		if m := <-woken; m.Index <= min(before.Index, checks.Index) {
			t.Errorf("index %d after %d and %d", m.Index, before.Index, checks.Index)
		}
	}
	read := func() string {
		entries, _, err := a.Health(ctx, "w", consul.Query{})
		must(err)
		text := ""
		for _, e := range entries {
			text += fmt.Sprintf("%s %s %s %s %d %v %v", e.Node.Node, e.Node.Address, e.Service.ID, e.Service.Address, e.Service.Port, e.Service.Tags, e.Service.Weights)
			slices.SortFunc(e.Checks, func(a, b consul.Check) int { return len(a.CheckID) - len(b.CheckID) })
			for _, c := range e.Checks {
				if c.CheckID != "serfHealth" {
					text += " " + c.CheckID + "=" + c.Status + " " + c.Output
				}
			}
		}
		return text
	}
	is := func(what, want string) {
		t.Helper()
		testkit.Eventually(t, what+": "+want, func() bool { return read() == want })
	}
	const w1 = "dev 127.0.0.1 w:1 10.0.0.7 80 [fairway.host=w.example v1] {1 1} w:1:state="
	is("registered", w1+"passing ")
	// The state of a check that is there survives a registration.
	must(a.UpdateCheck(ctx, "w:1:state", consul.Critical, "it leaves"))
	is("updated", w1+"critical it leaves")
	must(a.Register(ctx, consul.Registration{
		ID: "w:1", Name: "w", Tags: []string{"v2"}, Address: "10.0.0.7", Port: 81, Weights: &consul.Weights{Passing: 9, Warning: 2},
		Checks: []consul.Definition{{CheckID: "w:1:state", Name: "state", TTL: "1h", Status: consul.Passing}},
	}))
	const changed = "dev 127.0.0.1 w:1 10.0.0.7 81 [v2] {9 2} w:1:state=critical it leaves"
	is("registered again", changed)
	// Checks come and go by themselves.
	must(a.RegisterCheck(ctx, consul.Definition{CheckID: "w:1:other-check", Name: "other", ServiceID: "w:1", TTL: "1h", Status: consul.Warning}))
	is("a check more", changed+" w:1:other-check=warning ")
	must(a.DeregisterCheck(ctx, "w:1:other-check"))
	is("a check less", changed)
	var said *consul.Error
	if err := a.UpdateCheck(ctx, "w:none", consul.Passing, ""); !errors.As(err, &said) || said.Status != 404 {
		t.Errorf("the state of no check: %v", err)
	}
	services, err := a.AgentServices(ctx)
	must(err)
	if s := services["w:1"]; len(services) != 1 || s.Name != "w" || s.Port != 81 || s.Weights.Passing != 9 || len(s.Meta) > 0 {
		t.Errorf("the agent has %+v", services)
	}
	list, err := a.AgentChecks(ctx)
	must(err)
	if c := list["w:1:state"]; len(list) != 1 || c.Status != consul.Critical || c.Output != "it leaves" || c.ServiceID != "w:1" || c.Type != "ttl" {
		t.Errorf("the agent has %+v", list)
	}
	must(a.Deregister(ctx, "w:1"))
	must(a.Deregister(ctx, "w:1")) // is no error
	is("gone", "")
	testkit.Eventually(t, "no name left", func() bool {
		names, _, err := a.Services(ctx, consul.Query{})
		_, there := names["w"]
		return err == nil && !there
	})
}
