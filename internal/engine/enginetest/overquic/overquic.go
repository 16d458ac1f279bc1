// Package overquic is a client of HTTP/3 for tests of engines.
package overquic

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

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

// Client returns a client that follows no redirects and waits for answers for as long as limit.
func Client(t testing.TB, addr func() net.Addr, config *tls.Config, limit time.Duration) *http.Client {
	t.Helper()
	return &http.Client{
		Transport: Transport(t, addr, config), Timeout: limit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// notOverQUIC are cases about requests without TLS, about connections of TCP, or of what a
// client of HTTP/3 sends to no one.
const notOverQUIC = " chosen by ALPN balance-sticky-cookie filter-checks filter-compress-negotiation filter-hsts filter-redirect filter-redirect-forwarded " +
	"forwarded-trusted forwarded-untrusted guard-hops hop-by-hop match-host match-listener match-path-canonical match-path-slashes proxy-protocol "

// Means says whether a case of the behaviour suite means the same over HTTP/3.
func Means(name string) bool { return !strings.Contains(notOverQUIC, " "+name+" ") }
