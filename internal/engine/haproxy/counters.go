package haproxy

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are the engine's own metrics: what it has done to HAProxy.
type counters struct {
	reloads        *prometheus.CounterVec
	reloadFailures prometheus.Counter
	commands       prometheus.Counter
	failures       prometheus.Counter
	unverified     prometheus.Counter
	leaving        prometheus.Gauge
}

// newCounters returns the counters of e, and all that there is to register.
func newCounters(e *Engine) (counters, []prometheus.Collector) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "fairway_haproxy_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: "fairway_haproxy_" + name, Help: help}
	}
	c := counters{
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_haproxy_reloads_total",
			Help: "Reloads and starts of HAProxy that came about, by reason.",
		}, []string{"reason"}),
		reloadFailures: counter("reload_failures_total", "Reloads and starts that did not come about; what was served before goes on."),
		commands:       counter("runtime_commands_total", "Commands that changed HAProxy while it ran."),
		failures:       counter("runtime_failures_total", "Commands that HAProxy refused or did not answer."),
		unverified:     counter("verification_failures_total", "Times that HAProxy did not have what it had to."),
		leaving:        prometheus.NewGauge(gauge("leaving_servers", "Servers that wait to be deleted until nothing runs on them.")),
	}
	return c, []prometheus.Collector{
		c.reloads, c.reloadFailures, c.commands, c.failures, c.unverified, c.leaving,
		prometheus.NewGaugeFunc(gauge("spare_backends", "Sections that are ready for new services without a reload."), e.spares),
		prometheus.NewGaugeFunc(gauge("old_workers", "Workers that were replaced by a reload and finish what they have."), e.oldWorkers),
	}
}

// spares counts the sections that no service has yet.
func (e *Engine) spares() float64 {
	l := e.live.Load()
	if l == nil {
		return 0
	}
	n := 0
	for i := range l.config.Sections {
		if l.config.Sections[i].Backend == "" {
			n++
		}
	}
	return float64(n)
}

// oldWorkers asks the master. Zero when it does not answer.
func (e *Engine) oldWorkers() float64 {
	proc := e.running.Load()
	if proc == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	all, err := proc.Master().Processes(ctx)
	if err != nil {
		return 0
	}
	return float64(len(all.Old))
}
