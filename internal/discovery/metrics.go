package discovery

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairway/internal/catalog"
)

// metrics are those of the sources and the snapshot.
type metrics struct {
	lastSuccess *prometheus.GaugeVec
	up          *prometheus.GaugeVec
	answers     *prometheus.CounterVec
	revision    prometheus.Gauge
	services    prometheus.Gauge
}

// newMetrics registers the metrics; a nil registerer leaves them private. Each
// source has its series from the start, so that one that never answers shows.
func newMetrics(r prometheus.Registerer, states []*state) (*metrics, error) {
	m := &metrics{
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fairway_source_last_success_timestamp_seconds",
			Help: "When the source last answered without an error in this run; 0 for never.",
		}, []string{"source"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fairway_source_up",
			Help: "1 while the newest answer of the source was not an error.",
		}, []string{"source"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_source_answers_total",
			Help: "Answers of the source, by result (ok or error).",
		}, []string{"source", "result"}),
		revision: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fairway_snapshot_revision",
			Help: "Revision of the newest snapshot.",
		}),
		services: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "fairway_services",
			Help: "Services in the newest snapshot.",
		}),
	}
	for _, s := range states {
		m.lastSuccess.WithLabelValues(s.name)
		m.up.WithLabelValues(s.name)
		m.answers.WithLabelValues(s.name, "ok")
		m.answers.WithLabelValues(s.name, "error")
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.lastSuccess, m.up, m.answers, m.revision, m.services} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) answer(source string, now time.Time, err error) {
	if err != nil {
		m.up.WithLabelValues(source).Set(0)
		m.answers.WithLabelValues(source, "error").Inc()
		return
	}
	m.up.WithLabelValues(source).Set(1)
	m.answers.WithLabelValues(source, "ok").Inc()
	m.lastSuccess.WithLabelValues(source).Set(float64(now.UnixNano()) / 1e9)
}

func (m *metrics) snapshot(s *catalog.Snapshot) {
	m.revision.Set(float64(s.Revision))
	m.services.Set(float64(len(s.Services)))
}
