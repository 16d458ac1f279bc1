package dns

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/miekg/dns"
)

// maxUDP is how long a reply over UDP may be: no network takes it apart.
const maxUDP = 1232

// Reasons why a question is refused, for counting.
const (
	RefusedClient    = "client"    // it may not ask
	RefusedRecursion = "recursion" // it may not ask for names of others
	RefusedKind      = "kind"      // transfers, updates, other classes
	RefusedMalformed = "malformed"
	RefusedRate      = "rate" // the same was answered too often
)

// Packet is a question as it came.
type Packet struct {
	Raw  []byte
	From Asker
	TCP  bool
}

// Reply is what becomes of a packet: bytes to send, nothing at all, or a question for others.
type Reply struct {
	// Out is sent; nil is nothing.
	Out []byte
	// Refused says why nothing was answered, one of the reasons above; empty where something was.
	Refused string
	// Type and Rcode are those of DNS.
	Type  uint16
	Rcode int
	// Cut is true where not everything fitted.
	Cut bool
	// Keep is true where the zone gives this reply to every such question of those who see alike
	// (AppendView), but for the order of the records; AnyOrder where every order is as good.
	Keep, AnyOrder bool
	// Foreign is to be looked up elsewhere, for an asker who may have that; nil for nothing.
	Foreign *dns.Msg

	asked *dns.Msg // the question, where Foreign is another one
	begun Answer   // that the records of Foreign follow then
}

// alias is the name that an answer leads to, and empty for none.
func alias(a Answer) string {
	if len(a.Records) == 1 {
		if rr, ok := a.Records[0].(*dns.CNAME); ok {
			return rr.Target
		}
	}
	return ""
}

// Handle reads a packet and answers it out of the zone. It is pure but for the order of
// records, and takes any bytes.
func (z *Zone) Handle(p Packet) Reply {
	const response, headerLen = 0x80, 12
	if len(p.Raw) < headerLen || p.Raw[2]&response != 0 {
		return Reply{}
	}
	client := p.From.Addr.Unmap().WithZone("")
	if !z.MayAsk(client) {
		if !p.TCP {
			return Reply{Refused: RefusedClient}
		}
		return p.refuse(dns.RcodeRefused, RefusedClient)
	}
	if opcode := int(p.Raw[2]>>3) & 0xf; opcode != dns.OpcodeQuery {
		return p.refuse(dns.RcodeNotImplemented, RefusedKind)
	}
	var msg dns.Msg
	if binary.BigEndian.Uint16(p.Raw[4:]) != 1 || !plainQuestion(p.Raw[headerLen:]) || msg.Unpack(p.Raw) != nil || len(msg.Question) != 1 {
		return p.refuse(dns.RcodeFormatError, RefusedMalformed)
	}
	q := msg.Question[0]
	opt := msg.IsEdns0()
	var a Answer
	refused := ""
	switch {
	case opt != nil && opt.Version() != 0:
		a, refused = Answer{Rcode: dns.RcodeBadVers}, RefusedKind
	case q.Qclass != dns.ClassINET || q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR || q.Qtype == dns.TypeOPT || q.Qtype == dns.TypeTSIG:
		a, refused = Answer{Rcode: dns.RcodeRefused}, RefusedKind
	default:
		a = z.Answer(q.Name, q.Qtype, p.From, nil)
	}
	recurse := z.mayRecurse(client)
	if a.Foreign {
		if recurse {
			return Reply{Foreign: &msg, Type: q.Qtype}
		}
		a, refused = Answer{Rcode: dns.RcodeRefused, Code: dns.ExtendedErrorCodeProhibited, Text: "names of others are looked up for this machine and its containers alone"}, RefusedRecursion
	}
	if target := alias(a); target != "" && q.Qtype != dns.TypeCNAME && recurse {
		elsewhere := msg.Copy()
		elsewhere.Question[0].Name = target
		return Reply{Foreign: elsewhere, Type: q.Qtype, asked: &msg, begun: a}
	}
	out := p.finish(&msg, a, z.limit(p, opt, recurse))
	out.Refused = refused
	out.Keep, out.AnyOrder = refused == "" && a.Code == 0 && !out.Cut && a.Rcode == out.Rcode, !a.weighted
	return out
}

// plainQuestion reports whether the name of a question is written out: a pointer there
// could only lead into the header.
func plainQuestion(b []byte) bool {
	for n := 0; n < len(b) && n < 256; n += int(b[n]) + 1 {
		switch {
		case b[n] == 0:
			return len(b) >= n+5
		case b[n] > maxLabel:
			return false
		}
	}
	return false
}

// refuse is a reply of a header alone.
func (p Packet) refuse(rcode int, why string) Reply {
	out := make([]byte, 12)
	copy(out, p.Raw[:4])
	out[2] = out[2]&0x79 | 0x80 // the same opcode and RD
	out[3] = byte(rcode)
	return Reply{Out: out, Refused: why, Rcode: rcode}
}

// limit is how long the reply may be.
func (z *Zone) limit(p Packet, opt *dns.OPT, recurse bool) int {
	if p.TCP {
		return dns.MaxMsgSize
	}
	limit := dns.MinMsgSize
	if opt != nil {
		limit = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
	}
	if !recurse {
		limit = min(limit, max(2*len(p.Raw), 64)) // of no use to who forges senders
	}
	return limit
}

// finish writes the reply to a question.
func (p Packet) finish(msg *dns.Msg, a Answer, limit int) Reply {
	r := &dns.Msg{}
	r.SetRcode(msg, a.Rcode) // above 15 it goes into the EDNS record
	r.Compress, r.Authoritative, r.RecursionAvailable = true, a.Authoritative, a.Foreign
	r.Answer, r.Extra = a.Records, a.Extra
	if a.SOA != nil {
		r.Ns = []dns.RR{a.SOA}
	}
	if opt := msg.IsEdns0(); opt != nil {
		o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		o.SetUDPSize(maxUDP)
		if a.Code > 0 {
			o.Option = append(o.Option, &dns.EDNS0_EDE{InfoCode: a.Code, ExtraText: a.Text})
		}
		r.Extra = append(r.Extra[:len(r.Extra):len(r.Extra)], o)
	}
	return pack(r, msg.Question[0].Qtype, a.Rcode, limit)
}

// pack writes a message so that it fits: without words, then without what is beside the
// answer, then with TC.
func pack(r *dns.Msg, qtype uint16, rcode, limit int) Reply {
	out := Reply{Type: qtype, Rcode: rcode}
	if o := r.IsEdns0(); o != nil && r.Len() > limit {
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_EDE); ok {
				e.ExtraText = ""
			}
		}
	}
	if r.Len() > limit && len(r.Answer) > 0 {
		var opt []dns.RR
		if o := r.IsEdns0(); o != nil {
			opt = []dns.RR{o}
		}
		r.Extra = opt
	}
	if r.Len() > limit {
		out.Cut = true
		r.Truncate(max(limit, dns.MinMsgSize)) // it takes no less
		if r.Truncated = true; r.Len() > limit {
			r.Answer, r.Ns = nil, nil
		}
	}
	var err error
	if out.Out, err = r.Pack(); err != nil || len(out.Out) > limit && limit >= dns.MinMsgSize {
		failed := &dns.Msg{MsgHdr: dns.MsgHdr{Id: r.Id, Response: true, Rcode: dns.RcodeServerFailure, RecursionDesired: r.RecursionDesired}, Question: r.Question}
		out.Rcode = dns.RcodeServerFailure
		out.Out, _ = failed.Pack()
	}
	return out
}

// Shortened is a reply without records that asks to come again over TCP.
func (z *Zone) Shortened(p Packet, r Reply) Reply {
	var msg dns.Msg
	if msg.Unpack(p.Raw) != nil {
		return Reply{Refused: RefusedRate}
	}
	m := new(dns.Msg)
	m.SetRcode(&msg, dns.RcodeSuccess)
	m.Truncated = true
	if msg.IsEdns0() != nil {
		m.SetEdns0(maxUDP, false)
	}
	out := pack(m, r.Type, dns.RcodeSuccess, dns.MinMsgSize)
	out.Refused, out.Cut = RefusedRate, true
	return out
}

// Busy is the reply to a question that is looked up nowhere, because too many are already.
func (z *Zone) Busy(p Packet, r Reply) Reply {
	return z.without(p, r, Answer{Rcode: dns.RcodeServerFailure, Text: "too many questions at once", Code: dns.ExtendedErrorCodeOther})
}

// Alone is the reply to a question for others where no resolver is known.
func (z *Zone) Alone(p Packet, r Reply) Reply {
	if r.asked != nil {
		return p.finish(r.asked, r.begun, z.limit(p, r.asked.IsEdns0(), true))
	}
	out := z.without(p, r, Answer{Rcode: dns.RcodeRefused, Code: dns.ExtendedErrorCodeNotAuthoritative, Text: "names of others are not looked up here"})
	out.Refused = RefusedRecursion
	return out
}

func (z *Zone) without(p Packet, r Reply, a Answer) Reply {
	question := cmp.Or(r.asked, r.Foreign)
	return p.finish(question, a, z.limit(p, question.IsEdns0(), true))
}

// With is the reply to a question for others that m answers.
func (z *Zone) With(p Packet, r Reply, m *dns.Msg) Reply {
	if r.asked == nil {
		return pack(m, r.Type, m.Rcode, z.limit(p, r.Foreign.IsEdns0(), true))
	}
	a := r.begun
	a.Rcode, a.Records = m.Rcode, slices.Concat(a.Records, m.Answer)
	return p.finish(r.asked, a, z.limit(p, r.asked.IsEdns0(), true))
}
