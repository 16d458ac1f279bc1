package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"fairway/internal/catalog"
	"fairway/internal/dns"
	"fairway/internal/metrics"

	miekg "github.com/miekg/dns"
)

// several has services of each kind of answer.
func several(t testing.TB) *catalog.Snapshot {
	t.Helper()
	s := shop()
	add := func(name string, n int, weights bool) {
		svc := &catalog.Service{ID: name + "@docker", Name: name, Source: "docker"}
		for i := range n {
			in := &catalog.Instance{
				ID: fmt.Sprintf("%012x%s", i, name), Name: fmt.Sprintf("%s-%d", name, i), Source: "docker", State: catalog.StateReady, Labels: map[string]string{}, Ports: []catalog.Port{{Number: 80, Protocol: "tcp"}},
				Addresses: []catalog.Address{{Host: fmt.Sprintf("172.18.%d.%d", len(s.Services), i+1), Network: "shop", Reach: catalog.ReachBridge}, {Host: fmt.Sprintf("fd00:18::%d:%d", len(s.Services), i+1), Network: "shop", Reach: catalog.ReachBridge}},
			}
			if weights && i == 0 {
				in.Labels["fairway.weight"] = "50"
			}
			svc.Instances = append(svc.Instances, in)
		}
		s.Services = append(s.Services, svc)
	}
	add("web", 3, false)
	add("odd", 3, true)
	add("big", 100, false)
	return s
}

var whoAsks = []dns.Asker{
	{Addr: netip.MustParseAddr("127.0.0.1"), Asked: netip.MustParseAddr("127.0.0.1")},
	{Addr: netip.MustParseAddr("172.18.3.1"), Asked: netip.MustParseAddr("172.18.0.1")},
	{Addr: netip.MustParseAddr("172.17.0.2"), Asked: netip.MustParseAddr("172.17.0.1")},
	{Addr: netip.MustParseAddr("10.0.0.77"), Asked: netip.MustParseAddr("10.0.0.5")},
	{Addr: netip.MustParseAddr("10.0.0.78"), Asked: netip.MustParseAddr("10.0.0.5")},
	{Addr: netip.MustParseAddr("203.0.113.9"), Asked: netip.MustParseAddr("10.0.0.5")},
	{Addr: netip.MustParseAddr("fd00:18::9"), Asked: netip.MustParseAddr("fd00:18::1")},
}

// remembered is what the memo replies to a packet, after it has seen it often enough; nil for
// nothing that it keeps.
func remembered(m *memo, p dns.Packet) []byte {
	key, ok := m.appendKey(nil, p)
	if !ok {
		return nil
	}
	for range variants + 1 {
		if k := m.get(key); k != nil {
			return k.appendReply(nil, p.Raw)
		}
		if r := m.zone.Handle(p); r.Foreign == nil {
			m.put(key, r, &metrics.Counter{})
		}
	}
	return nil
}

// inOrder is a reply with its records in the order of their bytes.
func inOrder(t *testing.T, reply []byte) string {
	t.Helper()
	var m miekg.Msg
	if err := m.Unpack(reply); err != nil {
		t.Fatalf("%v: %x", err, reply)
	}
	if n := len(m.Answer); n > 1 {
		if at, size := alike(reply, n); size > 0 { // the bytes themselves
			parts := slices.SortedFunc(slices.Chunk(reply[at:at+n*size], size), bytes.Compare)
			return string(slices.Concat(reply[:at], bytes.Join(parts, nil), reply[at+n*size:]))
		}
	}
	if len(m.Answer) < 2 {
		return string(reply)
	}
	for _, list := range [][]miekg.RR{m.Answer, m.Extra} {
		slices.SortFunc(list, func(a, b miekg.RR) int { return strings.Compare(a.String(), b.String()) })
	}
	return m.String()
}

// What is kept is to the byte what Handle makes, but for the order of the records.
func FuzzMemo(f *testing.F) {
	z := dns.Build(nil, several(f), settings, local, time.Now())
	for _, name := range []string{"web.docker", "WEB.docker", "_web._tcp.docker", "odd.docker", "big.docker", "nope.docker", "docker", "res.docker", "old.docker", "1.3.18.172.in-addr.arpa", "example.com", "ns.docker", "host.docker"} {
		for who, qtype := range []uint16{miekg.TypeA, miekg.TypeAAAA, miekg.TypeSRV, miekg.TypePTR, miekg.TypeANY, miekg.TypeSOA} {
			raw, err := query(name, qtype, 1232).Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw, uint8(who))
			raw, _ = query(name, qtype, 0).Pack()
			f.Add(raw, uint8(who+1))
		}
	}
	m := newMemo(z)
	f.Fuzz(func(t *testing.T, raw []byte, who uint8) {
		from := whoAsks[int(who)%len(whoAsks)]
		p := dns.Packet{Raw: raw, From: from}
		got := remembered(m, p)
		if got == nil {
			return
		}
		p.Raw = slices.Clone(raw)
		binary.BigEndian.PutUint16(p.Raw, binary.BigEndian.Uint16(raw)+1)
		again := remembered(m, p)
		if binary.BigEndian.Uint16(again) != binary.BigEndian.Uint16(p.Raw) {
			t.Errorf("the ID is %x, not %x", again[:2], p.Raw[:2])
		}
		if got, want := inOrder(t, again), inOrder(t, z.Handle(p).Out); got != want {
			t.Errorf("%s, kept:\n%q\nmade:\n%q", from.Addr, got, want)
		}
	})
}

// What is kept: equal weights, whole answers, those who may ask; in every order.
func TestMemo(t *testing.T) {
	m := newMemo(dns.Build(nil, several(t), settings, local, time.Now()))
	for _, x := range []struct {
		name  string
		qtype uint16
		who   int
		keeps bool
	}{
		{"web.docker", miekg.TypeA, 0, true},
		{"web.docker", miekg.TypeAAAA, 1, true},
		{"web.docker", miekg.TypeMX, 1, true},
		{"_web._tcp.docker", miekg.TypeSRV, 1, true},
		{"nope.docker", miekg.TypeA, 1, true},
		{"nope.docker", miekg.TypeA, 3, false}, // cut to twice the question
		{"odd.docker", miekg.TypeA, 0, false},  // weights differ
		{"big.docker", miekg.TypeA, 0, false},  // it does not fit
		{"example.com", miekg.TypeA, 0, false},
		{"example.com", miekg.TypeA, 3, false}, // refused
		{"web.docker", miekg.TypeA, 5, false},
	} {
		p := dns.Packet{Raw: packed(t, query(x.name, x.qtype, 1232)), From: whoAsks[x.who]}
		if got := remembered(m, p) != nil; got != x.keeps {
			t.Errorf("%s for %s: kept %t", x.name, p.From.Addr, got)
		}
	}
	p := dns.Packet{Raw: packed(t, query("web.docker", miekg.TypeA, 0)), From: whoAsks[1]}
	first := map[string]int{}
	for range 3000 {
		var msg miekg.Msg
		if err := msg.Unpack(remembered(m, p)); err != nil {
			t.Fatal(err)
		}
		first[msg.Answer[0].(*miekg.A).A.String()]++
	}
	for address, n := range first {
		if n < 840 || n > 1170 || len(first) != 3 {
			t.Errorf("%s is first %d times of 3000", address, n)
		}
	}
	// Of many names the newest are kept.
	var last []byte
	for i := range 200_000 {
		r := dns.Reply{Out: make([]byte, 100), Keep: true}
		last = fmt.Appendf(nil, "some name of a hundred bytes or so, as there are many of them in one zone: %d", i)
		m.put(last, r, nil)
	}
	total := 0
	for i := range m.shards {
		total += m.shards[i].bytes
	}
	if total > memoBytes || total < memoBytes/4 || m.get(last) == nil {
		t.Errorf("%d bytes are kept, and the newest: %t", total, m.get(last) != nil)
	}
}

func BenchmarkReply(b *testing.B) {
	s := &Server{rate: newRate(), askers: clients{all: map[netip.Addr]client{}}}
	s.memo.Store(newMemo(dns.Build(nil, several(b), settings, local, time.Now())))
	s.m = newMeasures(nil, s)
	raw, _ := query("web.docker", miekg.TypeA, 1232).Pack()
	from := netip.MustParseAddrPort("127.0.0.1:5000")
	one, p := &batch{s: s, replies: make([][]byte, 1)}, dns.Packet{Raw: raw, From: whoAsks[0]}
	b.ReportAllocs()
	for b.Loop() {
		one.reply(s.memo.Load(), 0, p, from, time.Now())
	}
}
