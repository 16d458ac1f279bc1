package embedded

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"fairway/internal/engine/embedded/http3"
	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

// bindQUIC gives next the UDP socket on which a listener serves HTTP/3: the one that old has,
// or a new one, which is also in opened.
func (e *Engine) bindQUIC(ctx context.Context, old, next *liveTable, def route.Listener, conf *listenerConfig, opened []*listener) ([]*listener, error) {
	key := keyOf(route.Listener{Name: def.Name, Address: def.QUIC.Address})
	key.quic = true
	l, _ := old.listener(key)
	if l == nil {
		if before := e.draining[key]; before != nil { // its connections hold the address
			_ = before.Close()
			delete(e.draining, key)
		}
		l = &listener{engine: e, key: key, left: make(chan struct{})}
		var err error
		if l.quic, err = http3.Listen(ctx, def.QUIC.Address, l.overQUIC()); err != nil {
			return opened, err
		}
		opened = append(opened, l)
	}
	next.listeners[l] = conf
	conf.altSvc = http3.AltSvc(cmp.Or(def.QUIC.Port, l.quic.Addr().(*net.UDPAddr).Port))
	return opened, nil
}

func (l *listener) overQUIC() http3.Options {
	e := l.engine
	return http3.Options{
		Config: func(serverName string) *tls.Config {
			if conf := e.live.Load().listeners[l]; conf != nil {
				return conf.tls.QUIC(serverName)
			}
			return nil
		},
		Handler: http.HandlerFunc(l.serveHTTP), Admit: l.admitQUIC,
		HeadTime: e.opts.HeaderTimeout, Idle: e.opts.IdleTimeout, MaxHeaderBytes: maxHeaderBytes, Log: e.opts.Logger,
	}
}

// admitQUIC counts a connection of HTTP/3, or returns nil where there is no room.
func (l *listener) admitQUIC(c *http3.Conn) http3.Client {
	if conf := l.engine.live.Load().listeners[l]; conf != nil {
		if counted := l.admit(conf, c); counted != nil {
			return counted
		}
	}
	return nil
}

// Within is http3.Client's.
func (c *clientConn) Within(ctx context.Context) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// Busy is http3.Client's.
func (c *clientConn) Busy(busy bool) { c.listener.engine.room.set(c, !busy) }

// Ended is http3.Client's.
func (c *clientConn) Ended() { c.once.Do(c.forget) }

// now is the connection with the address that the client has now: one of HTTP/3 may move.
func (c *clientConn) now(remote string) *clientConn {
	addr := arrival.AddrOf(remote)
	if addr == c.peer {
		return c
	}
	moved := &clientConn{Conn: c.Conn, listener: c.listener, source: c.source}
	moved.setPeer(addr)
	return moved
}
