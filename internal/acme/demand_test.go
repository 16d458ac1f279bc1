package acme

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/route"
	"fairway/internal/testkit"
)

// service is what is asked whether a name may have a certificate.
type service struct {
	mu    sync.Mutex
	asked map[string]int
	all   []time.Time
	no    func(name string) (bool, error) // nil: always yes
}

func (s *service) ask(_ context.Context, name string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[name]++
	s.all = append(s.all, time.Now())
	if s.no != nil {
		return s.no(name)
	}
	return true, nil
}

func (s *service) of(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name]
}

func (s *service) answer(yes bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.no = func(string) (bool, error) { return yes, err }
}

// onDemand starts a keeper for **.shops.dev.
func onDemand(t *testing.T, dir string, i Issuer, s *service, names, most int) *world {
	t.Helper()
	h, err := route.ParseHost("**.shops.dev")
	if err != nil {
		t.Fatal(err)
	}
	w := start(t, dir, i, func(o *Options) {
		o.OnDemand = &OnDemand{Ask: s.ask, Hosts: []route.Host{h}, Names: names, Most: most}
	})
	w.tables.Publish(table(t, "**.shops.dev", "own.shops.dev", "*"))
	synctest.Wait()
	return w
}

// greet is a handshake; it says whether there was a certificate for the name.
func (w *world) greet(name string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cert := w.Demand(ctx, name)
	return cert != nil && cert.Leaf.VerifyHostname(name) == nil
}

// TestOnDemand: a name gets a certificate once a client asks for it and the answer is yes: the
// client waits, others need no question; it is renewed after another yes, also after a start,
// and no more after a no. What there is then serves to its end.
func TestOnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s, dir := newIssuer(t), &service{asked: map[string]int{}}, memoryDir(t)
		i.slow(3 * time.Second)
		w := onDemand(t, dir, i, s, 10, 10)
		began := time.Now()
		var all sync.WaitGroup
		for n := range 5 {
			all.Go(func() {
				if !w.greet([]string{"a.shops.dev", "A.Shops.dev."}[n%2]) {
					t.Error("no certificate")
				}
			})
		}
		all.Wait()
		if d := time.Since(began); d != 3*time.Second || s.of("a.shops.dev") != 1 || len(i.ordered("a.shops.dev")) != 1 {
			t.Errorf("after %v, %d questions, orders %v", d, s.of("a.shops.dev"), i.ordered("a.shops.dev"))
		}
		if !w.greet("a.shops.dev") || s.of("a.shops.dev") != 1 {
			t.Error("a certificate that is there was asked for")
		}
		if v := w.View().Names; len(v) != 2 || !v[0].Demanded || v[0].Service != "**.shops.dev" || v[1].Demanded {
			t.Errorf("%+v", v)
		}
		time.Sleep(30 * 24 * time.Hour)
		w.stop()
		w = onDemand(t, dir, i, s, 10, 10)
		defer w.stop()
		time.Sleep(40 * 24 * time.Hour)
		if s.of("a.shops.dev") != 2 || len(i.ordered("a.shops.dev")) != 2 {
			t.Errorf("at its renewal %d questions, orders %v", s.of("a.shops.dev"), i.ordered("a.shops.dev"))
		}
		s.answer(false, nil)
		time.Sleep(70 * 24 * time.Hour)
		if n := s.of("a.shops.dev"); n != 3 || len(i.ordered("a.shops.dev")) != 2 || !strings.Contains(w.names(), "a.shops.dev") {
			t.Errorf("after a no %d questions, orders %v, names %s", n, i.ordered("a.shops.dev"), w.names())
		}
		time.Sleep(70 * 24 * time.Hour)
		if w.names() != "own.shops.dev" || len(w.events) > 0 {
			t.Errorf("at the end %s, events %q", w.names(), w.events)
		}
	})
}

// TestTaken: the route whose host says most about a name decides whether it may have a
// certificate.
func TestTaken(t *testing.T) {
	made := table(t, "*", "**.shops.dev", "*.deep.shops.dev", "**.deep.shops.dev", "own.shops.dev")
	for _, r := range made.Routes {
		if r.ID == "*.deep.shops.dev" {
			r.TLS = route.TLSOff
		}
	}
	takers := newTakers(made)
	for name, want := range map[string]string{"a.shops.dev": "**.shops.dev", "b.a.shops.dev": "**.shops.dev", "b.a.deep.shops.dev": "**.deep.shops.dev", "shops.dev": "*", "own.shops.dev": "own.shops.dev", "x.dev": "*", "a.deep.shops.dev": ""} {
		if w, ok := takers.want(name); w.Route != want || ok != (want != "") {
			t.Errorf("%s: %+v", name, w)
		}
	}
	if _, ok := newTakers(nil).want("a.dev"); ok {
		t.Error("without a table")
	}
	many := []string{"*"}
	for n := range 1000 {
		many = append(many, fmt.Sprintf("*.n%d.dev", n))
	}
	takers = newTakers(table(t, many...))
	if n := testing.AllocsPerRun(10, func() { takers.of("a.other.dev") }); n > 0 {
		t.Errorf("one name takes %v allocations: hosts are compiled for each", n)
	}
}

// TestOnDemandWithoutYes: nothing is ordered without a yes. A no is remembered; a service that
// does not answer is asked again soon.
func TestOnDemandWithoutYes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(t), &service{asked: map[string]int{}}
		w := onDemand(t, memoryDir(t), i, s, 10, 10)
		defer w.stop()
		s.answer(false, nil)
		for range 100 {
			if w.greet("no.shops.dev") {
				t.Fatal("a certificate")
			}
			time.Sleep(5 * time.Second)
		}
		if n := s.of("no.shops.dev"); n != 1 {
			t.Errorf("a no was asked for %d times", n)
		}
		time.Sleep(noFor)
		_ = w.greet("no.shops.dev")
		if n := s.of("no.shops.dev"); n != 2 {
			t.Errorf("%d questions", n)
		}
		s.answer(false, errors.New("503"))
		for range 12 {
			_ = w.greet("down.shops.dev")
			time.Sleep(5 * time.Second)
		}
		if n := s.of("down.shops.dev"); n != 6 {
			t.Errorf("%d questions in a minute while nothing answers", n)
		}
		s.answer(true, nil)
		for _, name := range []string{"other.dev", "shops.dev", "localhost", "192.0.2.1", "", "x..shops.dev", strings.Repeat("x.", 120) + "shops.dev"} {
			if w.greet(name) || s.of(name) != 0 {
				t.Errorf("%q was asked for", name)
			}
		}
		if !w.greet("down.shops.dev") {
			t.Error("no certificate once it may have one")
		}
		if orders, _ := i.count(0); orders != 2 {
			t.Errorf("%d orders", orders)
		}
		m := testkit.Metrics(t, &w.metrics)
		if m["acme_demands_total no"] != 2 || m["acme_demands_total known-no"] != 105 || m["acme_demands_total yes"] != 1 {
			t.Errorf("%v", m)
		}
	})
}

// TestOnDemandBounds: thousands of names that clients make up cause few questions, and never
// more certificates than there may be; one that fails is forgotten.
func TestOnDemandBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(t), &service{asked: map[string]int{}}
		w := onDemand(t, memoryDir(t), i, s, 12, 5)
		defer w.stop()
		var all sync.WaitGroup
		for n := range 5000 {
			all.Go(func() { w.greet(fmt.Sprintf("n%d.shops.dev", n)) })
		}
		all.Wait()
		if n := len(s.all); n > askBurst {
			t.Errorf("%d questions at once", n)
		}
		if orders, _ := i.count(0); orders > 6 {
			t.Errorf("%d orders", orders)
		}
		for hour := range 5 {
			for n := range 20 {
				_ = w.greet(fmt.Sprintf("h%d-%d.shops.dev", hour, n))
				time.Sleep(3 * time.Minute)
			}
		}
		if n := strings.Count(w.names(), "shops.dev"); n != 13 { // with own.shops.dev
			t.Errorf("%d certificates", n)
		}
		for range 20_000 {
			w.demands.remember(fmt.Sprint(time.Now().UnixNano(), len(w.demands.nos)), time.Hour, time.Now())
		}
		if n := len(w.demands.nos); n > maxNos {
			t.Errorf("%d names are remembered", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		i, s := newIssuer(t), &service{asked: map[string]int{}}
		i.set(func(name string) error {
			if name == "bad.shops.dev" {
				return errors.New("nonsense")
			}
			return nil
		})
		w := onDemand(t, memoryDir(t), i, s, 12, 5)
		defer w.stop()
		if w.greet("bad.shops.dev") {
			t.Error("a certificate")
		}
		time.Sleep(24 * time.Hour)
		if n := len(i.ordered("bad.shops.dev")); n != maxFailures || w.state.names["bad.shops.dev"] != nil {
			t.Errorf("%d orders", n)
		}
	})
}

// TestNothingComes: who asks for a name waits only where an order is under way or begins soon, and
// nothing is remembered of who waits for what does not come.
func TestNothingComes(t *testing.T) {
	open := func(t *testing.T, change func(*Options), hosts ...string) (*world, *issuer, *service) {
		i, s := newIssuer(t), &service{asked: map[string]int{}}
		i.slow(5 * time.Minute)
		deep, err := route.ParseHost("**.shops.dev")
		if err != nil {
			t.Fatal(err)
		}
		w := start(t, memoryDir(t), i, func(o *Options) {
			o.OnDemand = &OnDemand{Ask: s.ask, Hosts: []route.Host{deep}, Names: 1, Most: 10}
			change(o)
		})
		w.tables.Publish(table(t, hosts...))
		synctest.Wait()
		return w, i, s
	}
	// greet has a client ask, which has all the time there is, while something happens; it says how long it waited.
	greet := func(t *testing.T, w *world, name string, meanwhile func()) (waited time.Duration) {
		t.Helper()
		var client sync.WaitGroup
		client.Go(func() {
			began := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			if cert := w.Demand(ctx, name); cert != nil {
				t.Errorf("a certificate for %v", cert.Leaf.DNSNames)
			}
			waited = time.Since(began)
		})
		synctest.Wait()
		meanwhile()
		client.Wait()
		w.demands.mu.Lock()
		defer w.demands.mu.Unlock()
		if n := len(w.demands.waiting); n > 0 {
			t.Errorf("%d names are waited for", n)
		}
		return waited
	}
	for name, run := range map[string]func(t *testing.T){
		"a wildcard is to come": func(t *testing.T) {
			w, _, _ := open(t, func(o *Options) { o.Wildcards = true }, "*.shops.dev")
			defer w.stop()
			if d := greet(t, w, "a.shops.dev", func() {}); d > 0 {
				t.Errorf("it waited %v", d)
			}
		},
		"the next order is far away": func(t *testing.T) {
			w, i, s := open(t, func(*Options) {}, "**.shops.dev")
			defer w.stop()
			i.slow(0)
			i.set(func(string) error { return errors.New("down") })
			_ = greet(t, w, "a.shops.dev", func() {})
			time.Sleep(failedFor)
			if d := greet(t, w, "a.shops.dev", func() {}); d > 0 || s.of("a.shops.dev") != 2 {
				t.Errorf("it waited %v, after %d questions", d, s.of("a.shops.dev"))
			}
		},
		"the route goes": func(t *testing.T) {
			w, _, _ := open(t, func(*Options) {}, "**.shops.dev")
			defer w.stop()
			if d := greet(t, w, "a.shops.dev", func() { time.Sleep(time.Second); w.tables.Publish(table(t, "other.dev")) }); d != time.Second {
				t.Errorf("it waited %v", d)
			}
		},
		"the end": func(t *testing.T) {
			w, _, _ := open(t, func(*Options) {}, "**.shops.dev")
			var client sync.WaitGroup
			client.Go(func() { w.Demand(context.Background(), "a.shops.dev") })
			synctest.Wait()
			w.stop()
			client.Wait()
		},
		"a label names it": func(t *testing.T) {
			w, i, _ := open(t, func(*Options) {}, "**.shops.dev")
			defer w.stop()
			i.slow(0)
			if !w.greet("a.shops.dev") || w.greet("b.shops.dev") {
				t.Error("there may be one name")
			}
			time.Sleep(failedFor)
			w.tables.Publish(table(t, "**.shops.dev", "a.shops.dev"))
			synctest.Wait()
			if !w.greet("b.shops.dev") {
				t.Error("a name of a label counts")
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, run) })
	}
	d := &demands{nos: map[string]time.Time{}}
	now := time.Now()
	for n := range maxNos {
		d.nos[fmt.Sprint(n)] = now.Add(noFor + time.Duration(n%2)*time.Hour)
	}
	d.remember("new", noFor, now)
	for n := range maxNos {
		if _, ok := d.nos[fmt.Sprint(n)]; n%2 == 1 && !ok {
			t.Fatal("one went that ends later than others")
		}
	}
}
