//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"fairway/internal/acme/pebbletest"
	"fairway/internal/testkit"
)

// TestHTTPSFromALabel: a container with a label is started, and a moment later HTTPS answers
// with a certificate of the authority. The soak starts ten.
func TestHTTPSFromALabel(t *testing.T) {
	needDocker(t)
	plain, secure := testkit.FreePort(t), testkit.FreePort(t)
	ca := pebbletest.Start(t, pebbletest.Options{HTTP: plain, TLS: secure})
	startProxy(t, proxyOptions{args: []string{
		"--listen", "127.0.0.1:" + plain, "--listen-tls", "127.0.0.1:" + secure,
		"--acme.agree", "--acme.ca", ca.Directory, "--acme.ca-root", ca.Root,
	}}).synced()
	client := clientOf(t, "127.0.0.1:"+secure, ca.Trust(t))
	count := 2
	if testkit.Soaking() {
		count = 10
	}
	var took []time.Duration
	for n := range count {
		name := fmt.Sprintf("a%d", n)
		began := time.Now()
		run(t, boxOptions{name: name, labels: map[string]string{"fairway.host": name + ".test"}})
		testkit.Eventually(t, name+" is served over HTTPS", func() string {
			resp, err := client.Get("https://" + name + ".test/")
			if err != nil {
				return err.Error()
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return resp.Status
			}
			return ""
		})
		took = append(took, time.Since(began).Round(time.Millisecond))
	}
	slices.Sort(took)
	testkit.Figure(t, "from docker run to HTTPS", "p50 %v, longest %v of %d", took[len(took)/2], took[len(took)-1], len(took))
}

// clientOf connects to one address for every host.
func clientOf(t *testing.T, address string, roots *x509.CertPool) *http.Client {
	t.Helper()
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
}
