package embedded

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/engine/traffic"
)

// metrics are the figures of the engine.
type metrics struct {
	*traffic.Counters
	unregister func()
	none       *traffic.Route // requests that no route took
	evictions  *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer, e *Engine) (*metrics, error) {
	m := &metrics{Counters: traffic.NewCounters(e.gauges)}
	m.none = m.Route("")
	var err error
	m.evictions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "fairway_evicted_connections_total",
		Help: "Idle connections of clients that were closed to make room for others, by the limit that was reached.",
	}, []string{"reason"})
	m.unregister, err = m.Register(r, m.evictions)
	return m, err
}

// refused counts a refusal.
func (m *metrics) refused(reason string) { m.Refusals.WithLabelValues(reason).Inc() }

// of returns the counters of a route; nil is for what no route took.
func (m *metrics) of(lr *liveRoute) *traffic.Route {
	if lr == nil {
		return m.none
	}
	return lr.metrics
}

// observe counts a request that is over.
func (m *metrics) observe(lr *liveRoute, status int, took time.Duration) {
	m.of(lr).Requests(1, status, took)
}

// Traffic returns what has come through each route; see traffic.Counters.
func (e *Engine) Traffic() []traffic.Totals { return e.metrics.Snapshot() }

// OpenConnections returns how many connections of clients each listener has.
func (e *Engine) OpenConnections() map[string]int64 {
	open, _, _ := e.gauges()
	return open
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
