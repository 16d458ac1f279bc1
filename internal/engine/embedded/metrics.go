package embedded

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/engine/traffic"
)

// metrics are the figures of the engine.
type metrics struct {
	*traffic.Families
	unregister func()
	none       *routeMetrics // requests that no route took
	evictions  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, e *Engine) (*metrics, error) {
	m := &metrics{Families: traffic.NewFamilies()}
	m.none = m.route("")
	var err error
	m.evictions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fairway_evicted_connections_total",
		Help: "Idle connections of clients that were closed to make room for others, by the limit that was reached.",
	}, []string{"reason"})
	m.unregister, err = m.Register(r, traffic.NewGauges(e.gauges), m.evictions)
	return m, err
}

// refused counts a refusal.
func (m *metrics) refused(reason string) { m.Refusals.WithLabelValues(reason).Inc() }

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

	classes  [traffic.Classes]atomic.Pointer[prometheus.Counter] // by first digit of the status
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
	class := traffic.ClassOf(status)
	if c := series(rm, &rm.classes[class], func() prometheus.Counter {
		return rm.all.Requests.WithLabelValues(rm.id, traffic.ClassName(class))
	}); c != nil {
		(*c).Inc()
	}
	if d := series(rm, &rm.duration, func() prometheus.Observer {
		return rm.all.Duration.WithLabelValues(rm.id)
	}); d != nil {
		(*d).Observe(took.Seconds())
	}
}

// retried counts an attempt after the first.
func (rm *routeMetrics) retried() {
	if c := series(rm, &rm.retries, func() prometheus.Counter {
		return rm.all.Retries.WithLabelValues(rm.id)
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
	rm.all.Remove(rm.id)
}

// connected counts a connection to a TCP listener that is over.
func (m *metrics) connected(lr *liveRoute) {
	rm := m.none
	if lr != nil {
		rm = lr.metrics
	}
	rm.add(&rm.connections, m.Connections, 1)
}

// passedIn and passedOut count bytes of connections that are passed through.
func (rm *routeMetrics) passedIn(n int) { rm.add(&rm.received, rm.all.Received, n) }

func (rm *routeMetrics) passedOut(n int) { rm.add(&rm.sent, rm.all.Sent, n) }

func (rm *routeMetrics) add(p *atomic.Pointer[prometheus.Counter], vec *prometheus.CounterVec, n int) {
	if c := series(rm, p, func() prometheus.Counter { return vec.WithLabelValues(rm.id) }); c != nil {
		(*c).Add(float64(n))
	}
}

// gauges are figures that are read off the engine when asked for.
func (e *Engine) gauges() (open map[string]int64, held int64, ok bool) {
	open = map[string]int64{}
	live := e.live.Load()
	if live == nil {
		return open, 0, true
	}
	for l, conf := range live.listeners {
		open[conf.name] = l.open.Load()
	}
	for _, lr := range live.routes {
		held += lr.held.Load()
	}
	return open, held, true
}
