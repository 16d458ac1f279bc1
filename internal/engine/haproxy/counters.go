package haproxy

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are the engine's own metrics: what it has done to HAProxy.
type counters struct {
	registerer prometheus.Registerer
	collectors []prometheus.Collector

	reloads        *prometheus.CounterVec
	reloadFailures prometheus.Counter
	commands       prometheus.Counter
	failures       prometheus.Counter
	unverified     prometheus.Counter
	leaving        prometheus.Gauge
}

func newCounters(r prometheus.Registerer, e *Engine) (*counters, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "fairway_haproxy_" + name, Help: help})
	}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "fairway_haproxy_" + name, Help: help}, value)
	}
	c := &counters{
		registerer: r,
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "fairway_haproxy_reloads_total",
			Help: "Reloads and starts of HAProxy that came about, by reason.",
		}, []string{"reason"}),
		reloadFailures: counter("reload_failures_total", "Reloads and starts that did not come about; what was served before goes on."),
		commands:       counter("runtime_commands_total", "Commands that changed HAProxy while it ran."),
		failures:       counter("runtime_failures_total", "Commands that HAProxy refused or did not answer."),
		unverified:     counter("verification_failures_total", "Times that HAProxy did not have what it had to."),
	}
	c.leaving = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "fairway_haproxy_leaving_servers", Help: "Servers that wait to be deleted until nothing runs on them.",
	})
	c.collectors = []prometheus.Collector{
		c.reloads, c.reloadFailures, c.commands, c.failures, c.unverified,
		gauge("spare_backends", "Sections that are ready for new services without a reload.", e.spares),
		gauge("old_workers", "Workers that were replaced by a reload and finish what they have.", e.oldWorkers),
		c.leaving,
	}
	for i, one := range c.collectors {
		if err := r.Register(one); err != nil {
			c.collectors = c.collectors[:i]
			c.unregister()
			return nil, err
		}
	}
	return c, nil
}

func (c *counters) unregister() {
	for _, one := range c.collectors {
		c.registerer.Unregister(one)
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
	old, err := proc.OldWorkers(ctx)
	if err != nil {
		return 0
	}
	return float64(len(old))
}
