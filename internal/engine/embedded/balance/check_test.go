package balance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/engine/traffic"
	"fairway/internal/route"
)

// The pace of checks; see package probe.
const (
	firstWithin = 200 * time.Millisecond
	soon        = time.Second
)

// prober answers probes as it is told and counts them.
type prober struct {
	mu    sync.Mutex
	sick  map[string]bool // by address
	asked map[string]int
}

func (p *prober) probe(_ context.Context, _ *route.Backend, address string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked[address]++
	if p.sick[address] {
		return errors.New("sick")
	}
	return nil
}

func (p *prober) set(b *Backend, id string, sick bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range b.endpoints {
		if e.ID() == id {
			p.sick[e.Address()] = sick
		}
	}
}

// times tells how often an address was asked.
func (p *prober) times(address string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[address]
}

func checked(specs ...string) *route.Backend {
	def := backend(route.BalanceRoundRobin, specs...)
	def.Health = &route.Health{Path: "/up", Interval: 5 * time.Second, Timeout: time.Second}
	return def
}

func newChecked(t *testing.T, def *route.Backend) (*Set, *Backend, *prober) {
	p := &prober{sick: map[string]bool{}, asked: map[string]int{}}
	s := NewSet(Options{Probe: p.probe})
	s.Update([]*route.Backend{def})
	t.Cleanup(s.Close)
	return s, s.Backend(def.ID), p
}

func TestChecksLetInAndTakeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, p := newChecked(t, checked("a", "b"))
		p.set(b, "b", true)
		if e, err := b.Pick(Key{}, nil); err != ErrNoEndpoint {
			t.Fatalf("picked %v, %v before any check", e, err)
		}
		if err := b.Wait(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(firstWithin)
		if got := sequence(t, b, 4); got != "aaaa" {
			t.Errorf("got %s: one success lets a in, b has had none", got)
		}
		p.set(b, "b", false)
		time.Sleep(2 * soon) // what failed is asked again soon
		if got := sequence(t, b, 4); got != "abab" {
			t.Errorf("got %s after b passed", got)
		}

		p.set(b, "a", true)
		st := s.Status()[0]
		for st.Health != traffic.Failing {
			time.Sleep(soon / 10)
			st = s.Status()[0]
		}
		if st.OutOfRotation {
			t.Errorf("one failure took a out: %+v", st)
		}
		time.Sleep(2 * soon)
		if got := sequence(t, b, 4); got != "bbbb" {
			t.Errorf("got %s after a failed twice", got)
		}
		p.set(b, "b", true)
		time.Sleep(20 * time.Second)
		if e, err := b.Pick(Key{}, nil); err != ErrNoEndpoint {
			t.Errorf("picked %v, %v with all unhealthy", e, err)
		}
	})
}

func TestChecksCarryOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// a is in use without a check; then it gets one, which it fails.
		s, b, p := newChecked(t, backend(route.BalanceRoundRobin, "a", "b:1:waiting"))
		p.set(b, "a", true)
		s.Update([]*route.Backend{checked("a", "b")})
		if got := sequence(t, b, 2); got != "aa" {
			t.Fatalf("got %s: a is in use, b has to pass first", got)
		}
		time.Sleep(firstWithin)
		if got := sequence(t, b, 2); !strings.Contains(got, "a") {
			t.Errorf("got %s after one failure", got)
		}
		time.Sleep(2 * soon)
		if got := sequence(t, b, 2); got != "bb" {
			t.Errorf("got %s after two failures", got)
		}
		// Another path: what is known stays until it is known better.
		other := checked("a", "b")
		other.Health.Path = "/healthz"
		s.Update([]*route.Backend{other})
		if got := sequence(t, b, 2); got != "bb" {
			t.Errorf("got %s after the path of the check changed", got)
		}
		// No check any more: everything the table calls ready is.
		s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "a", "b")})
		if got := sequence(t, b, 2); got != "ab" {
			t.Errorf("got %s without a check", got)
		}
	})
}

func TestChecksOnlyForReadyEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b, p := newChecked(t, checked("a", "b:1:waiting", "c:1:draining"))
		time.Sleep(30 * time.Second)
		for _, e := range b.endpoints {
			if n := p.times(e.Address()); (e.ID() == "a") != (n > 0) {
				t.Errorf("%s was asked %d times", e.ID(), n)
			}
		}
		a := b.endpoints[0].Address()
		if n := p.times(a); n < 5 || n > 8 {
			t.Errorf("a was asked %d times in 30 s, every 5 s", n)
		}
		// Updates that leave the check as it is do not make another one.
		before := p.times(a)
		for range 30 {
			s.Update([]*route.Backend{checked("a", "b:1:waiting", "c:1:draining")})
			time.Sleep(time.Second)
		}
		if n := p.times(a) - before; n < 5 || n > 8 {
			t.Errorf("a was asked %d times in 30 s of updates", n)
		}
		s.Update(nil)
		before = p.times(a)
		time.Sleep(time.Minute)
		if p.times(a) != before {
			t.Error("the endpoint of a backend that left is still asked")
		}
	})
}

func TestCheckIsCutOffByTimeoutAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lasted atomic.Int64
		s := NewSet(Options{Probe: func(ctx context.Context, _ *route.Backend, _ string) error {
			start := time.Now()
			<-ctx.Done()
			lasted.Store(int64(time.Since(start)))
			return ctx.Err()
		}})
		s.Update([]*route.Backend{checked("a")})
		time.Sleep(firstWithin + 1100*time.Millisecond)
		if got := time.Duration(lasted.Load()); got != time.Second {
			t.Errorf("the probe lasted %v, its timeout is 1s", got)
		}
		s.Close() // returns although a probe may be under way
		s.Update([]*route.Backend{checked("a", "b")})
		time.Sleep(time.Minute)
	})
}

func TestChecksSlowStartTheReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		def := checked("a", "b")
		def.SlowStart = time.Hour
		_, b, p := newChecked(t, def)
		p.set(b, "b", true)
		time.Sleep(10 * time.Second)
		p.set(b, "b", false)
		time.Sleep(10 * time.Second)
		if got := strings.Count(sequence(t, b, 110), "b"); got < 9 || got > 12 {
			t.Errorf("b got %d of 110 when it came back, want about 10", got)
		}
	})
}

func TestOutcomesAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var fine atomic.Bool
		s := NewSet(Options{
			Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Probe: func(context.Context, *route.Backend, string) error {
				if fine.Load() {
					return nil
				}
				return fmt.Errorf("status 500: %w", io.ErrUnexpectedEOF)
			},
		})
		defer s.Close()
		s.Update([]*route.Backend{checked("a")})
		time.Sleep(time.Minute)
		fine.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		got := log.String()
		if strings.Count(got, "endpoint fails its check") != 1 || strings.Count(got, "endpoint passes its check") != 1 {
			t.Errorf("two changes, but the log says:\n%s", got)
		}
	})
}
