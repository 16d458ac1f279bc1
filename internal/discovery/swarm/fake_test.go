package swarm

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
)

// lab is a Swarm made of memory, seen through several engines. It does nothing
// by itself: tests take the steps that Docker's orchestrator would, in the order
// in which a real one was seen to take them.
type lab struct {
	mu       sync.Mutex
	index    uint64
	lastIP   byte
	services map[string]*swarm.Service
	tasks    map[string]*swarm.Task
	nodes    map[string]*swarm.Node
	networks map[string]network.Summary
	self     *container.InspectResponse // Fairway's own container, on the first engine
	noLeader bool
	engines  []*engine
}

// engine is one engine of the lab.
type engine struct {
	*dockertest.Engine
	lab    *lab
	worker bool // it is no manager
}

func newLab(engines int) *lab {
	l := &lab{
		services: make(map[string]*swarm.Service),
		tasks:    make(map[string]*swarm.Task),
		nodes:    make(map[string]*swarm.Node),
		networks: make(map[string]network.Summary),
	}
	for _, name := range []string{"ingress", "proxy", "back"} {
		l.addNetwork(name)
	}
	for i := range 3 {
		l.addNode(fmt.Sprintf("n%d", i+1))
	}
	for range engines {
		l.engines = append(l.engines, l.newEngine())
	}
	return l
}

func (l *lab) newEngine() *engine {
	e := &engine{Engine: dockertest.New(&l.mu), lab: l}
	e.Answer("GET /services", e.asManager(func(*http.Request) any { return sorted(l.services) }))
	e.Answer("GET /nodes", e.asManager(func(*http.Request) any { return sorted(l.nodes) }))
	e.Answer("GET /tasks", e.asManager(l.list))
	e.Answer("GET /networks", func(*http.Request) any { return sorted(l.networks) })
	e.Answer("GET /containers/{id}/json", func(r *http.Request) any {
		if l.self == nil || l.self.ID != r.PathValue("id") {
			return dockertest.Refuse(http.StatusNotFound, "No such container")
		}
		return l.self
	})
	e.HandleFunc("GET /events", e.Events)
	return e
}

// asManager gives the answer only where and when the Swarm can be read.
func (e *engine) asManager(answer func(*http.Request) any) func(*http.Request) any {
	return func(r *http.Request) any {
		switch {
		case e.worker:
			return dockertest.Refuse(http.StatusServiceUnavailable, "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.")
		case e.lab.noLeader:
			return dockertest.Refuse(http.StatusInternalServerError, "rpc error: code = Unknown desc = The swarm does not have a leader.")
		}
		return answer(r)
	}
}

func sorted[T any](m map[string]T) []T {
	list := []T{}
	for _, id := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[id])
	}
	return list
}

// list returns the tasks that a call asks for.
func (l *lab) list(r *http.Request) any {
	var filters map[string]map[string]bool
	if text := r.URL.Query().Get("filters"); text != "" {
		if err := json.Unmarshal([]byte(text), &filters); err != nil {
			return dockertest.Refuse(http.StatusBadRequest, err.Error())
		}
	}
	return slices.DeleteFunc(sorted(l.tasks), func(t *swarm.Task) bool {
		state, id := filters["desired-state"], filters["id"]
		return len(state) > 0 && !state[string(t.DesiredState)] || len(id) > 0 && !id[t.ID]
	})
}

// client returns a client of the engine.
func (e *engine) client() *dockerapi.Client {
	c, err := dockerapi.New(dockerapi.Options{URL: "unix:///var/run/docker.sock", Dial: e.Dial})
	if err != nil {
		panic(err)
	}
	return c
}

func (l *lab) close() {
	for _, e := range l.engines {
		e.Cut()
	}
}

// do runs f with the lab's mutex held.
func (l *lab) do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// emit sends an event from the managers.
func (l *lab) emit(kind events.Type, action, id string, attributes ...string) {
	for _, e := range l.engines {
		if !e.worker {
			e.Emit(kind, action, id, attributes...)
		}
	}
}

func (l *lab) version() swarm.Version {
	l.index++
	return swarm.Version{Index: l.index}
}

func (l *lab) addNetwork(name string) {
	n := network.Summary{}
	n.Name, n.ID, n.Driver, n.Scope, n.Ingress = name, "net-"+name, "overlay", "swarm", name == "ingress"
	l.networks[n.ID] = n
}

func (l *lab) addNode(id string) {
	n := &swarm.Node{ID: id, Meta: swarm.Meta{Version: l.version()}}
	n.Spec.Role, n.Spec.Availability = swarm.NodeRoleWorker, swarm.NodeAvailabilityActive
	n.Description.Hostname = "host-" + id
	n.Description.Engine.EngineVersion = "20.10.24"
	n.Status = swarm.NodeStatus{State: swarm.NodeStateReady, Addr: "192.168.7." + id[1:]}
	l.nodes[id] = n
}

// node changes the state of a node and tells of it.
func (l *lab) node(id string, state swarm.NodeState) {
	l.do(func() {
		n := *l.nodes[id]
		n.Version, n.Status.State = l.version(), state
		l.nodes[id] = &n
		l.emit("node", "update", id, "name", n.Description.Hostname, "state.new", string(state))
	})
}

// service creates or changes a service and tells of it.
func (l *lab) service(name string, change ...func(*swarm.Service)) {
	l.do(func() {
		action := "update"
		s := &swarm.Service{ID: "svc-" + name}
		if old := l.services[s.ID]; old != nil {
			copied := *old
			s = &copied
		} else {
			action = "create"
			s.Spec.Name = name
			s.CreatedAt = time.Now()
			three := uint64(3)
			s.Spec.Mode.Replicated = &swarm.ReplicatedService{Replicas: &three}
		}
		s.Version = l.version()
		for _, c := range change {
			c(s)
		}
		l.services[s.ID] = s
		l.emit("service", action, s.ID, "name", name)
	})
}

func (l *lab) removeService(name string) {
	l.do(func() {
		delete(l.services, "svc-"+name)
		l.emit("service", "remove", "svc-"+name, "name", name)
	})
}

// task creates or changes a task; nobody tells of it.
func (l *lab) task(id, service string, change ...func(*swarm.Task)) {
	l.do(func() {
		t := &swarm.Task{ID: id, ServiceID: "svc-" + service, Slot: 1, NodeID: "n1", DesiredState: swarm.TaskStateRunning}
		if old := l.tasks[id]; old != nil {
			copied := *old
			t = &copied
		} else {
			l.lastIP++
			t.CreatedAt = time.Now()
			t.Status.State = swarm.TaskStateNew
			t.Spec.ContainerSpec = &swarm.ContainerSpec{Image: "app:1@sha256:00", Env: []string{"SECRET=canary"}}
			for _, n := range []string{"ingress", "proxy"} {
				at := swarm.NetworkAttachment{Addresses: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(len(n)), 0, l.lastIP}), 24)}}
				at.Network.ID, at.Network.Spec.Name, at.Network.Spec.Ingress = "net-"+n, n, n == "ingress"
				t.NetworksAttachments = append(t.NetworksAttachments, at)
			}
		}
		t.Version = l.version()
		for _, c := range change {
			c(t)
		}
		t.Status.Timestamp = time.Now()
		l.tasks[id] = t
	})
}

func (l *lab) removeTask(id string) { l.do(func() { delete(l.tasks, id) }) }

// is sets the state of a task, want what it shall be.
func is(s swarm.TaskState) func(*swarm.Task)   { return func(t *swarm.Task) { t.Status.State = s } }
func want(s swarm.TaskState) func(*swarm.Task) { return func(t *swarm.Task) { t.DesiredState = s } }
func at(slot int, node string) func(*swarm.Task) {
	return func(t *swarm.Task) { t.Slot, t.NodeID = slot, node }
}

// container lets an engine tell of a container of a task.
func (e *engine) container(action, task string, attributes ...string) {
	e.Emit("container", action, "ctr-"+task, append(attributes, taskLabel, task)...)
}
