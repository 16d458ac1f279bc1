// Package traffic is what every engine tells of requests and connections, in one
// form whatever the engine: the families of its metrics, and the lines of the access
// log.
package traffic

import (
	"io"
	"log/slog"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Families are the metrics of an engine that have a series for each route. An empty
// route stands for what no route took.
type Families struct {
	Requests *prometheus.CounterVec // by route and ClassName
	Duration *prometheus.HistogramVec
	Retries  *prometheus.CounterVec
	// Refusals are by the guard's reason, and of no route.
	Refusals *prometheus.CounterVec
	// Of connections that are passed through.
	Connections, Received, Sent *prometheus.CounterVec
	// LogLost are lines of the access log.
	LogLost prometheus.Counter
}

// NewFamilies makes families that are not registered yet.
func NewFamilies() *Families {
	counter := func(name, help, label string, more ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "fairway_" + name, Help: help}, append([]string{label}, more...))
	}
	return &Families{
		Requests: counter("requests_total", "Requests by route (empty: none took it) and class of the answer's status.", "route", "code"),
		Duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "fairway_request_duration_seconds",
			Help:    "Time from a request's header to the last byte of its answer.",
			Buckets: []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}, []string{"route"}),
		Retries:     counter("retries_total", "Attempts after the first.", "route"),
		Refusals:    counter("guard_refusals_total", "Requests and connections that a guard refused.", "reason"),
		Connections: counter("connections_total", "Connections to TCP listeners that are over, by route (empty: none took it).", "route"),
		Received:    counter("connection_received_bytes_total", "Bytes passed from clients of TCP listeners to endpoints.", "route"),
		Sent:        counter("connection_sent_bytes_total", "Bytes passed from endpoints to clients of TCP listeners.", "route"),
		LogLost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fairway_access_log_lost_total",
			Help: "Lines of the access log that were not written, since what reads it stands still or the disk fails.",
		}),
	}
}

// Register registers the families, and more beside them: all, or none and an error.
// What it returns takes them away again.
func (f *Families) Register(r prometheus.Registerer, more ...prometheus.Collector) (unregister func(), err error) {
	all := append([]prometheus.Collector{f.Requests, f.Duration, f.Retries, f.Refusals, f.Connections, f.Received, f.Sent, f.LogLost}, more...)
	for i, c := range all {
		if err := r.Register(c); err != nil {
			for _, done := range all[:i] {
				r.Unregister(done)
			}
			return nil, err
		}
	}
	return func() {
		for _, c := range all {
			r.Unregister(c)
		}
	}, nil
}

// NewLog makes the access log of an engine: lines that are lost are counted, and
// errors go to logger.
func (f *Families) NewLog(out io.Writer, logger *slog.Logger) *Log {
	return NewLog(out,
		func(lines int) { f.LogLost.Add(float64(lines)) },
		func(err error) { logger.Error("access log cannot be written", "error", err) })
}

// Remove deletes the series of a route.
func (f *Families) Remove(route string) {
	for class := range Classes {
		f.Requests.DeleteLabelValues(route, ClassName(class))
	}
	for _, vec := range []*prometheus.CounterVec{f.Retries, f.Connections, f.Received, f.Sent} {
		vec.DeleteLabelValues(route)
	}
	f.Duration.DeleteLabelValues(route)
}

// Classes is the number of classes of answers.
const Classes = 6

// ClassOf is the first digit of a status; 0 for a request that was broken off before
// there was one, and for what is no status.
func ClassOf(status int) int {
	if class := status / 100; class >= 1 && class < Classes {
		return class
	}
	return 0
}

// ClassName is a class as metrics name it: "2xx", or "none" for 0.
func ClassName(class int) string {
	if class == 0 {
		return "none"
	}
	return strconv.Itoa(class) + "xx"
}

// Gauges are figures that are asked for. The function is called whenever metrics
// are collected, from any goroutine; ok is false when nothing is known.
type Gauges struct {
	read              func() (open map[string]int64, held int64, ok bool)
	connections, held *prometheus.Desc
}

// NewGauges asks read for the open connections of each listener and for how many
// requests are held.
func NewGauges(read func() (open map[string]int64, held int64, ok bool)) *Gauges {
	return &Gauges{
		read:        read,
		connections: prometheus.NewDesc("fairway_open_connections", "Open connections of clients.", []string{"listener"}, nil),
		held:        prometheus.NewDesc("fairway_held_requests", "Requests that wait for an endpoint.", nil, nil),
	}
}

// Describe makes it a prometheus.Collector, with Collect.
func (g *Gauges) Describe(ch chan<- *prometheus.Desc) {
	ch <- g.connections
	ch <- g.held
}

// Collect reads the figures; no figure is better than a wrong one.
func (g *Gauges) Collect(ch chan<- prometheus.Metric) {
	open, held, ok := g.read()
	if !ok {
		return
	}
	for listener, n := range open {
		ch <- prometheus.MustNewConstMetric(g.connections, prometheus.GaugeValue, float64(n), listener)
	}
	ch <- prometheus.MustNewConstMetric(g.held, prometheus.GaugeValue, float64(held))
}
