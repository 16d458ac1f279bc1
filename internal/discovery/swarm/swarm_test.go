package swarm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/moby/api/types/swarm"
	"go.uber.org/goleak"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watch collects what a source answers.
type watch struct {
	mu      sync.Mutex
	answers []catalog.Answer
	times   []time.Time
}

func (w *watch) newest() catalog.Answer {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.answers) == 0 {
		return catalog.Answer{Err: errors.New("no answer yet")}
	}
	return w.answers[len(w.answers)-1]
}

func (w *watch) service(id string) *catalog.Service {
	for _, s := range w.newest().Services {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// describe prints an answer: one line for each service, and for each instance.
func describe(a catalog.Answer) string {
	if a.Err != nil {
		return "error: " + a.Err.Error()
	}
	var lines []string
	for _, s := range a.Services {
		line := s.ID
		for _, v := range s.Virtual {
			line += fmt.Sprintf(" %s/%s/%s", v.Network, v.Host, v.Reach)
		}
		lines = append(lines, line)
		for _, i := range s.Instances {
			line := fmt.Sprintf("%s: %s %s", s.ID, i.Name, i.State)
			if i.StateReason != "" {
				line += fmt.Sprintf(" (%s)", i.StateReason)
			}
			for _, addr := range i.Addresses {
				line += fmt.Sprintf(" %s/%s/%s", addr.Network, addr.Host, addr.Reach)
			}
			for _, p := range i.Ports {
				line += fmt.Sprintf(" %d/%s", p.Number, p.Protocol)
				if p.Published != "" {
					line += "=" + p.Published
				}
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// bubble runs test with a Swarm and a source that follows it through all its
// engines, in virtual time.
func bubble(t *testing.T, engines int, prepare func(*lab, *Options), test func(*lab, *watch)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(engines)
		o := Options{Name: "swarm"}
		for _, e := range l.engines {
			o.Clients = append(o.Clients, e.client())
		}
		if prepare != nil {
			prepare(l, &o)
		}
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		out := make(chan catalog.Answer)
		w := &watch{}
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx, out) })
		running.Go(func() {
			for {
				select {
				case a := <-out:
					w.mu.Lock()
					w.answers, w.times = append(w.answers, a), append(w.times, time.Now())
					w.mu.Unlock()
				case <-ctx.Done():
					return
				}
			}
		})
		synctest.Wait()
		test(l, w)
		cancel()
		for _, c := range o.Clients {
			c.Close()
		}
		l.close()
		running.Wait()
		for _, e := range l.engines {
			for _, call := range e.Calls() {
				if !documented[call] && !strings.HasPrefix(call, "GET /containers/") {
					t.Errorf("call %q is not in the package comment", call)
				}
			}
		}
	})
}

// documented are the calls that the package comment lists.
var documented = map[string]bool{
	"HEAD /_ping": true, "GET /_ping": true, "GET /events": true,
	"GET /services": true, "GET /tasks": true, "GET /nodes": true, "GET /networks": true,
}

// expect compares the newest answer, after letting a while pass.
func expect(t *testing.T, w *watch, after time.Duration, lines ...string) {
	t.Helper()
	time.Sleep(after)
	synctest.Wait()
	slices.Sort(lines)
	if diff := cmp.Diff(strings.Join(lines, "\n"), describe(w.newest())); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// soon is when a poll has been made even if nothing told that something changed,
// but something is known to converge.
const soon = pollFast + pollFast/10

// shop prepares a service with three running tasks.
func shop(l *lab) {
	l.service("shop")
	for i := range 3 {
		l.task(fmt.Sprintf("t%d", i+1), "shop", at(i+1, fmt.Sprintf("n%d", i+1)), is(swarm.TaskStateRunning))
	}
}

func withShop(l *lab, _ *Options) { shop(l) }

// TestStartFirst takes the steps of an update that starts the new task before it
// stops the old one, as a real Swarm was seen to take them.
func TestStartFirst(t *testing.T) {
	bubble(t, 1, func(l *lab, _ *Options) {
		l.service("shop")
		l.task("old", "shop", is(swarm.TaskStateRunning))
	}, func(l *lab, w *watch) {
		expect(t, w, time.Minute, "shop@swarm", "shop@swarm: shop.1 ready proxy/10.5.0.1/none")
		l.service("shop", func(s *swarm.Service) { s.UpdateStatus = &swarm.UpdateStatus{State: swarm.UpdateStateUpdating} })
		for _, state := range []swarm.TaskState{swarm.TaskStatePending, swarm.TaskStateAssigned, swarm.TaskStatePreparing, swarm.TaskStateStarting} {
			l.task("new", "shop", is(state))
			expect(t, w, soon, "shop@swarm",
				fmt.Sprintf("shop@swarm: shop.1 starting (%s) proxy/10.5.0.2/none", state),
				"shop@swarm: shop.1 ready proxy/10.5.0.1/none")
		}
		l.task("new", "shop", is(swarm.TaskStateRunning))
		expect(t, w, soon, "shop@swarm", "shop@swarm: shop.1 ready proxy/10.5.0.1/none", "shop@swarm: shop.1 ready proxy/10.5.0.2/none")
		l.task("old", "shop", want(swarm.TaskStateShutdown))
		expect(t, w, soon, "shop@swarm", "shop@swarm: shop.1 leaving (told to stop) proxy/10.5.0.1/none", "shop@swarm: shop.1 ready proxy/10.5.0.2/none")
		expect(t, w, time.Minute, "shop@swarm", "shop@swarm: shop.1 leaving (told to stop) proxy/10.5.0.1/none", "shop@swarm: shop.1 ready proxy/10.5.0.2/none")
		l.task("old", "shop", is(swarm.TaskStateShutdown))
		expect(t, w, soon, "shop@swarm", "shop@swarm: shop.1 ready proxy/10.5.0.2/none")
	})
}

// TestStopFirst takes the steps of an update that stops the old task first; the
// new one gets as far as "ready" meanwhile, and waits.
func TestStopFirst(t *testing.T) {
	bubble(t, 1, func(l *lab, _ *Options) {
		l.service("shop")
		l.task("old", "shop", is(swarm.TaskStateRunning))
	}, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		l.task("old", "shop", want(swarm.TaskStateShutdown))
		l.task("new", "shop", want(swarm.TaskStateReady), is(swarm.TaskStatePending))
		l.service("shop", func(s *swarm.Service) { s.UpdateStatus = &swarm.UpdateStatus{State: swarm.UpdateStateUpdating} })
		leaving := "shop@swarm: shop.1 leaving (told to stop) proxy/10.5.0.1/none"
		expect(t, w, soon, "shop@swarm", leaving, "shop@swarm: shop.1 starting (pending) proxy/10.5.0.2/none")
		l.task("new", "shop", is(swarm.TaskStateReady))
		expect(t, w, soon, "shop@swarm", leaving, "shop@swarm: shop.1 starting (ready) proxy/10.5.0.2/none")
		l.task("old", "shop", is(swarm.TaskStateShutdown))
		l.task("new", "shop", want(swarm.TaskStateRunning))
		expect(t, w, soon, "shop@swarm", "shop@swarm: shop.1 starting (ready) proxy/10.5.0.2/none")
		l.task("new", "shop", is(swarm.TaskStateRunning))
		expect(t, w, soon, "shop@swarm", "shop@swarm: shop.1 ready proxy/10.5.0.2/none")
	})
}

// TestScaleAway scales to nothing: tasks that are scaled away vanish without a
// trace, and the service stays.
func TestScaleAway(t *testing.T) {
	bubble(t, 1, withShop, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		for _, id := range []string{"t1", "t2", "t3"} {
			l.task(id, "shop", want(swarm.TaskStateRemove))
		}
		l.service("shop")
		expect(t, w, 0, "shop@swarm",
			"shop@swarm: shop.1 leaving (told to stop) proxy/10.5.0.1/none",
			"shop@swarm: shop.2 leaving (told to stop) proxy/10.5.0.2/none",
			"shop@swarm: shop.3 leaving (told to stop) proxy/10.5.0.3/none")
		for _, id := range []string{"t1", "t2", "t3"} {
			l.removeTask(id)
		}
		expect(t, w, soon, "shop@swarm")
	})
}

// TestRemoval demands that a removed service is gone at once, though its tasks
// still run, and that its absence is confirmed within six seconds.
func TestRemoval(t *testing.T) {
	bubble(t, 1, withShop, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		for _, id := range []string{"t1", "t2", "t3"} {
			l.task(id, "shop", want(swarm.TaskStateRemove))
		}
		l.removeService("shop")
		expect(t, w, 0, "")
		gone := time.Now()
		time.Sleep(6 * time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if last := w.times[len(w.times)-1].Sub(gone); last < 5*time.Second {
			t.Errorf("the newest answer came %v after the removal", last)
		}
	})
}

// TestDeadNode demands that a task is out as soon as its node is down, whatever
// the task itself goes on saying, and in again when the node is back.
func TestDeadNode(t *testing.T) {
	bubble(t, 1, withShop, func(l *lab, w *watch) {
		one := "shop@swarm: shop.1 ready proxy/10.5.0.1/none"
		three := "shop@swarm: shop.3 ready proxy/10.5.0.3/none"
		time.Sleep(time.Minute)
		l.node("n2", swarm.NodeStateDown)
		expect(t, w, 0, "shop@swarm", one, "shop@swarm: shop.2 unhealthy (node host-n2 is down) proxy/10.5.0.2/none", three)
		// The orchestrator replaces it; the lost task says "running" for ever.
		l.task("t2", "shop", want(swarm.TaskStateShutdown))
		l.task("t4", "shop", at(2, "n1"), is(swarm.TaskStateRunning))
		replaced := "shop@swarm: shop.2 ready proxy/10.5.0.4/none"
		expect(t, w, soon, "shop@swarm", one, replaced, three)
		l.node("n2", swarm.NodeStateReady)
		l.task("t2", "shop", is(swarm.TaskStateShutdown))
		expect(t, w, soon, "shop@swarm", one, replaced, three)
		l.do(func() { delete(l.nodes, "n3") })
		expect(t, w, 12*time.Second, "shop@swarm", one, replaced, "shop@swarm: shop.3 unhealthy (its node is not in the Swarm) proxy/10.5.0.3/none")
	})
}

// TestElection demands that a change of leader, after which the managers do not
// know any node's state for a while, takes nothing out of service.
func TestElection(t *testing.T) {
	bubble(t, 1, withShop, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		before := describe(w.newest())
		for _, state := range []swarm.NodeState{swarm.NodeStateDisconnected, swarm.NodeStateUnknown, swarm.NodeStateReady} {
			for _, n := range []string{"n1", "n2", "n3"} {
				l.node(n, state)
			}
			expect(t, w, soon, before)
			if got := w.newest().Nodes[0].State; got != string(state) {
				t.Errorf("node state %q, want %q", got, state)
			}
		}
		// The old leader is dead, which shows long before its node is down.
		l.do(func() {
			l.nodes["n1"].ManagerStatus = &swarm.ManagerStatus{Reachability: swarm.ReachabilityUnreachable}
		})
		l.node("n1", swarm.NodeStateUnknown)
		expect(t, w, soon, "shop@swarm", "shop@swarm: shop.1 unhealthy (node host-n1 is unknown) proxy/10.5.0.1/none",
			"shop@swarm: shop.2 ready proxy/10.5.0.2/none", "shop@swarm: shop.3 ready proxy/10.5.0.3/none")
		l.node("n1", swarm.NodeStateReady)
		expect(t, w, soon, before)
	})
}

// TestElectionWithShortHeartbeats demands that nothing is taken out of service by
// a new leader that has given up every node, its own included, because it has not
// heard of any yet; a manager that it does not reach is out, and so are, once its
// own node is back, those that stay down.
func TestElectionWithShortHeartbeats(t *testing.T) {
	bubble(t, 1, withShop, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		before := describe(w.newest())
		l.do(func() {
			l.nodes["n1"].ManagerStatus = &swarm.ManagerStatus{Leader: true, Reachability: swarm.ReachabilityReachable}
		})
		for _, n := range []string{"n1", "n2", "n3"} {
			l.node(n, swarm.NodeStateDown)
		}
		expect(t, w, soon, before)
		one := "shop@swarm: shop.1 ready proxy/10.5.0.1/none"
		two := "shop@swarm: shop.2 unhealthy (node host-n2 is down) proxy/10.5.0.2/none"
		three := "shop@swarm: shop.3 ready proxy/10.5.0.3/none"
		l.do(func() {
			l.nodes["n2"].ManagerStatus = &swarm.ManagerStatus{Reachability: swarm.ReachabilityUnreachable}
		})
		l.node("n2", swarm.NodeStateDown)
		expect(t, w, soon, "shop@swarm", one, two, three)
		l.node("n3", swarm.NodeStateReady)
		l.node("n1", swarm.NodeStateReady)
		l.do(func() { l.nodes["n2"].ManagerStatus = nil })
		l.node("n2", swarm.NodeStateDown)
		expect(t, w, soon, "shop@swarm", one, two, three)
	})
}

// TestToldToStop demands that a stop is answered from the event alone, from
// whichever engine it comes, even while the manager is silent; and that a
// container that survives the signal comes back.
func TestToldToStop(t *testing.T) {
	bubble(t, 2, func(l *lab, _ *Options) {
		l.engines[1].worker = true
		shop(l)
	}, func(l *lab, w *watch) {
		one, two := "shop@swarm: shop.1 ready proxy/10.5.0.1/none", "shop@swarm: shop.2 ready proxy/10.5.0.2/none"
		three := "shop@swarm: shop.3 ready proxy/10.5.0.3/none"
		time.Sleep(time.Minute)
		l.engines[0].Freeze()
		l.engines[1].container("kill", "t1", "signal", "1") // SIGHUP
		l.engines[1].container("kill", "t1", "signal", "3") // SIGQUIT: a Java program prints its threads
		expect(t, w, 0, "shop@swarm", one, two, three)
		l.engines[1].container("kill", "t1", "signal", "15")
		expect(t, w, 0, "shop@swarm", "shop@swarm: shop.1 leaving (told to stop) proxy/10.5.0.1/none", two, three)
		l.engines[1].container("die", "t2")
		l.engines[1].container("kill", "t2", "signal", "9") // told late
		expect(t, w, 0, "shop@swarm", "shop@swarm: shop.1 leaving (told to stop) proxy/10.5.0.1/none", "shop@swarm: shop.2 stopped (container ended)", three)
		l.engines[0].Calm()
		l.task("t2", "shop", want(swarm.TaskStateShutdown), is(swarm.TaskStateFailed))
		expect(t, w, 6*time.Second, "shop@swarm", "shop@swarm: shop.1 leaving (told to stop) proxy/10.5.0.1/none", three)
		expect(t, w, time.Minute, "shop@swarm", one, three)
	})
}

// TestStopSignalOfTheService demands that the signal that a service names to stop its
// tasks counts as a stop, as it does on a plain engine.
func TestStopSignalOfTheService(t *testing.T) {
	bubble(t, 1, func(l *lab, _ *Options) {
		shop(l)
		l.task("t1", "shop", func(t *swarm.Task) { t.Spec.ContainerSpec.StopSignal = "SIGQUIT" })
	}, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		l.engines[0].container("kill", "t1", "signal", "3")
		l.engines[0].container("kill", "t2", "signal", "3")
		expect(t, w, 0, "shop@swarm", "shop@swarm: shop.1 leaving (told to stop) proxy/10.5.0.1/none",
			"shop@swarm: shop.2 ready proxy/10.5.0.2/none", "shop@swarm: shop.3 ready proxy/10.5.0.3/none")
	})
}

// TestMissedEvent demands that a service of which no event told is listed as soon
// as a task of it is seen.
func TestMissedEvent(t *testing.T) {
	bubble(t, 1, withShop, func(l *lab, w *watch) {
		for n := range 8 {
			time.Sleep(time.Minute)
			id := fmt.Sprintf("new%d", n)
			l.do(func() {
				l.services["svc-"+id] = &swarm.Service{ID: "svc-" + id, Spec: swarm.ServiceSpec{Annotations: swarm.Annotations{Name: id}}}
			})
			l.task("task-"+id, id, is(swarm.TaskStateRunning))
			time.Sleep(pollSlow + pollSlow/5)
			synctest.Wait()
			if w.service(id+"@swarm") == nil {
				t.Errorf("%s is not there", id)
			}
		}
	})
}

// TestPace counts calls: few while all is quiet, one list of tasks a second
// while something converges, and few again when that leads nowhere.
func TestPace(t *testing.T) {
	bubble(t, 1, withShop, func(l *lab, w *watch) {
		e := l.engines[0]
		per := func(d time.Duration) (tasks, services int) {
			e.Count("GET /tasks")
			e.Count("GET /services")
			time.Sleep(d)
			return e.Count("GET /tasks"), e.Count("GET /services")
		}
		between := func(what string, n, low, high int) {
			t.Helper()
			if n < low || n > high {
				t.Errorf("%s: %d calls, want %d to %d", what, n, low, high)
			}
		}
		time.Sleep(time.Minute)
		tasks, services := per(10 * time.Minute)
		between("tasks, quiet", tasks, 54, 67)
		between("services, quiet", services, 15, 34)
		l.service("shop")
		l.task("t4", "shop", is(swarm.TaskStatePending))
		tasks, services = per(time.Minute)
		between("tasks, converging", tasks, 55, 75)
		between("services, converging", services, 1, 5)
		time.Sleep(patience)
		tasks, _ = per(10 * time.Minute)
		between("tasks, stuck", tasks, 54, 67)

		// Events by the hundred are one refresh now and then.
		e.Count("GET /tasks")
		for range 500 {
			l.service("shop")
			time.Sleep(2 * time.Millisecond)
		}
		between("tasks, storm", e.Count("GET /tasks"), 3, 8)

		// Whatever happens, an answer comes every 30 seconds.
		w.mu.Lock()
		defer w.mu.Unlock()
		for i := 1; i < len(w.times); i++ {
			if d := w.times[i].Sub(w.times[i-1]); d > 30*time.Second {
				t.Errorf("no answer for %v", d)
			}
		}
	})
}

// TestWithoutEvents demands that an engine that gives lists but no events, as a
// narrow socket proxy does, is watched closely instead.
func TestWithoutEvents(t *testing.T) {
	bubble(t, 1, func(l *lab, _ *Options) {
		shop(l)
		l.engines[0].Disturb("/events", dockertest.Error)
	}, func(l *lab, _ *watch) {
		time.Sleep(2 * patience)
		l.engines[0].Count("GET /tasks")
		l.engines[0].Count("GET /services")
		time.Sleep(time.Minute)
		if n := l.engines[0].Count("GET /tasks"); n < 55 {
			t.Errorf("%d lists of tasks in a minute", n)
		}
		if n := l.engines[0].Count("GET /services"); n > 4 {
			t.Errorf("%d lists of services in a minute", n)
		}
	})
}

// TestPointers demands that a service that did not change is the same pointer,
// whatever else happened.
func TestPointers(t *testing.T) {
	bubble(t, 1, func(l *lab, _ *Options) {
		shop(l)
		l.service("api")
		l.task("a1", "api", is(swarm.TaskStateRunning))
	}, func(l *lab, w *watch) {
		time.Sleep(time.Minute)
		shop, api := w.service("shop@swarm"), w.service("api@swarm")
		l.service("shop") // a new version that says the same
		l.node("n3", swarm.NodeStateUnknown)
		l.do(func() { l.addNetwork("more") })
		l.task("a1", "api", want(swarm.TaskStateShutdown))
		time.Sleep(time.Minute)
		if w.service("shop@swarm") != shop {
			t.Error("a service that did not change has another pointer")
		}
		if w.service("api@swarm") == api {
			t.Error("a service that changed has the same pointer")
		}
		if image := shop.Instances[0].Image; image != "app:1" {
			t.Errorf("image %q", image)
		}
	})
}

// TestRunAgain demands that a source that is run again asks before it answers,
// and remembers the pointers.
func TestRunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(1)
		shop(l)
		client := l.engines[0].client()
		s, err := New(Options{Name: "swarm", Clients: []*dockerapi.Client{client}})
		if err != nil {
			t.Fatal(err)
		}
		run := func() catalog.Answer {
			ctx, cancel := context.WithCancel(t.Context())
			out := make(chan catalog.Answer)
			var running sync.WaitGroup
			running.Go(func() { s.Run(ctx, out) })
			a := <-out
			cancel()
			running.Wait()
			return a
		}
		first := run()
		l.engines[0].Count("GET /tasks")
		second := run()
		if first.Services[0] != second.Services[0] {
			t.Error("another pointer")
		}
		if l.engines[0].Count("GET /tasks") == 0 {
			t.Error("an answer without asking")
		}
		client.Close()
		l.close()
	})
}

// TestNew refuses options that cannot work.
func TestNew(t *testing.T) {
	for _, o := range []Options{{}, {Name: "swarm"}, {Clients: []*dockerapi.Client{nil}}, {Name: "swarm", Clients: []*dockerapi.Client{nil}}} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) is content", o)
		}
	}
}
