package embedded

import (
	"bufio"
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/relay"
	"fairway/internal/engine/traffic"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

// tunnel is one connection of a client to a TCP listener, from accepting to the last
// byte. It is decided on like a request.
type tunnel struct {
	dispatch
	listener *listener
	conf     *listenerConfig
	conn     *clientConn
	client   endpoints // as the PROXY protocol has it, where it is spoken
	name     string    // the server name asked for, canonical
	tls      bool      // the connection begins like TLS

	early   *bufio.Reader
	in, out int64 // bytes from and to the client
	outcome traffic.Outcome
}

// endpoints are the two ends of a connection as its client sees them.
type endpoints struct{ from, to net.Addr }

// pass serves the connection of a TCP listener in a goroutine of its own.
func (l *listener) pass(conf *listenerConfig, c *clientConn) {
	e := l.engine
	e.running.Add(1)
	t := &tunnel{
		dispatch: dispatch{e: e, began: time.Now(), clock: http1.NewClock()},
		listener: l, conf: conf, conn: c, client: endpoints{c.RemoteAddr(), c.LocalAddr()},
	}
	go func() {
		defer e.running.done()
		defer c.Close()
		ctx, cancel := context.WithCancel(e.ctx)
		defer cancel()
		// Whatever the connection waits for ends with the engine.
		defer context.AfterFunc(ctx, func() { _ = c.Close() })()
		t.outcome = t.serve(ctx)
		t.end()
	}()
}

func (t *tunnel) serve(ctx context.Context) traffic.Outcome {
	t.live = t.e.live.Load()
	wanted := t.live.names[t.conf.name]
	if t.conf.proxied || wanted {
		size := 512 // for a PROXY protocol header
		if wanted {
			size = relay.MaxHello
		}
		t.early = bufio.NewReaderSize(t.conn, size)
	}
	if t.conf.proxied {
		var err error
		if t.client, err = readProxyHeader(t.conn, t.early, t.e.opts.HeaderTimeout, t.client); err != nil {
			t.e.meters.refused("proxy-protocol")
			t.e.log.Debug("PROXY protocol header refused", "listener", t.conf.name, "peer", t.conn.peer, "error", err)
			return traffic.NoHeader
		}
	}
	if wanted {
		t.name, t.tls = relay.ServerName(t.conn, t.early, t.e.opts.ServerNameTimeout)
	}
	t.q = &request{connection: true, Request: route.Request{
		Host: t.name, Path: "/", Client: arrival.AddrOf(t.client.from.String()), TLS: t.tls, Listener: t.conf.name,
	}}
	var a *answer
	t.route, a = t.live.decide(ctx, t.q)
	switch {
	case t.route == nil:
		return traffic.NoRoute
	case a != nil:
		return traffic.Refused
	}
	endpoint, err := t.connect(ctx)
	switch {
	case errors.Is(err, balance.ErrNoEndpoint):
		return traffic.NoEndpoint
	case errors.As(err, new(*answered)):
		return traffic.Refused
	case err != nil:
		t.reason = traffic.Reason(err, t.endpoint.Address(), "not reached")
		return traffic.Unreachable
	}
	return t.forward(ctx, endpoint)
}

// connect connects to an endpoint, and sends the PROXY protocol header that it expects.
func (t *tunnel) connect(ctx context.Context) (c net.Conn, err error) {
	t.clock.Waited() // for what the client says first, and the filters
	err = t.send(ctx, func(ep *balance.Endpoint) *failure {
		made, err := t.e.transports.of(ep, t.route.def, 0, false).dial(ctx)
		if err == nil {
			if err = t.greet(made); err == nil {
				c, t.taken = made, ep
				return nil
			}
			err = dialError(errors.Join(err, made.Close()))
		}
		return &failure{err: err, result: resultOfDial(err), unsent: true}
	})
	return c, err
}

func (t *tunnel) greet(c net.Conn) error {
	version := t.route.def.SendProxy
	if version == 0 {
		return nil
	}
	_ = c.SetWriteDeadline(time.Now().Add(t.e.opts.DialTimeout))
	defer c.SetWriteDeadline(time.Time{})
	_, err := proxyproto.HeaderProxyFromAddrs(byte(version), t.client.from, t.client.to).WriteTo(c)
	return err
}

// forward passes bytes in both directions until both have ended, nothing came
// for too long, or the drain limit is over.
func (t *tunnel) forward(ctx context.Context, endpoint net.Conn) traffic.Outcome {
	silent, expire := context.WithCancel(context.Background())
	defer expire()
	through := relay.NewIdleConn(endpoint, t.route.route.Idle, expire)
	counters := t.route.metrics
	ended := make(chan error, 2)
	var wg sync.WaitGroup
	wg.Go(func() {
		received := func(n int) {
			t.in += int64(n)
			counters.Passed(uint64(n), 0)
		}
		var err error
		if t.early != nil {
			// What was read to decide is the first to be sent.
			head, _ := t.early.Peek(t.early.Buffered())
			t.early = nil
			var n int
			n, err = through.Write(head)
			received(n)
			t.failed = err != nil
		}
		if err == nil {
			err = relay.Copy(through, t.conn, t.e.buffers, received)
		}
		ended <- err
	})
	wg.Go(func() {
		ended <- relay.Copy(t.conn, through, t.e.buffers, func(n int) {
			through.Touch()
			t.out += int64(n)
			counters.Passed(0, uint64(n))
		})
	})
	defer wg.Wait() // after both connections are closed
	defer through.Close()
	defer t.conn.Close()
	return t.watch(ctx, silent, ended)
}

// watch waits for the end of both directions, or that of silent. A connection whose
// endpoint or listener leaves may go on for the drain limit.
func (t *tunnel) watch(ctx, silent context.Context, ended <-chan error) traffic.Outcome {
	draining, left := t.endpoint.Draining(), (<-chan struct{})(t.listener.left)
	var limit <-chan time.Time
	drain := func() {
		if limit == nil {
			limit = time.After(t.e.opts.DrainLimit)
		}
	}
	for open := 2; ; {
		select {
		case err := <-ended:
			if open--; open == 0 || err != nil {
				return traffic.Closed
			}
		case <-silent.Done():
			return traffic.Idle
		case <-draining:
			draining = nil
			drain()
		case <-left:
			left = nil
			drain()
		case <-limit:
			return traffic.Cut
		case <-ctx.Done():
			return traffic.Cut
		}
	}
}

func (t *tunnel) end() {
	t.done(t.e.ctx)
	t.e.meters.of(t.route).Connected()
	t.e.logTunnel(t, time.Since(t.began))
}

// namesWanted returns the listeners of which a route asks for a server name. On others
// the endpoint may speak first.
func namesWanted(connections []*route.Route) map[string]bool {
	wanted := map[string]bool{}
	for _, r := range connections {
		for _, m := range r.Matches {
			asks := m.Host.Kind != route.HostAny
			var names []string
			for _, c := range m.Conditions {
				asks = asks || c.Kind == route.ConditionHost || c.Kind == route.ConditionHostRegexp
				if c.Kind == route.ConditionListener && !c.Not {
					names = append(names, c.Values...)
				}
			}
			for _, name := range names {
				wanted[name] = wanted[name] || asks
			}
		}
	}
	return wanted
}
