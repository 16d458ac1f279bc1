package embedded

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fairway/internal/testkit"
)

// segment is the size of segments of slow peers: the kernel's memory for a connection that
// stands still depends on it.
const segment = 1400

func smallSegments(fd uintptr) error {
	return syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, segment)
}

// largeAnswer is more than the kernel keeps for a client that does not read.
const largeAnswer = 8 << 20

// largeApp answers /large with so much, and all else at once. begun counts the former.
func largeApp(t *testing.T, begun *atomic.Int64) string {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if failed := c.Control(func(fd uintptr) { err = smallSegments(fd) }); failed != nil {
			return failed
		}
		return err
	}}
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	large := make([]byte, largeAnswer)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			begun.Add(1)
			_, _ = w.Write(large)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "ok")
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return l.Addr().String()
}

// honest asks again and again until ctx ends, and returns how long each answer took.
func honest(ctx context.Context, t *testing.T, c *conn) (took []time.Duration) {
	for ctx.Err() == nil || len(took) < 20 {
		began := time.Now()
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		if err == nil {
			var res *http.Response
			if res, err = http.ReadResponse(c.r, nil); err == nil && res.StatusCode == http.StatusOK {
				_, err = io.Copy(io.Discard, res.Body)
			}
		}
		if err != nil {
			t.Errorf("an honest client: %v", err)
			return took
		}
		took = append(took, time.Since(began))
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return took
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}

// TestSlowPeers: many clients that are slow in one way hold up no other one, are all sent
// off in time, and leave no memory behind.
func TestSlowPeers(t *testing.T) {
	n, limit := 100, 300*time.Millisecond
	if testkit.Soaking() {
		n, limit = 2000, 10*time.Second
	}
	for _, kind := range []struct {
		name, listener, begins string
		goes                   bool // a byte comes now and then
	}{
		{"header", "http", "GET / HTTP/1.1\r\nHost: a.example\r\nX: ", true},
		{"body", "http", "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000\r\n\r\n", true},
		{"chunks", "http", "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n", true},
		{"reader", "http", "GET /large HTTP/1.1\r\nHost: a.example\r\n\r\n", false},
		{"hello of TLS", "https", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false},
	} {
		t.Run(kind.name, func(t *testing.T) {
			s := newSite(t, Options{
				Logger: slog.New(slog.DiscardHandler), MaxConns: 6 * n, MaxConnsPerSource: 6 * n, HeaderTimeout: limit, BodyTimeout: limit, WriteTimeout: limit,
			})
			s.listeners = append(s.listeners, tlsListener(t, "https", "a.example"))
			var begun atomic.Int64
			s.serve("a.example", largeApp(t, &begun))
			s.apply()
			good := s.dial("http")
			calm, stop := context.WithCancel(t.Context())
			if testkit.Soaking() {
				time.AfterFunc(3*time.Second, stop)
			} else {
				stop()
			}
			without := p99(honest(calm, t, good))
			before, count := inUse(), s.engine.room.count()

			var with []time.Duration
			var asking sync.WaitGroup
			storm, stop := context.WithCancel(t.Context())
			asking.Go(func() { with = honest(storm, t, good) })
			began := time.Now()
			fds := slowPeers(t, n, netip.MustParseAddrPort(s.addr(kind.listener)), kind.begins)
			if kind.name == "reader" {
				testkit.Eventually(t, "all have asked", func() bool { return begun.Load() == int64(n) })
			} else {
				testkit.Eventually(t, "all are sent off", func() bool { return trickle(fds, kind.goes) })
			}
			testkit.Eventually(t, "their connections are closed", func() bool { return s.engine.room.count() <= count })
			reaped := time.Since(began)
			stop()
			asking.Wait()
			for _, fd := range fds {
				if fd >= 0 && kind.name == "reader" && left(fd) >= largeAnswer {
					t.Error("a peer got the whole answer")
				}
				if fd >= 0 {
					_ = syscall.Close(fd)
				}
			}
			// Go keeps what it has for a goroutine, and maps their size.
			back := testkit.Eventually(t, "the memory is back", func() bool { return inUse() <= before+1<<20+uint64(n)*2<<10 })
			testkit.Figure(t, "slow "+kind.name, "%d peers, sent off within %v at a limit of %v; p99 of an honest client %v, without them %v; memory back after %v",
				n, reaped.Round(time.Millisecond), limit, p99(with), without, back.Round(time.Millisecond))
		})
	}
}

// trickle sends a byte on each connection, where that goes on, and closes those that the other
// side has closed. It reports whether those are all.
func trickle(fds []int, goes bool) bool {
	var buf [512]byte
	all := true
	for i, fd := range fds {
		if fd < 0 {
			continue
		}
		all = false
		if goes {
			_ = syscall.Sendto(fd, []byte("x"), syscall.MSG_NOSIGNAL|syscall.MSG_DONTWAIT, nil)
		}
		n, _, err := syscall.Recvfrom(fd, buf[:], syscall.MSG_DONTWAIT)
		if n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
			_ = syscall.Close(fd)
			fds[i] = -1
		}
	}
	return all
}

// left is how much the other side has sent before it closed the connection.
func left(fd int) (total int) {
	buf := make([]byte, 64<<10)
	for {
		n, err := syscall.Read(fd, buf)
		if n <= 0 && !errors.Is(err, syscall.EINTR) {
			return total
		}
		total += max(n, 0)
	}
}

// slowPeers connects so many, which send how they begin.
func slowPeers(t *testing.T, n int, to netip.AddrPort, begins string) (fds []int) {
	for range n {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err == nil {
			err = smallSegments(uintptr(fd))
		}
		if err == nil {
			err = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		}
		if err == nil {
			err = syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
		}
		if err == nil {
			_, err = syscall.Write(fd, []byte(begins))
		}
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
	}
	return fds
}

// count is how many connections are open.
func (r *room) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.open
}

// inUse is the memory of Go in use, what garbage holds left out. Stacks shrink by half in
// each collection, and pools are empty after two.
func inUse() uint64 {
	for range 4 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
