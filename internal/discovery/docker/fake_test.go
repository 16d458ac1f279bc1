package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/network"

	"fairway/internal/dockerapi"
)

// engine is a Docker Engine made of memory: it speaks the Engine API over
// net.Pipe, so that it runs inside a synctest bubble, and misbehaves on demand.
type engine struct {
	mu         sync.Mutex
	now        func() time.Time
	containers map[string]*box
	networks   map[string]network.Network
	streams    map[chan []byte]bool
	conns      map[net.Conn]bool
	listener   *pipeListener
	server     *http.Server
	lastIP     byte
	calls      []string // "GET /containers/json"

	refusing  bool                     // connections fail
	thaw      chan struct{}            // not nil: requests wait for it to close
	disturb   func(path string) string // how a request is spoilt; "" for not at all
	muteLists bool                     // lists show the state before the newest event
	stale     []container.Summary
}

// box is a container of the engine.
type box struct {
	id, name   string
	labels     map[string]string
	status     container.ContainerState
	health     container.HealthStatus
	stopSignal string
	mode       string
	created    time.Time
	started    time.Time
	networks   map[string]netip.Addr
	exposed    []uint16
	published  map[uint16]uint16
}

func newEngine() *engine {
	e := &engine{
		now:        time.Now,
		containers: make(map[string]*box),
		networks:   make(map[string]network.Network),
		streams:    make(map[chan []byte]bool),
		conns:      make(map[net.Conn]bool),
		listener:   &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})},
	}
	for name, driver := range map[string]string{"bridge": "bridge", "host": "host", "web": "bridge", "mac": "macvlan"} {
		e.networks[name] = network.Network{Name: name, ID: "net-" + name, Driver: driver}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", "1.41")
	})
	mux.HandleFunc("GET /v1.41/info", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"ID":"X","Name":"dock-1","ServerVersion":"20.10.24","OperatingSystem":"Debian"}`)
	})
	mux.HandleFunc("GET /v1.41/networks", func(w http.ResponseWriter, _ *http.Request) {
		e.mu.Lock()
		defer e.mu.Unlock()
		reply(w, slices.Collect(maps.Values(e.networks)))
	})
	mux.HandleFunc("GET /v1.41/containers/json", e.serveList)
	mux.HandleFunc("GET /v1.41/containers/{id}/json", e.serveInspect)
	mux.HandleFunc("GET /v1.41/events", e.serveEvents)
	e.server = &http.Server{Handler: e.misbehave(mux)}
	go func() { _ = e.server.Serve(e.listener) }()
	return e
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
	e.mu.Lock()
	refusing := e.refusing
	e.mu.Unlock()
	if refusing {
		return nil, errors.New("connect: connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case e.listener.conns <- theirs:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	e.mu.Lock()
	e.conns[theirs] = true
	e.mu.Unlock()
	return ours, nil
}

func (e *engine) close() {
	e.listener.Close()
	_ = e.server.Close()
}

// cut breaks all connections and lets none be made.
func (e *engine) cut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refusing = true
	for c := range e.conns {
		c.Close()
	}
	clear(e.conns)
}

func (e *engine) restore() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refusing = false
}

// freeze makes the engine accept connections and say nothing, as a stopped
// process does.
func (e *engine) freeze() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.thaw = make(chan struct{})
}

func (e *engine) unfreeze() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.thaw)
	e.thaw = nil
}

func (e *engine) misbehave(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		path := strings.TrimPrefix(r.URL.Path, "/v1.41")
		e.calls = append(e.calls, r.Method+" "+path)
		thaw, how := e.thaw, ""
		if e.disturb != nil {
			how = e.disturb(path)
		}
		e.mu.Unlock()
		if thaw != nil {
			select {
			case <-thaw:
			case <-r.Context().Done():
				return
			}
		}
		switch how {
		case "slow":
			select {
			case <-time.After(4 * time.Second):
			case <-r.Context().Done():
				return
			}
		case "hang":
			<-r.Context().Done()
			return
		case "late": // what is true now, told when it no longer is
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			time.Sleep(2 * time.Second)
			maps.Copy(w.Header(), rec.Header())
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
			return
		case "error":
			http.Error(w, `{"message":"something is wrong"}`, http.StatusInternalServerError)
			return
		case "truncate":
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, `[{"Id":"a","Na`)
			panic(http.ErrAbortHandler)
		case "garbage":
			fmt.Fprint(w, `[{"Id":17}]`)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (e *engine) serveList(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.summaries()
	if e.muteLists {
		list = e.stale
	}
	reply(w, list)
}

func (e *engine) summaries() []container.Summary {
	list := []container.Summary{}
	for _, b := range e.containers {
		s := container.Summary{ID: b.id, Names: []string{"/other/alias", "/" + b.name}, Image: "app:1", Labels: b.labels, State: b.status, Created: b.created.Unix()}
		s.HostConfig.NetworkMode = b.mode
		s.Status = "Up 2 minutes"
		switch {
		case b.status != container.StateRunning:
			s.Status = string(b.status)
		case b.health == container.Starting:
			s.Status += " (health: starting)"
		case b.health != "":
			s.Status += " (" + string(b.health) + ")"
		}
		s.NetworkSettings = &container.NetworkSettingsSummary{Networks: e.endpoints(b)}
		if b.up() && !b.foreign() {
			for _, p := range b.exposed {
				if to := b.published[p]; to > 0 {
					s.Ports = append(s.Ports, container.PortSummary{IP: netip.IPv4Unspecified(), PrivatePort: p, PublicPort: to, Type: "tcp"})
				} else {
					s.Ports = append(s.Ports, container.PortSummary{PrivatePort: p, Type: "tcp"})
				}
			}
		}
		list = append(list, s)
	}
	return list
}

func (b *box) up() bool {
	return b.status == container.StateRunning || b.status == container.StatePaused
}

func (b *box) foreign() bool { return b.mode == "host" || strings.HasPrefix(b.mode, "container:") }

func (e *engine) endpoints(b *box) map[string]*network.EndpointSettings {
	m := make(map[string]*network.EndpointSettings)
	for name, ip := range b.networks {
		m[name] = &network.EndpointSettings{NetworkID: "net-" + name}
		if b.up() {
			m[name].IPAddress = ip
		}
	}
	return m
}

func (e *engine) serveInspect(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.containers[r.PathValue("id")]
	if b == nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"message":"No such container"}`)
		return
	}
	i := container.InspectResponse{
		ID: b.id, Name: "/" + b.name, Created: b.created.Format(time.RFC3339Nano),
		State:      &container.State{Status: b.status, StartedAt: b.started.Format(time.RFC3339Nano)},
		Config:     &container.Config{Image: "app:1", Labels: b.labels, StopSignal: b.stopSignal, Env: []string{"SECRET=canary"}, ExposedPorts: network.PortSet{}},
		HostConfig: &container.HostConfig{NetworkMode: container.NetworkMode(b.mode)},
		NetworkSettings: &container.NetworkSettings{
			Ports: network.PortMap{}, Networks: e.endpoints(b),
		},
	}
	if b.health != "" {
		i.State.Health = &container.Health{Status: b.health}
	}
	for _, p := range b.exposed {
		port, _ := network.PortFrom(p, network.TCP)
		i.Config.ExposedPorts[port] = struct{}{}
		if b.up() && !b.foreign() {
			i.NetworkSettings.Ports[port] = nil
			if to := b.published[p]; to > 0 {
				i.NetworkSettings.Ports[port] = []network.PortBinding{{HostIP: netip.IPv4Unspecified(), HostPort: fmt.Sprint(to)}}
			}
		}
	}
	reply(w, i)
}

func (e *engine) serveEvents(w http.ResponseWriter, r *http.Request) {
	stream := make(chan []byte, 1000)
	e.mu.Lock()
	e.streams[stream] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.streams, stream)
		e.mu.Unlock()
	}()
	flush := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = flush.Flush()
	for {
		select {
		case line := <-stream:
			e.mu.Lock()
			thaw := e.thaw
			e.mu.Unlock()
			if thaw != nil {
				select {
				case <-thaw:
				case <-r.Context().Done():
					return
				}
			}
			if string(line) == "truncate" {
				_, _ = w.Write([]byte(`{"Type":"conta`))
				panic(http.ErrAbortHandler)
			}
			if _, err := w.Write(line); err != nil || flush.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// emit sends an event; the engine's mutex is held.
func (e *engine) emit(kind events.Type, action, id string, attributes ...string) {
	m := events.Message{Type: kind, Action: events.Action(action), Time: e.now().Unix(), TimeNano: e.now().UnixNano()}
	m.Actor.ID = id
	m.Actor.Attributes = map[string]string{}
	for i := 0; i < len(attributes); i += 2 {
		m.Actor.Attributes[attributes[i]] = attributes[i+1]
	}
	line, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	for s := range e.streams {
		s <- append(line, '\n')
	}
}

// do runs f with the engine's mutex held.
func (e *engine) do(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
}

// create makes a container, not started yet.
func (e *engine) create(id string, change ...func(*box)) {
	e.do(func() {
		e.lastIP++
		b := &box{
			id: id, name: id, status: container.StateCreated, mode: "web", created: e.now(),
			networks: map[string]netip.Addr{"web": netip.AddrFrom4([4]byte{10, 0, 0, e.lastIP})}, exposed: []uint16{8080},
		}
		for _, c := range change {
			c(b)
		}
		e.containers[id] = b
		e.emit("container", "create", id)
	})
}

func (e *engine) start(id string) {
	e.do(func() {
		b := e.containers[id]
		if b == nil || b.up() {
			return
		}
		b.status, b.started = container.StateRunning, e.now()
		if b.health != "" {
			b.health = container.Starting
		}
		e.emit("network", "connect", "net-web", "container", id)
		e.emit("container", "start", id)
	})
}

// run creates and starts.
func (e *engine) run(id string, change ...func(*box)) {
	e.create(id, change...)
	e.start(id)
}

func (e *engine) kill(id, signal string) {
	e.do(func() {
		if b := e.containers[id]; b != nil && b.up() {
			e.emit("container", "kill", id, "signal", signal)
		}
	})
}

func (e *engine) die(id string) {
	e.do(func() {
		b := e.containers[id]
		if b == nil || !b.up() {
			return
		}
		b.status = container.StateExited
		if b.health != "" {
			b.health = container.Unhealthy
		}
		e.emit("container", "die", id, "exitCode", "0")
	})
}

func (e *engine) remove(id string) {
	e.do(func() {
		if e.containers[id] == nil {
			return
		}
		delete(e.containers, id)
		e.emit("container", "destroy", id)
	})
}

func (e *engine) setHealth(id string, h container.HealthStatus) {
	e.do(func() {
		b := e.containers[id]
		if b == nil || b.status != container.StateRunning || b.health == "" {
			return
		}
		b.health = h
		e.emit("container", "health_status: "+string(h), id)
	})
}

func (e *engine) pause(id string, on bool) {
	e.do(func() {
		b := e.containers[id]
		switch {
		case b == nil || !b.up() || (b.status == container.StatePaused) == on:
		case on:
			b.status = container.StatePaused
			e.emit("container", "pause", id)
		default:
			b.status = container.StateRunning
			e.emit("container", "unpause", id)
		}
	})
}

func (e *engine) rename(id, name string) {
	e.do(func() {
		if b := e.containers[id]; b != nil {
			b.name = name
			e.emit("container", "rename", id, "name", name)
		}
	})
}

func (e *engine) connect(id, net string, on bool) {
	e.do(func() {
		b := e.containers[id]
		if b == nil || b.foreign() {
			return
		}
		action := "disconnect"
		if delete(b.networks, net); on {
			e.lastIP++
			b.networks[net] = netip.AddrFrom4([4]byte{10, 1, 0, e.lastIP})
			action = "connect"
		}
		e.emit("network", action, "net-"+net, "container", id)
	})
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

// count returns how often a call was made.
func (e *engine) count(call string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, c := range e.calls {
		if c == call {
			n++
		}
	}
	return n
}
