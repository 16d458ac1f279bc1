package fleet

import (
	"github.com/prometheus/client_golang/prometheus"
)

// meters are the metrics of the fleet.
type meters struct {
	rollouts *prometheus.CounterVec
	steps    *prometheus.CounterVec
}

// newMeters registers the metrics; nothing is registered with a nil Registerer.
func newMeters(r prometheus.Registerer, f *Fleet) (*meters, error) {
	m := &meters{
		rollouts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_fleet_rollouts_total", Help: "Rollouts that have ended, by how: done or reverted.",
		}, []string{"phase"}),
		steps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_fleet_host_changes_total", Help: "Hosts that rollouts have come to, by what came of it.",
		}, []string{"state"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.rollouts, m.steps, hostGauge{f, prometheus.NewDesc(
		"fairway_fleet_hosts", "Hosts of the fleet by their condition.", []string{"condition"}, nil)}} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *meters) ended(p Phase)    { m.rollouts.WithLabelValues(string(p)).Inc() }
func (m *meters) step(s StepState) { m.steps.WithLabelValues(string(s)).Inc() }

// hostGauge counts the hosts by condition when it is asked.
type hostGauge struct {
	f    *Fleet
	desc *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (g hostGauge) Describe(ch chan<- *prometheus.Desc) { ch <- g.desc }

// Collect implements prometheus.Collector.
func (g hostGauge) Collect(ch chan<- prometheus.Metric) {
	hosts, err := g.f.Status("")
	if err != nil {
		ch <- prometheus.NewInvalidMetric(g.desc, err)
		return
	}
	counts := map[Condition]float64{}
	for _, c := range Conditions() {
		counts[c] = 0
	}
	for _, h := range hosts {
		counts[h.Condition]++
	}
	for c, n := range counts {
		ch <- prometheus.MustNewConstMetric(g.desc, prometheus.GaugeValue, n, string(c))
	}
}
