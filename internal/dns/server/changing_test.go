package server

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/testkit"

	miekg "github.com/miekg/dns"
)

// changed is a snapshot in which some services have other addresses: edition says which.
func changed(s *catalog.Snapshot, edition int, which ...int) *catalog.Snapshot {
	s = new(*s)
	s.Services = slices.Clone(s.Services)
	for _, i := range which {
		svc := new(*s.Services[i])
		in := new(*svc.Instances[0])
		in.Addresses = []catalog.Address{{Host: addressOf(edition), Network: "shop", Reach: catalog.ReachBridge}}
		svc.Instances = []*catalog.Instance{in}
		s.Services[i] = svc
	}
	return s
}

func addressOf(edition int) string {
	return fmt.Sprintf("172.18.%d.%d", 10+edition/250%200, 1+edition%250)
}

// While services change, what is answered is what is there: the newest change soon, and others
// meanwhile within a moment (case 56). With FAIRWAY_SOAK=1 it is 5,000 changes, ten at a
// time and as fast as they are answered, among 10,000 services beside some 10,000 questions a second.
func TestChanging(t *testing.T) {
	services, rounds, each, pause := 300, 10, 5, time.Millisecond
	if testkit.Soaking() {
		services, rounds, each, pause = 10_000, 500, 10, 10*time.Millisecond
	}
	var texts []string
	for i := range services {
		texts = append(texts, fmt.Sprintf("s%05d=%s", i, "172.17.1.2"))
	}
	newest := snapshot(texts...)
	var feed *catalog.Feed
	_, address := serve(t, func(o *Options) {
		feed = o.Feed
		feed.Publish(newest)
	})
	var over atomic.Bool
	var answers []time.Duration
	var asking sync.WaitGroup
	conn, other := dial(t, address), dial(t, address)
	t.Cleanup(func() { // also of a test that has failed
		over.Store(true)
		asking.Wait()
	})
	asking.Go(func() { answers = askSteadily(t, other, services, &over) })
	pace := time.NewTicker(pause)
	defer pace.Stop()
	var lags []time.Duration
	for round := range rounds {
		var which []int
		for i := range each {
			which = append(which, (round*each+i*7)%services)
		}
		newest = changed(newest, round, which...)
		began := time.Now()
		feed.Publish(newest)
		last := which[len(which)-1]
		testkit.Eventually(t, "the change is answered", func() bool {
			m := ask(t, conn, fmt.Sprintf("s%05d.docker", last))
			return len(m.Answer) == 1 && strings.HasSuffix(m.Answer[0].String(), "\t"+addressOf(round))
		})
		lags = append(lags, time.Since(began))
		<-pace.C
	}
	over.Store(true)
	asking.Wait()
	slices.Sort(lags)
	slices.Sort(answers)
	p99 := func(list []time.Duration) time.Duration { return list[len(list)*99/100] }
	testkit.Figure(t, "names of changes", "%d changes, answered after %s (p99 %s)", rounds*each, lags[len(lags)/2], p99(lags))
	testkit.Figure(t, "questions meanwhile", "%d, p99 %s", len(answers), p99(answers))
	if testkit.Soaking() && p99(lags) > 250*time.Millisecond {
		t.Errorf("a change is answered after %s", p99(lags))
	}
}

func dial(t *testing.T, address string) *miekg.Conn {
	t.Helper()
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &miekg.Conn{Conn: c}
}

func ask(t *testing.T, conn *miekg.Conn, name string) *miekg.Msg {
	_ = conn.SetDeadline(time.Now().Add(testkit.Patience))
	if err := conn.WriteMsg(query(name, miekg.TypeA, 0)); err != nil {
		t.Error(err)
		return new(miekg.Msg)
	}
	m, err := conn.ReadMsg()
	if err != nil {
		t.Error(err)
		return new(miekg.Msg)
	}
	return m
}

// askSteadily asks for one name after the other, some 10,000 a second, and says how long each
// answer took.
func askSteadily(t *testing.T, conn *miekg.Conn, services int, over *atomic.Bool) (took []time.Duration) {
	for n := 0; !over.Load(); n++ {
		began := time.Now()
		if m := ask(t, conn, fmt.Sprintf("s%05d.docker", n*13%services)); m.Rcode != miekg.RcodeSuccess || len(m.Answer) != 1 {
			t.Errorf("question %d: %v", n, m)
			return append(took, 0)
		}
		took = append(took, time.Since(began))
	}
	return append(took, 0)
}
