package haproxy

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// readingMetrics are the figures of the embedded engine, by the same names and
// with the same meaning.
type readingMetrics struct {
	registerer prometheus.Registerer
	collectors []prometheus.Collector

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	retries  *prometheus.CounterVec
	refusals *prometheus.CounterVec
	// Of connections that are passed through.
	connections, received, sent *prometheus.CounterVec
	// unread are lines that could not be made sense of.
	unread prometheus.Counter
}

func newReadingMetrics(r prometheus.Registerer, gauges prometheus.Collector) (*readingMetrics, error) {
	m := &readingMetrics{
		registerer: r,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_requests_total",
			Help: "Requests by route (empty: none took it) and class of the answer's status.",
		}, []string{"route", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "fairway_request_duration_seconds",
			Help:    "Time from a request's header to the last byte of its answer.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}, []string{"route"}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_retries_total",
			Help: "Attempts after the first.",
		}, []string{"route"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_guard_refusals_total",
			Help: "Requests and connections that a guard refused.",
		}, []string{"reason"}),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_connections_total",
			Help: "Connections to TCP listeners that are over, by route (empty: none took it).",
		}, []string{"route"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_connection_received_bytes_total",
			Help: "Bytes passed from clients of TCP listeners to endpoints.",
		}, []string{"route"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_connection_sent_bytes_total",
			Help: "Bytes passed from endpoints to clients of TCP listeners.",
		}, []string{"route"}),
		unread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairway_haproxy_unread_lines_total",
			Help: "Lines of HAProxy's that tell of no request, such as handshakes that failed.",
		}),
	}
	m.collectors = []prometheus.Collector{
		m.requests, m.duration, m.retries, m.refusals, m.connections, m.received, m.sent, m.unread, gauges,
	}
	for i, c := range m.collectors {
		if err := r.Register(c); err != nil {
			for _, done := range m.collectors[:i] {
				r.Unregister(done)
			}
			return nil, err
		}
	}
	return m, nil
}

func (m *readingMetrics) unregister() {
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}

// routeSeries are the series of one route. They are made when they are first
// needed, so that routes without traffic cost nothing.
type routeSeries struct {
	all *readingMetrics
	id  string

	classes     [6]prometheus.Counter // by first digit of the status
	duration    prometheus.Observer
	retries     prometheus.Counter
	connections prometheus.Counter
	received    prometheus.Counter
	sent        prometheus.Counter
}

// count counts what is over.
func (s *routeSeries) count(e event) {
	if e.connection {
		add(&s.connections, s.all.connections, s.id, 1)
		add(&s.received, s.all.received, s.id, float64(e.received))
		add(&s.sent, s.all.sent, s.id, float64(e.bytes))
		return
	}
	class := e.status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	if s.classes[class] == nil {
		s.classes[class] = s.all.requests.WithLabelValues(s.id, className(class))
	}
	s.classes[class].Add(float64(e.weight))
	if s.duration == nil {
		s.duration = s.all.duration.WithLabelValues(s.id)
	}
	for range e.weight {
		s.duration.Observe(e.took.Seconds())
	}
	if e.retries > 0 {
		add(&s.retries, s.all.retries, s.id, float64(e.retries*e.weight))
	}
}

func add(p *prometheus.Counter, vec *prometheus.CounterVec, id string, n float64) {
	if *p == nil {
		*p = vec.WithLabelValues(id)
	}
	(*p).Add(n)
}

func className(class int) string {
	if class == 0 {
		return "none"
	}
	return strconv.Itoa(class) + "xx"
}

// remove deletes the series of a route that is gone.
func (s *routeSeries) remove() {
	for class := range s.classes {
		s.all.requests.DeleteLabelValues(s.id, className(class))
	}
	for _, vec := range []*prometheus.CounterVec{s.all.retries, s.all.connections, s.all.received, s.all.sent} {
		vec.DeleteLabelValues(s.id)
	}
	s.all.duration.DeleteLabelValues(s.id)
}

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
	m.refusals.WithLabelValues(e.code).Inc()
}
