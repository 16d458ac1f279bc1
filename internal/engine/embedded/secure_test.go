package embedded

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"fairway/internal/engine/embedded/balance"
	"fairway/internal/engine/embedded/http1"
	"fairway/internal/route"
	"fairway/internal/testkit"
)

// TestSwitchToEndpointOfBothVersions: an endpoint with TLS that speaks HTTP/2 as well is
// asked in HTTP/1.1 for a switch of protocols, also after HTTP/2 was spoken, and in HTTP/2
// for all else.
func TestSwitchToEndpointOfBothVersions(t *testing.T) {
	a := &app{}
	a.Server = httptest.NewUnstartedServer(a.record(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(w, r.Proto)
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			http.Error(w, "no switch in "+r.Proto, http.StatusBadRequest)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nswitched")
	}))
	a.EnableHTTP2 = true
	a.StartTLS()
	t.Cleanup(a.Close)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.backends["a.example"].Scheme = route.SchemeHTTPS
	s.backends["a.example"].TLS = &route.TLS{SkipVerify: true}
	s.apply()
	for range 2 {
		if res := s.get("a.example", "/"); res.body != "HTTP/2.0" {
			t.Errorf("answered %d %q, want by HTTP/2", res.StatusCode, res.body)
		}
		c := s.dial("http")
		c.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rest, _ := io.ReadAll(c.r); res.StatusCode != http.StatusSwitchingProtocols || string(rest) != "switched" {
			t.Errorf("answered %d and %q, want a switch", res.StatusCode, rest)
		}
		s.apply()
	}
}

// TestHandedOverConnectionThatEnded: a connection that was found to be of the other version
// of HTTP is not taken over when the endpoint has closed it meanwhile.
func TestHandedOverConnectionThatEnded(t *testing.T) {
	a := &app{}
	a.Server = httptest.NewUnstartedServer(a.record(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	a.EnableHTTP2 = true
	a.StartTLS()
	t.Cleanup(a.Close)
	s := newSite(t, Options{})
	s.serve("a.example", a.addr())
	s.backends["a.example"].Scheme = route.SchemeHTTPS
	s.backends["a.example"].TLS = &route.TLS{SkipVerify: true}
	s.apply()
	ep, err := s.engine.set.Backend("a.example").Pick(balance.Key{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ep.Done(balance.ResultCanceled)
	tr := s.engine.transports.of(ep, s.backends["a.example"], s.engine.opts.ResponseTimeout, false)
	if _, err := tr.pool.Get(t.Context(), "a.example"); !errors.Is(err, errOtherVersion) {
		t.Fatalf("connecting for HTTP/1.1: %v", err)
	}
	a.CloseClientConnections()
	testkit.Eventually(t, "the end is seen", func() bool {
		c := <-tr.handover
		tr.handover <- c
		return presence(c.NetConn()) != http1.Present
	})
	c, err := tr.library.DialTLSContext(t.Context(), "tcp", "a.example:443")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if presence(c.(*tls.Conn).NetConn()) != http1.Present {
		t.Error("it was taken over")
	}
}

// TestBadHostHangsUp: who sends a host that is none gets no second request in.
func TestBadHostHangsUp(t *testing.T) {
	s := newSite(t, Options{})
	s.apply()
	c := s.dial("http")
	c.send("GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
	if res := c.answer("GET"); res.StatusCode != 400 || !res.Close {
		t.Errorf("answered %d, and closes %v", res.StatusCode, res.Close)
	}
	c.closed()
}
