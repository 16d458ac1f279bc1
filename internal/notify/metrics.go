package notify

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the notifier. What waits is read off the channels.
type metrics struct {
	events          *prometheus.CounterVec
	messages        *prometheus.CounterVec
	diskErrors      prometheus.Counter
	pending, oldest *prometheus.Desc
	notifier        *Notifier
}

func newMetrics(r prometheus.Registerer, n *Notifier) (*metrics, error) {
	m := &metrics{
		notifier: n,
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_events_total", Help: "Events that were reported, by kind.",
		}, []string{"kind"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_notify_messages_total", Help: "Messages to a channel, by what became of a try: delivered, failed or given up.",
		}, []string{"channel", "result"}),
		diskErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairway_notify_disk_errors_total", Help: "Writes to the outbox that failed.",
		}),
		pending: prometheus.NewDesc("fairway_notify_pending", "Events that wait for a channel.", []string{"channel"}, nil),
		oldest:  prometheus.NewDesc("fairway_notify_oldest_seconds", "Age of the oldest event that waits for a channel; 0 for none.", []string{"channel"}, nil),
	}
	for _, c := range n.channels {
		for _, result := range []string{"delivered", "failed", "given up"} {
			m.messages.WithLabelValues(c.Name, result)
		}
	}
	for _, c := range []prometheus.Collector{m.events, m.messages, m.diskErrors, m} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Describe makes it a prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.pending
	ch <- m.oldest
}

// Collect reads what waits.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, s := range m.notifier.Channels() {
		age := 0.0
		if !s.Oldest.IsZero() {
			age = time.Since(s.Oldest).Seconds()
		}
		ch <- prometheus.MustNewConstMetric(m.pending, prometheus.GaugeValue, float64(s.Pending), s.Name)
		ch <- prometheus.MustNewConstMetric(m.oldest, prometheus.GaugeValue, age, s.Name)
	}
}
