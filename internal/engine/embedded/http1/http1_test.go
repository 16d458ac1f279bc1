package http1

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/engine/embedded/wire"
	"fairway/internal/route/field"
)

// serve runs a server on one end of a pipe and returns the other.
func serve(t *testing.T, l Limits, h Hooks, handler func(*Exchange)) (net.Conn, *Server, chan struct{}) {
	t.Helper()
	s := NewServer(l, handler)
	near, far := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Serve(t.Context(), far, h)
	}()
	return near, s, done
}

func limits() Limits { return Limits{Head: 64 << 10, HeadTime: 10 * time.Second, Idle: time.Minute} }

// echo answers with what it was sent: the method, the target, the body.
func echo(x *Exchange) {
	body, err := io.ReadAll(x)
	if err != nil {
		x.Abort()
		return
	}
	text := x.Request.Method + " " + x.Request.Target + " " + string(body)
	x.Begin(&Answer{Status: 200, Length: int64(len(text))})
	_, _ = io.WriteString(x, text)
	_ = x.End(nil)
}

// talk sends what a client says and returns all that it reads, until the end.
func talk(t *testing.T, c net.Conn, says ...string) string {
	t.Helper()
	go func() {
		for _, s := range says {
			if _, err := io.WriteString(c, s); err != nil {
				return
			}
		}
	}()
	all, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

const dated = "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\n"

// TestServe: what a client says on one connection, and all that it is answered.
func TestServe(t *testing.T) {
	const last = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
	const lastAnswer = "HTTP/1.1 200 OK\r\n" + dated + "Content-Length: 10\r\nConnection: close\r\n\r\nGET /last "
	ok := func(text string) string {
		return "HTTP/1.1 200 OK\r\n" + dated + "Content-Length: " + string(rune('0'+len(text)/10)) + string(rune('0'+len(text)%10)) + "\r\n\r\n" + text
	}
	for _, tt := range []struct {
		name string
		says []string
		want string
	}{
		{"requests in a row", []string{"GET /123456 HTTP/1.1\r\nHost: a\r\n\r\n", last}, ok("GET /123456 ") + lastAnswer},
		{"sent ahead", []string{"GET /123456 HTTP/1.1\r\nHost: a\r\n\r\n" + last + last}, ok("GET /123456 ") + lastAnswer},
		{"in pieces", []string{"G", "ET /123456 HTTP/1.1\r", "\nHost: a\r\n", "\r\n", last}, ok("GET /123456 ") + lastAnswer},
		{"a length", []string{"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", "llo" + last}, ok("POST /1 hello") + lastAnswer},
		{"chunks", []string{"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", "llo\r\n0\r\n\r\n" + last}, ok("POST /1 hello") + lastAnswer},
		{
			"waits to be asked",
			[]string{"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "hello" + last},
			"HTTP/1.1 100 Continue\r\n\r\n" + ok("POST /1 hello") + lastAnswer,
		},
		{"HTTP/1.0", []string{"GET /last HTTP/1.0\r\n\r\n" + last}, lastAnswer},
		{
			"HTTP/1.0 that stays",
			[]string{"GET /last HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + last},
			strings.Replace(lastAnswer, "close", "keep-alive", 1) + lastAnswer,
		},
		{"cut short", []string{"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, done := serve(t, limits(), Hooks{}, echo)
				if got := talk(t, c, tt.says...); got != tt.want {
					t.Errorf("got\n%q, want\n%q", got, tt.want)
				}
				_ = c.Close()
				<-done
			})
		})
	}
}

// TestServeRefuses: what is no request is answered once, reported, and the connection closed.
func TestServeRefuses(t *testing.T) {
	for text, status := range map[string]string{
		"GET / HTTP/1.1\nHost: a\n\n":                               "400",
		"GET / HTTP/1.1\r\n\r\n":                                    "400",
		"GET / HTTP/3.0\r\n\r\n":                                    "505",
		"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n": "501",
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n":          "417",
		"GET / HTTP/1.1\r\nHost: " + strings.Repeat("a", 70<<10):    "431",
	} {
		synctest.Test(t, func(t *testing.T) {
			refused := 0
			c, _, done := serve(t, limits(), Hooks{Refused: func(error) { refused++ }}, echo)
			got := talk(t, c, text)
			if !strings.HasPrefix(got, "HTTP/1.1 "+status) || !strings.Contains(got, "\r\nConnection: close\r\n") || refused != 1 {
				t.Errorf("%.40q: reported %d times, answered %q", text, refused, got)
			}
			_ = c.Close()
			<-done
		})
	}
}

// TestDeadlines: a head must come in time, and so must the next request.
func TestDeadlines(t *testing.T) {
	for name, tt := range map[string]struct {
		says  string
		least time.Duration
	}{
		"nothing":      {"", 10 * time.Second},
		"half a head":  {"GET / HTTP/1.1\r\n", 10 * time.Second},
		"no next one":  {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", time.Minute},
		"half of next": {"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _, done := serve(t, limits(), Hooks{}, echo)
			began := time.Now()
			talk(t, c, tt.says)
			if took := time.Since(began); took < tt.least || took > tt.least+tt.least/8 {
				t.Errorf("%s: closed after %v, want %v", name, took, tt.least)
			}
			_ = c.Close()
			<-done
		})
	}
}

// TestAnswers: how clients of both versions find the end of an answer.
func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, request string
		answer        Answer
		body          string
		trailers      field.List
		want          string
	}{
		{"chunks", "GET / HTTP/1.1\r\nHost: a\r\n", Answer{Status: 200, Length: -1}, "hello", field.List{{Name: "T", Value: "u"}}, "HTTP/1.1 200 OK\r\n" + dated + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n"},
		{"the end", "GET / HTTP/1.0\r\n", Answer{Status: 200, Length: -1}, "hello", nil, "HTTP/1.1 200 OK\r\n" + dated + "Connection: close\r\n\r\nhello"},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\n", Answer{Status: 200, Length: 7}, "hello", nil, "HTTP/1.1 200 OK\r\n" + dated + "Content-Length: 7\r\nConnection: close\r\n\r\n"},
		{"304", "GET / HTTP/1.1\r\nHost: a\r\n", Answer{Status: 304, Length: 7}, "", nil, "HTTP/1.1 304 Not Modified\r\n" + dated + "Content-Length: 7\r\nConnection: close\r\n\r\n"},
		{"204", "GET / HTTP/1.1\r\nHost: a\r\n", Answer{Status: 204, Length: 0}, "", nil, "HTTP/1.1 204 No Content\r\n" + dated + "Connection: close\r\n\r\n"},
		{"its own date", "GET / HTTP/1.1\r\nHost: a\r\n", Answer{Status: 201, Length: 0, Fields: field.List{{Name: "date", Value: "x"}}}, "", nil, "HTTP/1.1 201 Created\r\ndate: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"},
		{"too short", "GET / HTTP/1.1\r\nHost: a\r\n", Answer{Status: 200, Length: 7}, "hello", nil, ""},
		{"too long", "GET / HTTP/1.1\r\nHost: a\r\n", Answer{Status: 200, Length: 3}, "hello", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _, done := serve(t, limits(), Hooks{}, func(x *Exchange) {
					a := tt.answer
					a.Close = true
					x.Begin(&a)
					_, _ = io.WriteString(x, tt.body)
					_ = x.End(tt.trailers)
				})
				if got := talk(t, c, tt.request+"\r\n"); got != tt.want {
					t.Errorf("got\n%q, want\n%q", got, tt.want)
				}
				_ = c.Close()
				<-done
			})
		})
	}
}

// TestLargeAnswers: pieces of all sizes arrive as they are, by length and in chunks.
func TestLargeAnswers(t *testing.T) {
	for _, length := range []int64{-1, 0} {
		synctest.Test(t, func(t *testing.T) {
			var whole strings.Builder
			pieces := []int{1, 100, outSize - 1, outSize, outSize + 1, 3 * outSize, 5}
			for i, n := range pieces {
				whole.WriteString(strings.Repeat(string(rune('a'+i)), n))
			}
			text := whole.String()
			if length == 0 {
				length = int64(len(text))
			}
			c, _, done := serve(t, limits(), Hooks{}, func(x *Exchange) {
				x.Begin(&Answer{Status: 200, Length: length, Close: true})
				rest := text
				for _, n := range pieces {
					_, _ = io.WriteString(x, rest[:n])
					rest = rest[n:]
				}
				_ = x.End(nil)
			})
			go func() { _, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") }()
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(res.Body)
			if err != nil || string(got) != text {
				t.Errorf("length %d: %d bytes (%v), want %d", length, len(got), err, len(text))
			}
			_ = c.Close()
			<-done
		})
	}
}

// TestClientGone: the context ends when the client is gone, and a while after it has
// closed its side.
func TestClientGone(t *testing.T) {
	for seen, want := range map[Presence]time.Duration{Gone: watchFirst, HalfClosed: watchFirst + halfGrace} {
		synctest.Test(t, func(t *testing.T) {
			var took time.Duration
			c, _, done := serve(t, limits(), Hooks{Gone: func() Presence { return seen }}, func(x *Exchange) {
				began := time.Now()
				<-x.Context().Done()
				took = time.Since(began)
				if !errors.Is(context.Cause(x.Context()), ErrClientGone) {
					t.Errorf("the cause is %v", context.Cause(x.Context()))
				}
				x.Abort()
			})
			talk(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if took < want || took > want+watchNext {
				t.Errorf("noticed after %v, want %v", took, want)
			}
			_ = c.Close()
			<-done
		})
	}
}

// TestHalfClosedClientTakesTheAnswer: a client that has closed its side is not gone for as
// long as it takes what comes.
func TestHalfClosedClientTakesTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pieces = 10
		c, _, done := serve(t, limits(), Hooks{Gone: func() Presence { return HalfClosed }}, func(x *Exchange) {
			x.Begin(&Answer{Status: 200, Length: -1})
			for i := range pieces {
				_, _ = io.WriteString(x, "x")
				if err := x.Flush(); err != nil || x.Context().Err() != nil {
					t.Errorf("piece %d: %v, %v", i, err, x.Context().Err())
				}
				time.Sleep(halfGrace / 2)
			}
			began := time.Now()
			<-x.Context().Done()
			if took := time.Since(began); took > halfGrace {
				t.Errorf("it was noticed %v after the last piece", took)
			}
			x.Abort()
		})
		if got := talk(t, c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); strings.Count(got, "1\r\nx\r\n") != pieces {
			t.Errorf("got %q", got)
		}
		_ = c.Close()
		<-done
	})
}

// TestDrain: idle connections are closed, new ones a while later, and what runs is
// answered with the end of its connection.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := NewServer(limits(), func(x *Exchange) {
			if x.Request.Target == "/busy" {
				<-release
			}
			echo(x)
		})
		dial := func(says string) net.Conn {
			near, far := net.Pipe()
			go s.Serve(t.Context(), far, Hooks{})
			if says != "" {
				go func() { _, _ = io.WriteString(near, says) }()
			}
			return near
		}
		idle, fresh, busy := dial("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), dial(""), dial("GET /busy HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(idle), nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		ended := make(chan error, 1)
		began := time.Now()
		go func() { ended <- s.Shutdown(t.Context()) }()
		if _, err := io.ReadAll(idle); err != nil || time.Since(began) > 0 {
			t.Errorf("the idle one was closed after %v: %v", time.Since(began), err)
		}
		if _, err := io.ReadAll(fresh); err != nil || time.Since(began) != newGrace {
			t.Errorf("the new one was closed after %v: %v", time.Since(began), err)
		}
		close(release)
		if got := talk(t, busy); !strings.Contains(got, "Connection: close") {
			t.Errorf("the busy one got %q", got)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestPool: the connection that was used last comes first, others are dropped in time,
// and none is used that has something to say.
func TestPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialled := 0
		p := NewPool(PoolLimits{Head: 1 << 10, Idle: 4 * time.Second, Most: 2}, func(context.Context, string) (net.Conn, error) {
			dialled++
			near, far := net.Pipe()
			go func() {
				for r := bufio.NewReader(far); ; {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if req.URL.Path == "/more" {
						_, _ = io.WriteString(far, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokevil")
						continue
					}
					_, _ = io.WriteString(far, "HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
			}()
			return near, nil
		})
		ask := func(target string) *Peer {
			peer, err := p.Get(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			if err := peer.Send([]byte("GET "+target+" HTTP/1.1\r\nHost: a\r\n\r\n"), time.Now(), time.Second); err != nil {
				t.Fatal(err)
			}
			early := 0
			if err := peer.Receive("GET", func(*wire.Response) { early++ }); err != nil || target == "/" && early != 1 {
				t.Fatalf("%v, %d early answers", err, early)
			}
			body, err := io.ReadAll(peer)
			if err != nil || string(body) != "ok" || !peer.BodyEnded() {
				t.Fatalf("body %q: %v", body, err)
			}
			return peer
		}
		first, second, third := ask("/"), ask("/"), ask("/")
		first.Done(true, time.Now())
		second.Done(true, time.Now())
		third.Done(true, time.Now()) // one too many
		if again := ask("/"); again != second || !again.Reused() {
			t.Error("it is not the one that was used last")
		} else {
			again.Done(true, time.Now())
		}
		time.Sleep(3 * time.Second)
		ask("/").Done(true, time.Now()) // second again
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := len(p.idle); n != 1 || dialled != 3 {
			t.Errorf("%d connections are kept, and %d were made", n, dialled)
		} else if kept := p.idle[0]; kept.memory != nil || kept.Out != nil {
			t.Error("a connection that is not used keeps its memory")
		}
		ask("/more").Done(true, time.Now())
		if n := len(p.idle); n != 0 {
			t.Error("a connection with more behind the answer is kept")
		}
		ask("/").Done(false, time.Now())
		p.CloseIdle(true)
		ask("/").Done(true, time.Now())
		if n := len(p.idle); n != 0 || dialled != 5 {
			t.Errorf("%d connections are kept after the end, and %d were made", n, dialled)
		}
	})
}
