package docker

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"

	"fairway/internal/dockerapi"
	"fairway/internal/dockerapi/dockertest"
)

// engine is a Docker Engine with containers and networks.
type engine struct {
	*dockertest.Engine
	mu         sync.Mutex
	containers map[string]*box
	networks   map[string]network.Network
	lastIP     byte

	muteLists bool // lists show the state before the newest event
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
	restarts   int
	networks   map[string]netip.Addr
	exposed    []uint16
	published  map[uint16]uint16
}

func newEngine() *engine {
	e := &engine{containers: make(map[string]*box), networks: make(map[string]network.Network)}
	for name, driver := range map[string]string{"bridge": "bridge", "host": "host", "web": "bridge", "mac": "macvlan"} {
		e.networks[name] = network.Network{Name: name, ID: "net-" + name, Driver: driver}
	}
	e.Engine = dockertest.New(&e.mu)
	e.Say("GET /info", `{"ID":"X","Name":"dock-1","ServerVersion":"20.10.24","OperatingSystem":"Debian"}`)
	e.Answer("GET /networks", func(*http.Request) any { return slices.Collect(maps.Values(e.networks)) })
	e.Answer("GET /containers/json", func(*http.Request) any {
		if e.muteLists {
			return e.stale
		}
		return e.summaries()
	})
	e.Answer("GET /containers/{id}/json", func(r *http.Request) any { return e.inspect(r.PathValue("id")) })
	e.HandleFunc("GET /events", e.Events)
	return e
}

// client returns a client of the engine.
func (e *engine) client() *dockerapi.Client {
	c, err := dockerapi.New(dockerapi.Options{URL: "unix:///var/run/docker.sock", Dial: e.Dial})
	if err != nil {
		panic(err)
	}
	return c
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

func (e *engine) inspect(id string) any {
	b := e.containers[id]
	if b == nil {
		return dockertest.Refuse(http.StatusNotFound, "No such container")
	}
	i := container.InspectResponse{
		ID: b.id, Name: "/" + b.name, Created: b.created.Format(time.RFC3339Nano),
		RestartCount: b.restarts,
		State:        &container.State{Status: b.status, StartedAt: b.started.Format(time.RFC3339Nano)},
		Config:       &container.Config{Image: "app:1", Labels: b.labels, StopSignal: b.stopSignal, Env: []string{"SECRET=canary"}, ExposedPorts: network.PortSet{}},
		HostConfig:   &container.HostConfig{NetworkMode: container.NetworkMode(b.mode)},
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
	return i
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
			id: id, name: id, status: container.StateCreated, mode: "web", created: time.Now(),
			networks: map[string]netip.Addr{"web": netip.AddrFrom4([4]byte{10, 0, 0, e.lastIP})}, exposed: []uint16{8080},
		}
		for _, c := range change {
			c(b)
		}
		e.containers[id] = b
		e.Emit("container", "create", id)
	})
}

func (e *engine) start(id string) {
	e.do(func() {
		b := e.containers[id]
		if b == nil || b.up() {
			return
		}
		b.status, b.started = container.StateRunning, time.Now()
		if b.health != "" {
			b.health = container.Starting
		}
		e.Emit("network", "connect", "net-web", "container", id)
		e.Emit("container", "start", id)
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
			e.Emit("container", "kill", id, "signal", signal)
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
		e.Emit("container", "die", id, "exitCode", "0")
	})
}

func (e *engine) remove(id string) {
	e.do(func() {
		if e.containers[id] == nil {
			return
		}
		delete(e.containers, id)
		e.Emit("container", "destroy", id)
	})
}

func (e *engine) setHealth(id string, h container.HealthStatus) {
	e.do(func() {
		b := e.containers[id]
		if b == nil || b.status != container.StateRunning || b.health == "" {
			return
		}
		b.health = h
		e.Emit("container", "health_status: "+string(h), id)
	})
}

func (e *engine) pause(id string, on bool) {
	e.do(func() {
		b := e.containers[id]
		switch {
		case b == nil || !b.up() || (b.status == container.StatePaused) == on:
		case on:
			b.status = container.StatePaused
			e.Emit("container", "pause", id)
		default:
			b.status = container.StateRunning
			e.Emit("container", "unpause", id)
		}
	})
}

func (e *engine) rename(id, name string) {
	e.do(func() {
		if b := e.containers[id]; b != nil {
			b.name = name
			e.Emit("container", "rename", id, "name", name)
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
		e.Emit("network", action, "net-"+net, "container", id)
	})
}
