package embedded

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"fairway/internal/route"
)

// TestSwitchToEndpointOfBothVersions: an endpoint with TLS that speaks HTTP/2 as well is
// asked in HTTP/1.1 for a switch of protocols, whatever was spoken before, and in HTTP/2
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
