package embedded

import (
	"bytes"
	"container/ring"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// clientConn is a connection of a client, which is counted while it is open.
type clientConn struct {
	net.Conn
	listener *listener
	source   netip.Addr // what the client is counted as; the zero Addr where it is not bounded
	peer     netip.Addr
	once     sync.Once
	heads    *headConn // what HTTP/1 is read from; nil in HTTP/2
	// finished is true when no further request may be read, because the client may
	// still send the body of the last one.
	finished atomic.Bool

	counted          bool      // by the room; this and the rings are the room's
	inRoom, inSource ring.Ring // among what is idle
}

// connKey is the context key of a request's connection.
type connKey struct{}

func withClientConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, clientConnBelow(c))
}

// clientConnBelow is the connection that Accept made of c.
func clientConnBelow(c net.Conn) *clientConn {
	switch conn := c.(type) {
	case *headConn:
		return conn.client
	case secureConn:
		return conn.client
	case *tls.Conn:
		c = conn.NetConn()
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
	buf := e.buffers.Get()
	defer e.buffers.Put(buf)
	for end := time.Now().Add(lingerLimit); time.Now().Before(end); {
		_ = c.Conn.SetReadDeadline(time.Now().Add(lingerPause))
		if _, err := c.Conn.Read(buf); err != nil {
			return
		}
	}
}

// CloseWrite passes the end of one direction on, for upgraded connections.
func (c *clientConn) CloseWrite() error { return closeWrite(c.Conn) }

// greet makes the TLS handshake, and gives the server HTTP/1 in clear, all else as it is.
func (l *listener) greet(c *tls.Conn) {
	ctx, cancel := context.WithTimeout(l.engine.ctx, l.engine.opts.HeaderTimeout)
	defer cancel()
	one := &oneConn{Conn: c}
	if err := c.HandshakeContext(ctx); err == nil && c.ConnectionState().NegotiatedProtocol != "h2" {
		one.Conn = secureConn{newHeadConn(c.NetConn().(*clientConn), c), c}
	}
	if _ = l.server.Serve(one); !one.taken { // the listener drains
		_ = c.Close()
	}
}

type oneConn struct {
	net.Conn
	taken bool
}

// Accept returns the connection when it is first called.
func (o *oneConn) Accept() (net.Conn, error) {
	if o.taken {
		return nil, net.ErrClosed
	}
	o.taken = true
	return o.Conn, nil
}

// Close does nothing: the connection is closed by who has accepted it.
func (o *oneConn) Close() error { return nil }

// Addr is the address that the client has connected to.
func (o *oneConn) Addr() net.Addr { return o.LocalAddr() }

// secureConn is a headConn over TLS; the server sets http.Request.TLS from it.
type secureConn struct {
	*headConn
	tls *tls.Conn
}

// ConnectionState is that of the handshake.
func (c secureConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// headConn is what the server of HTTP/1 reads and writes, in clear. It counts the
// header fields of framing, which the server removes before the handler runs.
type headConn struct {
	net.Conn
	client *clientConn

	// Of the one goroutine that reads: the end of what was read before.
	tail [len(fieldCoding) + 1]byte
	// How many such fields have been read and were not yet found in a request.
	lengths, codings atomic.Int64

	// gaveUp ends a Read that waits; while stopped is true, none may wait.
	gaveUp  chan struct{}
	stopped atomic.Bool
}

const (
	fieldLength = "content-length"
	fieldCoding = "transfer-encoding"
	// leaveGrace is for requests whose client has closed its side (RFC 9112, 9.6).
	leaveGrace = 2 * time.Second
)

func newHeadConn(c *clientConn, clear net.Conn) *headConn {
	c.heads = &headConn{Conn: clear, client: c, gaveUp: make(chan struct{}, 1)}
	return c.heads
}

// Read reads nothing more from a connection that is finished.
func (c *headConn) Read(p []byte) (int, error) {
	if c.client.finished.Load() {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	c.scan(p[:n])
	if err == io.EOF && len(p) == 1 {
		// So the server notices, while the handler runs, that the client is gone.
		err = c.await()
	}
	return n, err
}

// await keeps from the server for a while that the client has closed its side.
func (c *headConn) await() error {
	select {
	case <-c.gaveUp: // of an earlier Read
	default:
	}
	if c.stopped.Load() {
		return os.ErrDeadlineExceeded
	}
	grace := time.NewTimer(leaveGrace)
	defer grace.Stop()
	select {
	case <-grace.C:
		return io.EOF
	case <-c.gaveUp:
		return os.ErrDeadlineExceeded
	}
}

// SetReadDeadline also ends a Read that waits: that is how the server gives up reading.
func (c *headConn) SetReadDeadline(t time.Time) error {
	over := !t.IsZero() && !t.After(time.Now())
	c.stopped.Store(over)
	err := c.Conn.SetReadDeadline(t)
	if over {
		select {
		case c.gaveUp <- struct{}{}:
		default:
		}
	}
	return err
}

// CloseWrite passes the end of one direction on.
func (c *headConn) CloseWrite() error { return closeWrite(c.Conn) }

// scan counts the fields in p, and lines of bodies that look like them.
func (c *headConn) scan(p []byte) {
	for i := 0; i < len(p); i++ {
		next := bytes.IndexByte(p[i:], ':')
		if next < 0 {
			break
		}
		i += next
		switch {
		case c.begins(p, i, fieldLength):
			c.lengths.Add(1)
		case c.begins(p, i, fieldCoding):
			c.codings.Add(1)
		}
	}
	if len(p) < len(c.tail) {
		copy(c.tail[:], c.tail[len(p):])
	} else {
		p = p[len(p)-len(c.tail):]
	}
	copy(c.tail[len(c.tail)-len(p):], p)
}

// begins reports whether a line, of any Read, begins with name and the colon at p[colon].
func (c *headConn) begins(p []byte, colon int, name string) bool {
	at := func(i int) byte {
		if i < 0 {
			return c.tail[len(c.tail)+i]
		}
		return p[i]
	}
	for i := len(name) - 1; i >= 0; i-- {
		if at(colon-len(name)+i)|0x20 != name[i] { // in lower case
			return false
		}
	}
	return at(colon-len(name)-1) == '\n'
}

// framing finds what RFC 9112, 6.1 calls faulty in the head of a request that the
// server has read: the connection has to end with it. coded is true for HTTP/1.0 with
// a transfer coding, which the server does not read; beside for chunks and a length,
// of which the server reads the chunks. A body that looks like such fields, or requests
// sent ahead, may be reported for a fault; a fault is never overlooked.
func (c *headConn) framing(r *http.Request) (coded, beside bool) {
	if c == nil {
		return false, false
	}
	lengths := c.lengths.Add(-int64(len(r.Header["Content-Length"])))
	codings := c.codings.Add(-int64(len(r.TransferEncoding)))
	return !r.ProtoAtLeast(1, 1) && codings > 0, len(r.TransferEncoding) > 0 && lengths > 0
}
