package series

import "github.com/prometheus/client_golang/prometheus"

// metrics are how much is kept.
type metrics struct {
	store               *Store
	diskErrors, crowded prometheus.Counter
	subjects            *prometheus.Desc
}

func newMetrics(s *Store) *metrics {
	return &metrics{
		store: s,
		diskErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairway_series_disk_errors_total", Help: "Readings that could not be written to disk.",
		}),
		crowded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairway_series_left_out_total", Help: "Readings of subjects for which there was no room.",
		}),
		subjects: prometheus.NewDesc("fairway_series_subjects", "Subjects whose readings are in memory, by group.", []string{"group"}, nil),
	}
}

// Describe makes it a prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.subjects
	m.diskErrors.Describe(ch)
	m.crowded.Describe(ch)
}

// Collect reads the figures.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	for name, g := range m.store.groups {
		ch <- prometheus.MustNewConstMetric(m.subjects, prometheus.GaugeValue, float64(len(g.subjects)), name)
	}
	m.diskErrors.Collect(ch)
	m.crowded.Collect(ch)
}
