package http1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/engine/embedded/wire"
	"fairway/internal/testkit"
)

// processors runs a test with as many, all of which wake each other differently.
func processors(t *testing.T, test func(t *testing.T)) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	for _, n := range []int{1, 2, 8} {
		runtime.GOMAXPROCS(n)
		t.Run(fmt.Sprintf("%d processors", n), test)
	}
}

// pause lets the other side come to any point meanwhile.
func pause() { time.Sleep(rand.N(150 * time.Microsecond)) }

// answerBadly answers with the number it was asked for, in pieces and with pauses; it
// closes one in ten connections unsaid, and closes its side alone of one in fifty.
func answerBadly(c *net.TCPConn) {
	defer c.Close()
	for r := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body := strings.Repeat(req.URL.Path, 1+rand.N(2)*rand.N(4000))
		text := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if rand.N(4) == 0 {
			pause()
		}
		if rand.N(4) == 0 {
			cut := rand.N(len(text))
			_, _ = io.WriteString(c, text[:cut])
			pause()
			text = text[cut:]
		}
		_, _ = io.WriteString(c, text)
		switch rand.N(100) {
		case 0, 1:
			_ = c.CloseWrite()
		case 2, 3, 4, 5, 6, 7, 8, 9, 10, 11:
			return
		}
		if rand.N(4) == 0 {
			pause()
		}
	}
}

// TestSendMissesNothing: no answer, and no end of a connection, is waited for in vain,
// whenever it comes.
func TestSendMissesNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { answerBadly(c.(*net.TCPConn)) })
		}
	})
	p := NewPool(PoolLimits{Head: 1 << 10, Idle: time.Minute, Most: 4}, func(ctx context.Context, _ string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			return nil, err
		}
		return NewLine(c), nil
	})
	rounds := 100
	if testkit.Soaking() {
		rounds = 5000
	}
	processors(t, func(t *testing.T) {
		var asking sync.WaitGroup
		for who := range 4 {
			asking.Go(func() {
				for i := range rounds {
					if err := askUntilAnswered(t.Context(), p, fmt.Sprintf("/%d-%d", who, i)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		asking.Wait()
	})
	p.CloseIdle(true)
	_ = l.Close()
	serving.Wait()
}

// askUntilAnswered asks again where a connection that was kept has ended.
func askUntilAnswered(ctx context.Context, p *Pool, path string) error {
	for {
		peer, err := p.Get(ctx, "")
		if err != nil {
			return err
		}
		reused := peer.Reused()
		err = peer.Send([]byte("GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n"), time.Now(), 20*time.Second)
		if err == nil {
			err = peer.Receive("GET", func(*wire.Response) {})
		}
		var late net.Error
		switch {
		case err == nil:
		case reused && !(errors.As(err, &late) && late.Timeout()):
			_ = peer.Close()
			continue
		default:
			return fmt.Errorf("%s, reused %t: %w", path, reused, err)
		}
		body, err := io.ReadAll(peer)
		if err != nil || strings.ReplaceAll(string(body), path, "") != "" || len(body) == 0 {
			return fmt.Errorf("%s got %.40q: %w", path, body, err)
		}
		peer.Done(true, time.Now())
		return nil
	}
}

// TestSendLimits: a whole request has its limit anew, and one that goes on has none, not
// even that of the request before it.
func TestSendLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPool(PoolLimits{Head: 1 << 10, Idle: time.Hour, Most: 1}, func(context.Context, string) (net.Conn, error) {
			near, far := net.Pipe()
			go func() {
				for r := bufio.NewReader(far); ; {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					took, _ := time.ParseDuration(req.URL.Path[1:])
					time.Sleep(took)
					_, _ = io.WriteString(far, "HTTP/1.1 204 No Content\r\n\r\n")
				}
			}()
			return near, nil
		})
		for _, tt := range []struct {
			pause, took, limit time.Duration
			fails              bool
		}{
			{0, 9 * time.Second, 10 * time.Second, false},
			{2 * time.Second, 9 * time.Second, 10 * time.Second, false}, // the limit before is over
			{20 * time.Second, 9 * time.Second, 10 * time.Second, false},
			{0, time.Minute, 0, false},
			{0, 12 * time.Second, 10 * time.Second, true},
		} {
			time.Sleep(tt.pause)
			peer, err := p.Get(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			err = peer.Send([]byte("GET /"+tt.took.String()+" HTTP/1.1\r\nHost: a\r\n\r\n"), time.Now(), tt.limit)
			if err == nil {
				err = peer.Receive("GET", func(*wire.Response) {})
			}
			if (err != nil) != tt.fails {
				t.Errorf("%v after %v within %v: %v", tt.took, tt.pause, tt.limit, err)
			}
			peer.Done(err == nil, time.Now())
		}
		p.CloseIdle(true)
		time.Sleep(time.Minute) // the endpoint notices when it answers
	})
}
