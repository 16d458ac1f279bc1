// Package resolve finds the addresses of endpoints that have a name, so that HAProxy looks
// none up.
package resolve

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"fairway/internal/clock"
	"fairway/internal/route"
)

// Resolver asks for the addresses of names again and again, and keeps an address while no
// answer comes. Any goroutine may call its methods.
type Resolver struct {
	log     *slog.Logger
	changed func() // called when an address has, from any goroutine
	lookup  Lookup

	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex
	known map[string]netip.Addr // by name; the zero address for those without one
}

// The measures of looking up.
const (
	resolveTimeout  = 2 * time.Second
	resolveInterval = 5 * time.Second
	resolveAtOnce   = 16
)

// Lookup finds the addresses of a name.
type Lookup func(ctx context.Context, host string) ([]netip.Addr, error)

// New returns a resolver that asks lookup until Close, and calls changed, from any goroutine, when an
// address has changed.
func New(log *slog.Logger, changed func(), lookup Lookup) *Resolver {
	r := &Resolver{
		log: log, changed: changed, lookup: lookup,
		known: map[string]netip.Addr{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.wg.Go(func() { r.run(ctx) })
	return r
}

// System asks as the system says.
func System(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// Close ends it.
func (r *Resolver) Close() {
	r.cancel()
	r.wg.Wait()
}

// Addresses are those of the names in a table, as far as they have one; new names are
// asked for first.
func (r *Resolver) Addresses(ctx context.Context, t *route.Table) map[string]netip.Addr {
	names := namesIn(t)
	r.mu.Lock()
	maps.DeleteFunc(r.known, func(host string, _ netip.Addr) bool { return !names[host] })
	maps.DeleteFunc(names, func(host string, _ bool) bool { _, ok := r.known[host]; return ok })
	r.mu.Unlock()
	r.ask(ctx, slices.Collect(maps.Keys(names)))
	r.mu.Lock()
	defer r.mu.Unlock()
	addresses := maps.Clone(r.known)
	maps.DeleteFunc(addresses, func(_ string, a netip.Addr) bool { return !a.IsValid() })
	return addresses
}

// run asks for all names again and again.
func (r *Resolver) run(ctx context.Context) {
	for clock.Sleep(ctx, resolveInterval) == nil {
		r.mu.Lock()
		hosts := slices.Collect(maps.Keys(r.known))
		r.mu.Unlock()
		if r.ask(ctx, hosts) {
			r.changed()
		}
	}
}

// ask looks names up, some at a time, and says whether an address has changed.
func (r *Resolver) ask(ctx context.Context, hosts []string) (changed bool) {
	slots := make(chan struct{}, resolveAtOnce)
	var wg sync.WaitGroup
	for _, host := range hosts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
			defer cancel()
			found, err := r.lookup(ctx, host)
			r.mu.Lock()
			defer r.mu.Unlock()
			changed = r.learn(host, found, err) || changed
		})
	}
	wg.Wait()
	return changed
}

// learn notes what came of looking a name up. An address that is still among those
// found is kept; else it is the lowest, IPv4 first.
func (r *Resolver) learn(host string, found []netip.Addr, err error) (changed bool) {
	before, known := r.known[host]
	if err != nil || len(found) == 0 {
		if !known {
			r.known[host] = netip.Addr{}
			r.log.Warn("the name of an endpoint has no address", "name", host, "error", err)
		}
		return false
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	if slices.Contains(found, before) {
		return false
	}
	r.known[host] = slices.MinFunc(found, netip.Addr.Compare)
	return true
}

// namesIn are the names that endpoints of a table have in place of IP addresses.
func namesIn(t *route.Table) map[string]bool {
	names := map[string]bool{}
	for _, b := range t.Backends {
		for i := range b.Endpoints {
			host, _, err := net.SplitHostPort(b.Endpoints[i].Address)
			if _, notIP := netip.ParseAddr(host); err == nil && host != "" && notIP != nil {
				names[host] = true
			}
		}
	}
	return names
}
