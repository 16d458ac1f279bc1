package notify

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those that the notifier counts. What waits is read off the channels.
type metrics struct {
	events     *prometheus.CounterVec
	messages   *prometheus.CounterVec
	diskErrors prometheus.Counter
}

func newMetrics(r prometheus.Registerer, n *Notifier) *metrics {
	auto := promauto.With(r)
	m := &metrics{
		events: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_events_total", Help: "Events that were reported, by kind.",
		}, []string{"kind"}),
		messages: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_notify_messages_total", Help: "Messages to a channel, by what became of a try: delivered, failed or given up.",
		}, []string{"channel", "result"}),
		diskErrors: auto.NewCounter(prometheus.CounterOpts{
			Name: "fairway_notify_disk_errors_total", Help: "Writes to the outbox that failed.",
		}),
	}
	for _, c := range n.channels {
		for _, result := range []string{"delivered", "failed", "given up"} {
			m.messages.WithLabelValues(c.Name, result)
		}
		auto.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "fairway_notify_pending", Help: "Events that wait for a channel.",
			ConstLabels: prometheus.Labels{"channel": c.Name},
		}, func() float64 { return float64(n.status(c).Pending) })
		auto.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "fairway_notify_oldest_seconds", Help: "Age of the oldest event that waits for a channel; 0 for none.",
			ConstLabels: prometheus.Labels{"channel": c.Name},
		}, func() float64 {
			if s := n.status(c); s.Pending > 0 {
				return time.Since(s.Oldest).Seconds()
			}
			return 0
		})
	}
	return m
}
