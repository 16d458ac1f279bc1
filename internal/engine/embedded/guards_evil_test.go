package embedded

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// rawApp is an application that gets each connection as it is.
func rawApp(t testing.TB, handle func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(testkit.Patience))
				handle(c)
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

// TestApplicationThatMisbehaves: an application that misbehaves harms itself alone.
func TestApplicationThatMisbehaves(t *testing.T) {
	for name, tt := range map[string]struct {
		answer string
		status int // 0: the answer is broken off
	}{
		"nothing":            {"", 502},
		"nonsense":           {"SSH-2.0-OpenSSH\r\n\r\n", 502},
		"giant header":       {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 502},
		"two lengths":        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 502},
		"short body":         {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", 0},
		"bad chunk":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 0},
		"truncated chunking": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 0},
	} {
		addr := rawApp(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			_, _ = io.WriteString(c, tt.answer)
		})
		s := newSite(t, Options{})
		s.serve("a.example", addr)
		s.apply()
		c := s.dial("http")
		c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n")
		res, err := readFinal(c.r)
		if tt.status != 0 {
			if err != nil || res.StatusCode != tt.status {
				t.Errorf("%s: %v %v", name, res, err)
			}
			continue
		}
		if err == nil {
			_, err = io.ReadAll(res.Body)
		}
		if err == nil {
			t.Errorf("%s: the client was not told that the answer is broken", name)
		}
	}
}

// TestStormOfEarlyAnswers: a storm of 1xx answers is not passed on.
func TestStormOfEarlyAnswers(t *testing.T) {
	addr := rawApp(t, func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		for range 1000 {
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
		}
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	s := newSite(t, Options{})
	s.serve("a.example", addr)
	s.apply()
	c := s.dial("http")
	c.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	early := 0
	for {
		res, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode == 200 {
			break
		}
		early++
	}
	if early != maxEarly {
		t.Errorf("%d early answers came through, want %d", early, maxEarly)
	}
}

// readFinal reads an answer behind any number of 1xx.
func readFinal(r *bufio.Reader) (*http.Response, error) {
	for {
		res, err := http.ReadResponse(r, &http.Request{Method: http.MethodPost})
		if err != nil || res.StatusCode >= 200 {
			return res, err
		}
	}
}
