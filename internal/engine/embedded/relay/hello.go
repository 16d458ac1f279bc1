package relay

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"fairway/internal/route/canonical"
)

// MaxHello bounds how many bytes of a connection are looked at for a server name.
const MaxHello = 16 << 10

// ServerName looks into the first bytes of a connection, which stay in r, for the
// server name, canonical, that a TLS client asks for; empty for none within the limit.
func ServerName(c net.Conn, r *bufio.Reader, limit time.Duration) (name string, isTLS bool) {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	defer c.SetReadDeadline(time.Time{})
	const handshake = 22 // the record type that a ClientHello comes in
	if first, err := r.Peek(1); err != nil || first[0] != handshake {
		return "", false
	}
	var hello *tls.ClientHelloInfo
	stop := errors.New("seen enough")
	server := tls.Server(&peekConn{Conn: c, r: r}, &tls.Config{
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			hello = h
			return nil, stop
		},
	})
	_ = server.HandshakeContext(context.Background()) // fails in any case; the deadline is the connection's
	if hello == nil {
		return "", false
	}
	if asked, err := canonical.Host(hello.ServerName); err == nil {
		name = asked
	}
	return name, true
}

// peekConn reads a connection without taking anything, and writes nowhere.
type peekConn struct {
	net.Conn
	r    *bufio.Reader
	seen int
}

// Read waits for bytes that have not been seen. It fails when the buffer is full.
func (c *peekConn) Read(p []byte) (int, error) {
	if _, err := c.r.Peek(c.seen + 1); err != nil {
		return 0, err
	}
	have, err := c.r.Peek(c.r.Buffered())
	n := copy(p, have[c.seen:])
	c.seen += n
	return n, err
}

// Write sends nothing.
func (c *peekConn) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
