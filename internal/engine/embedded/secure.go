package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"fairway/internal/engine/embedded/http1"
)

// What an endpoint with TLS was found to speak.
const (
	versionUnknown int32 = iota
	versionOne
	versionTwo
)

// handshakeTime bounds the TLS handshake with an endpoint.
const handshakeTime = 5 * time.Second

// errOtherVersion means that a connection turned out to be of the other version of HTTP.
// It is handed over, and the attempt goes on with it.
var errOtherVersion = errors.New("the endpoint speaks another version of HTTP")

// secure has the transport speak TLS, and the version that the endpoint chooses.
func (t *transport) secure(form transportForm, idle time.Duration) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         form.serverName,
		InsecureSkipVerify: form.skipVerify, //nolint:gosec // the operator of the service asked for it
		NextProtos:         []string{"h2", "http/1.1"},
	}
	if form.http1 {
		config.NextProtos = []string{"http/1.1"}
		t.version.Store(versionOne)
	}
	t.handover = make(chan *tls.Conn, 1)
	t.pool = t.newPool(idle, func(ctx context.Context, name string) (net.Conn, error) {
		return t.dialSecure(ctx, config, name, versionOne)
	})
	t.library.Protocols.SetHTTP2(true)
	t.library.DialTLSContext = func(ctx context.Context, _, address string) (net.Conn, error) {
		name, _, _ := net.SplitHostPort(address)
		return t.dialSecure(ctx, config, name, versionTwo)
	}
}

// dialSecure connects for a version of HTTP, or takes over what was connected for the other.
func (t *transport) dialSecure(ctx context.Context, config *tls.Config, name string, version int32) (net.Conn, error) {
	select {
	case c := <-t.handover:
		if versionOf(c) == version && (config.ServerName != "" || c.ConnectionState().ServerName == name) &&
			presence(c.NetConn().(*endpointConn)) == http1.Present { // it may have waited for long
			return c, nil
		}
		_ = c.Close()
	default:
	}
	below, err := t.dial(ctx)
	if err != nil {
		return nil, err
	}
	own := config
	if own.ServerName == "" {
		own = config.Clone()
		own.ServerName = name
	}
	c := tls.Client(below, own)
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		_ = below.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	found := versionOf(c)
	if t.version.Store(found); found == version {
		return c, nil
	}
	select {
	case t.handover <- c:
	default:
		_ = c.Close()
	}
	return nil, errOtherVersion
}

func versionOf(c *tls.Conn) int32 {
	if c.ConnectionState().NegotiatedProtocol == "h2" {
		return versionTwo
	}
	return versionOne
}

// dropHandover closes what has not been taken over.
func (t *transport) dropHandover() {
	select {
	case c := <-t.handover:
		_ = c.Close()
	default:
	}
}
