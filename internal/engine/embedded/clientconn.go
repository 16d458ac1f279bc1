package embedded

import (
	"container/ring"
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/http1"
	"fairway/internal/engine/embedded/relay"
)

// clientConn is a connection of a client, which is counted while it is open.
type clientConn struct {
	net.Conn
	listener *listener
	source   netip.Addr // what the client is counted as; the zero Addr where it is not bounded
	peer     netip.Addr
	once     sync.Once
	state    *tls.ConnectionState // of HTTP/1.1 over TLS
	text     string               // of peer
	// finished is true when no further request may be read, because the client may
	// still send the body of the last one.
	finished atomic.Bool

	counted          bool      // by the room; this and the rings are the room's
	inRoom, inSource ring.Ring // among what is idle
}

// setPeer notes who is at the other end.
func (c *clientConn) setPeer(addr netip.Addr) { c.peer, c.text = addr, addr.String() }

// connKey is the context key of a request's connection.
type connKey struct{}

func withClientConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, clientConnBelow(c))
}

// clientConnBelow is the connection that was accepted, in clear or below TLS.
func clientConnBelow(c net.Conn) *clientConn {
	if secure, ok := c.(*tls.Conn); ok {
		c = secure.NetConn()
	}
	return c.(*clientConn)
}

// Close also ends the counting. What the client may still send on closes later: see linger.
func (c *clientConn) Close() error {
	lingers := false
	c.once.Do(func() {
		if lingers = c.finished.Load(); lingers {
			c.listener.engine.lingering.Go(c.linger)
		} else {
			c.forget()
		}
	})
	if lingers {
		return nil
	}
	return c.Conn.Close()
}

func (c *clientConn) forget() {
	c.listener.open.Add(-1)
	c.listener.engine.room.exit(c)
}

// How long a client may go on sending after its answer, and pause meanwhile, as in nginx.
const (
	lingerLimit = 30 * time.Second
	lingerPause = 5 * time.Second
	// lingerMemory is what each reads with: many may be slow at once.
	lingerMemory = 4 << 10
)

// linger reads what the client still sends, for nothing, until it closes its side: a
// reset can overtake the answer (RFC 9112, 9.6).
func (c *clientConn) linger() {
	e := c.listener.engine
	e.room.set(c, true) // it may be closed where there is no room for others
	defer c.forget()
	defer c.Conn.Close()
	defer context.AfterFunc(e.ctx, func() { _ = c.Conn.Close() })()
	if c.CloseWrite() != nil {
		return
	}
	buf := make([]byte, lingerMemory)
	for end := time.Now().Add(lingerLimit); time.Now().Before(end); {
		_ = c.Conn.SetReadDeadline(time.Now().Add(lingerPause))
		if _, err := c.Conn.Read(buf); err != nil {
			return
		}
	}
}

// Line is what is read from, or nil where something else reads from it.
func (c *clientConn) Line() *http1.Line {
	line, _ := c.Conn.(*http1.Line)
	return line
}

// CloseWrite passes the end of one direction on, for upgraded connections.
func (c *clientConn) CloseWrite() error { return relay.CloseWrite(c.Conn) }
