package server

import (
	"cmp"

	"fairway/internal/dns"
	"fairway/internal/metrics"

	miekg "github.com/miekg/dns"
)

// measures is what is counted.
type measures struct {
	queries   *metrics.Vec[metrics.Counter]
	truncated *metrics.Counter
	refused   *metrics.Vec[metrics.Counter]
	build     *metrics.Gauge
}

func newMeasures(m *metrics.Set, s *Server) measures {
	m = cmp.Or(m, &metrics.Set{})
	m.GaugeFunc("fairway_dns_names", "Number of services and instances that have names.", func() float64 { return float64(s.Zone().Len()) })
	m.GaugeFunc("fairway_dns_names_taken", "Number of names that are asked for and not given: another service has them, or they are in no zone, or reserved.", func() float64 { return float64(len(s.Zone().Taken())) })
	return measures{
		queries:   m.CounterVec("fairway_dns_queries_total", "Questions that were answered.", "type", "rcode", "transport"),
		truncated: m.Counter("fairway_dns_truncated_total", "Answers that did not fit, and were asked for again over TCP."),
		refused:   m.CounterVec("fairway_dns_refused_total", "Questions that were refused or ignored, by reason: client, recursion, kind, malformed, rate.", "why"),
		build:     m.Gauge("fairway_dns_build_seconds", "Time that the newest zone took to make."),
	}
}

// count counts a reply. Types that few ask for are one.
func (m measures) count(r dns.Reply, transport string) {
	if r.Refused != "" {
		m.refused.With(r.Refused).Inc()
	}
	if r.Cut {
		m.truncated.Inc()
	}
	if r.Out == nil {
		return
	}
	m.of(r, transport).Inc()
}

// of is what counts a reply that is sent.
func (m measures) of(r dns.Reply, transport string) *metrics.Counter {
	qtype := "other"
	switch r.Type {
	case miekg.TypeA, miekg.TypeAAAA, miekg.TypeSRV, miekg.TypePTR, miekg.TypeSOA, miekg.TypeNS, miekg.TypeTXT, miekg.TypeMX, miekg.TypeHTTPS, miekg.TypeANY:
		qtype = miekg.TypeToString[r.Type]
	}
	return m.queries.With(qtype, dns.RcodeText(r.Rcode), transport)
}
