package embedded

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"fairway/internal/engine/embedded/http1"
)

const get = "GET /path HTTP/1.1\r\nHost: a.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"

// post has a body of 4 KiB, which ends as a head does.
var post = "POST /path HTTP/1.1\r\nHost: a.example\r\nContent-Length: 4096\r\n\r\n" + strings.Repeat("x", 4092) + "\r\n\r\n"

// plain returns a function that asks with a text for an answer of size bytes on a connection that is kept.
func plain(t testing.TB, size int, text string) (ask func()) {
	answer := []byte("HTTP/1.1 200 OK\r\nServer: test\r\nDate: Sun, 29 Nov 2026 12:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n" +
		strings.Repeat("x", size-1) + "z")
	addr := rawApp(t, func(c net.Conn) {
		buf := make([]byte, 16<<10)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if bytes.HasSuffix(buf[:n], []byte("\r\n\r\n")) {
				if _, err := c.Write(answer); err != nil {
					return
				}
			}
		}
	})
	s := newSite(t, Options{})
	s.serve("a.example", addr)
	s.apply()
	c := s.dial("http")
	request := []byte(text)
	buf := make([]byte, 256<<10)
	return func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		for n := 0; n == 0 || buf[n-1] != 'z'; {
			var err error
			if n, err = c.Conn.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// BenchmarkPlain is a small GET on connections that are kept: what it costs in all, with
// client and endpoint in the same process, and how often memory is taken.
func BenchmarkPlain(b *testing.B) {
	ask := plain(b, 1<<10, get)
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}

// BenchmarkLarge is the same with an answer of 1 MiB, which is spliced.
func BenchmarkLarge(b *testing.B) {
	ask := plain(b, 1<<20, get)
	b.SetBytes(1 << 20)
	for b.Loop() {
		ask()
	}
}

// BenchmarkPost is a small request with a body of 4 KiB, which is there with its head.
func BenchmarkPost(b *testing.B) {
	ask := plain(b, 1<<10, post)
	b.ReportAllocs()
	for b.Loop() {
		ask()
	}
}

// TestMalformedAnswerHasItsReason: what is wrong with an answer is in the access log, and
// nothing of the answer.
func TestMalformedAnswerHasItsReason(t *testing.T) {
	addr := rawApp(t, func(c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-Secret: a\r\n b\r\nContent-Length: 0\r\n\r\n")
		_, _ = io.Copy(io.Discard, c)
	})
	var log lockedBuffer
	s := newSite(t, Options{AccessLog: &log})
	s.serve("a.example", addr)
	s.apply()
	if res := s.get("a.example", "/"); res.StatusCode != 502 {
		t.Errorf("answered %d", res.StatusCode)
	}
	if err := s.engine.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if text := log.String(); !strings.Contains(text, "the answer is malformed: a field goes on in the next line at "+addr) || strings.Contains(text, "Secret") {
		t.Errorf("the access log has %s", text)
	}
}

// TestPanicEndsOneConnection: a panic of the core is logged with where it was, and ends
// that connection alone.
func TestPanicEndsOneConnection(t *testing.T) {
	var log lockedBuffer
	s := newSite(t, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	l := &listener{engine: s.engine}
	l.core = http1.NewServer(http1.Limits{Head: 1 << 10, HeadTime: time.Minute}, func(*http1.Exchange) { panic("bad") })
	near, far := net.Pipe()
	c := &clientConn{Conn: far, listener: l}
	if reason := s.engine.room.admit(c); reason != "" {
		t.Fatal(reason)
	}
	l.open.Add(1)
	go func() { _, _ = io.WriteString(near, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n") }()
	l.serveHTTP1(c, c)
	if n, err := near.Read(make([]byte, 1)); err != io.EOF || l.open.Load() != 0 {
		t.Errorf("read %d bytes (%v), and %d are open", n, err, l.open.Load())
	}
	if text := log.String(); !strings.Contains(text, "panic=bad") || !strings.Contains(text, "core_test.go") {
		t.Errorf("the log has %s", text)
	}
}

// TestAnswerWithoutTheBody: an endpoint that does not want the body that a client waits to
// be asked for may take long for its answer.
func TestAnswerWithoutTheBody(t *testing.T) {
	addr := rawApp(t, func(c net.Conn) {
		buf := make([]byte, 4096)
		if _, err := c.Read(buf); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nbut ")
		time.Sleep(http1.ExpectTime + http1.ExpectTime/4)
		_, _ = io.WriteString(c, "no")
	})
	s := newSite(t, Options{})
	s.serve("a.example", addr)
	s.apply()
	c := s.dial("http")
	c.send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if res := c.answer("POST"); res.StatusCode != 403 || res.body != "but no" {
		t.Errorf("answered %d %q", res.StatusCode, res.body)
	}
}
