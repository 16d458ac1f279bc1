package consul

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/consul"
	"fairway/internal/consul/consultest"
	source "fairway/internal/discovery/consul"
	"fairway/internal/publish"
	"fairway/internal/testkit"
)

func connect(t *testing.T, at ...string) *consul.Client {
	t.Helper()
	c, err := consul.New(consul.Config{Addresses: at})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func start(t *testing.T, c *consul.Client, feed *catalog.Feed, change func(o *Options)) (*Publisher, func()) {
	t.Helper()
	o := Options{Feed: feed, Reader: c, Writer: c, Settings: publish.Settings{Owner: owner, IP: "10.0.0.1"}}
	if change != nil {
		change(&o)
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = p.Run(ctx) }()
	end := sync.OnceFunc(func() { cancel(); <-ended })
	t.Cleanup(end)
	return p, end
}

// registered is how many entries of the owner an agent has.
func registered(t *testing.T, c *consul.Client) int {
	t.Helper()
	services, err := c.AgentServices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(have{services: services}.mine(owner))
}

// TestElections kills the leader of three servers again and again: nothing is deregistered, and
// the source of the same catalogue loses nothing.
func TestElections(t *testing.T) {
	testkit.Soak(t)
	servers := consultest.Servers(t, 3)
	var at []string
	for _, s := range servers {
		at = append(at, s.Address)
	}
	i := slices.IndexFunc(servers, func(a *consultest.Agent) bool { return !a.IsLeader() })
	c := connect(t, at[i])
	feed := &catalog.Feed{}
	start(t, c, feed, nil)
	all := instances(20)
	feed.Publish(snapshot(all...))
	testkit.Within(t, time.Minute, "20 entries", func() bool { return registered(t, c) == 20 })
	src, err := source.New(source.Options{Name: "consul", Reader: connect(t, at[i]), All: true})
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan catalog.Answer)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); src.Run(ctx, out) }()
	t.Cleanup(func() { cancel(); <-ended })
	full := func(a catalog.Answer) bool {
		return a.Err == nil && len(a.Services) == 1 && len(a.Services[0].Instances) == 20
	}
	for a := range out {
		if full(a) {
			break
		}
	}
	leader := slices.IndexFunc(servers, (*consultest.Agent).IsLeader)
	killed := time.Now()
	servers[leader].Kill()
	stale, lost := time.Duration(0), 0
	for a := range out {
		switch {
		case a.Err != nil:
			if stale == 0 {
				stale = time.Since(killed)
			}
			continue
		case !full(a):
			lost++
		}
		if a.Err == nil && (stale > 0 || time.Since(killed) > 25*time.Second) {
			break
		}
	}
	testkit.Figure(t, "leader killed", "stale after %s, current after %s, %d answers that lack an instance, %d of 20 entries", stale, time.Since(killed), lost, registered(t, c))
	if lost > 0 || registered(t, c) != 20 {
		t.Error("something was lost")
	}
}

// TestLostState empties the agent again and again; everything is back with its state.
func TestLostState(t *testing.T) {
	testkit.Soak(t)
	a := consultest.Start(t)
	c := connect(t, a.Address)
	feed := &catalog.Feed{}
	start(t, c, feed, nil)
	all := append(instances(3), in(catalog.StateUnhealthy, "why", instance(3, 8003)))
	feed.Publish(snapshot(all...))
	testkit.Within(t, time.Minute, "4 entries", func() bool { return registered(t, c) == 4 })
	var longest time.Duration
	for range 20 {
		services, err := c.AgentServices(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for id := range services {
			if err := c.Deregister(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		longest = max(longest, testkit.Within(t, time.Minute, "all entries again", func() bool {
			checks, err := c.AgentChecks(t.Context())
			passing := 0
			for _, x := range checks {
				if x.Status == consul.Passing {
					passing++
				}
			}
			return err == nil && len(checks) == 4 && passing == 3
		}))
	}
	testkit.Figure(t, "an agent that lost everything, has it again", "after %s at most", longest)
	if longest > 30*time.Second {
		t.Errorf("after %s", longest)
	}
}

// TestKilled kills a process that publishes with kill -9, at any moment: no entry twice, none that
// is not wanted after the lease, and nothing of another.
func TestKilled(t *testing.T) {
	if at := os.Getenv("FAIRWAY_TEST_PUBLISH_AT"); at != "" {
		feed := &catalog.Feed{}
		start(t, connect(t, at), feed, nil)
		for i := 0; ; i++ {
			n := 5 + i%3
			feed.Publish(snapshot(instances(n)...))
			time.Sleep(5 * time.Millisecond)
		}
	}
	testkit.Soak(t)
	a := consultest.Start(t)
	c := connect(t, a.Address)
	if err := c.Register(t.Context(), consul.Registration{ID: "theirs", Name: "theirs", Port: 1}); err != nil {
		t.Fatal(err)
	}
	const times = 200
	for i := range times {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKilled$")
		cmd.Env = append(os.Environ(), "FAIRWAY_TEST_PUBLISH_AT="+a.Address)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+i*7%180) * time.Millisecond) // a moment of its own each time
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	feed := &catalog.Feed{}
	start(t, c, feed, nil)
	feed.Publish(snapshot(instances(5)...))
	took := testkit.Within(t, time.Minute, "what is wanted, and that alone", func() bool {
		services, err := c.AgentServices(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, theirs := services["theirs"]
		ports := map[int]int{}
		for _, s := range services {
			ports[s.Port]++
		}
		for port, n := range ports {
			if n > 1 {
				t.Fatalf("port %d is there %d times", port, n)
			}
		}
		return theirs && len(services) == 6 && len(have{services: services}.mine(owner)) == 5
	})
	testkit.Figure(t, fmt.Sprintf("killed %d times", times), "no entry twice; as wanted after %s", took)
}

// TestManyServices measures 5,000 services of three instances as a source.
func TestManyServices(t *testing.T) {
	testkit.Soak(t)
	a := consultest.Start(t)
	c := connect(t, a.Address)
	const services, each = 5000, 3
	work := make(chan int)
	var writers sync.WaitGroup
	for range 16 {
		writers.Go(func() {
			for i := range work {
				if err := c.Register(t.Context(), consul.Registration{
					ID: fmt.Sprintf("s%d-%d", i/each, i%each), Name: fmt.Sprintf("s%d", i/each), Address: "10.0.0.1", Port: 1 + i, Tags: []string{fmt.Sprintf("fairway.host=s%d.example", i/each)},
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range services * each {
		work <- i
	}
	close(work)
	writers.Wait()
	testkit.Within(t, 5*time.Minute, "all in the catalogue", func() bool {
		names, _, err := c.Services(t.Context(), consul.Query{})
		return err == nil && len(names) == services+1
	})
	src, err := source.New(source.Options{Name: "consul", Reader: c})
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out := make(chan catalog.Answer)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	began := time.Now()
	go func() { defer close(ended); src.Run(ctx, out) }()
	t.Cleanup(func() { cancel(); <-ended })
	answer := <-out
	first := time.Since(began)
	if answer.Err != nil || len(answer.Services) != services {
		t.Fatalf("%d services, %v", len(answer.Services), answer.Err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	change := func(name, id string, port int) time.Duration {
		t.Helper()
		if err := c.Register(t.Context(), consul.Registration{ID: id, Name: name, Address: "10.0.0.1", Port: port, Tags: []string{"fairway.host=" + name + ".example"}}); err != nil {
			t.Fatal(err)
		}
		changed := time.Now()
		for a := range out {
			for _, s := range a.Services {
				if s.Name == name && slices.ContainsFunc(s.Instances, func(in *catalog.Instance) bool { return in.Addresses[0].Port == uint16(port) }) {
					return time.Since(changed)
				}
			}
		}
		return 0
	}
	seldom := change("s4000", "s4000-0", 40001)
	soon := change("s4000", "s4000-0", 40002)
	testkit.Figure(t, "5,000 services of 3", "first read %s, %.1f MB, a change of one that was quiet seen after %s, of one that changed lately after %s",
		first.Round(time.Millisecond), float64(after.HeapAlloc-before.HeapAlloc)/1e6, seldom.Round(time.Millisecond), soon.Round(time.Millisecond))
}
