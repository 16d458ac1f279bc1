package hostile

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// good is the body of a good answer.
const good = "good"

const goodAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + good

// server is an endpoint that misbehaves when it is asked for /bad, and is good otherwise.
type server struct {
	net.Listener
	is Endpoint

	misbehaved chan struct{} // gets a value each time
	// bad counts the connections on which it misbehaved, gone those of them that have
	// ended, and reused those that had another request.
	bad, gone, reused atomic.Int64
}

// serve starts the endpoint, which ends with the test.
func serve(t *testing.T, is Endpoint) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l, is: is, misbehaved: make(chan struct{}, 100)}
	var serving sync.WaitGroup
	var conns sync.Map
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Store(c, nil)
			serving.Go(func() {
				defer conns.Delete(c)
				defer c.Close()
				s.conn(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		conns.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
		serving.Wait()
	})
	return s
}

// conn serves a connection.
func (s *server) conn(c *net.TCPConn) {
	_ = c.SetDeadline(time.Now().Add(testkit.Patience))
	for r := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		if req.URL.Path != "/bad" {
			if _, err := io.WriteString(c, goodAnswer); err != nil {
				return
			}
		}
		if req.URL.Path == "/bad" || s.is.Early && req.URL.Path == "/good" {
			s.bad.Add(1)
			s.misbehave(c, r)
			s.gone.Add(1)
			return
		}
	}
}

// misbehave returns when the connection has ended.
func (s *server) misbehave(c *net.TCPConn, r io.Reader) {
	_, err := io.WriteString(c, s.is.Answer)
	for err == nil && s.is.Again != "" {
		_, err = io.WriteString(c, s.is.Again)
	}
	switch s.is.Then {
	case Resets:
		_ = c.SetLinger(0)
		_ = c.Close()
	case Closes:
		_ = c.Close()
	case Waits:
	}
	s.misbehaved <- struct{}{}
	if s.is.Then == Waits {
		if n, _ := io.Copy(io.Discard, r); n > 0 {
			s.reused.Add(1)
		}
	}
}
