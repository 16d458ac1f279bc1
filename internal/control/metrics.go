package control

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"fairway/internal/route"
)

// metrics are the loop's own figures.
type metrics struct {
	applyDuration *prometheus.HistogramVec
	applyFailures *prometheus.CounterVec
	problems      *prometheus.GaugeVec
	routes        prometheus.Gauge
	backends      prometheus.Gauge
	lost          prometheus.Counter
	commands      *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	auto := promauto.With(r)
	return &metrics{
		applyDuration: auto.NewHistogramVec(prometheus.HistogramOpts{
			Name: "fairway_apply_duration_seconds", Help: "Time an engine took to make a table live.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"engine"}),
		applyFailures: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_apply_failures_total", Help: "Tables an engine refused.",
		}, []string{"engine"}),
		problems: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fairway_problems", Help: "Problems of the newest table, by code.",
		}, []string{"code"}),
		routes:   auto.NewGauge(prometheus.GaugeOpts{Name: "fairway_routes", Help: "Routes of the newest table."}),
		backends: auto.NewGauge(prometheus.GaugeOpts{Name: "fairway_backends", Help: "Backends of the newest table."}),
		lost: auto.NewCounter(prometheus.CounterOpts{
			Name: "fairway_history_lost_total", Help: "Things that could not be written to the history.",
		}),
		commands: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "fairway_commands", Help: "Commands of operators in force, by kind.",
		}, []string{"kind"}),
	}
}

// inForce records how many commands there are.
func (m *metrics) inForce(commands []Command) {
	m.commands.Reset()
	for _, c := range commands {
		m.commands.WithLabelValues(string(c.Kind)).Inc()
	}
}

// compiled records the size and the problems of a new table.
func (m *metrics) compiled(t *route.Table) {
	m.routes.Set(float64(len(t.Routes)))
	m.backends.Set(float64(len(t.Backends)))
	m.problems.Reset() // codes without a problem disappear
	for _, p := range t.Problems {
		m.problems.WithLabelValues(string(p.Code)).Inc()
	}
}

// applied records one try of an engine.
func (m *metrics) applied(engine string, took time.Duration, err error) {
	m.applyDuration.WithLabelValues(engine).Observe(took.Seconds())
	if err != nil {
		m.applyFailures.WithLabelValues(engine).Inc()
	}
}
