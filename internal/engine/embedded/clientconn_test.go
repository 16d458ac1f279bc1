package embedded

import (
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestGoneClientGetsNoStatus: 499 is for the log; a client that is taken for gone
// gets no such status, should it still read.
func TestGoneClientGetsNoStatus(t *testing.T) {
	a := newApp(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	var log lockedBuffer
	s := newSite(t, Options{AccessLog: &log})
	s.serve("a.example", a.addr())
	s.apply()
	c := s.dial("http")
	c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.within(time.Minute)
	if got, err := io.ReadAll(c.r); len(got) > 0 || err != nil {
		t.Errorf("the client got %q (%v), want the end", got, err)
	}
	if err := s.engine.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), `"status":499`) {
		t.Errorf("the access log has no 499: %s", log.String())
	}
}
