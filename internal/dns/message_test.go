package dns

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"fairway/internal/catalog"

	"github.com/miekg/dns"
)

// query packs a question; size zero is one without EDNS.
func query(name string, qtype uint16, size uint16) []byte {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	m.Id = 4711
	if size > 0 {
		m.SetEdns0(size, false)
	}
	raw, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return raw
}

func unpack(t testing.TB, raw []byte) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		t.Fatalf("%v: %x", err, raw)
	}
	return m
}

func ede(m *dns.Msg) (codes []uint16) {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if e, ok := o.(*dns.EDNS0_EDE); ok {
				codes = append(codes, e.InfoCode)
			}
		}
	}
	return codes
}

// The header of an answer, and the question letter for letter (cases 1 and 3).
func TestHeader(t *testing.T) {
	z := newWorld().zone()
	m := unpack(t, z.Handle(Packet{query("ReS.DoCkEr", dns.TypeA, 1232), askers["B"], false}).Out)
	a, ok := m.Answer[0].(*dns.A)
	if m.Id != 4711 || !m.Response || !m.Authoritative || !m.RecursionDesired || m.Question[0].Name != "ReS.DoCkEr." || !ok || a.A.String() != "172.17.0.2" || a.Hdr.Ttl != 5 || a.Hdr.Name != "ReS.DoCkEr." {
		t.Errorf("answer: %v", m)
	}
	m = unpack(t, z.Handle(Packet{query("nope.docker", dns.TypeA, 0), askers["B"], false}).Out)
	if soa, ok := m.Ns[0].(*dns.SOA); !ok || soa.Hdr.Ttl != 1 || soa.Minttl != 1 || soa.Hdr.Name != "docker." || m.IsEdns0() != nil || m.Rcode != dns.RcodeNameError {
		t.Errorf("answer: %v", m)
	}
}

// A time of zero is one: the answer is not kept.
func TestZeroTTL(t *testing.T) {
	w := newWorld()
	w.settings = Settings{SingleLabel: true, TTL: -1, NegativeTTL: -1}
	z := w.zone()
	if a := z.Answer("res.docker.", dns.TypeA, askers["B"], nil); a.Records[0].Header().Ttl != 0 {
		t.Errorf("answer: %v", a.Records)
	}
	if a := z.Answer("nope.docker.", dns.TypeA, askers["B"], nil); a.SOA.Header().Ttl != 0 {
		t.Errorf("not there: %v", a.SOA)
	}
}

// An answer that does not fit says so, and over TCP all of it is there (case 41).
func TestSizes(t *testing.T) {
	w := newWorld()
	for i := range 200 {
		in := w.compose("big", "svc", i, fmt.Sprintf("shop_front=172.18.%d.%d", 1+i/100, i%100), "80/tcp")
		in.State = catalog.StateReady
	}
	z := w.zone()
	for _, x := range []struct {
		size  uint16
		tcp   bool
		limit int
		tc    bool
	}{{0, false, 512, true}, {4096, false, 1232, true}, {700, false, 700, true}, {0, true, 65535, false}} {
		for name, qtype := range map[string]uint16{"big-svc.docker": dns.TypeA, "_big-svc._tcp.docker": dns.TypeSRV} {
			r := z.Handle(Packet{query(name, qtype, x.size), askers["F"], x.tcp})
			m := unpack(t, r.Out)
			if len(r.Out) > x.limit || m.Truncated != x.tc || r.Cut != x.tc || !x.tc && len(m.Answer) != 200 || x.tc && len(m.Answer) == 0 {
				t.Errorf("%s, EDNS %d, TCP %t: %d bytes, TC %t, %d records", name, x.size, x.tcp, len(r.Out), m.Truncated, len(m.Answer))
			}
		}
	}
	// Beyond this machine and its containers a reply is no more than twice the question.
	for _, name := range []string{"docker", "nope.docker", "_shop-web._tcp.docker", "example.com"} {
		raw := query(name, dns.TypeSRV, 1232)
		if r := z.Handle(Packet{raw, askers["O"], false}); len(r.Out) > 2*len(raw) || r.Rcode == dns.RcodeRefused && r.Cut {
			t.Errorf("%s: %d bytes for %d", name, len(r.Out), len(raw))
		}
	}
}

// What is no question of a class and kind that is answered (cases 42 and 43).
func TestRefusals(t *testing.T) {
	z := newWorld().zone()
	good := query("res.docker", dns.TypeA, 0)
	change := func(f func(b []byte) []byte) []byte { return f(append([]byte(nil), good...)) }
	m := new(dns.Msg)
	m.SetQuestion("version.bind.", dns.TypeTXT)
	m.Question[0].Qclass = dns.ClassCHAOS
	chaos, _ := m.Pack()
	v1 := new(dns.Msg)
	v1.SetQuestion("res.docker.", dns.TypeA)
	v1.SetEdns0(1232, false)
	v1.IsEdns0().SetVersion(1)
	version, _ := v1.Pack()
	for name, x := range map[string]struct {
		raw  []byte
		want int // rcode; -1 for no reply
	}{
		"chaos":        {chaos, dns.RcodeRefused},
		"AXFR":         {query("docker", dns.TypeAXFR, 0), dns.RcodeRefused},
		"IXFR":         {query("docker", dns.TypeIXFR, 0), dns.RcodeRefused},
		"update":       {change(func(b []byte) []byte { b[2] = 5 << 3; return b }), dns.RcodeNotImplemented},
		"two":          {change(func(b []byte) []byte { b[5] = 2; return b }), dns.RcodeFormatError},
		"none":         {change(func(b []byte) []byte { b[5] = 0; return b }), dns.RcodeFormatError},
		"response":     {change(func(b []byte) []byte { b[2] |= 0x80; return b }), -1},
		"EDNS 1":       {version, dns.RcodeBadVers},
		"pointer":      {append(append([]byte(nil), good[:12]...), 0xc0, 0x00, 0, 1, 0, 1), dns.RcodeFormatError},
		"11 bytes":     {good[:11], -1},
		"no question":  {good[:12], dns.RcodeFormatError},
		"cut question": {good[:20], dns.RcodeFormatError},
		"nothing":      {nil, -1},
	} {
		r := z.Handle(Packet{x.raw, askers["B"], false})
		if x.want < 0 {
			if r.Out != nil {
				t.Errorf("%s: a reply %x", name, r.Out)
			}
			continue
		}
		got := unpack(t, r.Out)
		if rcode := got.Rcode; rcode != x.want || got.Id != 4711 && name != "chaos" && name != "EDNS 1" || !got.Response || len(got.Answer) > 0 {
			t.Errorf("%s: %v, want %s", name, got, dns.RcodeToString[x.want])
		}
	}
}

// Strangers get no reply, and recursion is for this machine and its containers (case 45).
func TestWhoMayAsk(t *testing.T) {
	z := newWorld().zone()
	stranger := Asker{netip.MustParseAddr("203.0.113.9"), netip.MustParseAddr("10.0.0.5")}
	if r := z.Handle(Packet{query("example.com", dns.TypeA, 1232), stranger, false}); r.Out != nil || r.Refused != RefusedClient {
		t.Errorf("a stranger over UDP: %+v", r)
	}
	if r := z.Handle(Packet{query("res.docker", dns.TypeA, 1232), stranger, true}); unpack(t, r.Out).Rcode != dns.RcodeRefused {
		t.Errorf("a stranger over TCP: %+v", r)
	}
	r := z.Handle(Packet{query("example.com", dns.TypeA, 1232), askers["O"], true})
	if m := unpack(t, r.Out); m.Rcode != dns.RcodeRefused || fmt.Sprint(ede(m)) != "[18]" || r.Refused != RefusedRecursion {
		t.Errorf("recursion for another machine: %v", m)
	}
	for _, letter := range []string{"M", "B", "F"} {
		if r := z.Handle(Packet{query("example.com", dns.TypeA, 1232), askers[letter], false}); r.Foreign == nil {
			t.Errorf("%s: %+v", letter, r)
		}
	}
}

// Any bytes get a reply that can be read, is short enough and has the same ID, or none.
func FuzzHandle(f *testing.F) {
	w := newWorld()
	stale(w)
	z := w.zone()
	for _, name := range []string{"res.docker", "_shop-web._tcp.docker", "x.app.docker", "12.0.18.172.in-addr.arpa", strings.Repeat("a.", 120) + "docker"} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeSRV, dns.TypeANY, dns.TypePTR, dns.TypeSOA} {
			f.Add(query(name, qtype, 1232), uint8(qtype), true)
		}
	}
	letters := []string{"F", "W", "D", "B", "M", "O"}
	f.Fuzz(func(t *testing.T, raw []byte, who uint8, tcp bool) {
		r := z.Handle(Packet{raw, askers[letters[int(who)%len(letters)]], tcp})
		if r.Out == nil {
			return
		}
		m := unpack(t, r.Out)
		if !m.Response || m.Id != binary.BigEndian.Uint16(raw) {
			t.Errorf("reply %v", m)
		}
		if !tcp && len(r.Out) > maxUDP {
			t.Errorf("%d bytes over UDP", len(r.Out))
		}
		for _, rr := range m.Answer {
			if !strings.EqualFold(rr.Header().Name, m.Question[0].Name) {
				t.Errorf("%s answers %s", rr, m.Question[0].Name)
			}
		}
	})
}
