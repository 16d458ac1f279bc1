package embedded

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
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
			if res, err = http.ReadResponse(c.r, nil); err == nil {
				_, err = io.Copy(io.Discard, res.Body)
			}
			if err == nil && res.StatusCode != http.StatusOK {
				err = errors.New(res.Status)
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
// off in time, and leave no memory behind. They are in a process of their own.
func TestSlowPeers(t *testing.T) {
	n, limit, groups := 40, 300*time.Millisecond, [][]string{slowKinds()}
	if testkit.Soaking() {
		n, limit, groups = 2000, 10*time.Second, nil
		for _, kind := range slowKinds() {
			groups = append(groups, []string{kind})
		}
	}
	for _, kinds := range groups {
		t.Run(strings.Join(kinds, ","), func(t *testing.T) {
			all := n * len(kinds)
			readers := int64(0)
			if slices.Contains(kinds, "reader") {
				readers = int64(n)
			}
			s, begun := attacked(t, Options{MaxConns: 6 * all, HeaderTimeout: limit, BodyTimeout: limit, WriteTimeout: limit})
			storm := s.storm(t, kinds, n, 0, func(room int) (over bool) {
				return begun.Load() >= readers && s.engine.room.count() <= room
			})
			if !strings.Contains(storm.said, "whole answers: 0\n") {
				t.Errorf("a peer got the whole answer: %s", storm.said)
			}
			testkit.Figure(t, "slow "+strings.Join(kinds, ", "), "%d peers, sent off within %v at a limit of %v; p99 of an honest client %v, without them %v; memory back after %v",
				all, storm.took, limit, storm.with, storm.without, storm.back)
		})
	}
}

// TestFloods: what clients of HTTP/2 can send at no cost of theirs holds up no other client,
// and leaves no memory behind.
func TestFloods(t *testing.T) {
	n, lasts, groups := 1, 150*time.Millisecond, [][]string{floodKinds()}
	if testkit.Soaking() {
		n, lasts, groups = 10, 10*time.Second, nil
		for _, kind := range floodKinds() {
			groups = append(groups, []string{kind})
		}
	}
	for _, kinds := range groups {
		t.Run(strings.Join(kinds, ","), func(t *testing.T) {
			s, _ := attacked(t, Options{EndpointIdle: 50 * time.Millisecond})
			storm := s.storm(t, kinds, n, lasts, func(room int) (over bool) { return s.engine.room.count() <= room })
			testkit.Figure(t, "flood "+strings.Join(kinds, ", "), "%d connections each for %v: %s; p99 of an honest client %v, without them %v; memory back after %v, at most %d MiB more",
				n, lasts, strings.ReplaceAll(strings.TrimSpace(storm.said), "\n", ", "), storm.with, storm.without, storm.back, storm.most>>20)
		})
	}
}

// attacked is a site that answers /large with much; begun counts these.
func attacked(t *testing.T, o Options) (s *site, begun *atomic.Int64) {
	o.Logger, o.MaxConnsPerSource = slog.New(slog.DiscardHandler), o.MaxConns
	s, begun = newSite(t, o), new(atomic.Int64)
	s.listeners = append(s.listeners, tlsListener(t, "https", "a.example"))
	s.serve("a.example", largeApp(t, begun))
	s.apply()
	return s, begun
}

// storm is what an attack did.
type storm struct {
	with, without time.Duration // p99 of an honest client
	took, back    time.Duration // until all connections are closed, and then until the memory is back
	most          uint64        // memory in use beyond what was before
	said          string        // by the attackers
}

// storm has a process attack in some ways with n connections each, and waits until that is over:
// with so many open connections as before at the most.
func (s *site) storm(t *testing.T, kinds []string, n int, lasts time.Duration, over func(room int) bool) (r storm) {
	good := s.dial("http")
	calm, stop := context.WithCancel(t.Context())
	if testkit.Soaking() {
		time.AfterFunc(3*time.Second, stop)
	} else {
		stop()
	}
	r.without = p99(honest(calm, t, good))
	before, room := inUse(), s.engine.room.count()
	var asking sync.WaitGroup
	during, stop := context.WithCancel(t.Context())
	asking.Go(func() { r.with = p99(honest(during, t, good)) })
	began := time.Now()
	attackers := attack(t, kinds, n, lasts, s.addr("http"), s.addr("https"))
	testkit.Eventually(t, "the attack is over", func() bool {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		r.most = max(r.most, m.HeapAlloc+m.StackInuse-min(before, m.HeapAlloc+m.StackInuse))
		return attackers.ready.Load() && over(room)
	})
	r.took = time.Since(began).Round(time.Millisecond)
	stop()
	asking.Wait()
	r.said = attackers.end()
	// Go keeps what it has for goroutines, of which there are some for each connection, and maps their size.
	r.back = testkit.Eventually(t, "the memory is back", func() bool { return inUse() <= before+1<<20+uint64(n*len(kinds))*4<<10 }).Round(time.Millisecond)
	return r
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
