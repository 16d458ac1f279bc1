package dns

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// maxUDP is how long a reply over UDP may be: no network takes it apart.
const maxUDP = 1232

// Reasons why a question is refused, for counting.
const (
	refusedClient    = "client"    // it may not ask
	refusedRecursion = "recursion" // it may not ask for names of others
	refusedKind      = "kind"      // transfers, updates, other classes
	refusedMalformed = "malformed"
)

// packet is a question as it came.
type packet struct {
	raw  []byte
	from Asker
	tcp  bool
}

// reply is what becomes of a packet: bytes to send, nothing at all, or a question for others.
type reply struct {
	out     []byte
	foreign *dns.Msg // to be looked up elsewhere, for an asker who may have that
	refused string   // why; empty for not
	qtype   uint16
	rcode   int
	cut     bool // not everything fitted

	target string // in place of the name in foreign; its records follow those of begun
	begun  Answer
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

// handle reads a packet and answers it out of the zone. It is pure but for the order of
// records, and takes any bytes.
func (z *Zone) handle(p packet) reply {
	const response, headerLen = 0x80, 12
	if len(p.raw) < headerLen || p.raw[2]&response != 0 {
		return reply{}
	}
	client := p.from.Addr.Unmap().WithZone("")
	if !z.mayAsk(client) {
		if !p.tcp {
			return reply{refused: refusedClient}
		}
		return p.refuse(dns.RcodeRefused, refusedClient)
	}
	if opcode := int(p.raw[2]>>3) & 0xf; opcode != dns.OpcodeQuery {
		return p.refuse(dns.RcodeNotImplemented, refusedKind)
	}
	var msg dns.Msg
	if binary.BigEndian.Uint16(p.raw[4:]) != 1 || !plainQuestion(p.raw[headerLen:]) || msg.Unpack(p.raw) != nil || len(msg.Question) != 1 {
		return p.refuse(dns.RcodeFormatError, refusedMalformed)
	}
	q := msg.Question[0]
	opt := msg.IsEdns0()
	var a Answer
	refused := ""
	switch {
	case opt != nil && opt.Version() != 0:
		a, refused = Answer{Rcode: dns.RcodeBadVers}, refusedKind
	case q.Qclass != dns.ClassINET || q.Qtype == dns.TypeAXFR || q.Qtype == dns.TypeIXFR || q.Qtype == dns.TypeOPT || q.Qtype == dns.TypeTSIG:
		a, refused = Answer{Rcode: dns.RcodeRefused}, refusedKind
	default:
		a = z.Answer(q.Name, q.Qtype, p.from, nil)
	}
	recurse := z.mayRecurse(client)
	if a.Foreign {
		if recurse {
			return reply{foreign: &msg, qtype: q.Qtype}
		}
		a, refused = Answer{Rcode: dns.RcodeRefused, Code: dns.ExtendedErrorCodeProhibited, Text: "names of others are looked up for this machine and its containers alone"}, refusedRecursion
	}
	if target := alias(a); target != "" && q.Qtype != dns.TypeCNAME && recurse {
		return reply{foreign: &msg, qtype: q.Qtype, target: target, begun: a}
	}
	out := p.finish(&msg, a, z.limit(p, opt, recurse))
	out.refused = refused
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
func (p packet) refuse(rcode int, why string) reply {
	out := make([]byte, 12)
	copy(out, p.raw[:4])
	out[2] = out[2]&0x79 | 0x80 // the same opcode and RD
	out[3] = byte(rcode)
	return reply{out: out, refused: why, rcode: rcode}
}

// limit is how long the reply may be.
func (z *Zone) limit(p packet, opt *dns.OPT, recurse bool) int {
	if p.tcp {
		return dns.MaxMsgSize
	}
	limit := dns.MinMsgSize
	if opt != nil {
		limit = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
	}
	if !recurse {
		limit = min(limit, max(2*len(p.raw), 64)) // of no use to who forges senders
	}
	return limit
}

// finish writes the reply to a question.
func (p packet) finish(msg *dns.Msg, a Answer, limit int) reply {
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
func pack(r *dns.Msg, qtype uint16, rcode, limit int) reply {
	out := reply{qtype: qtype, rcode: rcode}
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
		out.cut = true
		r.Truncate(max(limit, dns.MinMsgSize)) // it takes no less
		if r.Truncated = true; r.Len() > limit {
			r.Answer, r.Ns = nil, nil
		}
	}
	var err error
	if out.out, err = r.Pack(); err != nil || len(out.out) > limit && limit >= dns.MinMsgSize {
		failed := &dns.Msg{MsgHdr: dns.MsgHdr{Id: r.Id, Response: true, Rcode: dns.RcodeServerFailure, RecursionDesired: r.RecursionDesired}, Question: r.Question}
		out.rcode = dns.RcodeServerFailure
		out.out, _ = failed.Pack()
	}
	return out
}
