// Package server answers questions of DNS over UDP and TCP, out of the newest zone.
package server

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/api/names"
	"fairway/internal/catalog"
	"fairway/internal/dns"
	"fairway/internal/metrics"

	miekg "github.com/miekg/dns"
)

const (
	lookEvery     = 2 * time.Second // after new addresses of this machine
	foreignAtOnce = 1000
)

// Foreign looks up names of others. *forward.Forwarder is one.
type Foreign interface {
	// Lookup answers a question; nil for no answer.
	Lookup(ctx context.Context, question *miekg.Msg, client netip.Addr) *miekg.Msg
	// Resolvers says where it asks.
	Resolvers() []names.Resolver
	// Run does what it does beside questions until ctx ends.
	Run(ctx context.Context)
}

// Options are what New needs. Listen and Feed are required.
type Options struct {
	// Listen are addresses, ADDRESS:PORT; an address that is empty or unspecified stands for
	// every address of this machine, and "bridges" or "bridges:PORT" for those of Bridges.
	Listen   []string
	Settings dns.Settings
	Feed     *catalog.Feed
	// Foreign looks up names of others; nil refuses them.
	Foreign Foreign
	// Local returns the addresses of this machine with their networks; nil asks the system.
	// An empty answer is none: what was known stays.
	Local   func() []netip.Prefix
	Logger  *slog.Logger
	Metrics *metrics.Set
}

// Server answers questions over UDP and TCP.
type Server struct {
	o       Options
	wanted  []listen
	memo    atomic.Pointer[memo] // of the zone
	m       measures
	askers  clients
	rate    *rate
	sockets map[netip.AddrPort]*socket // Run's alone, once it runs, as failed
	failed  map[netip.AddrPort]string  // why an address is not bound
	foreign chan struct{}              // places for questions that are looked up elsewhere
	jobs    sync.WaitGroup
	ctx     context.Context // ends with Run
	cancel  context.CancelFunc

	mu      sync.Mutex
	clients map[netip.Addr]int // TCP connections of each
	total   int                // of all
	strange int                // of those who may not ask
	bound   []string
	unbound []string // failed, for people
}

// New binds the addresses that are there. An address that is named and cannot be bound is an
// error; of those that stand for several, one has to be bound.
func New(o Options) (*Server, error) {
	o.Settings.Complete()
	if err := o.Settings.Check(); err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	o.Logger = cmp.Or(o.Logger, slog.New(slog.DiscardHandler))
	if o.Local == nil {
		o.Local = systemAddresses
	}
	s := &Server{o: o, rate: newRate(), askers: clients{all: map[netip.Addr]client{}}, sockets: map[netip.AddrPort]*socket{}, clients: map[netip.Addr]int{}, foreign: make(chan struct{}, foreignAtOnce)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.m = newMeasures(o.Metrics, s)
	for _, text := range o.Listen {
		l, err := parseListen(text)
		if err != nil {
			return nil, fmt.Errorf("dns: %w", err)
		}
		s.wanted = append(s.wanted, l)
	}
	s.build(time.Now())
	if err := s.bind(); err != nil {
		s.Close()
		return nil, err
	}
	o.Logger.Info("dns is up", "addresses", s.Bound(), "zones", o.Settings.Zones)
	return s, nil
}

// State says how it is doing.
func (s *Server) State() names.Names {
	z := s.Zone()
	out := z.State()
	out.Clients = s.askers.list(z)
	s.mu.Lock()
	out.Listen, out.Unbound = s.bound, s.unbound
	s.mu.Unlock()
	if s.o.Foreign != nil {
		out.Resolvers = s.o.Foreign.Resolvers()
	}
	return out
}

// Names returns the names that are answered, as those of the zone.
func (s *Server) Names() []names.Name { return s.Zone().Names() }

// Explain says what is answered to a question, as that of the zone.
func (s *Server) Explain(name, qtype, client string) (names.NameExplanation, error) {
	return s.Zone().Explain(name, qtype, client)
}

// Close gives the addresses back. After Run has ended it does nothing.
func (s *Server) Close() {
	s.cancel()
	for _, k := range s.sockets {
		k.close()
	}
	s.jobs.Wait()
}

// Zone is what is answered now.
func (s *Server) Zone() *dns.Zone {
	if m := s.memo.Load(); m != nil {
		return m.zone
	}
	return nil
}

// Bound are the addresses that are listened on, sorted.
func (s *Server) Bound() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bound
}

// Run answers until ctx ends, and follows the snapshots and the addresses of this machine.
func (s *Server) Run(ctx context.Context) error {
	defer s.Close()
	if s.o.Foreign != nil {
		s.jobs.Go(func() { s.o.Foreign.Run(s.ctx) })
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		changed := s.o.Feed.Changed()
		s.build(time.Now())
		s.rebind()
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

// rebind is bind that says what has changed for the worse.
func (s *Server) rebind() {
	before := s.failed
	_ = s.bind() // in failed
	for at, why := range s.failed {
		if before[at] != why {
			s.o.Logger.Warn("an address for DNS cannot be bound", "address", at, "error", why)
		}
	}
}

// build makes the zone anew when the snapshot or the addresses of this machine changed.
func (s *Server) build(now time.Time) {
	snapshot, local, before := s.o.Feed.Newest(), s.o.Local(), s.Zone()
	if len(local) == 0 && before != nil {
		local = before.Local()
	}
	if before != nil && before.Of(snapshot, local) {
		return
	}
	began := time.Now()
	z := dns.Build(before, snapshot, s.o.Settings, local, now)
	s.memo.Store(newMemo(z))
	s.m.build.Set(time.Since(began).Seconds())
}

// systemAddresses asks the system.
func systemAddresses() (list []netip.Prefix) {
	all, _ := net.InterfaceAddrs() // an error leaves none
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
			list = append(list, netip.PrefixFrom(p.Addr().Unmap(), p.Bits()))
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return list
}
