package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

// listener is a bound socket with the server on it. It lives on from table to
// table for as long as its address is in them; what else the table says of it is
// its listenerConfig.
type listener struct {
	engine *Engine
	key    listenerKey
	socket net.Listener
	server *http.Server
	open   atomic.Int64
	left   chan struct{} // closed when the listener left the table
}

// listenerKey is what makes two listeners the same socket: the address, and with
// port 0, which is another one each time, the name as well.
type listenerKey struct{ address, name string }

func keyOf(def route.Listener) listenerKey {
	k := listenerKey{address: def.Address}
	if portOf(def.Address) == "0" {
		k.name = def.Name
	}
	return k
}

type listenerConfig struct {
	name    string
	trusted []netip.Prefix
	tls     *listenerTLS // nil: in clear
	tcp     bool         // connections are passed through
	proxied bool         // every connection begins with a PROXY protocol header
}

// listenerConfigs makes the listeners' settings ready; certificates are loaded.
func (e *Engine) listenerConfigs(old *liveTable, defs []route.Listener) ([]*listenerConfig, error) {
	configs := make([]*listenerConfig, len(defs))
	seen := map[listenerKey]string{}
	for i, def := range defs {
		if other, ok := seen[keyOf(def)]; ok {
			return nil, fmt.Errorf("listeners %s and %s have the same address %s", other, def.Name, def.Address)
		}
		seen[keyOf(def)] = def.Name
		c := &listenerConfig{name: def.Name, tcp: def.TCP, proxied: def.ProxyProtocol}
		for _, p := range def.TrustedProxies {
			c.trusted = append(c.trusted, route.UnmappedPrefix(p))
		}
		if before := old.configFor(def); def.TLS && before != nil && before.tls.isOf(def) {
			c.tls = before.tls
		} else if def.TLS {
			var err error
			if c.tls, err = newListenerTLS(e.certs, def); err != nil {
				return nil, fmt.Errorf("listener %s: %w", def.Name, err)
			}
		}
		configs[i] = c
	}
	return configs, nil
}

// configFor returns what the table says of the listener at def's address, or nil.
func (t *liveTable) configFor(def route.Listener) *listenerConfig {
	if t == nil {
		return nil
	}
	for l, c := range t.listeners {
		if l.key == keyOf(def) {
			return c
		}
	}
	return nil
}

// bind returns the listeners for defs, in their order: those that old has, and
// new ones, which are also in opened and do not accept yet. An optional one that
// cannot be bound is nil, and in missing with the reason. After an error
// everything is as before.
func (e *Engine) bind(ctx context.Context, old *liveTable, defs []route.Listener) (all, opened []*listener, missing map[string]string, err error) {
	have := map[listenerKey]*listener{}
	known := map[string]string{}
	if old != nil {
		for l := range old.listeners {
			have[l.key] = l
		}
		known = old.missing
	}
	defer func() {
		if err != nil {
			for _, l := range opened {
				err = errors.Join(err, l.socket.Close())
			}
			all, opened, missing = nil, nil, nil
		}
	}()
	config := net.ListenConfig{KeepAlive: 30 * time.Second}
	for _, def := range defs {
		l := have[keyOf(def)]
		if l == nil {
			socket, err := config.Listen(ctx, "tcp", def.Address)
			switch {
			case err != nil && !def.Optional:
				return nil, opened, nil, fmt.Errorf("listener %s: %w", def.Name, err)
			case err != nil:
				if missing == nil {
					missing = map[string]string{}
				}
				missing[def.Name] = err.Error()
				if known[def.Name] != err.Error() {
					e.log.Warn("a listener that labels ask for cannot be bound, the rest is served", "listener", def.Name, "error", err)
				}
			default:
				l = e.newListener(keyOf(def), socket)
				opened = append(opened, l)
			}
		}
		all = append(all, l)
	}
	return all, opened, missing, nil
}

func (e *Engine) newListener(key listenerKey, socket net.Listener) *listener {
	l := &listener{engine: e, key: key, socket: socket, left: make(chan struct{})}
	l.server = &http.Server{
		Handler:                      http.HandlerFunc(l.serveHTTP),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            e.opts.HeaderTimeout, // the TLS handshake has the same limit
		IdleTimeout:                  e.opts.IdleTimeout,
		MaxHeaderBytes:               e.opts.MaxHeaderBytes,
		ErrorLog:                     e.errorLog,
		BaseContext:                  func(net.Listener) context.Context { return e.ctx },
		ConnState:                    l.connState,
		ConnContext:                  func(ctx context.Context, c net.Conn) context.Context { return withClientConn(ctx, c) },
		Protocols:                    new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 100,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     e.opts.WriteTimeout,
		},
	}
	l.server.Protocols.SetHTTP1(true)
	l.server.Protocols.SetHTTP2(true)
	l.server.Protocols.SetUnencryptedHTTP2(e.opts.H2C)
	return l
}

func (e *Engine) serve(l *listener) {
	e.serving.Go(func() {
		if err := l.server.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			e.log.Error("listener failed", "address", l.key.address, "error", err)
		}
	})
}

// drain closes the listener and its idle connections, has running requests answered
// with "Connection: close", and cuts off what still runs when ctx ends. wg waits for
// that, and done is called at the end.
func (l *listener) drain(ctx context.Context, done func(), wg *sync.WaitGroup) {
	// The socket is closed before drain returns, so that its address is free.
	_ = l.socket.Close()
	// Shutdown would see to it a moment later: every answer from here on says that
	// the connection closes.
	l.server.SetKeepAlivesEnabled(false)
	wg.Go(func() {
		defer done()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(l.engine.ctx, cancel)()
		if err := l.server.Shutdown(ctx); err != nil {
			_ = l.server.Close()
		}
	})
}

func (l *listener) leave(wg *sync.WaitGroup) {
	close(l.left)
	ctx, cancel := context.WithTimeout(context.Background(), l.engine.opts.DrainLimit)
	l.drain(ctx, cancel, wg)
}

// config returns what the live table says of the listener; nil when it left.
func (l *listener) config() *listenerConfig {
	return l.engine.live.Load().listeners[l]
}

// Accept waits for a connection that may be served, for the server, which does not get
// those that are passed through.
func (l *listener) Accept() (net.Conn, error) {
	e := l.engine
	for {
		c, err := l.socket.Accept()
		if err != nil {
			return nil, err
		}
		conf := l.config()
		if conf == nil {
			_ = c.Close()
			continue
		}
		if conf.proxied && !conf.trusts(c) {
			e.metrics.refused("proxy-protocol")
			_ = c.Close()
			continue
		}
		counted := &clientConn{Conn: c, listener: l, peer: addrOf(c.RemoteAddr().String())}
		if !conf.trusts(c) {
			counted.source = sourceOf(counted.peer)
		}
		if reason := e.room.enter(counted); reason != "" {
			e.metrics.refused(reason)
			_ = c.Close()
			continue
		}
		l.open.Add(1)
		if conf.tcp {
			e.room.set(counted, false)
			l.pass(conf, counted)
			continue
		}
		if conf.proxied {
			expectProxy(counted, e.opts.HeaderTimeout)
		}
		if conf.tls != nil {
			e.serving.Go(func() { l.greet(tls.Server(counted, conf.tls.config)) })
			continue
		}
		return newHeadConn(counted, counted), nil
	}
}

// Close and Addr make the listener a net.Listener.
func (l *listener) Close() error { return l.socket.Close() }

// Addr is the address the socket is bound to.
func (l *listener) Addr() net.Addr { return l.socket.Addr() }

func (c *listenerConfig) trusts(conn net.Conn) bool {
	p := arrival.Peer{Addr: addrOf(conn.RemoteAddr().String()), Trusted: c.trusted}
	return p.Trusts(p.Addr)
}

// connState is called by the server when the use of a connection changes.
func (l *listener) connState(conn net.Conn, state http.ConnState) {
	switch c := clientConnBelow(conn); state {
	case http.StateActive, http.StateHijacked:
		l.engine.room.set(c, false)
	case http.StateIdle:
		l.engine.room.set(c, true)
	case http.StateNew, http.StateClosed: // Accept and Close know
	}
}
