package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/swarm"

	"fairway/internal/dockerapi"
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

// engine is one engine of the lab: it speaks the Engine API over net.Pipe, so
// that it runs inside a synctest bubble, and misbehaves on demand.
type engine struct {
	lab      *lab
	listener *pipeListener
	server   *http.Server
	conns    map[net.Conn]bool
	streams  map[chan []byte]bool
	calls    []string

	worker   bool          // it is no manager
	refusing bool          // connections fail
	thaw     chan struct{} // not nil: requests wait for it to close
	raw      map[string][]byte
	disturb  map[string]string // by path: "error", "truncate", "garbage"
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
	e := &engine{
		lab: l, listener: &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})},
		conns: make(map[net.Conn]bool), streams: make(map[chan []byte]bool), disturb: make(map[string]string),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Api-Version", "1.41") })
	mux.HandleFunc("GET /v1.41/services", func(w http.ResponseWriter, _ *http.Request) { reply(w, sorted(l.services)) })
	mux.HandleFunc("GET /v1.41/nodes", func(w http.ResponseWriter, _ *http.Request) { reply(w, sorted(l.nodes)) })
	mux.HandleFunc("GET /v1.41/networks", func(w http.ResponseWriter, _ *http.Request) { reply(w, sorted(l.networks)) })
	mux.HandleFunc("GET /v1.41/tasks", l.serveTasks)
	mux.HandleFunc("GET /v1.41/containers/{id}/json", func(w http.ResponseWriter, r *http.Request) {
		if l.self == nil || l.self.ID != r.PathValue("id") {
			refuse(w, http.StatusNotFound, "No such container")
			return
		}
		reply(w, l.self)
	})
	mux.HandleFunc("GET /v1.41/events", e.serveEvents)
	e.server = &http.Server{Handler: e.misbehave(mux)}
	go func() { _ = e.server.Serve(e.listener) }()
	return e
}

func sorted[T any](m map[string]T) []T {
	list := []T{}
	for _, id := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[id])
	}
	return list
}

func (l *lab) serveTasks(w http.ResponseWriter, r *http.Request) {
	var filters map[string]map[string]bool
	if text := r.URL.Query().Get("filters"); text != "" {
		if err := json.Unmarshal([]byte(text), &filters); err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	list := []*swarm.Task{}
	for _, t := range sorted(l.tasks) {
		if want := filters["desired-state"]; len(want) > 0 && !want[string(t.DesiredState)] {
			continue
		}
		if want := filters["id"]; len(want) > 0 && !want[t.ID] {
			continue
		}
		list = append(list, t)
	}
	reply(w, list)
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	reply(w, map[string]string{"message": message})
}

// misbehave does what the test asked for, then serves with the lab's mutex held,
// except for event streams.
func (e *engine) misbehave(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.TrimPrefix(r.URL.Path, "/v1.41")
		e.lab.mu.Lock()
		e.calls = append(e.calls, r.Method+" "+path)
		thaw := e.thaw
		e.lab.mu.Unlock()
		if thaw != nil {
			select {
			case <-thaw:
			case <-r.Context().Done():
				return
			}
		}
		e.lab.mu.Lock()
		deaf := e.disturb["/events"] != ""
		e.lab.mu.Unlock()
		if path == "/events" && !deaf {
			next.ServeHTTP(w, r)
			return
		}
		e.lab.mu.Lock()
		defer e.lab.mu.Unlock()
		swarmCall := slices.Contains([]string{"/services", "/tasks", "/nodes"}, path)
		switch {
		case swarmCall && e.worker:
			refuse(w, http.StatusServiceUnavailable, "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.")
		case swarmCall && e.lab.noLeader:
			refuse(w, http.StatusInternalServerError, "rpc error: code = Unknown desc = The swarm does not have a leader.")
		case e.disturb[path] == "error":
			refuse(w, http.StatusForbidden, "forbidden")
		case e.disturb[path] == "truncate":
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `[{"ID":"a","Na`)
			panic(http.ErrAbortHandler)
		case e.disturb[path] == "garbage":
			fmt.Fprint(w, `[{"ID":17}]`)
		case e.raw[path] != nil:
			_, _ = w.Write(e.raw[path])
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (e *engine) serveEvents(w http.ResponseWriter, r *http.Request) {
	stream := make(chan []byte, 1000)
	e.lab.do(func() { e.streams[stream] = true })
	defer e.lab.do(func() { delete(e.streams, stream) })
	flush := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = flush.Flush()
	for {
		select {
		case line := <-stream:
			if _, err := w.Write(line); err != nil || flush.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// client returns a client of the engine.
func (e *engine) client() *dockerapi.Client {
	c, err := dockerapi.New(dockerapi.Options{URL: "unix:///var/run/docker.sock", Dial: e.dial})
	if err != nil {
		panic(err)
	}
	return c
}

func (e *engine) dial(ctx context.Context) (net.Conn, error) {
	e.lab.mu.Lock()
	refusing := e.refusing
	e.lab.mu.Unlock()
	if refusing {
		return nil, errors.New("connect: connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case e.listener.conns <- theirs:
	case <-e.listener.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	e.lab.do(func() { e.conns[theirs] = true })
	return ours, nil
}

// cut breaks all connections and lets none be made.
func (e *engine) cut() {
	e.lab.do(func() {
		e.refusing = true
		for c := range e.conns {
			c.Close()
		}
		clear(e.conns)
	})
}

// freeze makes the engine accept connections and say nothing.
func (e *engine) freeze() {
	e.lab.do(func() { e.thaw = make(chan struct{}) })
}

func (e *engine) unfreeze() {
	e.lab.do(func() { close(e.thaw); e.thaw = nil })
}

func (l *lab) close() {
	for _, e := range l.engines {
		e.listener.Close()
		_ = e.server.Close()
	}
}

// do runs f with the lab's mutex held.
func (l *lab) do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

// emit sends an event from the engines; the mutex is held.
func emit(from []*engine, kind events.Type, action, id string, attributes ...string) {
	m := events.Message{Type: kind, Action: events.Action(action), Time: time.Now().Unix(), TimeNano: time.Now().UnixNano()}
	m.Actor.ID = id
	m.Actor.Attributes = map[string]string{}
	for i := 0; i < len(attributes); i += 2 {
		m.Actor.Attributes[attributes[i]] = attributes[i+1]
	}
	line, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	line = append(line, '\n')
	for _, e := range from {
		for s := range e.streams {
			s <- line
		}
	}
}

func (l *lab) managers() []*engine {
	return slices.DeleteFunc(slices.Clone(l.engines), func(e *engine) bool { return e.worker })
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
		emit(l.managers(), "node", "update", id, "name", n.Description.Hostname, "state.new", string(state))
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
		emit(l.managers(), "service", action, s.ID, "name", name)
	})
}

func (l *lab) removeService(name string) {
	l.do(func() {
		delete(l.services, "svc-"+name)
		emit(l.managers(), "service", "remove", "svc-"+name, "name", name)
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
	e.lab.do(func() {
		emit([]*engine{e}, "container", action, "ctr-"+task, append(attributes, taskLabel, task)...)
	})
}

// count returns how often a call was made, and forgets it.
func (e *engine) count(call string) (n int) {
	e.lab.do(func() {
		for _, c := range e.calls {
			if c == call {
				n++
			}
		}
		e.calls = slices.DeleteFunc(e.calls, func(c string) bool { return c == call })
	})
	return n
}

// pipeListener hands the far ends of pipes to a server.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
