package embedded

import (
	"context"
	"crypto/tls"
	"io"
	"os"
	"testing"

	"fairway/internal/engine/embedded/terminate"
	"fairway/internal/engine/enginetest/servername"
)

// TestServerNames: the certificate follows the server name, the route the host.
func TestServerNames(t *testing.T) {
	s := newSite(t, Options{UserDirs: []string{os.TempDir()}})
	servername.Run(t, s.engine)
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
