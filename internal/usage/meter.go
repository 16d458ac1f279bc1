// Package usage reads what containers use, and keeps it over time together with
// what routes answer.
package usage

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fairway/internal/catalog"
	"fairway/internal/dockerapi"
)

const (
	// CallTimeout is the deadline of each call to an engine.
	CallTimeout = 5 * time.Second

	// calls is how many containers of one engine are read at once, and callsSlow of one
	// that takes longer than slow for each, as Engine 20.10 does.
	calls     = 8
	callsSlow = 64
	slow      = 400 * time.Millisecond
	// gap is the time between the two readings that a share of the CPUs needs.
	gap = time.Second
)

// Usage is what a container, or all containers of a service, use.
type Usage struct {
	// CPUPercent is the share of the CPUs as docker stats shows it: 100 is one
	// CPU used in full. It is nil until a container has been read twice.
	CPUPercent *float64 `json:"cpuPercent,omitempty"`
	// MemoryUsed and MemoryLimit are in bytes. Without a limit of its own a
	// container has the machine's memory as its limit; a service has none.
	MemoryUsed  uint64 `json:"memoryUsed"`
	MemoryLimit uint64 `json:"memoryLimit,omitempty"`
	// The rest is in bytes since the containers were started.
	NetworkReceived uint64 `json:"networkReceived"`
	NetworkSent     uint64 `json:"networkSent"`
	BlockRead       uint64 `json:"blockRead"`
	BlockWritten    uint64 `json:"blockWritten"`
}

// Container is what one container uses.
type Container struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Engine is the name of the machine it runs on.
	Engine string `json:"engine"`
	Usage

	task string // of the Swarm, by ID; empty for a container that is none's
}

// Service is what the containers of one service use together, on all
// engines. Containers that belong to no service are services of their own.
type Service struct {
	Service string `json:"service"`
	Usage
	// Containers are sorted by name.
	Containers []Container `json:"containers"`
}

// Unread is an engine or a container that a report says nothing about.
type Unread struct {
	// Engine is an engine's URL or a node's name, and Container a container there
	// when only that one could not be read.
	Engine    string `json:"engine"`
	Container string `json:"container,omitempty"`
	Reason    string `json:"reason"`
}

// Report is what runs and what it uses, at one moment.
type Report struct {
	At time.Time `json:"at"`
	// Services are sorted by name.
	Services []Service `json:"services"`
	// Unread is sorted by engine. It is empty when everything could be read.
	Unread []Unread `json:"unread"`

	machines []machine // those that answered
}

// machine is where an engine runs.
type machine struct {
	name   string // as in Container.Engine
	source string // of the source that watches the engine
	node   string // its node ID in a Swarm; empty outside
	cpus   int
	memory uint64 // in bytes
}

// MeterOptions are what NewMeter needs.
type MeterOptions struct {
	// Engines are those to read, managers of a Swarm among them.
	Engines []dockerapi.Options
	// Source names the source that watches the engine with a URL; nil for no names.
	Source func(url string) string
	// Service restricts the meter to the containers of the service of this name or ID or
	// of this name in its Compose file, and to the container of this name; empty for all.
	Service string
}

// Meter reads what containers use. Its methods are for one goroutine.
type Meter struct {
	engines []*engine
	service string
	source  func(string) string
	gap     time.Duration
	read    bool
}

// engine is one engine of a meter.
type engine struct {
	client *dockerapi.Client
	id     string // empty until it has answered
	machine
	manager bool
	slow    bool                     // it was in the last round
	last    map[string]dockerapi.CPU // the newest reading by container
}

// NewMeter returns a meter. It does not connect.
func NewMeter(o MeterOptions) (*Meter, error) {
	clients, err := dockerapi.NewAll(o.Engines, CallTimeout)
	if err != nil {
		return nil, err
	}
	m := &Meter{gap: gap, source: o.Source}
	m.service, _, _ = strings.Cut(o.Service, "@")
	for _, c := range clients {
		m.engines = append(m.engines, &engine{client: c})
	}
	return m, nil
}

// Close drops the connections.
func (m *Meter) Close() {
	for _, e := range m.engines {
		e.client.Close()
	}
}

// Read reads every container that runs; the first time twice, for the share of the CPUs.
// Engines that do not answer are in the report; the error is that of ctx alone.
func (m *Meter) Read(ctx context.Context) (*Report, error) {
	if !m.read {
		m.round(ctx)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(m.gap):
		}
		m.read = true
	}
	return m.round(ctx), ctx.Err()
}

// round reads every container once.
func (m *Meter) round(ctx context.Context) *Report {
	parts := make([]part, len(m.engines))
	m.each(func(i int, e *engine) { parts[i].err = m.identify(ctx, e) })
	m.each(func(i int, e *engine) {
		// An engine that is reached by an earlier URL, too, is read there.
		twice := slices.ContainsFunc(m.engines[:i], func(other *engine) bool { return other.id == e.id })
		if parts[i].err == nil && !twice {
			parts[i] = e.round(ctx, m.service)
		}
	})
	report := &Report{At: time.Now().UTC().Truncate(time.Millisecond), Services: []Service{}, Unread: []Unread{}}
	services, seen := map[string][]Container{}, map[string]bool{}
	for i, p := range parts {
		if p.err != nil {
			report.Unread = append(report.Unread, Unread{Engine: m.engines[i].client.URL(), Reason: p.err.Error()})
		}
		report.Unread = append(report.Unread, p.unread...)
		for service, containers := range p.services {
			services[service] = append(services[service], containers...)
		}
		if p.services != nil {
			report.machines = append(report.machines, m.engines[i].machine)
		}
		seen[m.engines[i].node] = true
	}
	report.Unread = append(report.Unread, m.uncovered(ctx, seen)...)
	slices.SortStableFunc(report.Unread, func(a, b Unread) int {
		return cmp.Or(strings.Compare(a.Engine, b.Engine), strings.Compare(a.Container, b.Container))
	})
	for _, name := range slices.Sorted(maps.Keys(services)) {
		report.Services = append(report.Services, together(name, services[name]))
	}
	return report
}

// part is what one engine contributes to a report.
type part struct {
	services map[string][]Container
	unread   []Unread
	err      error
}

// each runs f for all engines at once: a slow one delays no other.
func (m *Meter) each(f func(int, *engine)) {
	var wg sync.WaitGroup
	for i, e := range m.engines {
		wg.Go(func() { f(i, e) })
	}
	wg.Wait()
}

// identify learns which engine this is, once.
func (m *Meter) identify(ctx context.Context, e *engine) error {
	if e.id != "" {
		return nil
	}
	info, err := e.client.Info(ctx)
	if err != nil {
		return err
	}
	e.id, e.manager = info.ID, info.Swarm.Manager
	e.machine = machine{name: info.Name, node: info.Swarm.NodeID, cpus: info.CPUs, memory: info.Memory}
	if m.source != nil {
		e.source = m.source(e.client.URL())
	}
	return nil
}

// running is a container that is read.
type running struct{ id, name, service, short, task string }

// round reads the containers of one engine.
func (e *engine) round(ctx context.Context, service string) part {
	services := map[string]string{} // names that many containers have, held once
	once := func(name string) string {
		if services[name] == "" {
			services[name] = name
		}
		return services[name]
	}
	list, err := dockerapi.Containers(ctx, e.client, false, func(c dockerapi.Container) running {
		return running{
			id: c.ID, name: c.Name, service: once(serviceOf(c)), short: once(c.Labels["com.docker.compose.service"]),
			task: c.Labels["com.docker.swarm.task.id"],
		}
	})
	if err != nil {
		return part{err: err}
	}
	p := part{services: map[string][]Container{}}
	last := make(map[string]dockerapi.CPU, len(list))
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(calls)
	if e.slow {
		g.SetLimit(callsSlow)
	}
	var took time.Duration
	for _, c := range list {
		if service != "" && c.service != service && c.short != service && c.name != service {
			continue
		}
		g.Go(func() error {
			began := time.Now()
			s, err := e.client.ContainerStats(ctx, c.id)
			mu.Lock()
			defer mu.Unlock()
			took += time.Since(began)
			switch {
			case dockerapi.IsNotFound(err), err == nil && s.Read.IsZero():
				// It has ended since the list.
			case err != nil:
				p.unread = append(p.unread, Unread{Engine: e.client.URL(), Container: c.name, Reason: err.Error()})
			default:
				u := usage(s)
				if before, ok := e.last[c.id]; ok {
					u.CPUPercent = new(cpuPercent(before, s.CPU))
				}
				last[c.id] = s.CPU
				p.services[c.service] = append(p.services[c.service], Container{ID: c.id, Name: c.name, Engine: e.name, Usage: u, task: c.task})
			}
			return nil
		})
	}
	_ = g.Wait() // Errors are parts of the report.
	e.last = last
	e.slow = len(list) > 0 && took/time.Duration(len(list)) > slow
	return p
}

// uncovered returns the nodes of a Swarm whose engines have not answered, mostly
// since the configuration does not name them: managers do not know what tasks use.
func (m *Meter) uncovered(ctx context.Context, seen map[string]bool) []Unread {
	for _, e := range m.engines {
		if !e.manager {
			continue
		}
		nodes, _, err := e.client.NodeList(ctx, nil)
		if err != nil {
			continue // Another manager may know; one that is down is in the report.
		}
		var missing []Unread
		for _, n := range nodes {
			if !seen[n.ID] {
				missing = append(missing, Unread{Engine: n.Name, Reason: "a node of the Swarm, " + n.State + ", whose engine was not asked; name it with --docker"})
			}
		}
		return missing
	}
	return nil
}

// serviceOf names the service a container belongs to: the Swarm's, the one it names
// itself, Compose's, or the container alone.
func serviceOf(c dockerapi.Container) string {
	project, service := c.Labels["com.docker.compose.project"], c.Labels["com.docker.compose.service"]
	switch {
	case c.Labels["com.docker.swarm.service.name"] != "":
		return c.Labels["com.docker.swarm.service.name"]
	case c.Labels[catalog.ServiceLabel] != "":
		return c.Labels[catalog.ServiceLabel]
	case project != "" && service != "":
		return project + "-" + service
	default:
		return c.Name
	}
}

func usage(s dockerapi.Stats) Usage {
	return Usage{
		MemoryUsed: s.MemoryUsed, MemoryLimit: s.MemoryLimit,
		NetworkReceived: s.NetworkReceived, NetworkSent: s.NetworkSent,
		BlockRead: s.BlockRead, BlockWritten: s.BlockWritten,
	}
}

// add adds what another container uses. Limits are not added: most are the
// machine's memory.
func (u *Usage) add(more Usage) {
	if more.CPUPercent != nil {
		if u.CPUPercent == nil {
			u.CPUPercent = new(float64)
		}
		*u.CPUPercent += *more.CPUPercent
	}
	u.MemoryUsed += more.MemoryUsed
	u.NetworkReceived += more.NetworkReceived
	u.NetworkSent += more.NetworkSent
	u.BlockRead += more.BlockRead
	u.BlockWritten += more.BlockWritten
}

// together adds up the containers of a service.
func together(service string, containers []Container) Service {
	slices.SortFunc(containers, func(a, b Container) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	s := Service{Service: service, Containers: containers}
	for _, c := range containers {
		s.add(c.Usage)
	}
	return s
}

// cpuPercent returns the share of the CPUs used between two readings, in percent of
// one, as docker stats does; 0 when the container was started again in between.
func cpuPercent(before, after dockerapi.CPU) float64 {
	if after.Used <= before.Used || after.System <= before.System {
		return 0
	}
	return float64(after.Used-before.Used) / float64(after.System-before.System) * float64(after.Online) * 100
}
