package embedded

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the figures of the engine.
type metrics struct {
	registerer prometheus.Registerer
	collectors []prometheus.Collector

	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	retries  *prometheus.CounterVec
	refusals *prometheus.CounterVec
	// Of connections that are passed through.
	connections, received, sent *prometheus.CounterVec

	none *routeMetrics // requests that no route took
}

func newMetrics(r prometheus.Registerer, e *Engine) (*metrics, error) {
	m := &metrics{
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
	}
	m.none = m.route("")
	m.collectors = []prometheus.Collector{
		m.requests, m.duration, m.retries, m.refusals, m.connections, m.received, m.sent, newGauges(e),
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

func (m *metrics) unregister() {
	for _, c := range m.collectors {
		m.registerer.Unregister(c)
	}
}

// refused counts a refusal.
func (m *metrics) refused(reason string) { m.refusals.WithLabelValues(reason).Inc() }

// observe counts a request that is over.
func (m *metrics) observe(lr *liveRoute, status int, took time.Duration) {
	rm := m.none
	if lr != nil {
		rm = lr.metrics
	}
	rm.observe(status, took)
}

// routeMetrics are the series of one route. They are made when the first request
// comes, so that routes without traffic cost nothing, and found without a look-up
// from then on.
type routeMetrics struct {
	all *metrics
	id  string

	classes  [6]atomic.Pointer[prometheus.Counter] // by first digit of the status
	duration atomic.Pointer[prometheus.Observer]
	retries  atomic.Pointer[prometheus.Counter]

	connections, received, sent atomic.Pointer[prometheus.Counter]

	mu      sync.Mutex
	removed bool
}

func (m *metrics) route(id string) *routeMetrics { return &routeMetrics{all: m, id: id} }

// series returns the series in p, made by get when it is not there yet; nil when
// the route is gone.
func series[T any](rm *routeMetrics, p *atomic.Pointer[T], get func() T) *T {
	if s := p.Load(); s != nil {
		return s
	}
	rm.mu.Lock()
	defer rm.mu.Unlock()
	if rm.removed {
		return nil
	}
	s := get()
	p.Store(&s)
	return &s
}

func (rm *routeMetrics) observe(status int, took time.Duration) {
	class := status / 100
	if class < 1 || class > 5 {
		class = 0 // broken off before there was a status
	}
	if c := series(rm, &rm.classes[class], func() prometheus.Counter {
		return rm.all.requests.WithLabelValues(rm.id, className(class))
	}); c != nil {
		(*c).Inc()
	}
	if d := series(rm, &rm.duration, func() prometheus.Observer {
		return rm.all.duration.WithLabelValues(rm.id)
	}); d != nil {
		(*d).Observe(took.Seconds())
	}
}

func className(class int) string {
	if class == 0 {
		return "none"
	}
	return strconv.Itoa(class) + "xx"
}

// retried counts an attempt after the first.
func (rm *routeMetrics) retried() {
	if c := series(rm, &rm.retries, func() prometheus.Counter {
		return rm.all.retries.WithLabelValues(rm.id)
	}); c != nil {
		(*c).Inc()
	}
}

// remove deletes the series of a route that is gone. Requests that still run on
// it do not bring them back.
func (rm *routeMetrics) remove() {
	rm.mu.Lock()
	defer rm.mu.Unlock()
	rm.removed = true
	for class := range rm.classes {
		rm.all.requests.DeleteLabelValues(rm.id, className(class))
	}
	rm.all.duration.DeleteLabelValues(rm.id)
	rm.all.retries.DeleteLabelValues(rm.id)
	rm.all.connections.DeleteLabelValues(rm.id)
	rm.all.received.DeleteLabelValues(rm.id)
	rm.all.sent.DeleteLabelValues(rm.id)
}

// connected counts a connection to a TCP listener that is over.
func (m *metrics) connected(lr *liveRoute) {
	rm := m.none
	if lr != nil {
		rm = lr.metrics
	}
	rm.add(&rm.connections, m.connections, 1)
}

// passedIn and passedOut count bytes of connections that are passed through.
func (rm *routeMetrics) passedIn(n int) { rm.add(&rm.received, rm.all.received, n) }

func (rm *routeMetrics) passedOut(n int) { rm.add(&rm.sent, rm.all.sent, n) }

func (rm *routeMetrics) add(p *atomic.Pointer[prometheus.Counter], vec *prometheus.CounterVec, n int) {
	if c := series(rm, p, func() prometheus.Counter { return vec.WithLabelValues(rm.id) }); c != nil {
		(*c).Add(float64(n))
	}
}

// gauges are figures that are read off the engine when asked for.
type gauges struct {
	engine            *Engine
	connections, held *prometheus.Desc
}

func newGauges(e *Engine) *gauges {
	return &gauges{
		engine:      e,
		connections: prometheus.NewDesc("fairway_open_connections", "Open connections of clients.", []string{"listener"}, nil),
		held:        prometheus.NewDesc("fairway_held_requests", "Requests that wait for an endpoint.", nil, nil),
	}
}

// Describe and Collect make it a prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- g.connections
	ch <- g.held
}

// Collect reads the figures.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	names, open := g.engine.openConnections()
	for _, name := range names {
		ch <- prometheus.MustNewConstMetric(g.connections, prometheus.GaugeValue, float64(open[name]), name)
	}
	held := int64(0)
	if live := g.engine.live.Load(); live != nil {
		for _, lr := range live.routes {
			held += lr.held.Load()
		}
	}
	ch <- prometheus.MustNewConstMetric(g.held, prometheus.GaugeValue, float64(held))
}
