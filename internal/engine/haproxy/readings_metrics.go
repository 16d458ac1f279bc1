package haproxy

import (
	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/engine/traffic"
)

// readingMetrics are the figures of every engine, and one that is HAProxy's alone.
type readingMetrics struct {
	*traffic.Families
	unregister func()
	// unread are lines that could not be made sense of.
	unread prometheus.Counter
}

func newReadingMetrics(registerer prometheus.Registerer, r *readings) (*readingMetrics, error) {
	m := &readingMetrics{
		Families: traffic.NewFamilies(),
		unread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairway_haproxy_unread_lines_total",
			Help: "Lines of HAProxy's that tell of no request, such as handshakes that failed.",
		}),
	}
	var err error
	m.unregister, err = m.Register(registerer, m.unread, traffic.NewGauges(r.gauges))
	return m, err
}

// routeSeries are the series of one route. They are made when they are first
// needed, so that routes without traffic cost nothing.
type routeSeries struct {
	all *readingMetrics
	id  string

	classes     [traffic.Classes]prometheus.Counter // by first digit of the status
	duration    prometheus.Observer
	retries     prometheus.Counter
	connections prometheus.Counter
	received    prometheus.Counter
	sent        prometheus.Counter
}

// count counts what is over.
func (s *routeSeries) count(e event) {
	if e.connection {
		add(&s.connections, s.all.Connections, s.id, 1)
		add(&s.received, s.all.Received, s.id, float64(e.received))
		add(&s.sent, s.all.Sent, s.id, float64(e.bytes))
		return
	}
	class := traffic.ClassOf(e.status)
	if s.classes[class] == nil {
		s.classes[class] = s.all.Requests.WithLabelValues(s.id, traffic.ClassName(class))
	}
	s.classes[class].Add(float64(e.weight))
	if s.duration == nil {
		s.duration = s.all.Duration.WithLabelValues(s.id)
	}
	for range e.weight {
		s.duration.Observe(e.took.Seconds())
	}
	if e.retries > 0 {
		add(&s.retries, s.all.Retries, s.id, float64(e.retries*e.weight))
	}
}

func add(p *prometheus.Counter, vec *prometheus.CounterVec, id string, n float64) {
	if *p == nil {
		*p = vec.WithLabelValues(id)
	}
	(*p).Add(n)
}

// remove deletes the series of a route that is gone.
func (s *routeSeries) remove() { s.all.Remove(s.id) }

// refused counts what a guard refused. The codes are those of the embedded engine;
// a path that a filter has made is not the guard's affair.
func (m *readingMetrics) refused(e event) {
	switch e.code {
	case "bad-path":
		if e.key != "" {
			return
		}
	case "method", "bad-length", "too-many-headers", "bad-host", "underscore-header", "slow-body", "source-limit", "proxy-protocol":
	default:
		return
	}
	m.Refusals.WithLabelValues(e.code).Inc()
}
