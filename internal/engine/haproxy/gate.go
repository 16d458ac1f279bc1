package haproxy

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"sync"

	"fairway/internal/clock"
	"fairway/internal/engine/haproxy/plan"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/haproxy/socket"
	"fairway/internal/engine/probe"
	"fairway/internal/route"
)

// gates keep endpoints with an active check waiting until one has passed, also in what
// is rendered: HAProxy sends requests to a new server before its first check. From then
// on the checks are HAProxy's.
type gates struct {
	log    *slog.Logger
	passed func() // called when an endpoint has, from any goroutine

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	slots  chan struct{} // one for each probe under way

	mu     sync.Mutex
	open   map[gate]bool
	probes map[gate]probing
}

// probing is a probe that runs, and the backend whose check it asks.
type probing struct {
	backend *route.Backend
	cancel  context.CancelFunc
}

// asks reports whether the probe asks what the check of b does.
func (p probing) asks(b *route.Backend) bool {
	old := p.backend
	sameTLS := old.TLS == b.TLS || old.TLS != nil && b.TLS != nil && *old.TLS == *b.TLS
	return sameTLS && old.Scheme == b.Scheme && old.Health.Equal(b.Health)
}

// gate is an endpoint at an address.
type gate struct{ backend, endpoint, address string }

const maxProbes = 256 // at the same time

func newGates(log *slog.Logger, passed func()) *gates {
	g := &gates{
		log: log, passed: passed, slots: make(chan struct{}, maxProbes),
		open: map[gate]bool{}, probes: map[gate]probing{},
	}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	return g
}

func (g *gates) close() {
	g.cancel()
	g.wg.Wait()
}

// gatesOf are the gates of a backend: of its ready endpoints, when it has a check.
func gatesOf(b *route.Backend) []gate {
	if b.Health == nil {
		return nil
	}
	var list []gate
	for _, e := range b.Endpoints {
		if e.State == route.EndpointReady {
			list = append(list, gate{b.ID, e.ID, e.Address})
		}
	}
	return list
}

// learn opens the gates of endpoints that were in use without a check: one that is
// new to their backend must first fail to take them out.
func (g *gates) learn(before, t *route.Table) {
	if before == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, b := range t.Backends {
		old := before.Backend(b.ID)
		if b.Health == nil || old == nil || old.Health != nil {
			continue
		}
		for _, e := range old.Endpoints {
			if e.State == route.EndpointReady {
				g.open[gate{b.ID, e.ID, e.Address}] = true
			}
		}
	}
}

// trust opens the gates of servers in use, which have IP addresses in place of names.
func (g *gates) trust(c *render.Config, w *plan.Worker) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range c.Sections {
		s := &c.Sections[i]
		for _, sv := range s.Servers {
			if w.Servers[s.Name][sv.Name].State == socket.StateReady {
				g.open[gate{s.Backend, sv.Endpoint, sv.Address.String()}] = true
			}
		}
	}
}

// closed are the endpoints behind a closed gate; addresses are those of their names.
func (g *gates) closed(t *route.Table, addresses map[string]netip.Addr) map[render.EndpointID]bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	closed := map[render.EndpointID]bool{}
	for _, b := range t.Backends {
		for _, x := range gatesOf(b) {
			found := x // where it is found, for one with a name
			if host, port, err := net.SplitHostPort(x.address); err == nil && addresses[host].IsValid() {
				found.address = net.JoinHostPort(addresses[host].String(), port)
			}
			if g.open[found] {
				g.open[x] = true
			}
			if !g.open[x] {
				closed[render.EndpointID{Backend: x.backend, Endpoint: x.endpoint}] = true
			}
		}
	}
	return closed
}

// watch probes behind closed gates, and forgets those of endpoints that are not ready.
func (g *gates) watch(t *route.Table) {
	g.mu.Lock()
	defer g.mu.Unlock()
	wanted := map[gate]bool{}
	for _, b := range t.Backends {
		for _, x := range gatesOf(b) {
			wanted[x] = true
			p, probed := g.probes[x]
			if probed && !p.asks(b) {
				p.cancel()
				probed = false
			}
			if !g.open[x] && !probed && g.ctx.Err() == nil {
				ctx, cancel := context.WithCancel(g.ctx)
				g.probes[x] = probing{b, cancel}
				g.wg.Go(func() { g.probe(ctx, x, b) })
			}
		}
	}
	for x, p := range g.probes {
		if !wanted[x] {
			p.cancel()
			delete(g.probes, x)
		}
	}
	maps.DeleteFunc(g.open, func(x gate, _ bool) bool { return !wanted[x] })
}

// probe tries an endpoint until it passes.
func (g *gates) probe(ctx context.Context, x gate, b *route.Backend) {
	log := g.log.With("backend", x.backend, "endpoint", x.endpoint, "address", x.address)
	timeout, next := probe.Timeout(b.Health), probe.First(b.Health)
	for first := true; ; first = false {
		if clock.Sleep(ctx, next) != nil {
			return
		}
		next = probe.Next(b.Health, 1) // soon, until one passes
		select {
		case g.slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		asking, cancel := context.WithTimeout(ctx, timeout)
		err := probe.Endpoint(asking, b, x.address)
		cancel()
		<-g.slots
		if err == nil {
			break
		}
		if first && ctx.Err() == nil {
			log.Warn("endpoint fails its check", "error", err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	log.Info("endpoint passes its check")
	g.open[x] = true
	g.probes[x].cancel() // it is over
	delete(g.probes, x)
	g.passed()
}
