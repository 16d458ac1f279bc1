package embedded

import (
	"bufio"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/pires/go-proxyproto"

	"fairway/internal/engine/embedded/relay"
	"fairway/internal/route/arrival"
)

// readProxyHeader reads the PROXY protocol header that a connection must begin with, out
// of r. Where it names no ends (LOCAL, UNKNOWN), the connection's own are right.
func readProxyHeader(c net.Conn, r *bufio.Reader, limit time.Duration, own endpoints) (endpoints, error) {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	defer c.SetReadDeadline(time.Time{})
	h, err := proxyproto.Read(r)
	if err != nil {
		return own, err
	}
	if from, to, ok := h.TCPAddrs(); ok && !h.Command.IsLocal() {
		return endpoints{from, to}, nil
	}
	return own, nil
}

// proxiedConn is a connection to an HTTP listener that begins with a PROXY protocol
// header. That is read with its first bytes, so that accepting others does not wait.
type proxiedConn struct {
	*proxyproto.Conn
	owner *clientConn
	once  sync.Once
}

func expectProxy(c *clientConn, limit time.Duration) {
	c.Conn = &proxiedConn{
		Conn: proxyproto.NewConn(c.Conn, proxyproto.WithPolicy(proxyproto.REQUIRE),
			proxyproto.SetReadHeaderTimeout(limit), proxyproto.ValidateHeader(hasAddresses)),
		owner: c,
	}
}

// hasAddresses refuses a header of a client that is not known by address.
func hasAddresses(h *proxyproto.Header) error {
	if _, _, ok := h.TCPAddrs(); !ok && !h.Command.IsLocal() && h.TransportProtocol != proxyproto.UNSPEC {
		return errors.New("not the header of a TCP connection")
	}
	return nil
}

// Read makes the client known that the header names.
func (c *proxiedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.once.Do(func() {
		if c.ProxyHeader() == nil {
			c.owner.listener.engine.meters.refused("proxy-protocol")
			return
		}
		if from := c.RemoteAddr(); from != nil {
			c.owner.setPeer(arrival.AddrOf(from.String()))
		}
	})
	return n, err
}

// CloseWrite passes the end of one direction on.
func (c *proxiedConn) CloseWrite() error { return relay.CloseWrite(c.Raw()) }
