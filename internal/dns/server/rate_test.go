package server

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"fairway/internal/dns"
	"fairway/internal/metrics"
	"fairway/internal/testkit"

	miekg "github.com/miekg/dns"
)

// A network of others gets so many equal answers a second, then every other one short, and no
// reply has more than twice the bytes of its question. This machine gets all.
func TestRate(t *testing.T) {
	now := time.Unix(1772542800, 0)
	z := dns.Build(nil, shop(), settings, local, now)
	l := newRate()
	asked := 0 // each with a cookie of its own
	ask := func(from, name string, at time.Time) verdict {
		m := query(name, miekg.TypeA, 1232)
		asked++
		m.IsEdns0().Option = []miekg.EDNS0{&miekg.EDNS0_COOKIE{Code: miekg.EDNS0COOKIE, Cookie: fmt.Sprintf("%016x", asked)}}
		p := dns.Packet{Raw: packed(t, m), From: dns.Asker{Addr: netip.MustParseAddr(from), Asked: netip.MustParseAddr("10.0.0.5")}}
		r := z.Handle(p)
		if short := z.Shortened(p, r); len(r.Out) > 2*len(p.Raw) || len(short.Out) > 2*len(p.Raw) || !short.Cut {
			t.Fatalf("%s: %d and %d bytes for %d", name, len(r.Out), len(short.Out), len(p.Raw))
		}
		return l.of(p, r, at)
	}
	count := func(from, name string, at time.Time, times int) (out [3]int) {
		for range times {
			out[ask(from, name, at)]++
		}
		return out
	}
	for _, x := range []struct {
		from, name string
		at         time.Duration
		want       string
	}{
		{"10.0.9.1", "res.docker", 0, "[200 50 50]"},
		{"10.0.9.77", "RES.docker", 0, "[0 150 150]"}, // the same network, in other letters
		{"10.0.8.1", "res.docker", 0, "[200 50 50]"},
		{"10.0.9.1", "six.docker", 0, "[200 50 50]"},
		{"10.0.9.1", "res.docker", time.Second, "[200 50 50]"},
		{"10.0.9.1", "res.docker", 0, "[0 150 150]"},            // another socket is late
		{"10.0.9.1", "res.docker", -time.Minute, "[200 50 50]"}, // the clock was set
		{"fd00:99::1", "res.docker", 0, "[200 50 50]"},
	} {
		if got := fmt.Sprint(count(x.from, x.name, now.Add(x.at), 300)); got != x.want {
			t.Errorf("%s %s: %s, want %s", x.from, x.name, got, x.want)
		}
	}
	l = newRate()
	for i := range 300 { // each another name that is not there
		if got := ask("10.0.9.1", fmt.Sprintf("n%d.docker", i), now); (got != send) != (i >= equalAnswers) {
			t.Fatalf("name %d: %d", i, got)
		}
	}
	for i := range maxCounted + 1 {
		p := dns.Packet{From: dns.Asker{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}}
		l.of(p, dns.Reply{Rcode: i}, now)
	}
	if len(l.sent) > maxCounted {
		t.Errorf("%d are counted", len(l.sent))
	}
}

// Answers about names of others are limited, too, for those who may have them and are elsewhere.
func TestLimitedForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, of := &metrics.Set{}, settings
		of.Recursion = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
		s := &Server{o: Options{Foreign: elsewhere{}}, rate: newRate(), askers: clients{all: map[netip.Addr]client{}}, foreign: make(chan struct{}, foreignAtOnce)}
		s.memo.Store(newMemo(dns.Build(nil, shop(), of, local, time.Now())))
		s.m = newMeasures(set, s)
		b := &batch{s: s, k: &socket{udp: &net.UDPConn{}}, replies: make([][]byte, 1)} // nothing is sent
		p := dns.Packet{Raw: packed(t, query("example.com", miekg.TypeA, 1232)), From: whoAsks[3]}
		for range equalAnswers + 10 {
			b.reply(s.memo.Load(), 0, p, netip.AddrPortFrom(p.From.Addr, 5000), time.Now())
		}
		s.jobs.Wait()
		if got := testkit.Metrics(t, set); got["dns_refused_total rate"] != 10 || got["dns_queries_total A NOERROR udp"] != equalAnswers+5 {
			t.Errorf("%v", got)
		}
	})
}

// Over the wire: this machine is never limited; strangers get no names of others (case 45).
func TestLimited(t *testing.T) {
	set := &metrics.Set{}
	s, address := serve(t, func(o *Options) { o.Metrics = set })
	for range equalAnswers + 10 {
		if m := exchange(t, "udp", address, query("res.docker", miekg.TypeA, 0)); m.Truncated || len(m.Answer) != 1 {
			t.Fatalf("this machine: %v", m)
		}
	}
	z, p := s.Zone(), dns.Packet{Raw: packed(t, query("example.com", miekg.TypeA, 1232)), From: dns.Asker{Addr: netip.MustParseAddr("10.0.0.77"), Asked: netip.MustParseAddr("10.0.0.5")}}
	n := 0
	for range equalAnswers + 10 {
		r := s.limited(z, p, s.answer(z, p, time.Now()), time.Now())
		s.m.count(r, "udp")
		if r.Refused == dns.RefusedRecursion {
			n++
		}
	}
	if got := testkit.Metrics(t, set)["dns_refused_total rate"]; n != equalAnswers || got != 10 {
		t.Errorf("refused %d times, limited %v times", n, got)
	}
}
