package consul

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/consul"
	"fairway/internal/consul/consulfake"
	"fairway/internal/publish"
)

const owner = "ab12cd34ab12cd34ab12cd34ab12cd34"

// instances are containers of a name each, ready, with port 80 published as 8000 and so on.
func instances(n int) (list []*catalog.Instance) {
	for i := range n {
		list = append(list, instance(i, 8000+i))
	}
	return list
}

func instance(i, port int) *catalog.Instance {
	return &catalog.Instance{
		ID: fmt.Sprintf("%012x", i) + strings.Repeat("0", 52), Name: fmt.Sprintf("c%d", i), Source: "docker", State: catalog.StateReady, Labels: map[string]string{"SERVICE_NAME": "web"},
		Ports: []catalog.Port{{Number: 80, Protocol: "tcp", Published: fmt.Sprintf("127.0.0.1:%d", port), Bound: fmt.Sprintf("0.0.0.0:%d", port)}},
	}
}

// in returns an instance in another state.
func in(state catalog.State, why string, of *catalog.Instance) *catalog.Instance {
	other := *of
	other.State, other.StateReason = state, why
	return &other
}

func snapshot(list ...*catalog.Instance) *catalog.Snapshot {
	return &catalog.Snapshot{
		Taken: time.Now(), Sources: []catalog.SourceStatus{{Name: "docker", Synced: true}},
		Services: []*catalog.Service{{ID: "web@docker", Name: "web", Source: "docker", Instances: list}},
	}
}

// lab is a publisher with its agent.
type lab struct {
	t      *testing.T
	agent  *consulfake.Consul
	feed   *catalog.Feed
	p      *Publisher
	cancel context.CancelFunc
	ended  chan struct{}
}

func newLab(t *testing.T, agent *consulfake.Consul, change func(o *Options)) *lab {
	t.Helper()
	l := &lab{t: t, agent: agent, feed: &catalog.Feed{}, ended: make(chan struct{})}
	o := Options{Feed: l.feed, Reader: agent, Writer: agent, Settings: publish.Settings{Owner: owner, IP: "10.0.0.1"}}
	if change != nil {
		change(&o)
	}
	var err error
	if l.p, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.cancel = cancel
	go func() { defer close(l.ended); _ = l.p.Run(ctx) }()
	t.Cleanup(l.stop)
	return l
}

func (l *lab) stop() { l.cancel(); <-l.ended }

// after publishes a snapshot, waits, and compares what the agent has.
func (l *lab) after(s *catalog.Snapshot, wait time.Duration, want ...string) {
	l.t.Helper()
	if s != nil {
		l.feed.Publish(s)
	}
	time.Sleep(wait)
	synctest.Wait()
	if got := has(l.agent); strings.Join(got, "\n") != strings.Join(want, "\n") {
		l.t.Errorf("after %s:\n got %s\nwant %s\n(%+v)", wait, strings.Join(got, "\n     "), strings.Join(want, "\n     "), l.p.State())
	}
}

// has is what an agent has, in words.
func has(a *consulfake.Consul) (list []string) {
	services, _ := a.AgentServices(context.Background())
	checks, _ := a.AgentChecks(context.Background())
	for id, s := range services {
		text := fmt.Sprintf("%s %s:%d", id, s.Address, s.Port)
		if len(s.Tags) > 0 {
			text += " " + strings.Join(s.Tags, "·")
		}
		var states []string
		for check, c := range checks {
			if c.ServiceID == id {
				states = append(states, strings.TrimRight(strings.TrimPrefix(check, id+":")+"="+c.Status+" "+c.Output, " "))
			}
		}
		slices.Sort(states)
		list = append(list, text+" "+strings.Join(states, ", "))
	}
	slices.Sort(list)
	return list
}

func entry(i, port int, state string) string {
	return fmt.Sprintf("fairway:ab12cd34:%012x:80 10.0.0.1:%d state=%s", i, port, state)
}

func within(t *testing.T, name string, f func(t *testing.T, agent *consulfake.Consul)) {
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, consulfake.New("m", "10.0.0.1")) })
	})
}

const soon = 10 * time.Millisecond

func TestPublishing(t *testing.T) {
	one, two := instance(1, 8001), instance(2, 8002)
	both := []string{entry(1, 8001, "passing"), entry(2, 8002, "passing")}
	within(t, "70 to 72", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both...)
		l.after(snapshot(one, in(catalog.StateUnhealthy, "health check: unhealthy", two)), soon, both[0], entry(2, 8002, "critical unhealthy: health check: unhealthy"))
		l.after(snapshot(one, two), soon, both...)
		l.after(snapshot(one, in(catalog.StateLeaving, "SIGTERM", two)), soon, both[0], entry(2, 8002, "critical leaving: SIGTERM"))
		l.after(snapshot(one, in(catalog.StateStopped, "exited, code 137", two)), soon, both[0])
		l.after(snapshot(one, two), soon, both...) // restarted: the same ID
		l.after(snapshot(one, in(catalog.StateLeaving, "", two)), soon, both[0], entry(2, 8002, "critical leaving"))
		l.after(snapshot(one), soon, both[0]) // removed at once: it was seen to stop
	})
	within(t, "73 removed while Fairway was down", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both...)
		l.stop()
		l = newLab(t, agent, nil)
		restored := snapshot(one)
		restored.Restored = true
		l.after(restored, time.Minute, both...)
		l.after(snapshot(one), 4*time.Second, both...)
		l.after(nil, 8*time.Second, both[0])
	})
	within(t, "74 nothing changed", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both...)
		l.stop()
		writes := agent.Calls("Register") + agent.Calls("Deregister")
		l = newLab(t, agent, nil)
		l.after(snapshot(one, two), 30*time.Second, both...)
		if n := agent.Calls("Register") + agent.Calls("Deregister") - writes; n > 0 {
			t.Errorf("%d writes", n)
		}
		// The lease is renewed for ever.
		l.after(nil, 10*time.Hour, both...)
		if n := agent.Calls("UpdateCheck"); n > 100 {
			t.Errorf("%d renewals of two leases in 10 h", n)
		}
	})
	within(t, "75 an agent without its data", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both...)
		agent.Lose()
		l.after(nil, 30*time.Second, both...)
	})
	within(t, "76 Consul is away", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both...)
		agent.Break(func(string) error { return &consul.Error{Status: 500, Text: "No cluster leader"} })
		l.after(snapshot(one, instance(3, 8003)), 10*time.Minute) // it shows nothing
		if s := l.p.State(); s.State != stateAway || !strings.Contains(s.Reason, "No cluster leader") {
			t.Errorf("away: %+v", s)
		}
		agent.Break(nil)
		l.after(nil, 46*time.Second, both[0], entry(3, 8003, "passing"))
		agent.Break(func(string) error { return &consul.Error{Status: 429, After: 20 * time.Second} })
		calls := agent.Calls("AgentServices")
		time.Sleep(time.Minute)
		if n := agent.Calls("AgentServices") - calls; n > 5 {
			t.Errorf("asked %d times in a minute of 429", n)
		}
	})
	within(t, "77 elections", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both...)
		agent.Leaderless(true)
		l.after(snapshot(one), time.Minute, both...)
		if agent.Calls("Deregister") > 0 {
			t.Error("removed without a leader")
		}
		agent.Leaderless(false)
		l.after(nil, time.Minute, both[0])
	})
	within(t, "78 what is another's", func(t *testing.T, agent *consulfake.Consul) {
		_ = agent.Register(t.Context(), consul.Registration{ID: "mylaptop2-reg:other:80", Name: "other", Port: 1})
		_ = agent.Register(t.Context(), consul.Registration{ID: entry(1, 0, "")[:32], Name: "web", Port: 2})
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), time.Hour, "fairway:ab12cd34:000000000001:80 :2 ", both[1], "mylaptop2-reg:other:80 :1 ")
		if e := l.p.State().Entries[0]; e.State != "refused" || e.Why != "the ID is that of an entry which no Fairway has written" {
			t.Errorf("%+v", e)
		}
		if s := l.p.State(); s.State != stateBehind {
			t.Errorf("one is refused, and all is %s", s.State)
		}
		l.after(snapshot(), 20*time.Minute, "fairway:ab12cd34:000000000001:80 :2 ", "mylaptop2-reg:other:80 :1 ")
	})
	within(t, "two owners of one instance", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one), soon, both[0])
		newcomer := newLab(t, agent, func(o *Options) { o.Settings.Owner = "ffff0000ffff0000ffff0000ffff0000" })
		newcomer.after(snapshot(one, two), soon, both[0], "fairway:ffff0000:000000000002:80 10.0.0.1:8002 state=passing")
		if e := newcomer.p.State().Entries[0]; e.State != "refused" || e.Why != "another Fairway (owner ab12cd34) publishes this instance" {
			t.Errorf("%+v", e)
		}
	})
	within(t, "79 what is Registrator's", func(t *testing.T, agent *consulfake.Consul) {
		_ = agent.Register(t.Context(), consul.Registration{ID: "h:c1:80", Name: "web", Address: "10.0.0.1", Port: 8001})
		_ = agent.Register(t.Context(), consul.Registration{ID: "h:c2:80", Name: "web", Address: "10.0.0.1", Port: 9})
		l := newLab(t, agent, func(o *Options) { o.Settings.Dialect, o.Settings.Host = publish.Registrator, "h" })
		l.after(snapshot(one, two), time.Minute, "h:c1:80 10.0.0.1:8001 state=passing", "h:c2:80 10.0.0.1:9 ")
		if s, _ := agent.AgentServices(t.Context()); s["h:c1:80"].Meta[consul.MetaOwner] != owner {
			t.Errorf("not taken over: %+v", s["h:c1:80"])
		}
	})
	within(t, "80 and 81 drift", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one), soon, both[0])
		services, _ := agent.AgentServices(t.Context())
		was := services[entry(1, 0, "")[:32]]
		change := consul.Registration{ID: was.ID, Name: was.Name, Address: was.Address, Port: 1, Meta: was.Meta, Tags: []string{"theirs"}}
		_ = agent.Register(t.Context(), change)
		l.after(nil, 30*time.Second, both[0])
		// Maintenance and the checks of others stay, also when the port changes.
		agent.SetCheck(consul.Check{CheckID: consul.ServiceMaintenance + was.ID, ServiceID: was.ID, Status: consul.Critical, Notes: "disk"})
		agent.SetCheck(consul.Check{CheckID: "theirs", ServiceID: was.ID, Status: consul.Passing})
		moved := "fairway:ab12cd34:000000000001:80 10.0.0.1:9001 _service_maintenance:fairway:ab12cd34:000000000001:80=critical, state=passing, theirs=passing"
		l.after(snapshot(instance(1, 9001)), 30*time.Second, moved)
		registrations := agent.Calls("Register")
		_ = agent.UpdateCheck(t.Context(), stateID(was.ID), consul.Critical, "old")
		l.after(nil, 5*time.Second, moved)
		if n := agent.Calls("Register") - registrations; n > 0 {
			t.Errorf("%d registrations for a state", n)
		}
		// Checks that are no longer asked for go, one by one.
		with := instance(1, 9001)
		with.Labels = map[string]string{"SERVICE_NAME": "web", "SERVICE_CHECK_TCP": "1"}
		l.after(snapshot(with), soon, strings.Replace(moved, ", theirs", ", tcp-1=critical, theirs", 1))
		l.after(snapshot(instance(1, 9001)), 30*time.Second, moved)
	})
	within(t, "80 tags with override", func(t *testing.T, agent *consulfake.Consul) {
		mine := instance(1, 8001)
		mine.Labels = map[string]string{"SERVICE_NAME": "web", "SERVICE_ENABLE_TAG_OVERRIDE": "true"}
		l := newLab(t, agent, nil)
		l.after(snapshot(mine), soon, both[0])
		services, _ := agent.AgentServices(t.Context())
		was := services[entry(1, 0, "")[:32]]
		_ = agent.Register(t.Context(), consul.Registration{ID: was.ID, Name: was.Name, Address: was.Address, Port: was.Port, Meta: was.Meta, Tags: []string{"theirs"}, EnableTagOverride: true})
		theirs := "fairway:ab12cd34:000000000001:80 10.0.0.1:8001 theirs state=passing"
		l.after(nil, time.Minute, theirs)
		other := instance(1, 9001)
		other.Labels = mine.Labels
		l.after(snapshot(other), time.Minute, strings.Replace(theirs, "8001", "9001", 1))
	})
	within(t, "82 a silent source", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both...)
		silent := snapshot(one)
		silent.Sources[0].Stale = true
		l.after(silent, 30*time.Minute, entry(1, 8001, "passing source docker has been silent since 00:00 UTC"), entry(2, 8002, "passing source docker is silent"))
		if n := agent.Calls("Register") + agent.Calls("Deregister"); n != 2 {
			t.Errorf("%d writes", n)
		}
		l.after(snapshot(one), 20*time.Second, both[0])
		// A source that is configured no more says nothing: its entries end by their lease.
		gone := snapshot()
		gone.Sources[0].Name = "docker:other"
		l.after(gone, 50*time.Minute, both[0])
		l.after(nil, 20*time.Minute, entry(1, 8001, "critical TTL expired"))
	})
	within(t, "83 two with one owner", func(t *testing.T, agent *consulfake.Consul) {
		older := newLab(t, agent, nil)
		older.after(snapshot(one), soon, both[0])
		time.Sleep(time.Second)
		younger := newLab(t, agent, nil)
		younger.after(snapshot(instance(1, 9001)), soon, entry(1, 9001, "passing"))
		time.Sleep(11 * time.Second)
		if s := older.p.State(); s.State != stateStopped || !strings.HasPrefix(s.Reason, "another Fairway with the same owner") {
			t.Errorf("the older: %+v", s)
		}
		younger.after(snapshot(instance(1, 9002)), time.Minute, entry(1, 9002, "passing"))
	})
	within(t, "a clock that was set back", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one), soon, both[0])
		l.stop()
		services, _ := agent.AgentServices(t.Context())
		was := services[entry(1, 0, "")[:32]]
		was.Meta[metaRun] = "7000000000000000"
		_ = agent.Register(t.Context(), consul.Registration{ID: was.ID, Name: was.Name, Address: was.Address, Port: was.Port, Meta: was.Meta})
		l = newLab(t, agent, func(o *Options) { o.OnStop = Remove })
		l.after(snapshot(one, two), time.Minute, both...)
		if s := l.p.State(); s.State != stateCurrent {
			t.Errorf("%+v", s)
		}
		// One that starts later goes before it, and what the later one writes stays.
		younger := newLab(t, agent, nil)
		younger.after(snapshot(instance(1, 9001), two), time.Minute, entry(1, 9001, "passing"), both[1])
		if s := l.p.State(); s.State != stateStopped {
			t.Errorf("the older: %+v", s)
		}
		l.stop()
		younger.after(nil, soon, entry(1, 9001, "passing"), both[1])
	})
	within(t, "84 the end", func(t *testing.T, agent *consulfake.Consul) {
		for onStop, want := range map[string][]string{Keep: both, MakeFailed: {entry(1, 8001, "critical Fairway has ended"), entry(2, 8002, "critical Fairway has ended")}, Remove: nil} {
			l := newLab(t, agent, func(o *Options) { o.OnStop = onStop })
			l.after(snapshot(one, two), soon, both...)
			l.stop()
			l.after(nil, soon, want...)
		}
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both...)
		l.stop() // and never back
		l.after(nil, 59*time.Minute, both...)
		l.after(nil, 2*time.Minute, entry(1, 8001, "critical TTL expired"), entry(2, 8002, "critical TTL expired"))
		l.after(nil, 73*time.Hour)
	})
	within(t, "85 one is refused", func(t *testing.T, agent *consulfake.Consul) {
		agent.Break(func(call string) error {
			if call == "Register "+entry(1, 0, "")[:32] {
				return &consul.Error{Status: 403, Text: "Permission denied"}
			}
			return nil
		})
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both[1])
		if s := l.p.State(); s.State != stateBehind || !strings.Contains(s.Entries[0].Error, "403") || s.Entries[0].Since.IsZero() {
			t.Errorf("%+v", s)
		}
		agent.Break(nil)
		l.after(nil, time.Minute, both...)
		if s := l.p.State(); s.State != stateCurrent || s.Entries[0].Error != "" {
			t.Errorf("%+v", s)
		}
	})
	within(t, "one is refused for good", func(t *testing.T, agent *consulfake.Consul) {
		at := entry(1, 0, "")[:32]
		broken := func(call string) error {
			if call == "Register "+at {
				return &consul.Error{Status: 301}
			}
			return nil
		}
		agent.Break(broken)
		l := newLab(t, agent, func(o *Options) { o.OnStop = Remove })
		l.after(snapshot(one, two), time.Minute, both[1])
		if n := agent.Calls("Register"); n > 4 {
			t.Errorf("%d registrations in a minute", n)
		}
		before := agent.Calls("Register")
		l.p.Apply(false)
		l.after(nil, soon, both[1])
		if agent.Calls("Register") == before {
			t.Error("an operator's word writes nothing")
		}
		agent.Break(nil)
		l.after(nil, time.Minute, both...)
		agent.Break(broken)
		l.after(snapshot(instance(1, 9001), two), time.Minute, both...)
		l.after(snapshot(one, two), time.Minute, both...) // as it is
		if s := l.p.State(); s.State != stateCurrent || s.Entries[0].Error != "" {
			t.Errorf("what is no longer asked for still fails: %+v", s)
		}
		l.after(snapshot(instance(1, 9001), two), soon, both...)
		l.stop() // it ends though a write has failed just now
		l.after(nil, soon)
	})
	within(t, "a removal is refused", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one, two), soon, both...)
		agent.Break(func(call string) error {
			if strings.HasPrefix(call, "Deregister") {
				return &consul.Error{Status: 403}
			}
			return nil
		})
		l.after(snapshot(one), time.Minute, both...)
		if s := l.p.State(); s.State != stateBehind || agent.Calls("Deregister") > 3 {
			t.Errorf("%d calls, %+v", agent.Calls("Deregister"), s)
		}
	})
	within(t, "none", func(t *testing.T, agent *consulfake.Consul) {
		var all []string
		for i := range 8 {
			all = append(all, entry(i, 8000+i, "passing"))
		}
		l := newLab(t, agent, nil)
		l.after(snapshot(instances(8)...), soon, all...)
		l.stop()
		l = newLab(t, agent, func(o *Options) { o.Settings.None = true })
		l.after(snapshot(instances(8)...), soon)
		if s := l.p.State(); s.State != stateStopped || s.Reason != "consul.publish.services is none" {
			t.Errorf("%+v", s)
		}
	})
	within(t, "another state directory", func(t *testing.T, agent *consulfake.Consul) {
		l := newLab(t, agent, nil)
		l.after(snapshot(one), soon, both[0])
		l.stop()
		left := entry(1, 8001, "critical TTL expired")
		l.after(nil, 62*time.Minute, left)
		newcomer := newLab(t, agent, func(o *Options) { o.Settings.Owner = "ffff0000ffff0000ffff0000ffff0000" })
		newcomer.after(snapshot(one), soon, left, "fairway:ffff0000:000000000001:80 10.0.0.1:8001 state=passing")
	})
	within(t, "another state directory of a Registrator", func(t *testing.T, agent *consulfake.Consul) {
		named := func(o *Options) { o.Settings.Dialect, o.Settings.Host = publish.Registrator, "h" }
		l := newLab(t, agent, named)
		l.after(snapshot(one), soon, "h:c1:80 10.0.0.1:8001 state=passing")
		l.stop()
		time.Sleep(62 * time.Minute)
		newcomer := newLab(t, agent, func(o *Options) { named(o); o.Settings.Owner = "ffff0000ffff0000ffff0000ffff0000" })
		newcomer.after(snapshot(one), time.Minute, "h:c1:80 10.0.0.1:8001 state=passing")
		if s := newcomer.p.State(); s.State != stateCurrent {
			t.Errorf("%+v", s)
		}
	})
	within(t, "removals while Consul is away", func(t *testing.T, agent *consulfake.Consul) {
		var all []string
		for i := range 8 {
			all = append(all, entry(i, 8000+i, "passing"))
		}
		l := newLab(t, agent, nil)
		l.after(snapshot(instances(8)...), soon, all...)
		agent.Break(func(string) error { return &consul.Error{Status: 500} })
		l.after(nil, time.Minute)
		l.p.Apply(true)
		time.Sleep(time.Minute)
		agent.Break(nil)
		l.after(snapshot(instances(1)...), time.Minute, all...)
	})
	within(t, "most at once", func(t *testing.T, agent *consulfake.Consul) {
		var all []string
		for i := range 8 {
			all = append(all, entry(i, 8000+i, "passing"))
		}
		l := newLab(t, agent, nil)
		l.after(snapshot(instances(8)...), soon, all...)
		l.after(snapshot(instances(3)...), 9*time.Minute, all...)
		if e := l.p.State().Entries[7]; e.State != "unwanted" || !strings.Contains(e.Why, "5 of 8 entries would go at once") {
			t.Errorf("%+v", e)
		}
		l.p.Apply(true)
		l.after(nil, soon, all[:3]...)
		l.after(snapshot(instances(8)...), soon, all...)
		l.after(snapshot(instances(1)...), 11*time.Minute, all[:1]...)
		l.p.Withdraw()
		l.after(nil, 10*time.Minute)
		if s := l.p.State(); s.State != stateStopped {
			t.Errorf("withdrawn: %+v", s)
		}
		l.p.Apply(false)
		l.after(nil, soon, all[:1]...)
	})
}

// What a silent source had does not count among what would go at once.
func TestDoubtIsNoRemoval(t *testing.T) {
	s := snapshot()
	s.Sources = append(s.Sources, catalog.SourceStatus{Name: "swarm", Stale: true})
	var entries []consul.Service
	for i := range 6 {
		entries = append(entries, consul.Service{ID: fmt.Sprint(i), Meta: map[string]string{metaSource: "swarm"}})
	}
	entries[0].Meta = map[string]string{metaSource: "docker"}
	var r removal
	now := time.Now()
	for range 2 {
		gone, held := r.decide(s, entries, func(string) bool { return false }, false, now)
		if now = now.Add(time.Minute); len(held)+len(gone) != 6 {
			t.Errorf("%v go, held %v", gone, held)
		}
		if len(r.unwanted) != 6 || !r.mass.IsZero() {
			t.Errorf("more than half at once, held %v", held)
		}
	}
}

// Applying a plan and planning again is empty, and the order of what is wanted plays no part.
func TestPlanIsComplete(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	never := func(string) bool { return false }
	o := settings{owner: owner, run: "1", lease: time.Hour, forget: 72 * time.Hour}
	for range 200 {
		agent := consulfake.New("m", "10.0.0.1")
		read := func() have {
			s, _ := agent.AgentServices(t.Context())
			c, _ := agent.AgentChecks(t.Context())
			return have{s, c}
		}
		p := &Publisher{o: Options{Writer: agent}, s: o}
		for range 4 {
			var list []*catalog.Instance
			for i := range random.IntN(6) {
				x := instance(i, 8000+random.IntN(2))
				x.State = []catalog.State{catalog.StateReady, catalog.StateUnhealthy}[random.IntN(2)]
				x.Labels = map[string]string{"SERVICE_NAME": "web", "SERVICE_TAGS": fmt.Sprint(random.IntN(2)), []string{"x", "SERVICE_CHECK_TCP", "SERVICE_CHECK_HTTP"}[random.IntN(3)]: "1", "fairway.weight": fmt.Sprint(random.IntN(3))}
				list = append(list, x)
			}
			want, _ := publish.Want(snapshot(list...), publish.Settings{Owner: owner, IP: "10.0.0.1"})
			steps, _ := plan(want, read(), o, never)
			random.Shuffle(len(want), func(i, j int) { want[i], want[j] = want[j], want[i] })
			if other, _ := plan(want, read(), o, never); len(other) != len(steps) {
				t.Fatalf("%d steps, in another order %d", len(steps), len(other))
			}
			for i := range steps {
				if err := p.do(t.Context(), &steps[i]); err != nil {
					t.Fatal(err)
				}
			}
			if left, _ := plan(want, read(), o, never); len(left) > 0 {
				t.Fatalf("left after %d steps: %+v", len(steps), left)
			}
		}
	}
}
