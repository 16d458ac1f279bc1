// Package overquic is a client of HTTP/3 for tests of engines.
package overquic

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// Transport returns one that connects to an address, not to that of the URL, and ends with
// the test.
func Transport(t testing.TB, addr func() net.Addr, config *tls.Config) http.RoundTripper {
	t.Helper()
	transport := &http3.Transport{
		DisableCompression: true,
		TLSClientConfig:    config,
		Dial: func(ctx context.Context, _ string, tlsConfig *tls.Config, conf *quic.Config) (*quic.Conn, error) {
			own := tlsConfig.Clone()
			if config.ServerName != "" {
				own.ServerName = config.ServerName
			}
			return quic.DialAddrEarly(ctx, addr().String(), own, conf)
		},
	}
	t.Cleanup(func() { _ = transport.Close() })
	return transport
}
