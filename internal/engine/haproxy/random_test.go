package haproxy

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// long says that the long forms of tests are wanted.
func long() bool { return testkit.Soaking() }

// seed is that of a random test: the one asked for, or another each time.
func seed(t testing.TB) *rand.Rand {
	t.Helper()
	n, err := strconv.ParseUint(cmp.Or(os.Getenv("FAIRWAY_SEED"), strconv.FormatInt(time.Now().UnixNano(), 10)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("FAIRWAY_SEED=%d repeats this", n)
	return rand.New(rand.NewPCG(n, 0)) //nolint:gosec // a test
}

// changes makes random changes to a site.
type changes struct {
	*site
	r     *rand.Rand
	pairs []route.Certificate
	// rare are changes that need a reload, too.
	rare bool
}

func (c *changes) pick(n int) int { return c.r.IntN(n) }

func (c *changes) service() string { return fmt.Sprintf("svc%02d", c.pick(20)) }

// change makes one change and names it.
func (c *changes) change() string {
	id := c.service()
	if c.routes[id] == nil {
		c.add(id)
		return "add " + id
	}
	b := *c.backends[id]
	b.Endpoints = append([]route.Endpoint(nil), b.Endpoints...)
	what := c.pick(10)
	switch {
	case what == 0:
		c.remove(id)
		return "remove " + id
	case what == 1:
		c.add(id)
		return "replace " + id
	case what == 2:
		return c.certificates()
	case what == 3 && c.rare:
		b.Balance.Policy = []route.BalancePolicy{route.BalanceRoundRobin, route.BalanceLeastConn, route.BalanceRandom2}[c.pick(3)]
	case what <= 5 || len(b.Endpoints) == 0:
		c.scale(id, &b)
	case what <= 7:
		b.Endpoints[c.pick(len(b.Endpoints))].Weight = c.pick(257)
	default:
		b.Endpoints[c.pick(len(b.Endpoints))].State = []route.EndpointState{
			route.EndpointReady, route.EndpointDraining, route.EndpointWaiting,
		}[c.pick(3)]
	}
	c.backends[id] = &b
	return "endpoints of " + id
}

// add adds a service or gives it other routes.
func (c *changes) add(id string) {
	r := &route.Route{ID: id, Service: id, Backend: id, Claim: uint64(c.pick(1000))} //nolint:gosec // positive
	for range 1 + c.pick(3) {
		r.Matches = append(r.Matches, c.match())
	}
	if c.pick(4) == 0 {
		r.Timeout = time.Duration(c.pick(10)) * time.Second
	}
	if c.rare && c.pick(4) == 0 {
		r.Filters = append(r.Filters, route.Filter{StripPrefix: &route.StripPrefix{Prefix: "/p"}})
	}
	c.routes[id] = r
	b := &route.Backend{ID: id, Service: id, Scheme: route.SchemeHTTP, Balance: route.Balance{Policy: route.BalanceRoundRobin}}
	c.scale(id, b)
	c.backends[id] = b
}

func (c *changes) match() route.Match {
	var m route.Match
	host := fmt.Sprintf("h%d.example.com", c.pick(12))
	switch c.pick(6) {
	case 0:
		m.Host = route.Host{Kind: route.HostWildcard, Value: "example.com"}
	case 1:
		m.Host = route.Host{Kind: route.HostAny}
	default:
		m.Host = route.Host{Kind: route.HostExact, Value: host}
	}
	path := []string{"/", "/p", "/p/q", "/p/q/r", "/x"}[c.pick(5)]
	switch kind := c.pick(4); {
	case kind == 0:
		m.Path = route.Path{Kind: route.PathExact, Value: path}
	case kind == 1 && path != "/":
		m.Path = route.Path{Kind: route.PathStart, Value: path}
	default:
		m.Path = route.Path{Kind: route.PathPrefix, Value: path}
	}
	return m
}

// scale gives a backend some of a few endpoints.
func (c *changes) scale(id string, b *route.Backend) {
	old := map[string]route.Endpoint{}
	for _, e := range b.Endpoints {
		old[e.ID] = e
	}
	b.Endpoints = nil
	for i := range 5 {
		if c.pick(2) == 0 {
			continue
		}
		e, ok := old[fmt.Sprintf("e%d", i)]
		if !ok || c.pick(8) == 0 {
			e = route.Endpoint{
				ID: fmt.Sprintf("e%d", i), Address: fmt.Sprintf("127.1.%d.%d:%d", c.pick(200), i, 2000+c.pick(3)),
				Weight: 1, State: route.EndpointReady, Instance: id,
			}
		}
		b.Endpoints = append(b.Endpoints, e)
	}
}

// certificates gives the listener with TLS others, the first excepted.
func (c *changes) certificates() string {
	if len(c.pairs) == 0 {
		return "nothing"
	}
	list := []route.Certificate{c.pairs[0]}
	for _, p := range c.pairs[1:] {
		if c.pick(2) == 0 {
			list = append(list, p)
		}
	}
	c.listeners = append([]route.Listener(nil), c.listeners...)
	c.listeners[1].Certificates = list
	return fmt.Sprintf("%d certificates", len(list))
}

// TestRandomChanges makes sequences of random changes; after each, what is read from
// HAProxy is what the table means. FAIRWAY_SOAK makes more of them.
func TestRandomChanges(t *testing.T) {
	sequences := 60
	switch {
	case long():
		sequences = 2000
	case testing.Short():
		sequences = 20
	}
	s := newSite(t, Options{Logger: quiet(t)})
	c := &changes{site: s, r: seed(t)}
	for i := range 5 {
		c.pairs = append(c.pairs, writeCertificate(t, t.TempDir(), fmt.Sprintf("h%d.example.com", i)))
	}
	s.listeners = append(s.listeners, route.Listener{Name: "https", Address: "127.0.0.1:0", TLS: true, Certificates: c.pairs[:1]})
	s.apply()
	made := 0
	for i := range sequences {
		c.rare = i%20 == 0
		var told []string
		for range 1 + c.pick(6) {
			for range 1 + c.pick(3) {
				told = append(told, c.change())
				made++
			}
			s.apply()
		}
		if diff := s.differences(); len(diff) > 0 {
			t.Fatalf("sequence %d, %q: HAProxy is not as it must be: %q", i, told, diff)
		}
		if n := s.count("fairway_haproxy_verification_failures_total") + s.count("fairway_haproxy_runtime_failures_total"); n != 0 {
			t.Fatalf("sequence %d, %q: a command has failed", i, told)
		}
	}
	t.Logf("%d sequences of %d changes, %v commands, %d starts and reloads", sequences, made, s.count("fairway_haproxy_runtime_commands_total"), s.reloads())
}
