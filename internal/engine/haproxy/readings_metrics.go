package haproxy

import (
	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/engine/traffic"
)

// readingMetrics are the figures of every engine, and one that is HAProxy's alone.
type readingMetrics struct {
	*traffic.Counters
	unregister func()
	// unread are lines that could not be made sense of.
	unread prometheus.Counter
}

func newReadingMetrics(registerer prometheus.Registerer, r *readings) (*readingMetrics, error) {
	m := &readingMetrics{
		Counters: traffic.NewCounters(r.gauges),
		unread: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairway_haproxy_unread_lines_total",
			Help: "Lines of HAProxy's that report no request, such as handshakes that failed.",
		}),
	}
	var err error
	m.unregister, err = m.Register(registerer, m.unread)
	return m, err
}

// count counts on a route what is over.
func count(r *traffic.Route, e event) {
	if e.connection {
		r.Connected()
		r.Passed(uint64(max(0, e.received)), uint64(max(0, e.bytes)))
		return
	}
	r.Requests(uint64(e.weight), e.status, e.took)
	if e.retries > 0 {
		r.Retried(uint64(e.retries * e.weight))
	}
}

// Traffic returns what has come through each route; see traffic.Counters.
func (e *Engine) Traffic() []traffic.Totals { return e.readings.metrics.Snapshot() }

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
