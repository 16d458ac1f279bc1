package dockerflow

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	peersKept     = 5 * time.Second // how long an address that was found is trusted
	peersPause    = time.Second     // between two rounds of look-ups that callers cause
	lookupsAtOnce = 8
)

type lookup = func(ctx context.Context, host string) ([]string, error)

// bounded returns a look-up of which lookupsAtOnce run at once; nil asks the system.
func bounded(resolve lookup) lookup {
	if resolve == nil {
		resolve = net.DefaultResolver.LookupHost
	}
	gate := make(chan struct{}, lookupsAtOnce)
	return func(ctx context.Context, host string) ([]string, error) {
		select {
		case gate <- struct{}{}:
			defer func() { <-gate }()
			return resolve(ctx, host)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// peers recognises programs by the addresses that DNS has for their names. A flood of calls
// causes one round of look-ups per second. A caller is turned away only by a round that
// answers its call, so that a replica that has just started is recognised.
type peers struct {
	names    []string
	lookup   lookup
	deadline time.Duration // of a round

	round singleflight.Group
	mu    sync.Mutex
	hosts []string // of the last round, with a port or without
	at    time.Time
}

// has reports whether a call comes directly from one of the peers.
func (p *peers) has(r *http.Request) bool {
	peer, ok := directPeer(r)
	if !ok || len(p.names) == 0 {
		return false
	}
	p.mu.Lock()
	hosts, at := p.hosts, p.at
	p.mu.Unlock()
	if time.Since(at) < peersKept && isAmong(peer, hosts) {
		return true
	}
	select {
	case result := <-p.round.DoChan("", p.find):
		return isAmong(peer, result.Val.([]string))
	case <-r.Context().Done():
		return false
	}
}

// find resolves all names, once the pause since the last round is over. Names that
// cannot be resolved have no addresses.
func (p *peers) find() (any, error) {
	p.mu.Lock()
	pause := peersPause - time.Since(p.at)
	p.mu.Unlock()
	time.Sleep(pause)
	ctx, cancel := context.WithTimeout(context.Background(), p.deadline)
	defer cancel()
	found := make([][]string, len(p.names))
	var lookups sync.WaitGroup
	for i, name := range p.names {
		lookups.Go(func() { found[i], _ = p.lookup(ctx, name) })
	}
	lookups.Wait()
	hosts := slices.Concat(found...)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts, p.at = hosts, time.Now()
	return hosts, nil
}

// directPeer is the address that a call comes from; none for one that may have been
// forwarded, or comes from this machine.
func directPeer(r *http.Request) (netip.Addr, bool) {
	for _, header := range []string{"X-Forwarded-For", "Forwarded", "Via"} {
		if r.Header.Get(header) != "" {
			return netip.Addr{}, false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || peer.Addr().IsLoopback() {
		return netip.Addr{}, false
	}
	return peer.Addr().Unmap(), true
}

// isAmong says whether one of the addresses, with a port or without, is the peer's.
func isAmong(peer netip.Addr, addresses []string) bool {
	return slices.ContainsFunc(addresses, func(address string) bool {
		if host, _, err := net.SplitHostPort(address); err == nil {
			address = host
		}
		addr, err := netip.ParseAddr(address)
		return err == nil && addr.Unmap() == peer
	})
}
