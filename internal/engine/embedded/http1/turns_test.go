package http1

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// sockets is a server whose connections are sockets; dial connects to it.
func sockets(t *testing.T, l Limits, handler func(*Exchange)) (dial func() *net.TCPConn, s *Server) {
	return accepting(t, l, handler, NewLine)
}

// stream is a connection one side of which can be closed.
type stream interface {
	net.Conn
	CloseWrite() error
}

// inClearAndSealed runs a test with sockets in clear, and with TLS.
func inClearAndSealed(t *testing.T, l Limits, handler func(*Exchange), test func(t *testing.T, dial func() stream)) {
	t.Run("in clear", func(t *testing.T) {
		dial, _ := sockets(t, l, handler)
		test(t, func() stream { return dial() })
	})
	t.Run("TLS", func(t *testing.T) {
		config := selfSigned(t)
		dial, _ := accepting(t, l, handler, func(c net.Conn) net.Conn {
			secure := tls.Server(NewLine(c), config)
			_ = secure.Handshake()
			return secure
		})
		test(t, func() stream {
			c := tls.Client(dial(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the other end is above
			if err := c.Handshake(); err != nil {
				t.Fatal(err)
			}
			return c
		})
	})
}

// accepting is a server whose connections wrap makes of sockets.
func accepting(t *testing.T, l Limits, handler func(*Exchange), wrap func(net.Conn) net.Conn) (dial func() *net.TCPConn, s *Server) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = NewServer(l, handler)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := socket.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { s.Serve(t.Context(), wrap(c), Hooks{}) })
		}
	})
	t.Cleanup(func() {
		_ = socket.Close()
		serving.Wait()
	})
	return func() *net.TCPConn {
		c, err := net.Dial("tcp", socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		return c.(*net.TCPConn)
	}, s
}

// TestTurns: what TestServe says of a pipe is so of a socket, whose requests are served by
// turns, also when the client has closed its side together with its last bytes.
func TestTurns(t *testing.T) {
	inClearAndSealed(t, limits(), echo, testTurns)
}

func testTurns(t *testing.T, dial func() stream) {
	const get = "GET /123456 HTTP/1.1\r\nHost: a\r\n\r\n"
	const post = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
	const chunks = "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe"
	for _, tt := range []struct {
		name    string
		says    []string
		answers int
	}{
		{"nothing", nil, 0},
		{"one", []string{get}, 1},
		{"two at once", []string{get + get}, 2},
		{"two", []string{get, get}, 2},
		{"many at once", []string{strings.Repeat(get, 500)}, 500},
		{"a piece of one", []string{get + get[:5]}, 1},
		{"in pieces", []string{get[:1], get[1:20], get[20:] + get[:30], get[30:]}, 2},
		{"with a body", []string{get + post + "hello" + get, post, "hello" + get}, 5},
		{"with chunks", []string{chunks, "llo\r\n0\r\n\r\n" + get + chunks + "llo\r\n0\r\n", "\r\n"}, 3},
		{"a large head", []string{strings.Replace(get, "Host", "X: "+strings.Repeat("x", 2*inSize)+"\r\nHost", 1) + get}, 2},
		{"of the size of the memory", []string{strings.Replace(get, "Host", "X: "+strings.Repeat("x", inSize-len(get)-len("X: \r\n"))+"\r\nHost", 1)}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := dial()
			defer c.Close()
			go func() {
				for _, s := range tt.says {
					_, _ = io.WriteString(c, s)
				}
				_ = c.CloseWrite()
			}()
			_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // idle connections stay longer
			got, err := io.ReadAll(c)
			if n := strings.Count(string(got), "HTTP/1.1 200 OK\r\n"); err != nil || n != tt.answers {
				t.Errorf("%d answers, %v: %.300q", n, err, got)
			}
		})
	}
}

// talker is a client that sends requests ahead and reads the answers.
type talker struct {
	c    net.Conn
	sent []string // the answers to expect
	text strings.Builder
}

// add adds a request, with a body of any size, by length or in chunks.
func (k *talker) add(i int) {
	target := fmt.Sprintf("/%d", i)
	size := 0
	switch rand.N(4) {
	case 0:
		size = rand.N(200)
	case 1:
		size = rand.N(5 * inSize)
	}
	body := strings.Repeat("b", size)
	switch {
	case size == 0:
		k.text.WriteString("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n")
		k.sent = append(k.sent, "GET "+target+" ")
		return
	case rand.N(2) == 0:
		fmt.Fprintf(&k.text, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", target, size, body)
	default:
		fmt.Fprintf(&k.text, "POST %s HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", target, size, body)
	}
	k.sent = append(k.sent, "POST "+target+" "+body)
}

// send sends what was added, in pieces with pauses.
func (k *talker) send() {
	text := k.text.String()
	k.text.Reset()
	for len(text) > 0 {
		n := len(text)
		if rand.N(3) == 0 {
			n = 1 + rand.N(n)
		}
		if _, err := io.WriteString(k.c, text[:n]); err != nil {
			return
		}
		if text = text[n:]; rand.N(3) == 0 {
			pause()
		}
	}
}

// read reads the answers to all that was sent.
func (k *talker) read(r *bufio.Reader) error {
	for _, want := range k.sent {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return err
		}
		if got, err := io.ReadAll(res.Body); err != nil || string(got) != want {
			return fmt.Errorf("got %.40q of %d bytes, want %.40q of %d: %w", got, len(got), want, len(want), err)
		}
	}
	k.sent = k.sent[:0]
	return nil
}

// TestTurnsMissNothing: no request is waited for in vain, whenever and in which pieces
// it comes, and however many at once.
func TestTurnsMissNothing(t *testing.T) {
	rounds := 80
	if testkit.Soaking() {
		rounds = 1000
	}
	handler := func(x *Exchange) {
		if rand.N(8) == 0 {
			pause()
		}
		echo(x)
	}
	processors(t, func(t *testing.T) {
		inClearAndSealed(t, limits(), handler, func(t *testing.T, dial func() stream) {
			var talking sync.WaitGroup
			for range 4 {
				talking.Go(func() {
					if err := talkAtRandom(dial(), rounds); err != nil {
						t.Error(err)
					}
				})
			}
			talking.Wait()
		})
	})
}

// talkAtRandom sends a few requests in each round, and reads the answers meanwhile.
func talkAtRandom(c net.Conn, rounds int) error {
	defer c.Close()
	k := talker{c: c}
	r := bufio.NewReader(c)
	for i := range rounds {
		_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // of both sides: idle connections stay longer
		for n := range 1 + rand.N(3) {
			k.add(10*i + n)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.send()
		}()
		err := k.read(r)
		<-done
		if err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		if rand.N(4) == 0 {
			pause()
		}
	}
	return nil
}

// TestCollectionsPauseShortly: that the scheduler does not know of system calls holds no
// collection of memory up, though each pause of one waits for them.
func TestCollectionsPauseShortly(t *testing.T) {
	testkit.Soak(t)
	paused := func(wrap func(net.Conn) net.Conn) time.Duration {
		body := strings.Repeat("x", 64<<10)
		dial, _ := accepting(t, limits(), func(x *Exchange) {
			x.Begin(&Answer{Status: 200, Length: int64(len(body))})
			_, _ = io.WriteString(x, body)
		}, wrap)
		ctx, stop := context.WithCancel(t.Context())
		var asking sync.WaitGroup
		for range 1000 {
			asking.Go(func() {
				c := dial()
				defer c.Close()
				buf := make([]byte, 32<<10)
				for r := bufio.NewReader(c); ctx.Err() == nil; {
					_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
					res, err := http.ReadResponse(r, nil)
					if err == nil {
						_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, buf)
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		before := pauses()
		for range 100 {
			runtime.GC()
		}
		after := pauses()
		stop()
		asking.Wait()
		return percentile(before, after, 0.99)
	}
	ordinary, short := paused(func(c net.Conn) net.Conn { return c }), paused(NewLine)
	testkit.Figure(t, "p99 of the pauses of collections, 1,000 connections that write 64 KiB", "%v; by ordinary calls %v", short, ordinary)
	if short > time.Millisecond && short > 2*ordinary {
		t.Errorf("collections pause for %v, and for %v where the scheduler knows", short, ordinary)
	}
}

// pauses are those of all collections so far.
func pauses() *metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}}
	metrics.Read(s)
	return s[0].Value.Float64Histogram()
}

// percentile is that of what came between two readings.
func percentile(before, after *metrics.Float64Histogram, share float64) time.Duration {
	total, seen := uint64(0), uint64(0)
	for i, n := range after.Counts {
		total += n - before.Counts[i]
	}
	for i, n := range after.Counts {
		if seen += n - before.Counts[i]; float64(seen) >= share*float64(total) {
			return time.Duration(after.Buckets[i+1] * float64(time.Second))
		}
	}
	return 0
}

// TestTurnsDrain: idle connections that wait in a turn are closed, and what runs is answered.
func TestTurnsDrain(t *testing.T) {
	release, running := make(chan struct{}), make(chan struct{})
	dial, s := sockets(t, limits(), func(x *Exchange) {
		if x.Request.Target == "/busy" {
			close(running)
			<-release
		}
		echo(x)
	})
	idle, busy := dial(), dial()
	_, _ = io.WriteString(idle, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(busy, "GET /busy HTTP/1.1\r\nHost: a\r\n\r\n")
	<-running
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	if _, err := io.ReadAll(idle); err != nil {
		t.Error(err)
	}
	close(release)
	if got, err := io.ReadAll(busy); err != nil || !strings.Contains(string(got), "Connection: close") {
		t.Errorf("the busy one got %q: %v", got, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestTurnsEndAfterLongWrite: an end that came together with a request is seen also where
// the answer was being written when it was looked for.
func TestTurnsEndAfterLongWrite(t *testing.T) {
	dial, _ := sockets(t, limits(), func(x *Exchange) {
		w := &x.conn.watch
		w.stop() // as if the handler were done
		w.timer.Stop()
		w.look() // while the rest is being written
		x.Begin(&Answer{Status: 200, Length: 2})
		_, _ = io.WriteString(x, "ok")
	})
	c := dial()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second)) // idle connections stay longer
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	_ = c.CloseWrite()
	if got, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(got), "\r\n\r\nok") {
		t.Errorf("got %q: %v", got, err)
	}
}

// TestTurnsOutliveTheLimitOfTheHead: what bounded the head of a request that was served
// between two turns is no limit of the next one.
func TestTurnsOutliveTheLimitOfTheHead(t *testing.T) {
	dial, _ := sockets(t, limits(), func(x *Exchange) {
		x.conn.readBy = time.Unix(1, 0) // it has passed meanwhile
		_ = x.conn.SetReadDeadline(x.conn.readBy)
		echo(x)
	})
	c := dial()
	defer c.Close()
	r := bufio.NewReader(c)
	for range 2 {
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
	}
}
