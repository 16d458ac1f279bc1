package balance

import (
	"strings"
	"testing"
	"time"

	"fairway/internal/route"
)

// fail makes e fail n requests with result r.
func fail(e *Endpoint, n int, r Result) {
	for range n {
		e.inFlight.Add(1)
		e.Done(r)
	}
}

func TestAnUnreachableEndpointIsTriedLast(t *testing.T) {
	c := newClock()
	// MaxFails is zero: backing off is not ejection.
	_, b := newBackend(t, backend(route.BalanceRoundRobin, "a", "b", "c"), c)
	a, bb := b.endpoints[0], b.endpoints[1]
	fail(a, 1, ResultUnreachable)
	fail(bb, 1, ResultUnreachable)
	if got := sequence(t, b, 3); got != "ccc" {
		t.Errorf("got %s: two of three are dead, c takes all", got)
	}
	if e := pick(t, b, Key{}, b.endpoints[2]); e != a && e != bb {
		t.Errorf("got %s, want a dead one rather than nothing", e.ID())
	}
	c.advance(backOff)
	if got := sequence(t, b, 6); !strings.Contains(got, "a") || !strings.Contains(got, "b") {
		t.Errorf("got %s after backing off", got)
	}
	if b.unsettled {
		t.Error("the backend still looks at the clock for every pick")
	}
}

func TestEjection(t *testing.T) {
	c := newClock()
	def := backend(route.BalanceRoundRobin, "a", "b")
	def.MaxFails = 3
	_, b := newBackend(t, def, c)
	a := b.endpoints[0]

	fail(a, 2, ResultFailed)
	a.inFlight.Add(1)
	a.Done(ResultOK) // ends the row
	fail(a, 2, ResultFailed)
	if got := sequence(t, b, 4); got != "abab" {
		t.Fatalf("got %s: never three in a row", got)
	}
	fail(a, 1, ResultCanceled)
	fail(a, 1, ResultFailed)
	// sequence's own successes ended the row above.
	fail(a, 2, ResultFailed)

	for _, d := range []time.Duration{10, 20, 40, 60, 60} {
		d *= time.Second
		if got := sequence(t, b, 4); got != "bbbb" {
			t.Fatalf("got %s while a is ejected for %v", got, d)
		}
		fail(a, 1, ResultFailed) // what was under way does not prolong it
		c.advance(d - 1)
		if got := sequence(t, b, 4); got != "bbbb" {
			t.Fatalf("got %s just before %v are over", got, d)
		}
		c.advance(1)
		// Whose turn it is depends on the picks before; within two it is a's.
		if first, second := pick(t, b, Key{}), pick(t, b, Key{}); first != a && second != a {
			t.Fatalf("a is not picked after %v", d)
		}
		a.Done(ResultFailed) // the first failure after the return is enough
	}

	// A minute without: the next ejection is a short one again.
	c.advance(maxEjection + maxEjection + 1)
	fail(a, 1, ResultFailed)
	c.advance(minEjection)
	if got := sequence(t, b, 4); !strings.Contains(got, "a") {
		t.Errorf("got %s 10 s after an ejection that followed a good minute", got)
	}
}

func TestMaxFailsZeroNeverEjects(t *testing.T) {
	_, b := newBackend(t, backend(route.BalanceRoundRobin, "a", "b"), newClock())
	fail(b.endpoints[0], 1000, ResultFailed)
	if got := sequence(t, b, 4); got != "abab" {
		t.Errorf("got %s", got)
	}
}

func TestPanicThreshold(t *testing.T) {
	c := newClock()
	def := backend(route.BalanceRoundRobin, "a", "b", "c", "d")
	def.MaxFails = 1
	_, b := newBackend(t, def, c)
	fail(b.endpoints[0], 1, ResultFailed)
	fail(b.endpoints[1], 1, ResultFailed)
	if got := sequence(t, b, 4); strings.ContainsAny(got, "ab") {
		t.Errorf("got %s: half of them remain, ejection holds", got)
	}
	fail(b.endpoints[2], 1, ResultFailed)
	got := sequence(t, b, 8)
	for _, id := range []string{"a", "b", "c", "d"} {
		if strings.Count(got, id) != 2 {
			t.Errorf("got %s: fewer than half remain, all are used", got)
		}
	}
	c.advance(minEjection)
	if got := sequence(t, b, 4); len(got) != 4 || b.unsettled {
		t.Errorf("got %s, unsettled %v", got, b.unsettled)
	}
}

func TestASingleEndpointIsNeverOut(t *testing.T) {
	def := backend(route.BalanceRoundRobin, "a")
	def.MaxFails = 1
	_, b := newBackend(t, def, newClock())
	fail(b.endpoints[0], 5, ResultUnreachable)
	if got := sequence(t, b, 2); got != "aa" {
		t.Errorf("got %s", got)
	}
}

func TestSlowStart(t *testing.T) {
	c := newClock()
	def := backend(route.BalanceRoundRobin, "a", "b")
	def.SlowStart = 10 * time.Second
	s, b := newBackend(t, def, c)
	if got := sequence(t, b, 4); got != "abab" {
		t.Fatalf("got %s: the first endpoints have nobody to leave the load to", got)
	}
	next := backend(route.BalanceRoundRobin, "a", "b", "c")
	next.SlowStart = def.SlowStart
	s.Update([]*route.Backend{next})

	at := time.Duration(0)
	for _, tt := range []struct {
		at    time.Duration
		share float64 // of c's weight
	}{{0, .1}, {5 * time.Second, .55}, {10 * time.Second, 1}} {
		c.advance(tt.at - at)
		at = tt.at
		got := strings.Count(sequence(t, b, 2100), "c")
		want := 2100 * tt.share / (2 + tt.share)
		if diff := float64(got) - want; diff > 2 || diff < -2 {
			t.Errorf("%v after it came, c got %d of 2100, want %.0f", tt.at, got, want)
		}
	}
	if b.unsettled {
		t.Error("the backend still looks at the clock for every pick")
	}
}

func TestSlowStartAfterWaiting(t *testing.T) {
	c := newClock()
	def := func(specs ...string) []*route.Backend {
		d := backend(route.BalanceRoundRobin, specs...)
		d.SlowStart = 10 * time.Second
		return []*route.Backend{d}
	}
	s, b := newBackend(t, def("a", "b:1:waiting")[0], c)
	s.Update(def("a", "b"))
	if got := strings.Count(sequence(t, b, 110), "b"); got != 10 {
		t.Errorf("b got %d of 110 when it became ready, want 10", got)
	}
	// Everyone is replaced at once: nobody was there before.
	s.Update(def("x", "y"))
	if got := sequence(t, b, 4); got != "xyxy" {
		t.Errorf("got %s", got)
	}
}
