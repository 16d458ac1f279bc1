package control

import (
	"cmp"
	"time"

	"fairway/internal/metrics"
	"fairway/internal/route"
)

// meters are what the loop counts. The rest is read off its view.
type meters struct {
	applyDuration *metrics.Vec[metrics.Histogram]
	applyFailures *metrics.Vec[metrics.Counter]
	lost          *metrics.Counter
}

func newMeters(m *metrics.Set, newest func() *view) *meters {
	routes := m.Family(metrics.KindGauge, "fairway_routes", "Routes of the newest table.")
	backends := m.Family(metrics.KindGauge, "fairway_backends", "Backends of the newest table.")
	problems := m.Family(metrics.KindGauge, "fairway_problems", "Problems of the newest table, by code.", "code")
	commands := m.Family(metrics.KindGauge, "fairway_commands", "Commands of operators in force, by kind.", "kind")
	m.Collect(func(scrape *metrics.Scrape) {
		v := newest()
		table := cmp.Or(v.compiled, &route.Table{})
		scrape.Put(routes, float64(len(table.Routes)))
		scrape.Put(backends, float64(len(table.Backends)))
		codes, kinds := map[string]float64{}, map[string]float64{}
		for _, p := range table.Problems {
			codes[string(p.Code)]++
		}
		for _, c := range v.commands {
			kinds[string(c.Kind)]++
		}
		for code, n := range codes {
			scrape.Put(problems, n, code)
		}
		for kind, n := range kinds {
			scrape.Put(commands, n, kind)
		}
	})
	return &meters{
		applyDuration: m.HistogramVec("fairway_apply_duration_seconds", "Time an engine took to make a table live.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5}, "engine"),
		applyFailures: m.CounterVec("fairway_apply_failures_total", "Tables an engine refused.", "engine"),
		lost:          m.Counter("fairway_history_lost_total", "Things that could not be written to the history."),
	}
}

// applied records one try of an engine.
func (m *meters) applied(engine string, took time.Duration, err error) {
	m.applyDuration.With(engine).Observe(took.Seconds())
	if err != nil {
		m.applyFailures.With(engine).Inc()
	}
}
