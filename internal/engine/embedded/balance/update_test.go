package balance

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/route"
)

// closed tells whether a channel is closed.
func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestUpdateKeepsWhatIsKnown(t *testing.T) {
	s, b := newBackend(t, backend(route.BalanceRoundRobin, "a", "b", "c"), nil)
	a := pick(t, b, Key{})
	bb := pick(t, b, Key{})
	bb.Done(ResultFailed)

	next := backend(route.BalanceLeastConn, "0", "a:7", "b", "c:1:draining")
	next.Endpoints[2].Address = "203.0.113.9:80"
	s.Update([]*route.Backend{next})

	if s.Backend("shop") != b {
		t.Fatal("the backend is another one")
	}
	byID := map[string]*Endpoint{}
	for _, e := range b.endpoints {
		byID[e.ID()] = e
	}
	if byID["a"] != a || a.inFlight.Load() != 1 {
		t.Error("a lost its state with its weight")
	}
	if byID["b"] == bb {
		t.Error("b kept its state with another address")
	}
	if closed(a.Draining()) {
		t.Error("a drains")
	}
	if !closed(bb.Draining()) {
		t.Error("the b that had another address does not drain")
	}
	if !closed(byID["c"].Draining()) {
		t.Error("c, which is draining in the table, does not drain")
	}
	a.Done(ResultOK)
	bb.inFlight.Add(1)
	bb.Done(ResultOK) // after it is gone: harmless
}

func TestUpdateWithTheSamePointerCostsNothing(t *testing.T) {
	s, b := newBackend(t, backend(route.BalanceRoundRobin, "a", "b"), nil)
	def := b.def.Load()
	table := []*route.Backend{def}
	if n := testing.AllocsPerRun(10, func() { s.Update(table) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestDrainingEndsOnce(t *testing.T) {
	s, b := newBackend(t, backend(route.BalanceRoundRobin, "a", "b"), nil)
	a := b.endpoints[0]
	before := a.Draining()
	s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "a:1:draining", "b")})
	if !closed(before) {
		t.Fatal("the channel handed out before is not closed")
	}
	if b.endpoints[0] != a {
		t.Error("draining made it another endpoint: what is in flight is no longer counted")
	}
	if got := sequence(t, b, 4); got != "bbbb" {
		t.Errorf("got %s while a drains", got)
	}
	// Back again: a new life, so that who was told it is gone stays right.
	s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "a", "b")})
	if b.endpoints[0] == a || closed(b.endpoints[0].Draining()) {
		t.Error("the endpoint that came back is still the one that left")
	}
	s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "b")})
	s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "b")})
}

func TestWaitingDoesNotDrain(t *testing.T) {
	s, b := newBackend(t, backend(route.BalanceRoundRobin, "a", "b"), nil)
	a := b.endpoints[0]
	s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "a:1:waiting", "b")})
	if closed(a.Draining()) {
		t.Error("a waiting endpoint comes back; what it has need not leave it")
	}
	s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "a", "b")})
	if b.endpoints[0] != a {
		t.Error("waiting made it another endpoint")
	}
}

// A request finds its route in the old table, then picks: the swap in between
// must not fail it.
func TestABackendThatLeftGoesOnPicking(t *testing.T) {
	s, b := newBackend(t, backend(route.BalanceRoundRobin, "a", "b"), nil)
	draining := b.endpoints[0].Draining()
	s.Update(nil)
	if s.Backend("shop") != nil {
		t.Error("the backend is still there")
	}
	if !closed(draining) {
		t.Error("its endpoints do not drain")
	}
	pick(t, b, Key{}).Done(ResultOK)
	s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "a", "b")})
	if s.Backend("shop") == b {
		t.Error("a backend that left came back as itself")
	}
}

func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newBackend(t, backend(route.BalanceRoundRobin, "a:1:waiting", "b:0"), nil)
		done := make(chan error, 1)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { done <- b.Wait(ctx, nil) }()
		time.Sleep(2 * time.Second)
		s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "a:1:draining")}) // still nothing
		synctest.Wait()
		time.Sleep(time.Second)
		s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "b")})
		if err := <-done; err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %v, want nil after 3s", err, time.Since(start))
		}
		if err := b.Wait(ctx, nil); err != nil {
			t.Errorf("with an endpoint: %v", err)
		}

		s.Update([]*route.Backend{backend(route.BalanceRoundRobin)})
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		if err := b.Wait(short, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without any: got %v, want the deadline", err)
		}
	})
}

func TestStatus(t *testing.T) {
	c := newClock()
	def := backend(route.BalanceRoundRobin, "a", "b:3", "c:1:waiting", "d:0")
	def.MaxFails = 1
	s, b := newBackend(t, def, c)
	first := pick(t, b, Key{})
	second := pick(t, b, Key{}, first)
	second.Done(ResultFailed)
	got := s.Status()
	if len(got) != 4 || got[0].Backend != "shop" {
		t.Fatalf("got %+v", got)
	}
	for _, e := range got {
		switch e.Endpoint {
		case first.ID():
			if e.InFlight != 1 || e.Requests != 1 || e.OutOfRotation || e.Ejected {
				t.Errorf("busy: %+v", e)
			}
		case second.ID():
			if e.InFlight != 0 || e.Failures != 1 || !e.Ejected {
				t.Errorf("ejected: %+v", e)
			}
		case "c":
			if e.OutOfRotation || e.Requests != 0 {
				t.Errorf("waiting: %+v", e)
			}
		case "d":
			if !e.OutOfRotation || e.Weight != 0 {
				t.Errorf("weight 0: %+v", e)
			}
		}
	}
	first.Done(ResultCanceled)
	if e := s.Status(); e[0].Failures+e[1].Failures != 1 {
		t.Error("a canceled request counts as a failure")
	}
}

// Ten thousand backends are many; each must be small.
func TestManyBackendsAreCheap(t *testing.T) {
	const n = 10000
	defs := make([]*route.Backend, n)
	for i := range defs {
		defs[i] = backend(route.BalanceRoundRobin, "a", "b")
		defs[i].ID = string(rune('a'+i%26)) + time.Duration(i).String()
	}
	var s *Set
	allocs := testing.AllocsPerRun(1, func() {
		if s != nil {
			s.Close()
		}
		s = NewSet(Options{})
		s.Update(defs)
	})
	defer s.Close()
	if per := allocs / n; per > 8 {
		t.Errorf("%.1f allocations for a backend of two endpoints", per)
	}
	changed := *defs[5000]
	next := append([]*route.Backend(nil), defs...)
	next[5000] = &changed
	if n := testing.AllocsPerRun(1, func() { s.Update(next) }); n > 20 {
		t.Errorf("%v allocations when one of 10,000 changed", n)
	}
}

// Everything at once; the race detector is the judge, and the counters.
func TestConcurrentUse(t *testing.T) {
	tables := [][]string{{"a", "b", "c"}, {"a:2", "b:1:draining"}, {"b", "c:0", "d"}, {"a", "c:1:waiting", "d"}}
	def := func(i int) *route.Backend {
		d := backend(policies[i%len(policies)], tables[i%len(tables)]...)
		d.MaxFails, d.SlowStart, d.Sticky = 2, time.Millisecond, "shop"
		return d
	}
	s, b := newBackend(t, def(0), nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := w; !closed(stop); i++ {
				e, err := b.Pick(Key{Hash: "k"}, nil)
				if err != nil {
					t.Error(err)
					return
				}
				_ = e.StickyValue()
				_ = e.Draining()
				e.Done(Result(i % 4))
			}
		})
	}
	for i := range 500 {
		s.Update([]*route.Backend{def(i)})
		if i%10 == 0 {
			s.Status()
			_ = b.Wait(t.Context(), nil)
		}
	}
	close(stop)
	wg.Wait()
	for _, e := range s.Status() {
		if e.InFlight != 0 {
			t.Errorf("%s: %d in flight at the end", e.Endpoint, e.InFlight)
		}
	}
}
