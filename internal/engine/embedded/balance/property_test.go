package balance

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fairway/internal/route"
)

var policies = []route.BalancePolicy{
	route.BalanceRoundRobin, route.BalanceLeastConn, route.BalanceRandom2, route.BalanceHash,
}

// genBackend draws a definition with endpoints out of a to h in any state.
func genBackend(t *rapid.T) *route.Backend {
	var specs []string
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		if rapid.Bool().Draw(t, id) {
			weight := rapid.SampledFrom([]int{0, 1, 1, 1, 2, 7, 256}).Draw(t, "weight")
			state := rapid.SampledFrom([]route.EndpointState{
				route.EndpointReady, route.EndpointReady, route.EndpointReady, route.EndpointDraining, route.EndpointWaiting,
			}).Draw(t, "state")
			specs = append(specs, fmt.Sprintf("%s:%d:%s", id, weight, state))
		}
	}
	def := backend(rapid.SampledFrom(policies).Draw(t, "policy"), specs...)
	def.MaxFails = rapid.IntRange(0, 3).Draw(t, "max fails")
	def.SlowStart = rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "slow start")
	def.Sticky = rapid.SampledFrom([]string{"", "shop"}).Draw(t, "sticky")
	return def
}

// model is what a backend ought to know, told simply.
type model struct {
	clock   *clock
	def     *route.Backend
	set     *Set
	backend *Backend
	running []*Endpoint // one for each pick that is not done
	backOff map[*Endpoint]time.Time
}

func (m *model) endpoint(id string) *route.Endpoint {
	for i := range m.def.Endpoints {
		if m.def.Endpoints[i].ID == id {
			return &m.def.Endpoints[i]
		}
	}
	return nil
}

func (m *model) update(t *rapid.T) {
	m.def = genBackend(t)
	m.set.Update([]*route.Backend{m.def})
	for _, e := range m.backend.endpoints {
		if closed(e.Draining()) != (m.endpoint(e.ID()).State == route.EndpointDraining) {
			t.Errorf("%s: draining is wrong", e.ID())
		}
	}
}

func (m *model) pick(t *rapid.T) {
	var tried []*Endpoint
	for _, e := range m.backend.endpoints {
		if rapid.Bool().Draw(t, "tried "+e.ID()) {
			tried = append(tried, e)
		}
	}
	k := Key{Hash: rapid.StringN(0, 3, -1).Draw(t, "hash")}
	if n := len(m.backend.endpoints); n > 0 && rapid.Bool().Draw(t, "with cookie") {
		k.Sticky = m.backend.endpoints[rapid.IntRange(0, n-1).Draw(t, "tied to")].StickyValue()
	}
	var possible, reachable int // untried endpoints in rotation; of them, not backing off
	for _, e := range m.backend.endpoints {
		d := m.endpoint(e.ID())
		if d.State == route.EndpointReady && d.Weight > 0 && !slices.Contains(tried, e) {
			possible++
			if !m.clock.now.Before(m.backOff[e]) {
				reachable++
			}
		}
	}

	e, err := m.backend.Pick(k, tried)
	if err != nil {
		if possible > 0 {
			t.Errorf("nothing picked, but %d endpoints are possible", possible)
		}
		return
	}
	m.running = append(m.running, e)
	d := m.endpoint(e.ID())
	tied := k.Sticky != "" && e.StickyValue() == k.Sticky
	switch {
	case d == nil || d.State != route.EndpointReady:
		t.Errorf("picked %s, which the table does not call ready", e.ID())
	case slices.Contains(tried, e):
		t.Errorf("picked %s, which was tried", e.ID())
	case d.Weight == 0 && !tied:
		t.Errorf("picked %s of weight 0 for a client that is not tied to it", e.ID())
	case m.def.MaxFails == 0 && reachable > 0 && m.clock.now.Before(m.backOff[e]):
		t.Errorf("picked %s, which is unreachable, though %d others are not", e.ID(), reachable)
	}
}

func (m *model) done(t *rapid.T) {
	if len(m.running) == 0 {
		t.Skip("nothing runs")
	}
	i := rapid.IntRange(0, len(m.running)-1).Draw(t, "which")
	e := m.running[i]
	m.running = slices.Delete(m.running, i, i+1)
	r := rapid.SampledFrom([]Result{ResultOK, ResultFailed, ResultUnreachable, ResultCanceled}).Draw(t, "result")
	e.Done(r)
	if r == ResultUnreachable {
		m.backOff[e] = m.clock.now.Add(backOff)
	}
}

// TestPickHoldsItsPromises walks at random through updates, picks, ends and
// passing time.
func TestPickHoldsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newClock()
		m := &model{clock: c, set: NewSet(Options{Now: c.Now}), backOff: map[*Endpoint]time.Time{}}
		defer m.set.Close()
		m.def = genBackend(t)
		m.set.Update([]*route.Backend{m.def})
		m.backend = m.set.Backend("shop")
		t.Repeat(map[string]func(*rapid.T){
			"update": m.update,
			"pick":   m.pick,
			"done":   m.done,
			"sleep": func(t *rapid.T) {
				c.advance(time.Duration(rapid.IntRange(1, 20000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				// A pick is counted at its endpoint until it is done.
				want := map[*Endpoint]int64{}
				for _, e := range m.running {
					want[e]++
				}
				for _, e := range m.backend.endpoints {
					if got := e.inFlight.Load(); got != want[e] {
						t.Errorf("%s: %d in flight, want %d", e.ID(), got, want[e])
					}
				}
			},
		})
	})
}

// TestRoundRobinIsExactForAnyWeights: over a whole round everyone comes by its
// weight, and nobody ever is more than one turn ahead of its share.
func TestRoundRobinIsExactForAnyWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 8).Draw(t, "weights")
		var specs []string
		total := 0
		for i, w := range weights {
			specs = append(specs, fmt.Sprintf("%c:%d", 'a'+i, w))
			total += w
		}
		s := NewSet(Options{})
		defer s.Close()
		s.Update([]*route.Backend{backend(route.BalanceRoundRobin, specs...)})
		b := s.Backend("shop")
		got := map[string]int{}
		for n := 1; n <= 2*total; n++ {
			e, err := b.Pick(Key{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			e.Done(ResultOK)
			got[e.ID()]++
			w := e.def.Load().Weight
			if ahead := float64(got[e.ID()]) - float64(n*w)/float64(total); ahead > 1 {
				t.Fatalf("%v: after %d picks %s is %.2f turns ahead", specs, n, e.ID(), ahead)
			}
		}
		for i, w := range weights {
			if id := string(rune('a' + i)); got[id] != 2*w {
				t.Errorf("%v: %s came %d times in two rounds", specs, id, got[id])
			}
		}
	})
}

// TestHashMovesAsFewAsPossible: when an endpoint leaves, only its own keys
// move; when it comes, keys move to it only; when its weight grows, it only wins.
func TestHashMovesAsFewAsPossible(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 8).Draw(t, "endpoints")
		var specs []string
		for i := range n {
			specs = append(specs, fmt.Sprintf("%c:%d", 'a'+i, rapid.IntRange(1, 5).Draw(t, "weight")))
		}
		i := rapid.IntRange(0, n-1).Draw(t, "which")
		which := specs[i][:1]
		without := slices.Delete(slices.Clone(specs), i, i+1)
		heavier := slices.Clone(specs)
		heavier[i] = which + ":9"

		s := NewSet(Options{})
		defer s.Close()
		where := func(specs []string) map[string]string {
			s.Update([]*route.Backend{backend(route.BalanceHash, specs...)})
			out := map[string]string{}
			for k := range 200 {
				e, err := s.Backend("shop").Pick(Key{Hash: fmt.Sprint("key", k)}, nil)
				if err != nil {
					t.Fatal(err)
				}
				e.Done(ResultOK)
				out[fmt.Sprint("key", k)] = e.ID()
			}
			return out
		}
		all, rest, more := where(specs), where(without), where(heavier)
		for k, id := range all {
			if id != which && rest[k] != id {
				t.Errorf("%s moved from %s to %s when %s left", k, id, rest[k], which)
			}
			if more[k] != id && more[k] != which {
				t.Errorf("%s moved from %s to %s when %s grew heavier", k, id, more[k], which)
			}
		}
	})
}
