package embedded

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/route"
)

// transports keeps the connections to endpoints: one http.Transport for each
// endpoint and way to speak to it, made when first needed, so that the idle
// connections of one endpoint can be closed without touching another's.
type transports struct {
	opts Options
	all  sync.Map // transportKey → *transport
}

// transport is the connections to one endpoint.
type transport struct {
	*http.Transport
	// retired is true when the endpoint drains: who puts a connection back
	// closes it.
	retired atomic.Bool
}

// retire closes the idle connections, now and after each request that still
// runs.
func (t *transport) retire() {
	t.retired.Store(true)
	t.CloseIdleConnections()
}

// released is called when a request on the transport is over.
func (t *transport) released() {
	if t.retired.Load() {
		t.CloseIdleConnections()
	}
}

// transportKey is what connections may be shared by.
type transportKey struct {
	endpoint   *balance.Endpoint
	scheme     route.Scheme
	serverName string
	skipVerify bool
	timeout    time.Duration // of the response header
}

func newTransports(o Options) *transports { return &transports{opts: o} }

// of returns the transport to an endpoint.
func (t *transports) of(e *balance.Endpoint, def *route.Backend, timeout time.Duration) *transport {
	key := transportKey{endpoint: e, scheme: def.Scheme, timeout: timeout}
	if key.timeout == 0 {
		key.timeout = t.opts.ResponseTimeout
	}
	if def.TLS != nil {
		key.serverName, key.skipVerify = def.TLS.ServerName, def.TLS.SkipVerify
	}
	if tr, ok := t.all.Load(key); ok {
		return tr.(*transport)
	}
	tr, _ := t.all.LoadOrStore(key, &transport{Transport: t.make(key)})
	return tr.(*transport)
}

// make returns a transport that dials the endpoint's address, whatever the URL
// says: the URL carries the name to verify.
func (t *transports) make(key transportKey) *http.Transport {
	address := key.endpoint.Address()
	dialer := &net.Dialer{Timeout: t.opts.DialTimeout, KeepAlive: 30 * time.Second}
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, &dialError{err}
			}
			return &endpointConn{Conn: c}, nil
		},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  key.timeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        t.opts.EndpointIdle,
		MaxIdleConnsPerHost:    256,
		MaxResponseHeaderBytes: 256 << 10,
		DisableCompression:     true,
		Protocols:              new(http.Protocols),
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
	switch key.scheme {
	case route.SchemeH2C:
		tr.Protocols.SetUnencryptedHTTP2(true)
	case route.SchemeHTTPS:
		tr.Protocols.SetHTTP1(true)
		tr.Protocols.SetHTTP2(true)
		tr.TLSClientConfig = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			ServerName:         key.serverName,
			InsecureSkipVerify: key.skipVerify, //nolint:gosec // the operator of the service asked for it
		}
	default:
		tr.Protocols.SetHTTP1(true)
	}
	return tr
}

// sweep closes the idle connections of endpoints that drain, and forgets their
// transports. Requests that run on them finish.
func (t *transports) sweep() {
	t.all.Range(func(k, v any) bool {
		select {
		case <-k.(transportKey).endpoint.Draining():
			t.all.Delete(k)
			v.(*transport).retire()
		default:
		}
		return true
	})
}

// close closes all idle connections.
func (t *transports) close() {
	t.all.Range(func(k, v any) bool {
		t.all.Delete(k)
		v.(*transport).retire()
		return true
	})
}

// dialError means that no connection could be made: nothing was sent.
type dialError struct{ err error }

// Error names the address that was dialled.
func (e *dialError) Error() string { return fmt.Sprintf("connect: %v", e.err) }

// Unwrap returns the cause.
func (e *dialError) Unwrap() error { return e.err }

// endpointConn counts what was written to an endpoint, so that a request of
// which nothing was sent can be told from one that may have been received.
type endpointConn struct {
	net.Conn
	written atomic.Int64
}

// Write counts the bytes handed to the kernel.
func (c *endpointConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// CloseWrite passes the end of one direction on, which an upgraded connection
// needs.
func (c *endpointConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// endpointConnOf returns the connection below c, or nil.
func endpointConnOf(c net.Conn) *endpointConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	ec, _ := c.(*endpointConn)
	return ec
}
