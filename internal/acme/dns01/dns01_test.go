package dns01

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mholt/acmez/v3/acme"
	"github.com/miekg/dns"

	"fairway/internal/acme/dns01/edit"
)

// world is what servers answer, by server, then by name and kind; a server without an entry
// does not answer.
type world struct {
	answers map[string]map[string]string
	after   map[string]time.Duration // when a server begins to have the record of the challenge
	slow    time.Duration            // how long a server takes to say that it does not have it
	begin   time.Time
	record  edit.Record
	editor  func(add bool) error
	did     []string
}

func (w *world) Add(_ context.Context, r edit.Record) error {
	w.record = r
	w.did = append(w.did, "add "+r.Name+" in "+r.Zone)
	return w.editor(true)
}

func (w *world) Remove(ctx context.Context, r edit.Record) error {
	w.did = append(w.did, "remove "+r.Name)
	return errors.Join(ctx.Err(), w.editor(false))
}

func (w *world) exchange(ctx context.Context, server string, m *dns.Msg) (*dns.Msg, error) {
	q := m.Question[0]
	records, there := w.answers[server]
	if !there {
		return nil, errors.New("connection refused")
	}
	answer := new(dns.Msg).SetReply(m)
	if records == nil {
		answer.Rcode = dns.RcodeRefused
		return answer, nil
	}
	text := records[q.Name+" "+dns.TypeToString[q.Qtype]]
	if q.Qtype == dns.TypeTXT && w.record.Text != "" && time.Since(w.begin) >= w.after[server] {
		text = fmt.Sprintf("%s 60 IN TXT %q", w.record.Name, w.record.Text)
	}
	if q.Qtype == dns.TypeTXT && text == "" {
		select {
		case <-time.After(w.slow):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if text == "SERVFAIL" {
		answer.Rcode = dns.RcodeServerFailure
		return answer, nil
	}
	for line := range strings.SplitSeq(text, "\n") {
		if rest, ok := strings.CutPrefix(line, "authority "); ok {
			rr, _ := dns.NewRR(rest)
			answer.Ns = append(answer.Ns, rr)
		} else if rr, err := dns.NewRR(line); err == nil && rr != nil {
			answer.Answer = append(answer.Answer, rr)
		}
	}
	return answer, nil
}

const resolver = "192.0.2.53:53"

// usual is a zone with two servers; its name leads nowhere else.
func usual() map[string]map[string]string {
	return map[string]map[string]string{
		resolver: {
			"_acme-challenge.app.example.com. SOA": "authority example.com. 60 IN SOA ns1.example.net. root.example.net. 1 2 3 4 5",
			"example.com. NS":                      "example.com. 60 IN NS ns1.example.net.\nexample.com. 60 IN NS ns2.example.net.",
			"ns1.example.net. A":                   "ns1.example.net. 60 IN A 192.0.2.1",
			"ns2.example.net. AAAA":                "ns2.example.net. 60 IN AAAA 2001:db8::2",
		},
		"192.0.2.1:53": {}, "[2001:db8::2]:53": {},
	}
}

// TestSolve: the record is put where it belongs, is waited for at every server of the zone
// that answers, and is removed in any case.
func TestSolve(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*world, *Options)
		want    string // what the editor was asked for
		err     string
		least   time.Duration // of the wait
		cleanUp string
	}{
		"at once": {func(*world, *Options) {}, "add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.", "", 0, ""},
		"a slow server": {
			func(w *world, _ *Options) { w.after["[2001:db8::2]:53"] = time.Minute },
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.", "", time.Minute, "",
		},
		"a server that is away": {
			func(w *world, _ *Options) { delete(w.answers, "192.0.2.1:53") },
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.", "", 0, "",
		},
		"all are away": {
			func(w *world, _ *Options) { w.answers = map[string]map[string]string{resolver: w.answers[resolver]} },
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.",
			"dns: the TXT record _acme-challenge.app.example.com. was added, and after 2m0s [2001:db8::2]:53 has no answer: connection refused; acme.dns.timeout bounds that", 2 * time.Minute, "",
		},
		"a server that does not serve the zone": {
			func(w *world, _ *Options) { w.answers["192.0.2.1:53"] = nil },
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.", "", 0, "",
		},
		"cut at the end": {
			func(w *world, o *Options) {
				w.after["192.0.2.1:53"], w.slow, o.Timeout = time.Hour, 2*time.Second, 4*time.Second
			},
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.",
			"dns: the TXT record _acme-challenge.app.example.com. was added, and after 4s 192.0.2.1:53 does not have it; acme.dns.timeout bounds that", 4 * time.Second, "",
		},
		"it never comes": {
			func(w *world, _ *Options) { w.after["192.0.2.1:53"] = time.Hour },
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.",
			"dns: the TXT record _acme-challenge.app.example.com. was added, and after 2m0s 192.0.2.1:53 does not have it; acme.dns.timeout bounds that", 2 * time.Minute, "",
		},
		"blind": {
			func(w *world, o *Options) { w.after["192.0.2.1:53"], o.Blind = time.Hour, true },
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.", "", 0, "",
		},
		"it cannot be added": {
			func(w *world, _ *Options) {
				w.editor = func(add bool) error { return map[bool]error{true: errors.New("no")}[add] }
			},
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.",
			"dns: the TXT record _acme-challenge.app.example.com. cannot be added: no", 0, "",
		},
		"it cannot be removed": {
			func(w *world, _ *Options) {
				w.editor = func(add bool) error { return map[bool]error{false: errors.New("no")}[add] }
			},
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.", "", 0, "no",
		},
		"delegated": {func(w *world, _ *Options) {
			w.answers[resolver]["_acme-challenge.app.example.com. CNAME"] = "_acme-challenge.app.example.com. 60 IN CNAME App.Proofs.example.org."
			w.answers[resolver]["app.proofs.example.org. CNAME"] = "app.proofs.example.org. 60 IN CNAME x.example.org."
			w.answers[resolver]["x.example.org. SOA"] = "SERVFAIL"
		}, "", "dns: " + resolver + " answers SERVFAIL for SOA x.example.org.", 0, ""},
		"delegated to a zone that is named": {func(w *world, o *Options) {
			w.answers[resolver]["_acme-challenge.app.example.com. CNAME"] = "_acme-challenge.app.example.com. 60 IN CNAME App.Proofs.example.org."
			o.Zone, o.Servers = "example.org", []string{"192.0.2.1:53"}
		}, "add app.proofs.example.org. in example.org.; remove app.proofs.example.org.", "", 0, ""},
		"delegated to what is no name": {func(w *world, _ *Options) {
			w.answers[resolver]["_acme-challenge.app.example.com. CNAME"] = "_acme-challenge.app.example.com. 60 IN CNAME `reboot`.example.org."
		}, "", "dns: the CNAME of the challenge leads to \"`reboot`.example.org.\", which is no host name", 0, ""},
		"in a circle": {func(w *world, _ *Options) {
			w.answers[resolver]["_acme-challenge.app.example.com. CNAME"] = "_acme-challenge.app.example.com. 60 IN CNAME _acme-challenge.app.example.com."
		}, "", "dns: more than 8 CNAMEs lead on from _acme-challenge.app.example.com.", 0, ""},
		"no zone": {
			func(w *world, _ *Options) { w.answers[resolver] = map[string]string{} }, "",
			"dns: no zone is found that _acme-challenge.app.example.com. is in: name it with acme.dns.zone", 0, "",
		},
		"another zone is named": {
			func(_ *world, o *Options) { o.Zone = "example.org" }, "",
			"dns: _acme-challenge.app.example.com. is not in the zone example.org of acme.dns.zone", 0, "",
		},
		"no resolver answers": {func(w *world, _ *Options) { delete(w.answers, resolver) }, "", "dns: " + resolver + " does not answer: connection refused", 0, ""},
		"a zone without servers": {
			func(w *world, _ *Options) { delete(w.answers[resolver], "example.com. NS") },
			"add _acme-challenge.app.example.com. in example.com.; remove _acme-challenge.app.example.com.",
			"dns: no server of the zone example.com. is found: name those to look at with acme.dns.servers", 0, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{answers: usual(), after: map[string]time.Duration{}, begin: time.Now(), editor: func(bool) error { return nil }}
				o := Options{Editor: w, Resolvers: []string{resolver}, Timeout: 2 * time.Minute}
				c.change(w, &o)
				s := New(o)
				s.ask.exchange = w.exchange
				ch := acme.Challenge{Type: acme.ChallengeTypeDNS01, Identifier: acme.Identifier{Type: "dns", Value: "app.example.com"}, KeyAuthorization: "x"}
				ctx, cancel := context.WithCancel(t.Context())
				err := s.Present(ctx, ch)
				if err == nil {
					err = s.Wait(ctx, ch)
				}
				if got := fmt.Sprint(err); got != c.err && (err != nil || c.err != "") {
					t.Errorf("%s\nwant %s", got, c.err)
				}
				if d := time.Since(w.begin); d < c.least || d > c.least+10*time.Second {
					t.Errorf("it took %v", d)
				}
				cancel() // an order that was given up
				if err := s.CleanUp(ctx, ch); err != nil && err.Error() != c.cleanUp || err == nil && c.cleanUp != "" {
					t.Errorf("removed with %v", err)
				}
				if got := strings.Join(w.did, "; "); got != c.want {
					t.Errorf("%s\nwant %s", got, c.want)
				}
				if len(s.added) != 0 {
					t.Error("it is still known")
				}
			})
		})
	}
}

// TestExchange: an answer that was cut is asked for again over TCP.
func TestExchange(t *testing.T) {
	long := slices.Repeat([]string{strings.Repeat("x", 250)}, 20)
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
		answer := new(dns.Msg).SetReply(m)
		answer.Answer = []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: long}}
		if w.RemoteAddr().Network() == "udp" {
			answer.Truncate(1232)
		}
		_ = w.WriteMsg(answer)
	})
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := packets.LocalAddr().String()
	l, err := net.Listen("tcp", address)
	if err != nil {
		_ = packets.Close()
		t.Skip("the port is taken over TCP")
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: l, Handler: handler}} {
		go func() { _ = s.ActivateAndServe() }()
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	answer, err := exchange(t.Context(), address, question("a.test.", dns.TypeTXT))
	if err != nil || len(answer.Answer) != 1 || len(answer.Answer[0].(*dns.TXT).Txt) != len(long) {
		t.Errorf("%v, %v", answer, err)
	}
}
