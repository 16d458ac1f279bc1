package embedded

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestS06SlowHeader: a header that does not end is not waited for.
func TestS06SlowHeader(t *testing.T) {
	s := newSite(t, Options{HeaderTimeout: 100 * time.Millisecond})
	s.listeners = append(s.listeners, tlsListener(t, "https", "a.example"))
	s.apply()
	for name, send := range map[string]string{"silent": "", "half a header": "GET / HTTP/1.1\r\nHost: a.exa"} {
		c := s.dial("http")
		c.send(send)
		began := time.Now()
		c.within(5 * time.Second)
		rest, _ := io.ReadAll(c.r)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("%s: still open after %v, got %q", name, took, rest)
		}
	}
	for name, send := range map[string]string{"silent": "", "half a hello": "\x16\x03\x01\x02\x00\x01"} {
		c := s.dial("https")
		c.send(send)
		c.within(5 * time.Second)
		c.closed()
		_ = name
	}
}

// TestS06SlowBody: a body must come at a minimum rate.
func TestS06SlowBody(t *testing.T) {
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

	// One that is fast enough may take longer than the grace.
	c = s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000\r\n\r\n")
	for range 10 {
		c.send(strings.Repeat("x", 100))
		time.Sleep(60 * time.Millisecond)
	}
	if res := c.answer("POST"); res.StatusCode != 200 || len(a.last().body) != 1000 {
		t.Errorf("steady body: status %d, %d bytes", res.StatusCode, len(a.last().body))
	}
	// And the deadline is lifted behind the body: the application may think.
	slow := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(500 * time.Millisecond)
		fmt.Fprint(w, "thought")
	})
	s.serve("slow.example", slow.addr())
	s.apply()
	if res := s.raw("POST / HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 2\r\n\r\nhi"); res.body != "thought" {
		t.Errorf("slow application: %d %q", res.StatusCode, res.body)
	}
}

// TestS06SlowApp: time that the application takes is not the client's.
func TestS06SlowApp(t *testing.T) {
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		n := int64(0)
		for range 3 {
			time.Sleep(200 * time.Millisecond)
			m, _ := io.CopyN(io.Discard, r.Body, 8<<20)
			n += m
		}
		fmt.Fprint(w, n)
	})
	s := newSite(t, Options{BodyTimeout: 100 * time.Millisecond})
	s.listeners = append(s.listeners, tlsListener(t, "https", "a.example"))
	s.serve("a.example", a.addr())
	s.apply()
	for _, listener := range []string{"http", "https"} {
		url := map[string]string{"http": "http://a.example/", "https": "https://a.example/"}[listener]
		res, err := s.client(listener, true).Post(url, "", strings.NewReader(strings.Repeat("x", 20<<20)))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		if res.Body.Close(); string(body) != fmt.Sprint(20<<20) {
			t.Errorf("%s: %s %q", listener, res.Status, body)
		}
	}
}

// TestS06SlowBodyRefused: a body that nobody wants is not waited for either.
func TestS06SlowBodyRefused(t *testing.T) {
	s := newSite(t, Options{BodyTimeout: time.Second})
	s.apply()
	c := s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: unknown.example\r\nContent-Length: 1000\r\n\r\n")
	if res := c.answer("POST"); res.StatusCode != 404 {
		t.Errorf("status %d", res.StatusCode)
	}
	c.within(3 * time.Second)
	c.closed()
}

// TestS06SlowReader: a client that does not read is not waited for.
func TestS06SlowReader(t *testing.T) {
	broke := make(chan struct{})
	a := newApp(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(broke)
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
	case <-time.After(8 * time.Second):
		t.Error("the answer is still being written")
	}
}
