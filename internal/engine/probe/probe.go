// Package probe makes one active check of an endpoint, in the same way for every
// engine.
package probe

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"fairway/internal/route"
	"fairway/internal/route/arrival"
)

// maxBody is how much of an answer is read, and how large its header may be.
const maxBody = 64 << 10

// Endpoint checks the endpoint of b, whose Health is set, at an address host:port and
// returns why it fails, or nil: by a request, or, where nothing is known of what is
// passed through, by a connection. ctx bounds how long it may take.
func Endpoint(ctx context.Context, b *route.Backend, address string) error {
	if b.Scheme != route.SchemeTCP {
		return request(ctx, b, portOf(b.Health, address))
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// portOf is the address that is asked: the endpoint's own, with the port of the check
// where it has one.
func portOf(h *route.Health, address string) string {
	host, _, err := net.SplitHostPort(address)
	if h.Port == 0 || err != nil {
		return address
	}
	return net.JoinHostPort(host, strconv.Itoa(int(h.Port)))
}

// request asks the address, and nothing else, for the check's path and judges the status:
// redirects are answers, and a host in the path is part of the path.
func request(ctx context.Context, b *route.Backend, address string) error {
	target, err := url.ParseRequestURI(b.Health.Path)
	if err != nil {
		return fmt.Errorf("check path: %w", err)
	}
	target.Scheme, target.Host, target.User = "http", address, nil
	transport := &http.Transport{
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxBody,
		Protocols:              new(http.Protocols),
	}
	defer transport.CloseIdleConnections()
	switch b.Scheme {
	case route.SchemeHTTPS:
		target.Scheme = "https"
		transport.Protocols.SetHTTP1(true)
		transport.Protocols.SetHTTP2(true)
		transport.TLSClientConfig = tlsOf(b)
	case route.SchemeH2C:
		transport.Protocols.SetUnencryptedHTTP2(true)
	default:
		transport.Protocols.SetHTTP1(true)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return fmt.Errorf("check request: %w", err)
	}
	req.Host = arrival.Bracketed(b.Health.Host)
	req.Header.Set("User-Agent", "fairway-check")
	for _, v := range b.Health.Headers {
		req.Header[v.Name] = []string{v.Value}
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// Read a little, so that small answers do not end in a reset for the
	// endpoint. How the rest of the body fares does not matter.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
	want := b.Health.Status
	if want == resp.StatusCode || want == 0 && resp.StatusCode >= 200 && resp.StatusCode < 400 {
		return nil
	}
	return fmt.Errorf("status %d", resp.StatusCode)
}

// tlsOf verifies as requests do when the backend has a name to verify. Without one those
// verify the client's host; a check has no client, and does without.
func tlsOf(b *route.Backend) *tls.Config {
	t := b.TLS
	if t == nil {
		t = &route.TLS{}
	}
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         cmp.Or(t.ServerName, b.Health.Host),
		InsecureSkipVerify: t.SkipVerify || t.ServerName == "", //nolint:gosec // see above
	}
}

// The pace of active checks, drawn at random within bounds, so that they spread out.
const (
	// FailuresToLeave is how many failures in a row take an endpoint out of rotation.
	// One success brings it back.
	FailuresToLeave = 2

	firstWithin     = 200 * time.Millisecond
	soon            = time.Second      // between checks while the outcome is not settled
	soonFailures    = 20               // failures in a row settle it
	defaultInterval = 10 * time.Second // for a route.Health without one
	defaultTimeout  = 5 * time.Second  // likewise
)

// First returns the wait before the first check.
func First(h *route.Health) time.Duration { return rand.N(min(firstWithin, interval(h)/10) + 1) }

// Next returns the wait before the next check, after failures in a row: a failed check is
// soon repeated.
func Next(h *route.Health, failures int) time.Duration {
	d := interval(h)
	if failures > 0 && failures < soonFailures {
		d = min(d, soon)
	}
	return d*9/10 + rand.N(d/5+1)
}

// Timeout returns how long one check may take.
func Timeout(h *route.Health) time.Duration { return cmp.Or(max(h.Timeout, 0), defaultTimeout) }

func interval(h *route.Health) time.Duration { return cmp.Or(max(h.Interval, 0), defaultInterval) }
