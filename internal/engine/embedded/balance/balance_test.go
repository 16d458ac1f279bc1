package balance

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"fairway/internal/route"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that stands still until it is told to go on.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time          { return c.now }
func (c *clock) advance(d time.Duration) { c.now = c.now.Add(d) }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

// endpoints makes ready endpoints from "a", "b:3", "c:2:draining": ID, weight
// (default 1), state (default ready).
func endpoints(specs ...string) []route.Endpoint {
	var out []route.Endpoint
	for i, spec := range specs {
		parts := strings.Split(spec, ":")
		e := route.Endpoint{
			ID: parts[0], Address: fmt.Sprintf("192.0.2.%d:80", i+1), Weight: 1,
			State: route.EndpointReady, Instance: parts[0] + ".instance",
		}
		// The address belongs to the ID, wherever in the list it stands.
		e.Address = fmt.Sprintf("192.0.2.%d:80", hashString(parts[0])%250+1)
		if len(parts) > 1 {
			if _, err := fmt.Sscan(parts[1], &e.Weight); err != nil {
				panic(err)
			}
		}
		if len(parts) > 2 {
			e.State = route.EndpointState(parts[2])
		}
		out = append(out, e)
	}
	return out
}

func backend(policy route.BalancePolicy, specs ...string) *route.Backend {
	return &route.Backend{
		ID: "shop", Service: "shop", Scheme: route.SchemeHTTP,
		Balance: route.Balance{Policy: policy}, Endpoints: endpoints(specs...),
	}
}

// newBackend returns the runtime side of def in a set of its own.
func newBackend(t testing.TB, def *route.Backend, c *clock) (*Set, *Backend) {
	t.Helper()
	opts := Options{}
	if c != nil {
		opts.Now = c.Now
	}
	s := NewSet(opts)
	t.Cleanup(s.Close)
	s.Update([]*route.Backend{def})
	return s, s.Backend(def.ID)
}

// pick picks and fails the test when there is nothing.
func pick(t testing.TB, b *Backend, k Key, tried ...*Endpoint) *Endpoint {
	t.Helper()
	e, err := b.Pick(k, tried)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// sequence picks n times, finishing each at once, and returns the IDs.
func sequence(t testing.TB, b *Backend, n int) string {
	t.Helper()
	var ids strings.Builder
	for range n {
		e := pick(t, b, Key{})
		e.Done(ResultOK)
		ids.WriteString(e.ID())
	}
	return ids.String()
}

// share picks n times with the keys key(i) and returns how often each came.
func share(t testing.TB, b *Backend, n int, key func(i int) Key) map[string]int {
	t.Helper()
	got := map[string]int{}
	for i := range n {
		e := pick(t, b, key(i))
		e.Done(ResultOK)
		got[e.ID()]++
	}
	return got
}

func noKey(int) Key { return Key{} }

func TestRoundRobinIsExactAndSmooth(t *testing.T) {
	for _, tt := range []struct {
		specs []string
		want  string
	}{
		{[]string{"a"}, "aaaa"},
		{[]string{"a", "b"}, "abab"},
		{[]string{"a", "b", "c"}, "abcabc"},
		{[]string{"a:5", "b:1", "c:1"}, "aabacaaaabacaa"},
		{[]string{"a:2", "b:1"}, "abaaba"},
		{[]string{"a:0", "b:1"}, "bbbb"},
		{[]string{"a:1:draining", "b:1", "c:1:waiting"}, "bbbb"},
	} {
		_, b := newBackend(t, backend(route.BalanceRoundRobin, tt.specs...), nil)
		if got := sequence(t, b, len(tt.want)); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.specs, got, tt.want)
		}
	}
}

func TestNewWeightsStartANewRound(t *testing.T) {
	s, b := newBackend(t, backend(route.BalanceRoundRobin, "a:256", "b:256"), nil)
	sequence(t, b, 1) // a owes 256 now
	s.Update([]*route.Backend{backend(route.BalanceRoundRobin, "a", "b")})
	if got := sequence(t, b, 6); got != "ababab" {
		t.Errorf("got %s: the debt of the old weights is still paid off", got)
	}
}

func TestLeastConnPrefersTheIdle(t *testing.T) {
	_, b := newBackend(t, backend(route.BalanceLeastConn, "a", "b:2", "c"), nil)
	// Nothing ends: the endpoints fill up in proportion to their weights.
	got := map[string]int{}
	for range 400 {
		got[pick(t, b, Key{}).ID()]++
	}
	if got["a"] != 100 || got["b"] != 200 || got["c"] != 100 {
		t.Errorf("400 requests that stay: %v, want 100, 200, 100", got)
	}
	// One that gets free is the next.
	for _, e := range b.endpoints {
		if e.ID() == "c" {
			e.Done(ResultOK)
		}
	}
	if e := pick(t, b, Key{}); e.ID() != "c" {
		t.Errorf("picked %s, want the freed c", e.ID())
	}
}

func TestLeastConnGoesRoundAmongEquals(t *testing.T) {
	_, b := newBackend(t, backend(route.BalanceLeastConn, "a", "b", "c"), nil)
	if got := sequence(t, b, 6); got != "abcabc" {
		t.Errorf("idle endpoints: got %s, want abcabc", got)
	}
}

func TestRandom2AvoidsTheBusy(t *testing.T) {
	_, b := newBackend(t, backend(route.BalanceRandom2, "a", "b", "c"), nil)
	busy := b.endpoints[0]
	busy.inFlight.Add(1000)
	got := share(t, b, 1000, noKey)
	if got["a"] != 0 {
		t.Errorf("the busiest endpoint was picked %d times; of two different ones it is never the less busy", got["a"])
	}
}

// within tells whether got is at most six standard deviations off a binomial
// distribution: a false alarm once in 10⁹ runs.
func within(got, n int, p float64) bool {
	return math.Abs(float64(got)-float64(n)*p) <= 6*math.Sqrt(float64(n)*p*(1-p))
}

func TestWeightsAreRespected(t *testing.T) {
	const n = 20000
	clients := func(i int) Key {
		return Key{Client: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}
	}
	values := func(i int) Key { return Key{Hash: fmt.Sprint("/articles/", i)} }
	for _, tt := range []struct {
		name   string
		policy route.BalancePolicy
		key    func(int) Key
	}{
		{"random2", route.BalanceRandom2, noKey},
		{"hash of the client", route.BalanceHash, clients},
		{"hash of a value", route.BalanceHash, values},
	} {
		_, b := newBackend(t, backend(tt.policy, "a:1", "b:2", "c:5", "d:2"), nil)
		got := share(t, b, n, tt.key)
		for id, p := range map[string]float64{"a": .1, "b": .2, "c": .5, "d": .2} {
			if !within(got[id], n, p) {
				t.Errorf("%s: %s came %d times of %d, want about %.0f", tt.name, id, got[id], n, p*n)
			}
		}
	}
}

func TestHashFallsBackToTheClient(t *testing.T) {
	_, b := newBackend(t, backend(route.BalanceHash, "a", "b", "c", "d", "e"), nil)
	k := Key{Client: netip.MustParseAddr("198.51.100.7")}
	mapped := Key{Client: netip.MustParseAddr("::ffff:198.51.100.7")}
	first := pick(t, b, k)
	for range 10 {
		if e := pick(t, b, mapped); e != first {
			t.Fatalf("client moved from %s to %s", first.ID(), e.ID())
		}
	}
}

func TestTriedEndpointsAreNotPickedAgain(t *testing.T) {
	for _, policy := range []route.BalancePolicy{route.BalanceRoundRobin, route.BalanceLeastConn, route.BalanceRandom2, route.BalanceHash} {
		_, b := newBackend(t, backend(policy, "a", "b", "c"), nil)
		var tried []*Endpoint
		for range 3 {
			e := pick(t, b, Key{}, tried...)
			if slices.Contains(tried, e) {
				t.Errorf("%s: %s picked again", policy, e.ID())
			}
			tried = append(tried, e)
		}
		if e, err := b.Pick(Key{}, tried); err != ErrNoEndpoint {
			t.Errorf("%s: all tried: got %v, %v, want ErrNoEndpoint", policy, e, err)
		}
	}
}

func TestStickyWinsUnlessTheEndpointIsOut(t *testing.T) {
	for _, tt := range []struct {
		name  string
		state string // of b, the endpoint the client is tied to
		prep  func(b *Endpoint)
		tried bool
		want  bool
	}{
		{name: "ready", state: "1:ready", want: true},
		{name: "weight 0", state: "0:ready", want: true},
		{name: "draining", state: "1:draining"},
		{name: "waiting", state: "1:waiting"},
		{name: "tried", state: "1:ready", tried: true},
		{name: "ejected", state: "1:ready", prep: func(b *Endpoint) { b.inFlight.Add(1); b.Done(ResultFailed) }},
		{name: "unreachable", state: "1:ready", prep: func(b *Endpoint) { b.inFlight.Add(1); b.Done(ResultUnreachable) }},
	} {
		def := backend(route.BalanceRoundRobin, "a", "b:"+tt.state, "c")
		def.Sticky = "shop"
		def.MaxFails = 1
		_, b := newBackend(t, def, newClock())
		tied := b.endpoints[1]
		if tt.prep != nil {
			tt.prep(tied)
		}
		var tried []*Endpoint
		if tt.tried {
			tried = append(tried, tied)
		}
		for range 3 {
			e := pick(t, b, Key{Sticky: tied.StickyValue()}, tried...)
			if got := e == tied; got != tt.want {
				t.Errorf("%s: picked %s, tied to b", tt.name, e.ID())
			}
		}
	}
}

func TestStickyValue(t *testing.T) {
	def := backend(route.BalanceRoundRobin, "a", "b")
	def.Sticky = "shop"
	_, b := newBackend(t, def, nil)
	_, again := newBackend(t, def, nil)
	a := b.endpoints[0].StickyValue()
	if a == "" || a != again.endpoints[0].StickyValue() {
		t.Errorf("after a restart %q became %q", a, again.endpoints[0].StickyValue())
	}
	if a == b.endpoints[1].StickyValue() {
		t.Error("two endpoints have the same value")
	}
	moved := *def
	moved.Endpoints = endpoints("a", "b")
	moved.Endpoints[0].Address = "203.0.113.9:80"
	_, other := newBackend(t, &moved, nil)
	if a != other.endpoints[0].StickyValue() {
		t.Error("the value depends on the address, which could be found by trying")
	}
	for _, unknown := range []string{"", "nonsense", strings.Repeat("x", 4000)} {
		pick(t, b, Key{Sticky: unknown}).Done(ResultOK)
	}
}
