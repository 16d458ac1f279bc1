package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/bucket"
	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/http3"
	"fairway/internal/engine/embedded/terminate"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

// listener is a bound socket with the server on it. It lives on from table to
// table for as long as its address is in them; the rest is its listenerConfig.
type listener struct {
	engine *Engine
	key    listenerKey
	socket net.Listener
	core   *http1.Server // of HTTP/1.1
	server *http.Server  // of HTTP/2
	quic   *http3.Server // of HTTP/3; then there is nothing of the three above
	open   atomic.Int64
	left   chan struct{} // closed when the listener left the table
}

// listenerKey is what makes two listeners the same socket: the address, and with
// port 0, which is another one each time, the name as well.
type listenerKey struct {
	address, name string
	quic          bool
}

func keyOf(def route.Listener) listenerKey {
	k := listenerKey{address: def.Address}
	if strings.HasSuffix(def.Address, ":0") {
		k.name = def.Name
	}
	return k
}

type listenerConfig struct {
	name    string
	trusted []netip.Prefix
	tls     *terminate.TLS // nil: in clear
	tcp     bool           // connections are passed through
	altSvc  string         // says where HTTP/3 is served; empty: nowhere
	proxied bool           // every connection begins with a PROXY protocol header
}

// listenerConfig makes the settings of a listener ready; before is what they were, or
// nil. Certificates are loaded.
func (e *Engine) listenerConfig(def route.Listener, before *listenerConfig) (*listenerConfig, error) {
	c := &listenerConfig{name: def.Name, tcp: def.TCP, proxied: def.ProxyProtocol}
	for _, p := range def.TrustedProxies {
		c.trusted = append(c.trusted, route.UnmappedPrefix(p))
	}
	switch {
	case !def.TLS:
	case before != nil && before.tls.IsOf(def):
		c.tls = before.tls
	default:
		var err error
		if c.tls, err = terminate.New(e.certs, def, e.opts.Automatic); err != nil {
			return nil, fmt.Errorf("listener %s: %w", def.Name, err)
		}
	}
	return c, nil
}

// listener returns the listener with the key and what the table says of it, or nil.
func (t *liveTable) listener(key listenerKey) (*listener, *listenerConfig) {
	for l, c := range t.listeners {
		if l.key == key {
			return l, c
		}
	}
	return nil, nil
}

// bind gives next the listeners for defs: those that old has, and new ones, which are
// also in opened and do not accept yet. An optional one that cannot be bound is in
// next.missing with the reason. After an error everything is as before.
func (e *Engine) bind(ctx context.Context, old, next *liveTable, defs []route.Listener) (opened []*listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range opened {
				err = errors.Join(err, l.close())
			}
		}
	}()
	seen := map[listenerKey]string{}
	config := net.ListenConfig{KeepAlive: 30 * time.Second}
	for _, def := range defs {
		key := keyOf(def)
		if other, ok := seen[key]; ok {
			return opened, fmt.Errorf("listeners %s and %s have the same address %s", other, def.Name, def.Address)
		}
		seen[key] = def.Name
		l, before := old.listener(key)
		conf, err := e.listenerConfig(def, before)
		if err != nil {
			return opened, err
		}
		if l == nil {
			socket, err := config.Listen(ctx, "tcp", def.Address)
			if err != nil && !def.Optional {
				return opened, fmt.Errorf("listener %s: %w", def.Name, err)
			}
			if err != nil {
				next.missing[def.Name] = err.Error()
				if old.missing[def.Name] != err.Error() {
					e.log.Warn("a listener that labels ask for cannot be bound, the rest is served", "listener", def.Name, "error", err)
				}
				continue
			}
			l = e.newListener(key, socket)
			opened = append(opened, l)
		}
		next.listeners[l] = conf
		if def.QUIC.Address == "" {
			continue
		}
		if opened, err = e.bindQUIC(ctx, old, next, def, conf, opened); err != nil {
			return opened, fmt.Errorf("listener %s, HTTP/3: %w", def.Name, err)
		}
	}
	return opened, nil
}

// close frees the address.
func (l *listener) close() error {
	if l.quic != nil {
		return l.quic.Close()
	}
	return l.socket.Close()
}

func (e *Engine) newListener(key listenerKey, socket net.Listener) *listener {
	l := &listener{engine: e, key: key, socket: socket, left: make(chan struct{})}
	l.core = http1.NewServer(http1.Limits{Head: maxHeaderBytes, HeadTime: e.opts.HeaderTimeout, Idle: e.opts.IdleTimeout}, l.serveExchange)
	l.server = &http.Server{
		Handler:                      http.HandlerFunc(l.serveHTTP),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            e.opts.HeaderTimeout, // the TLS handshake has the same limit
		IdleTimeout:                  e.opts.IdleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		ErrorLog:                     e.errorLog,
		BaseContext:                  func(net.Listener) context.Context { return e.ctx },
		ConnState:                    l.connState,
		ConnContext:                  withClientConn,
		Protocols:                    new(http.Protocols),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 100,
			SendPingTimeout:      30 * time.Second,
			PingTimeout:          15 * time.Second,
			WriteByteTimeout:     e.opts.WriteTimeout,
		},
	}
	l.server.Protocols.SetHTTP2(true)
	return l
}

func (e *Engine) serve(l *listener) {
	e.serving.Go(func() {
		if err := l.serve(); !errors.Is(err, net.ErrClosed) && e.ctx.Err() == nil {
			e.log.Error("listener failed", "address", l.key.address, "error", err)
		}
	})
}

// drain closes the listener and its idle connections, has running requests answered
// with "Connection: close", and cuts off what still runs when ctx ends. wg waits for
// that, and done is called at the end.
func (l *listener) drain(ctx context.Context, done func(), wg *sync.WaitGroup) {
	if l.quic != nil {
		l.quic.Drain()
	} else {
		// The socket is closed before drain returns, so that its address is free.
		_ = l.socket.Close()
		// Shutdown does it a moment later: every answer from here on closes its connection.
		l.server.SetKeepAlivesEnabled(false)
		l.core.Drain()
	}
	wg.Go(func() {
		defer done()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(l.engine.ctx, cancel)()
		if l.quic != nil {
			l.quic.Shutdown(ctx)
			return
		}
		if err := l.server.Shutdown(ctx); err != nil {
			_ = l.server.Close()
		}
		_ = l.core.Shutdown(ctx) // it has cut off what still ran
	})
}

func (l *listener) leave(wg *sync.WaitGroup) {
	close(l.left)
	if l.quic != nil {
		l.engine.draining[l.key] = l.quic
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.engine.opts.DrainLimit)
	l.drain(ctx, cancel, wg)
}

// accept waits for a connection, and has it served where it may be.
func (l *listener) accept() error {
	e := l.engine
	c, err := l.socket.Accept()
	if err != nil {
		return err
	}
	conf := e.live.Load().listeners[l]
	if conf == nil { // it has left
		return closed(c)
	}
	counted := l.admit(conf, c)
	if counted == nil {
		return closed(c)
	}
	if conf.tcp {
		e.room.set(counted, false)
		l.pass(conf, counted)
		return nil
	}
	if conf.proxied {
		expectProxy(counted, e.opts.HeaderTimeout)
	}
	if conf.tls != nil {
		e.serving.Go(func() { l.greet(counted, conf.tls.Config()) })
	} else {
		go l.serveHTTP1(counted, counted) // drain waits for it
	}
	return nil
}

// admit counts a connection, or returns nil where it may not be.
func (l *listener) admit(conf *listenerConfig, c net.Conn) *clientConn {
	e := l.engine
	peer := arrival.Peer{Addr: arrival.AddrOf(c.RemoteAddr().String()), Trusted: conf.trusted}
	trusted := peer.Trusts(peer.Addr)
	if conf.proxied && !trusted {
		e.meters.refused("proxy-protocol")
		return nil
	}
	if l.quic == nil {
		c = http1.NewLine(c)
	}
	counted := &clientConn{Conn: c, listener: l}
	counted.setPeer(peer.Addr)
	if !trusted {
		counted.source = bucket.SourceOf(counted.peer)
	}
	if reason := e.room.admit(counted); reason != "" {
		e.meters.refused(reason)
		return nil
	}
	l.open.Add(1)
	return counted
}

// closed closes a connection that is not served; that is no error of accepting.
func closed(c net.Conn) error {
	_ = c.Close()
	return nil
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
