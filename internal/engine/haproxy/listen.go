package haproxy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"fairway/internal/clock"
	"fairway/internal/engine/haproxy/binary"
	"fairway/internal/engine/haproxy/handshake"
	"fairway/internal/engine/haproxy/plan"
	"fairway/internal/engine/haproxy/quote"
	"fairway/internal/engine/haproxy/render"
	"fairway/internal/engine/users"
	"fairway/internal/route"
)

// prepare renders a table and plans the way to it, without optional listeners whose
// address is taken: they are missing, with the reason.
func (e *Engine) prepare(ctx context.Context, t *route.Table) (target, plan.Plan, map[string]string, error) {
	missing := map[string]string{}
	for _, l := range t.Listeners {
		if why, ok := e.missing[l.Name]; ok && l.Optional {
			missing[l.Name] = why // supervise tries it again
		}
	}
	addresses := e.resolver.Addresses(ctx, t)
	waiting := e.gates.closed(t, addresses)
	for {
		next, err := e.render(t, missing, waiting, addresses)
		if err != nil {
			return target{}, plan.Plan{}, nil, err
		}
		var previous render.Structure
		if e.target.Config != nil {
			previous = e.target.Config.Structure
		}
		p := plan.New(e.worker, previous, next.Target)
		if p.Reload == "" {
			return next, p, missing, nil
		}
		taken, err := e.taken(ctx, t, next.Config)
		if err != nil && time.Since(e.ended) < endsWithin && clock.Sleep(ctx, lookAgain) == nil {
			continue // a worker of the HAProxy that has ended still holds it
		}
		if err != nil {
			return target{}, plan.Plan{}, nil, err
		}
		if len(taken) == 0 {
			return next, p, missing, nil
		}
		maps.Copy(missing, taken)
	}
}

// The time that a worker may need to end after its master, and between two looks.
const (
	endsWithin = 3 * time.Second
	lookAgain  = 50 * time.Millisecond
)

// free waits until the addresses of a configuration are, after HAProxy has ended.
func (e *Engine) free(ctx context.Context, c *render.Config) {
	wanted := binary.Binds(string(c.Text), nil)
	for time.Since(e.ended) < endsWithin {
		conflicts, err := binary.Taken(ctx, binary.TakenOptions{Wanted: wanted})
		if err != nil || len(conflicts) == 0 || clock.Sleep(ctx, lookAgain) != nil {
			return
		}
	}
}

// render renders a table with the surroundings as they are.
func (e *Engine) render(t *route.Table, missing map[string]string, waiting map[render.EndpointID]bool, addresses map[string]netip.Addr) (target, error) {
	o := e.surroundings()
	o.Waiting, o.Addresses = waiting, addresses
	o.Leave = make(map[string]bool, len(missing))
	for name := range missing {
		o.Leave[name] = true
	}
	var err error
	if o.Bind, err = e.binds(t); err != nil {
		return target{}, err
	}
	o.Resting = e.resting()
	o.Pages = e.opts.Pages.Sets()
	inFiles := e.users.Contents()
	o.UserFile = func(a *route.BasicAuth) ([]route.User, bool) {
		if c := inFiles[users.NameOf(a)]; c != nil && c.Err == nil {
			return c.Users, true
		}
		return nil, false
	}
	next := target{Target: plan.Target{Files: map[string]string{}}}
	if o.Authorities, next.contents, err = handshake.Authorities(e.certs, e.opts.Dir, t.Listeners); err != nil {
		return target{}, err
	}
	for path, data := range next.contents {
		next.Files[path] = digest(data)
	}
	if next.Config, err = render.Render(t, e.target.Config, o); err != nil {
		return target{}, err
	}
	if next.Pairs, err = e.pairsOf(next.Config.CertLists); err == nil {
		next.fixLists(t, o.Authorities)
	}
	return next, err
}

// fixLists adds the lists of certificates that have options, which HAProxy reads as a whole.
func (t *target) fixLists(table *route.Table, authorities map[string]string) {
	for _, list := range t.Config.CertLists {
		i := slices.IndexFunc(table.Listeners, func(l route.Listener) bool { return l.Name == list.Listener })
		if !list.Fixed || i < 0 {
			continue
		}
		var pairs []handshake.Pair
		for _, c := range list.Certificates {
			pairs = append(pairs, handshake.Pair{Path: c.Path, Host: c.Pair.Host, Names: t.Pairs[c.Path].Names})
		}
		data := handshake.List(&table.Listeners[i], pairs, authorities)
		t.contents[list.Path], t.Files[list.Path] = data, digest(data)
	}
}

// surroundings are those of every configuration.
func (e *Engine) surroundings() render.Options {
	o := e.opts.Render
	o.Dir, o.AdminSocket, o.IPv6 = e.opts.Dir, e.opts.AdminSocket, e.ipv6
	o.LogSocket, o.AccessLog = e.linesSocket(), e.opts.AccessLog != nil
	return o
}

// binds are the ports for listeners whose port is 0. One is chosen once, and kept.
func (e *Engine) binds(t *route.Table) (map[string]netip.AddrPort, error) {
	binds := map[string]netip.AddrPort{}
	for _, l := range t.Listeners {
		if portOf(l.Address) != "0" {
			continue
		}
		if _, ok := e.ports[l.Name]; !ok {
			port, err := freePort(l.Address)
			if err != nil {
				return nil, fmt.Errorf("listener %s: %w", l.Name, err)
			}
			e.ports[l.Name] = port
		}
		binds[l.Name] = e.ports[l.Name]
	}
	return binds, nil
}

// freePort chooses a port for an address that ends in ":0", outside of the range from
// which systems take those of connections.
func freePort(address string) (netip.AddrPort, error) {
	const first, ports, tries = 20_000, 12_000, 100
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return netip.AddrPort{}, err
	}
	addr := netip.IPv6Unspecified()
	if host != "" {
		if addr, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, fmt.Errorf("port 0 needs an IP address, not %q", host)
		}
	}
	for range tries {
		port := netip.AddrPortFrom(addr, uint16(first+rand.IntN(ports))) //nolint:gosec // within 16 bits; no secret
		l, err2 := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(int(port.Port()))))
		if err2 == nil {
			return port, l.Close()
		}
		err = err2
	}
	return netip.AddrPort{}, fmt.Errorf("no free port: %w", err)
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// taken looks for addresses that HAProxy could not bind, before it does. Optional
// listeners are returned with the reason; any other is an error.
func (e *Engine) taken(ctx context.Context, t *route.Table, c *render.Config) (map[string]string, error) {
	o := binary.TakenOptions{Wanted: binary.Binds(string(c.Text), nil)}
	if e.proc != nil {
		o.Pids = e.proc.Pids(ctx)
		if l := e.live.Load(); l != nil {
			o.Held = binary.Binds(string(l.config.Text), nil)
		}
	}
	conflicts, err := binary.Taken(ctx, o)
	if err != nil {
		return nil, err
	}
	var failed []error
	optional := map[string]string{}
	for _, conflict := range conflicts {
		_, frontend, _ := strings.Cut(conflict.Bind.Section, " ")
		name := quote.Listener(frontend)
		i := slices.IndexFunc(t.Listeners, func(l route.Listener) bool { return l.Name == name })
		switch {
		case i >= 0 && t.Listeners[i].Optional:
			optional[name] = conflict.Reason
		case i >= 0:
			failed = append(failed, fmt.Errorf("listener %s: %w", name, &net.OpError{
				Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(conflict.Bind.Address), Err: errors.New("cannot be bound: " + conflict.Reason),
			}))
		default:
			failed = append(failed, fmt.Errorf("%s cannot be bound: %s", conflict.Bind, conflict.Reason))
		}
	}
	return optional, errors.Join(failed...)
}

// logMissing logs which listeners are left out, each once.
func (e *Engine) logMissing(missing map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if _, known := e.missing[name]; !known {
			e.log.Warn("a listener that labels ask for cannot be bound, the rest is served", "listener", name, "error", missing[name])
		}
	}
}

// addresses are where the listeners of a table are bound.
func (e *Engine) addresses(t *route.Table) map[string]net.Addr {
	addrs := map[string]net.Addr{}
	for _, l := range t.Listeners {
		if _, gone := e.missing[l.Name]; gone {
			continue
		}
		if port, ok := e.ports[l.Name]; ok && portOf(l.Address) == "0" {
			addrs[l.Name] = net.TCPAddrFromAddrPort(port)
		} else if addr, err := net.ResolveTCPAddr("tcp", l.Address); err == nil {
			addrs[l.Name] = addr
		}
	}
	return addrs
}

// retryMissing says whether something can be bound that could not be.
func (e *Engine) retryMissing() (can bool) {
	for _, l := range e.table.Listeners {
		if _, ok := e.missing[l.Name]; !ok {
			continue
		}
		if socket, err := net.Listen("tcp", l.Address); err == nil {
			_ = socket.Close()
			delete(e.missing, l.Name)
			can = true
		}
	}
	return can
}
