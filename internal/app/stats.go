package app

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"fairway/internal/dockerapi"
)

const (
	// statsCalls is how many containers of one engine are asked about at once. An
	// engine that takes longer than statsSlow for each, as 20.10 does, which
	// answers at the next tick of its own second whatever there is to do, is asked
	// about statsCallsSlow.
	statsCalls     = 8
	statsCallsSlow = 64
	statsSlow      = 400 * time.Millisecond
	// statsTimeout is the deadline of each call to an engine.
	statsTimeout = 5 * time.Second
	// statsGap is the time between the two readings that a share of the CPUs needs.
	statsGap = time.Second
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

// ContainerUsage is what one container uses.
type ContainerUsage struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Engine is the name of the machine it runs on.
	Engine string `json:"engine"`
	Usage

	task string // of the Swarm, by ID; empty for a container that is none's
}

// ServiceUsage is what the containers of one service use together, on all
// engines. Containers that belong to no service are services of their own.
type ServiceUsage struct {
	Service string `json:"service"`
	Usage
	// Containers are sorted by name.
	Containers []ContainerUsage `json:"containers"`
}

// Unread is a part of the world that a report says nothing about.
type Unread struct {
	// Engine is an engine's URL or a node's name, and Container a container there
	// when only that one could not be read.
	Engine    string `json:"engine"`
	Container string `json:"container,omitempty"`
	Reason    string `json:"reason"`
}

// UsageReport is what runs and what it uses, at one moment.
type UsageReport struct {
	At time.Time `json:"at"`
	// Services are sorted by name.
	Services []ServiceUsage `json:"services"`
	// Unread is sorted by engine. It is empty when everything could be read.
	Unread []Unread `json:"unread"`

	machines []machine // those that answered
}

// machine is where an engine runs.
type machine struct {
	name   string // as in ContainerUsage.Engine
	source string // the name that a source of this engine has
	node   string // its node ID in a Swarm; empty outside
	cpus   int
	memory uint64 // in bytes
}

// Meter reads what the containers on the engines of a configuration use. Its
// methods are for one goroutine.
type Meter struct {
	engines []*meteredEngine
	service string
	gap     time.Duration
	read    bool
}

// meteredEngine is one engine of the configuration.
type meteredEngine struct {
	client  *dockerapi.Client
	id      string // of the engine; empty until it has answered
	name    string // of the machine
	node    string // the engine's node ID in a Swarm
	manager bool
	machine machine
	slow    bool                     // it was in the last round
	last    map[string]dockerapi.CPU // the newest reading by container
}

// NewMeter returns a meter for the engines that cfg names, managers of a Swarm
// among them. Not empty, service restricts it to the containers of the service of
// that name or ID.
func NewMeter(cfg Config, environ []string, service string) (*Meter, error) {
	m := &Meter{gap: statsGap}
	m.service, _, _ = strings.Cut(service, "@")
	clients, err := newClients(&cfg, environ, slices.Concat(cfg.Docker, cfg.Swarm), statsTimeout)
	if err != nil {
		return nil, err
	}
	for _, c := range clients {
		m.engines = append(m.engines, &meteredEngine{client: c, last: map[string]dockerapi.CPU{}})
	}
	return m, nil
}

// newClients makes a client for each of the URLs; one that is there twice counts
// once.
func newClients(cfg *Config, environ, urls []string, timeout time.Duration) ([]*dockerapi.Client, error) {
	env := environment(environ)
	var clients []*dockerapi.Client
	for i, u := range urls {
		if slices.Contains(urls[:i], u) {
			continue
		}
		o := dockerOptions(u, cfg, env)
		o.Timeout = timeout
		c, err := dockerapi.New(o)
		if err != nil {
			for _, c := range clients {
				c.Close()
			}
			return nil, err
		}
		clients = append(clients, c)
	}
	return clients, nil
}

// Close drops the connections.
func (m *Meter) Close() {
	for _, e := range m.engines {
		e.client.Close()
	}
}

// Read reads every container that runs. The first time it reads twice, a second
// apart, since the share of the CPUs is the difference of two readings. An engine
// that does not answer is told of in the report; the error is that of ctx alone.
func (m *Meter) Read(ctx context.Context) (*UsageReport, error) {
	if !m.read {
		m.round(ctx)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(m.gap):
		}
		m.read = true
	}
	report := m.round(ctx)
	return report, ctx.Err()
}

// round reads every container once.
func (m *Meter) round(ctx context.Context) *UsageReport {
	parts := make([]part, len(m.engines))
	m.each(func(i int, e *meteredEngine) { parts[i].err = e.greet(ctx) })
	seen := map[string]bool{}
	m.each(func(i int, e *meteredEngine) {
		if parts[i].err == nil && e.first(m.engines[:i]) {
			parts[i] = e.round(ctx, m.service)
		}
	})
	report := &UsageReport{At: time.Now().UTC().Truncate(time.Millisecond), Services: []ServiceUsage{}, Unread: []Unread{}}
	services := map[string][]ContainerUsage{}
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
	services map[string][]ContainerUsage
	unread   []Unread
	err      error
}

// each runs f for all engines at once: they are machines of their own, and a slow
// one delays nobody else.
func (m *Meter) each(f func(int, *meteredEngine)) {
	var wg sync.WaitGroup
	for i, e := range m.engines {
		wg.Go(func() { f(i, e) })
	}
	wg.Wait()
}

// greet learns who the engine is, once.
func (e *meteredEngine) greet(ctx context.Context) error {
	if e.id != "" {
		return nil
	}
	info, err := e.client.Info(ctx)
	if err != nil {
		return err
	}
	part, err := e.client.SwarmInfo(ctx)
	if err != nil {
		return err
	}
	e.id, e.name, e.node, e.manager = info.ID, info.Name, part.NodeID, part.Manager
	e.machine = machine{name: info.Name, source: dockerSourceName(e.client.URL()), node: part.NodeID, cpus: info.CPUs, memory: info.Memory}
	return nil
}

// first is false for an engine that is reached by an earlier URL, too.
func (e *meteredEngine) first(earlier []*meteredEngine) bool {
	return !slices.ContainsFunc(earlier, func(other *meteredEngine) bool { return other.id == e.id })
}

// round reads the containers of one engine.
func (e *meteredEngine) round(ctx context.Context, service string) part {
	list, err := e.client.ContainerList(ctx, false)
	if err != nil {
		return part{err: err}
	}
	p := part{services: map[string][]ContainerUsage{}}
	last := make(map[string]dockerapi.CPU, len(list))
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(statsCalls)
	if e.slow {
		g.SetLimit(statsCallsSlow)
	}
	var took time.Duration
	for _, c := range list {
		name := usedBy(c)
		if service != "" && name != service {
			continue
		}
		g.Go(func() error {
			began := time.Now()
			s, err := e.client.ContainerStats(ctx, c.ID)
			mu.Lock()
			defer mu.Unlock()
			took += time.Since(began)
			switch {
			case dockerapi.IsNotFound(err), err == nil && s.Read.IsZero():
				// It has ended since the list.
			case err != nil:
				p.unread = append(p.unread, Unread{Engine: e.client.URL(), Container: c.Name, Reason: err.Error()})
			default:
				u := usage(s)
				if before, ok := e.last[c.ID]; ok {
					u.CPUPercent = new(CPUPercent(before, s.CPU))
				}
				last[c.ID] = s.CPU
				p.services[name] = append(p.services[name], ContainerUsage{
					ID: c.ID, Name: c.Name, Engine: e.name, Usage: u, task: c.Labels["com.docker.swarm.task.id"],
				})
			}
			return nil
		})
	}
	_ = g.Wait() // Errors are parts of the report.
	e.last = last
	e.slow = len(list) > 0 && took/time.Duration(len(list)) > statsSlow
	return p
}

// uncovered tells of the nodes of a Swarm whose engines have not answered,
// mostly since the configuration does not name them: a manager knows their tasks, but not what these use.
func (m *Meter) uncovered(ctx context.Context, seen map[string]bool) []Unread {
	for _, e := range m.engines {
		if !e.manager {
			continue
		}
		nodes, _, err := e.client.NodeList(ctx, nil)
		if err != nil {
			continue // Another manager may know; if it is down that is told already.
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

// usedBy names the service a container belongs to: the Swarm's, the one it names
// itself, Compose's, or the container alone.
func usedBy(c dockerapi.Container) string {
	project, service := c.Labels["com.docker.compose.project"], c.Labels["com.docker.compose.service"]
	switch {
	case c.Labels["com.docker.swarm.service.name"] != "":
		return c.Labels["com.docker.swarm.service.name"]
	case c.Labels["fairway.service"] != "":
		return c.Labels["fairway.service"]
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

// together adds up the containers of a service. Limits are not added: most are
// the machine's memory.
func together(service string, containers []ContainerUsage) ServiceUsage {
	slices.SortFunc(containers, func(a, b ContainerUsage) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
	s := ServiceUsage{Service: service, Containers: containers}
	for _, c := range containers {
		if c.CPUPercent != nil {
			if s.CPUPercent == nil {
				s.CPUPercent = new(float64)
			}
			*s.CPUPercent += *c.CPUPercent
		}
		s.MemoryUsed += c.MemoryUsed
		s.NetworkReceived += c.NetworkReceived
		s.NetworkSent += c.NetworkSent
		s.BlockRead += c.BlockRead
		s.BlockWritten += c.BlockWritten
	}
	return s
}

// CPUPercent returns the share of the CPUs used between two readings, as docker
// stats computes it: the container's time over the time of all CPUs, times the
// number of CPUs, in percent of one. It is 0 when no time has passed or the
// container was started anew in between.
func CPUPercent(before, after dockerapi.CPU) float64 {
	if after.Used <= before.Used || after.System <= before.System {
		return 0
	}
	return float64(after.Used-before.Used) / float64(after.System-before.System) * float64(after.Online) * 100
}
