package http1

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestBodyOutlivesTheLimitOfTheHead: what bounds a head does not bound the body behind it,
// however the connection began.
func TestBodyOutlivesTheLimitOfTheHead(t *testing.T) {
	const first = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
	const head = "POST /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 30\r\n\r\n"
	for name, says := range map[string]string{"new": head, "sent ahead": first + head} {
		synctest.Test(t, func(t *testing.T) {
			c, _, done := serve(t, limits(), Hooks{}, func(x *Exchange) {
				echo(x)
				_ = x.SetReadDeadline(time.Now().Add(time.Second)) // as when the rest of a body is read
			})
			go func() {
				_, _ = io.WriteString(c, says)
				for range 30 {
					time.Sleep(time.Second)
					if _, err := io.WriteString(c, "x"); err != nil {
						return
					}
				}
			}()
			if got := talk(t, c); !strings.HasSuffix(got, "POST /2 "+strings.Repeat("x", 30)) {
				t.Errorf("%s: answered %q", name, got)
			}
			_ = c.Close()
			<-done
		})
	}
}

// TestNewConnectionWhileDraining: one that comes in while the server drains is closed as
// soon as one that was there before.
func TestNewConnectionWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(limits(), echo)
		open := func() (near net.Conn, done chan struct{}) {
			near, far := net.Pipe()
			done = make(chan struct{})
			go func() {
				defer close(done)
				s.Serve(t.Context(), far, Hooks{})
			}()
			return near, done
		}
		before, beforeDone := open()
		synctest.Wait()
		s.Drain() // it waits for the first one
		late, lateDone := open()
		began := time.Now()
		if got := talk(t, late); got != "" || time.Since(began) > newGrace+newGrace/8 {
			t.Errorf("closed after %v with %q", time.Since(began), got)
		}
		for _, c := range []net.Conn{before, late} {
			_ = c.Close()
		}
		<-beforeDone
		<-lateDone
	})
}

// slowToClose is a connection that takes a while to be closed.
type slowToClose struct{ net.Conn }

// Close waits first.
func (c slowToClose) Close() error {
	time.Sleep(5 * time.Second)
	return c.Conn.Close()
}

// TestDrainWaitsForNoClose: a connection that is slow to close holds up neither the drain
// nor other connections.
func TestDrainWaitsForNoClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(limits(), echo)
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			s.Serve(t.Context(), slowToClose{far}, Hooks{})
		}()
		go func() { _, _ = io.WriteString(near, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") }()
		if _, err := http.ReadResponse(bufio.NewReader(near), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		s.Drain()
		if took := time.Since(began); took > 0 {
			t.Errorf("the drain took %v", took)
		}
		<-done
	})
}

// TestBodyDeadlineAfterTheExchange: what bounded the body of a request does not reach the
// connection any more once that is over.
func TestBodyDeadlineAfterTheExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var body *Body
		c, _, done := serve(t, limits(), Hooks{}, func(x *Exchange) {
			body = x.Body()
			defer body.Leave()
			_, _ = io.ReadAll(body)
			x.Begin(&Answer{Status: 204, Close: true})
		})
		talk(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
		<-done
		if err := body.SetReadDeadline(time.Now()); err == nil {
			t.Error("a deadline was set")
		}
	})
}

// TestEarlyAnswersHaveTheirTime: what is sent long after the deadline of writing was set
// has as long as that gave.
func TestEarlyAnswersHaveTheirTime(t *testing.T) {
	for name, send := range map[string]func(*Exchange) error{
		"asked for the body": func(x *Exchange) error { _, err := io.ReadFull(x, make([]byte, 1)); return err },
		"103":                func(x *Exchange) error { return x.Early(103, nil) },
		"another protocol": func(x *Exchange) error {
			x.Begin(&Answer{Status: 101, Length: -1})
			_, err := x.Pass()
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _, done := serve(t, limits(), Hooks{}, func(x *Exchange) {
				_ = x.WriteWithin(time.Now(), time.Second)
				time.Sleep(time.Minute)
				if err := send(x); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				x.Abort()
			})
			talk(t, c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n", "x")
			_ = c.Close()
			<-done
		})
	}
}
