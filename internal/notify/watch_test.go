package notify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fairway/internal/catalog"
)

// world makes snapshots for tests.
type world struct {
	source   catalog.SourceStatus
	nodes    []*catalog.Node
	services []*catalog.Service
}

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func swarm() *world {
	return &world{
		source: catalog.SourceStatus{Name: "swarm", Synced: true, LastSuccess: noon},
		nodes:  []*catalog.Node{node("n1", "ready"), node("n2", "ready")},
		services: []*catalog.Service{
			service("shop", "shop:1", instance("shop.1", "n1", "shop:1", catalog.StateReady), instance("shop.2", "n2", "shop:1", catalog.StateReady)),
		},
	}
}

func node(id, state string) *catalog.Node {
	return &catalog.Node{ID: id, Name: "host-" + id, Source: "swarm", State: state, Role: "worker"}
}

func service(name, image string, instances ...*catalog.Instance) *catalog.Service {
	replicas := len(instances)
	return &catalog.Service{ID: name + "@swarm", Name: name, Source: "swarm", Image: image, Replicas: &replicas, Instances: instances}
}

func instance(name, node, image string, state catalog.State) *catalog.Instance {
	return &catalog.Instance{ID: "id-" + name, Name: name, Source: "swarm", Node: node, Image: image, State: state}
}

func (w *world) snapshot() *catalog.Snapshot {
	return &catalog.Snapshot{Sources: []catalog.SourceStatus{w.source}, Nodes: slices.Clone(w.nodes), Services: slices.Clone(w.services)}
}

// follower runs a watch as the notifier does.
type follower struct {
	watch    *watch
	standing map[string]Event
	due      time.Time
}

func newFollower(settle time.Duration) *follower {
	f := &follower{standing: map[string]Event{}}
	f.watch = newWatch(settle, map[string]*known{}, f.standing)
	return f
}

// restarted is the follower as it would be after a restart: what is on disk.
func (f *follower) restarted() *follower {
	g := &follower{standing: f.standing}
	keep := map[string]*known{}
	for t, k := range f.watch.known {
		keep[t] = &known{Name: k.Name, Source: k.Source, Image: k.Image, Ready: k.Ready}
	}
	g.watch = newWatch(f.watch.settle, keep, g.standing)
	return g
}

// see returns what is told, one "kind subject" each.
func (f *follower) see(s *catalog.Snapshot, at time.Time) []string {
	found := f.watch.next(s, at)
	f.due = found.due
	for _, condition := range found.withdrawn {
		delete(f.standing, condition)
	}
	told := []string{}
	for _, e := range found.events {
		e = e.cleaned()
		if c := e.condition(); c != "" {
			_, stands := f.standing[c]
			if stands == e.Kind.begins() {
				continue
			}
			if stands {
				delete(f.standing, c)
			} else {
				f.standing[c] = e
			}
		}
		told = append(told, string(e.Kind)+" "+e.Subject)
	}
	return told
}

func wantTold(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestWatchSaysNothingOfWhatItSeesFirst(t *testing.T) {
	f := newFollower(0)
	w := swarm()
	w.nodes[1].State = "down"
	wantTold(t, f.see(w.snapshot(), noon), "node.down node/n2") // it is wrong now
	wantTold(t, f.see(w.snapshot(), noon))
	old := swarm().snapshot()
	old.Restored = true
	wantTold(t, newFollower(0).see(old, noon))
}

func TestWatchTellsOfNodes(t *testing.T) {
	f := newFollower(10 * time.Second)
	w := swarm()
	wantTold(t, f.see(w.snapshot(), noon))
	w.nodes = []*catalog.Node{node("n1", "ready"), node("n2", "down"), node("n3", "ready")}
	w.services = []*catalog.Service{
		service("shop", "shop:1", instance("shop.1", "n1", "shop:1", catalog.StateReady), instance("shop.2", "n2", "shop:1", catalog.StateUnhealthy)),
	}
	found := f.watch.next(w.snapshot(), noon)
	if len(found.events) != 2 || found.events[0].Kind != NodeDown || found.events[0].Details["instances"] != "1" || found.events[1].Kind != NodeJoined {
		t.Fatalf("events %+v", found.events)
	}
	for _, e := range found.events {
		if e.Kind.begins() {
			f.standing[e.condition()] = e
		}
	}
	// An hour later nothing is told of the instance: its node is what is wrong.
	wantTold(t, f.see(w.snapshot(), noon.Add(time.Hour)))
	w.nodes[1] = node("n2", "unknown")
	wantTold(t, f.see(w.snapshot(), noon.Add(time.Hour)))
	w.nodes[1] = node("n2", "ready")
	wantTold(t, f.see(w.snapshot(), noon.Add(time.Hour)), "node.up node/n2")
	w.nodes = w.nodes[:2]
	wantTold(t, f.see(w.snapshot(), noon.Add(2*time.Hour)), "instance.unhealthy instance/shop.2@swarm", "node.left node/n3")
}

// A leader that was elected a moment ago holds every node for down.
func TestWatchDoesNotBelieveThatEveryNodeIsDown(t *testing.T) {
	f := newFollower(0)
	w := swarm()
	f.see(w.snapshot(), noon)
	w.nodes = []*catalog.Node{node("n1", "down"), node("n2", "down")}
	wantTold(t, f.see(w.snapshot(), noon))
}

func TestWatchTellsOfServices(t *testing.T) {
	f := newFollower(10 * time.Second)
	w := swarm()
	wantTold(t, f.see(w.snapshot(), noon))
	blog := service("blog", "blog:1", instance("blog.1", "n1", "blog:1", catalog.StateStarting))
	w.services = append(w.services, blog)
	wantTold(t, f.see(w.snapshot(), noon), "service.appeared service/blog@swarm")
	wantTold(t, f.see(w.snapshot(), noon.Add(time.Hour))) // it has never been ready
	w.services[1] = service("blog", "blog:1", instance("blog.1", "n1", "blog:1", catalog.StateReady))
	wantTold(t, f.see(w.snapshot(), noon.Add(time.Hour)))

	// A deployment: for a moment nothing is ready.
	at := noon.Add(2 * time.Hour)
	w.services[1] = service("blog", "blog:2@sha256:1", instance("blog.1", "n1", "blog:2", catalog.StateStarting))
	wantTold(t, f.see(w.snapshot(), at))
	if want := at.Add(10 * time.Second); !f.due.Equal(want) {
		t.Errorf("due %s, want %s", f.due, want)
	}
	w.services[1] = service("blog", "blog:2@sha256:1", instance("blog.1", "n1", "blog:2", catalog.StateReady))
	wantTold(t, f.see(w.snapshot(), at.Add(5*time.Second)), "service.deployed service/blog@swarm")
	wantTold(t, f.see(w.snapshot(), at.Add(time.Minute)))

	at = noon.Add(3 * time.Hour)
	w.services[1] = service("blog", "blog:2@sha256:1", instance("blog.1", "n1", "blog:2", catalog.StateUnhealthy))
	wantTold(t, f.see(w.snapshot(), at))
	wantTold(t, f.see(w.snapshot(), f.due), "instance.unhealthy instance/blog.1@swarm", "service.down service/blog@swarm")
	f = f.restarted()
	wantTold(t, f.see(w.snapshot(), at.Add(time.Hour)))
	w.services[1] = service("blog", "blog:2@sha256:1", instance("blog.1", "n1", "blog:2", catalog.StateReady))
	wantTold(t, f.see(w.snapshot(), at.Add(2*time.Hour)), "instance.healthy instance/blog.1@swarm", "service.up service/blog@swarm")
	zero := service("blog", "blog:2@sha256:1")
	w.services[1] = zero // scaled to nothing
	wantTold(t, f.see(w.snapshot(), at.Add(3*time.Hour)))
	w.services = w.services[:1]
	wantTold(t, f.see(w.snapshot(), at.Add(4*time.Hour)), "service.gone service/blog@swarm")
}

func TestWatchEndsWhatStandsOfWhatIsGone(t *testing.T) {
	f := newFollower(0)
	w := swarm()
	f.see(w.snapshot(), noon)
	sick := service("shop", "shop:1", instance("shop.1", "n1", "shop:1", catalog.StateUnhealthy))
	w.services = []*catalog.Service{sick}
	wantTold(t, f.see(w.snapshot(), noon), "instance.unhealthy instance/shop.1@swarm", "service.down service/shop@swarm")
	w.services = nil
	wantTold(t, f.see(w.snapshot(), noon), "service.gone service/shop@swarm", "instance.healthy instance/shop.1@swarm")
	if len(f.standing) != 0 {
		t.Errorf("%v stands", slices.Collect(maps.Keys(f.standing)))
	}
	w.source.Name = "another" // nothing is told of what belongs to a source that is not configured any more
	w.nodes = nil
	wantTold(t, f.see(w.snapshot(), noon))
}

// What ends at the same moment is reported in one order, whatever that of a map is.
func TestWatchReportsWhatIsGoneInOneOrder(t *testing.T) {
	f := newFollower(0)
	w := swarm()
	f.see(w.snapshot(), noon)
	var sick []*catalog.Instance
	want := []string{"service.gone service/shop@swarm"}
	for i := range 9 {
		name := fmt.Sprintf("shop.%d", i+1)
		sick = append(sick, instance(name, "n1", "shop:1", catalog.StateUnhealthy))
		want = append(want, "instance.healthy instance/"+name+"@swarm")
	}
	w.services = []*catalog.Service{service("shop", "shop:1", sick...)}
	f.see(w.snapshot(), noon)
	w.services = nil
	wantTold(t, f.see(w.snapshot(), noon), want...)
}

func TestWatchTellsOfSources(t *testing.T) {
	f := newFollower(10 * time.Second)
	w := swarm()
	f.see(w.snapshot(), noon)
	w.source.Stale, w.source.Error = true, "connection refused"
	w.services = nil // a snapshot that would be wrong: of a stale source nothing is judged
	wantTold(t, f.see(w.snapshot(), noon))
	wantTold(t, f.see(w.snapshot(), f.due), "source.stale source/swarm")
	w = swarm()
	wantTold(t, f.see(w.snapshot(), noon.Add(time.Hour)), "source.back source/swarm")
}

// What changes to and fro is told of once, and again when it has settled.
func TestWatchTellsOfFlapping(t *testing.T) {
	f := newFollower(0)
	w := swarm()
	at := noon
	var told []string
	for i := range 200 {
		state := catalog.StateReady
		if i%2 == 1 {
			state = catalog.StateUnhealthy
		}
		w.services = []*catalog.Service{service("shop", "shop:1",
			instance("shop.1", "n1", "shop:1", state), instance("shop.2", "n2", "shop:1", catalog.StateReady))}
		told = append(told, f.see(w.snapshot(), at)...)
		at = at.Add(5 * time.Second)
	}
	if len(told) != flapChanges || !strings.HasPrefix(told[len(told)-1], "flapping.begun instance/shop.1@swarm") {
		t.Errorf("told %q", told)
	}
	wantTold(t, f.see(w.snapshot(), at.Add(flapWindow)), "flapping.over instance/shop.1@swarm")
	wantTold(t, f.see(w.snapshot(), at.Add(2*flapWindow)))
	// The last told was that it is well, and it is not.
	if got := f.standing; len(got) != 1 {
		t.Errorf("%v stands", slices.Collect(maps.Keys(got)))
	}
}

// A Swarm makes a new task in place of one that ends: that one has its name again.
func TestWatchTellsOfTasksThatEndAgainAndAgain(t *testing.T) {
	f := newFollower(10 * time.Second)
	w := swarm()
	var told []string
	for i := range 40 {
		one := instance("shop.1", "n1", "shop:1", []catalog.State{catalog.StateStarting, catalog.StateReady}[i%2])
		one.ID = fmt.Sprintf("task%d", i/2)
		w.services = []*catalog.Service{service("shop", "shop:1", one, instance("shop.2", "n2", "shop:1", catalog.StateReady))}
		told = append(told, f.see(w.snapshot(), noon.Add(time.Duration(i)*3*time.Second))...)
	}
	wantTold(t, told, "flapping.begun instance/shop.1@swarm")
}

// TestWatchProperty: whatever happens, conditions begin and end in turn; a restart
// repeats nothing; and when all has been quiet, what stands is what is wrong.
func TestWatchProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFollower(10 * time.Second)
		at := noon
		w := swarm()
		states := []catalog.State{catalog.StateReady, catalog.StateUnhealthy, catalog.StateStarting, catalog.StateLeaving}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			at = at.Add(time.Duration(rapid.IntRange(0, 20_000).Draw(t, "ms")) * time.Millisecond)
			w.nodes = nil
			for i := range rapid.IntRange(1, 3).Draw(t, "nodes") {
				w.nodes = append(w.nodes, node(fmt.Sprintf("n%d", i), rapid.SampledFrom([]string{"ready", "down", "unknown"}).Draw(t, "node")))
			}
			w.services = nil
			for i := range rapid.IntRange(0, 2).Draw(t, "services") {
				var list []*catalog.Instance
				for j := range rapid.IntRange(0, 2).Draw(t, "instances") {
					list = append(list, instance(fmt.Sprintf("s%d.%d", i, j), fmt.Sprintf("n%d", j), "x:1", rapid.SampledFrom(states).Draw(t, "state")))
				}
				w.services = append(w.services, service(fmt.Sprintf("s%d", i), "x:1", list...))
			}
			w.source.Stale = rapid.Bool().Draw(t, "stale")
			told := f.see(w.snapshot(), at)
			if rapid.Bool().Draw(t, "restart") {
				f = f.restarted()
				for _, again := range f.see(w.snapshot(), at) {
					if slices.Contains(told, again) {
						t.Fatalf("%s told again after a restart", again)
					}
				}
			}
		}
		w.source.Stale = false
		for range 8 { // quiet, looked at whenever it is due
			f.see(w.snapshot(), at)
			at = at.Add(flapWindow)
		}
		want := map[string]bool{}
		alive := slices.ContainsFunc(w.nodes, func(n *catalog.Node) bool { return n.State != "down" })
		dead := map[string]bool{}
		for _, n := range w.nodes {
			if dead[n.ID] = n.State == "down" && alive; dead[n.ID] {
				want[conditionOf(NodeDown, "node/"+n.ID)] = true
			}
		}
		for _, s := range w.services {
			for _, in := range s.Instances {
				if in.State == catalog.StateUnhealthy && !dead[in.Node] {
					want[conditionOf(InstanceUnhealthy, instanceSubject(s, in))] = true
				}
			}
		}
		for c, e := range f.standing {
			switch {
			case want[c]:
				delete(want, c)
			case e.Kind == ServiceDown, e.Kind == NodeDown && !alive, e.Kind == NodeDown && !dead[strings.TrimPrefix(e.Subject, "node/")]:
				// A service is only down that was up; a node that was down and is
				// neither ready nor down is not told of.
			case e.Kind == InstanceUnhealthy: // starting, leaving or on a dead node: not judged
			default:
				t.Fatalf("%s stands", c)
			}
		}
		for c := range want {
			t.Fatalf("%s does not stand", c)
		}
	})
}

// Containers that ask for nothing, such as those of the steps of a build, come and go
// without an event; one with a label is reported, and what it belongs to.
func TestUnlabelledContainersAreNoNews(t *testing.T) {
	container := func(name string, labels map[string]string, more ...*catalog.Instance) *catalog.Service {
		in := &catalog.Instance{ID: name, Name: name, Source: "swarm", State: catalog.StateReady, Labels: labels, Image: "x"}
		return &catalog.Service{ID: name + "@docker", Name: name, Source: "swarm", Instances: append(more, in)}
	}
	w := swarm()
	f := newFollower(time.Minute)
	f.see(w.snapshot(), noon)
	swarmOnly := w.services
	w.services = append(slices.Clone(swarmOnly), container("festive_hodgkin", map[string]string{"maintainer": "x"}),
		container("app", map[string]string{"fairway.host": "app.test"}), container("old", map[string]string{"com.df.notify": "true"}),
		container("pair", nil, &catalog.Instance{ID: "p2", Name: "pair-2", Labels: map[string]string{"fairway.port": "80"}}))
	want := []string{"service.appeared service/app@docker", "service.appeared service/old@docker", "service.appeared service/pair@docker"}
	if got := f.see(w.snapshot(), noon.Add(time.Second)); !slices.Equal(got, want) {
		t.Errorf("they came: %q", got)
	}
	w.services = swarmOnly
	want = []string{"service.gone service/app@docker", "service.gone service/old@docker", "service.gone service/pair@docker"}
	if got := f.see(w.snapshot(), noon.Add(time.Hour)); !slices.Equal(got, want) {
		t.Errorf("they went: %q", got)
	}
}
