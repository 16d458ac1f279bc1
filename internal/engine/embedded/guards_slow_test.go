package embedded

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// TestSlowHeader: a header that does not end is not waited for.
func TestSlowHeader(t *testing.T) {
	s := newSite(t, Options{HeaderTimeout: 100 * time.Millisecond})
	s.listeners = append(s.listeners, tlsListener(t, "https", "a.example"))
	s.apply()
	for listener, beginnings := range map[string][]string{
		"http":  {"", "GET / HTTP/1.1\r\nHost: a.exa"},
		"https": {"", "\x16\x03\x01\x02\x00\x01"},
	} {
		for _, beginning := range beginnings {
			c := s.dial(listener)
			c.send(beginning)
			if _, err := io.ReadAll(c.r); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: still open after %q", listener, beginning)
			}
		}
	}
}

// TestSlowBody: a body that does not come at a minimum rate is not waited for; see
// TestBodyPauses for what is.
func TestSlowBody(t *testing.T) {
	a := newApp(t, nil)
	s := newSite(t, Options{BodyTimeout: 300 * time.Millisecond, BodyRate: 100})
	s.serve("a.example", a.addr())
	s.apply()

	c := s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000\r\n\r\n")
	stop := make(chan struct{})
	defer close(stop)
	go func(c net.Conn) { // a byte now and then is not enough
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = c.Write([]byte("x"))
			}
		}
	}(c.Conn)
	if res := c.answer("POST"); res.StatusCode != 408 || !res.Close {
		t.Errorf("slow body: status %d, close %v", res.StatusCode, res.Close)
	}
}

// TestSlowBodyThatNobodyReads: a body that nobody wants is not waited for either.
func TestSlowBodyThatNobodyReads(t *testing.T) {
	s := newSite(t, Options{BodyTimeout: time.Second})
	s.apply()
	c := s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: unknown.example\r\nContent-Length: 1000\r\n\r\n")
	if res := c.answer("POST"); res.StatusCode != 404 {
		t.Errorf("status %d", res.StatusCode)
	}
	c.closed()
}

// TestSlowReader: a client that does not read is not waited for, be the length known or not.
func TestSlowReader(t *testing.T) {
	for name, length := range map[string]string{"known": "1000000000000", "unknown": ""} {
		t.Run(name, func(t *testing.T) {
			broke := make(chan struct{})
			a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(broke)
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				b := make([]byte, 64<<10)
				for {
					if _, err := w.Write(b); err != nil {
						return
					}
				}
			})
			s := newSite(t, Options{WriteTimeout: 300 * time.Millisecond})
			s.serve("a.example", a.addr())
			s.apply()
			c := s.dial("http")
			c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
			select {
			case <-broke:
			case <-time.After(testkit.Patience):
				t.Error("the answer is still being written")
			}
		})
	}
}
