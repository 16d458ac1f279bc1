package embedded

import (
	"context"
	"crypto/tls"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"fairway/internal/engine/embedded/terminate"
	"fairway/internal/engine/enginetest/servername"
	"fairway/internal/testkit"
)

// TestServerNames: the certificate follows the server name, the route the host.
func TestServerNames(t *testing.T) {
	s := newSite(t, Options{UserDirs: []string{os.TempDir()}})
	servername.Run(t, s.engine)
}

// TestNoCertificateInTime: a handshake whose certificate does not come in time goes on with the
// first one there is, over TCP and over QUIC, and none holds up a stop.
func TestNoCertificateInTime(t *testing.T) {
	asked := make(chan string, 10)
	s := newSite(t, Options{HeaderTimeout: 500 * time.Millisecond, Automatic: terminate.Automatic{Demand: func(ctx context.Context, name string) *tls.Certificate {
		asked <- name
		<-ctx.Done()
		return nil
	}}})
	s.withQUIC("127.0.0.1:0")
	s.apply()
	config := &tls.Config{ServerName: "new.example", InsecureSkipVerify: true, NextProtos: []string{"h3", "http/1.1"}}
	dialer := tls.Dialer{Config: config}
	c, err := dialer.DialContext(t.Context(), "tcp", s.engine.Addr("https").String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	over, err := quic.DialAddr(t.Context(), s.engine.AddrQUIC("https").String(), config, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = over.CloseWithError(0, "") }()
	for _, state := range []tls.ConnectionState{c.(*tls.Conn).ConnectionState(), over.ConnectionState().TLS} {
		if names := state.PeerCertificates[0].DNSNames; !slices.Equal(names, []string{"a.example"}) || <-asked != "new.example" {
			t.Errorf("a certificate for %v", names)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() { _, _ = quic.DialAddr(ctx, s.engine.AddrQUIC("https").String(), config, nil) })
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- s.engine.Stop(t.Context()) }()
	select {
	case <-stopped:
	case <-time.After(testkit.Patience):
		t.Error("a handshake that waits for a certificate holds up a stop")
	}
	cancel()
	waiting.Wait()
}

// TestChallengeIsNoWayIn: a client that comes for TLS-ALPN-01 gets its handshake, and no answer
// to requests.
func TestChallengeIsNoWayIn(t *testing.T) {
	l := tlsListener(t, "https", "a.example")
	shown, err := tls.LoadX509KeyPair(l.Certificates[0].CertFile, l.Certificates[0].KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, Options{Automatic: terminate.Automatic{Challenge: func(context.Context, string) (*tls.Certificate, error) { return &shown, nil }}})
	s.listeners = append(s.listeners, l)
	s.apply()
	dialer := tls.Dialer{Config: &tls.Config{ServerName: "a.example", InsecureSkipVerify: true, NextProtos: []string{"acme-tls/1"}}}
	c, err := dialer.DialContext(t.Context(), "tcp", s.engine.Addr("https").String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
	if answer, _ := io.ReadAll(c); len(answer) > 0 {
		t.Errorf("it is answered: %.60q", answer)
	}
}
