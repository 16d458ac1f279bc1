package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairway/internal/engine/embedded/wire"
)

// passOn answers with what an endpoint answers, spliced wherever that can be done; spliced
// gets how much that was. The limit of the head has passed once it is there.
func passOn(p *Pool, spliced chan<- int64) func(*Exchange) {
	return func(x *Exchange) {
		peer, err := p.Get(x.Context(), "")
		if err == nil {
			err = peer.Send([]byte("GET "+x.Request.Target+" HTTP/1.1\r\nHost: a\r\n\r\n"), time.Now(), 30*time.Second)
		}
		if err == nil {
			err = peer.Receive("GET", func(*wire.Response) {})
		}
		if err != nil {
			x.Abort()
			return
		}
		peer.timing.Lock()
		peer.within(time.Unix(1, 0))
		peer.timing.Unlock()
		x.Begin(&Answer{Status: 200, Length: peer.Response.Length})
		sum := int64(0)
		for buf := make([]byte, 32<<10); err == nil; {
			var n int64
			if n, err = x.Splice(peer); n > 0 || err != nil {
				sum += n
				continue
			}
			if sum == 0 && peer.Buffered() == 0 && !peer.BodyEnded() {
				runtime.Gosched() // until enough has come
				continue
			}
			var m int
			m, err = peer.Read(buf)
			_, _ = x.Write(buf[:m])
		}
		if !errors.Is(err, io.EOF) {
			_ = x.Flush()
			x.Abort()
		}
		peer.Done(errors.Is(err, io.EOF), time.Now())
		spliced <- sum
	}
}

// TestSplice: large bodies arrive, however long they take, as they are, the next answer on the connections is the next
// one, and of a body that breaks off the client gets what came, and no end.
func TestSplice(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	text := strings.Repeat("0123456789abcdef_", 60_000)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					whole := text
					if req.URL.Path == "/half" {
						whole = text[:len(text)/2]
					}
					_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(text))+"\r\n\r\n"+whole)
					if req.URL.Path == "/half" {
						return
					}
				}
			}()
		}
	}()
	p := NewPool(PoolLimits{Head: 1 << 10, Idle: time.Hour, Most: 2}, func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		return NewLine(c), nil
	})
	defer p.CloseIdle(true)
	spliced := make(chan int64, 1)
	dial, s := sockets(t, limits(), passOn(p, spliced))
	c := dial()
	defer c.Close()
	r := bufio.NewReader(c)
	for _, target := range []string{"/whole", "/whole", "/half"} {
		_, _ = io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(res.Body)
		want, ends := text, error(nil)
		if target == "/half" {
			want, ends = text[:len(text)/2], io.ErrUnexpectedEOF
		}
		if string(got) != want || !errors.Is(err, ends) {
			t.Errorf("%s: %d bytes, %v; want %d, %v", target, len(got), err, len(want), ends)
		}
		if n := <-spliced; n < spliceLeast {
			t.Errorf("%s: %d bytes were spliced", target, n)
		}
	}
	if n := s.splicing.Load(); n != 0 {
		t.Errorf("%d pieces are still being spliced", n)
	}
}
