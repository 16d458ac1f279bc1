package embedded

import (
	"net/http"
	"time"

	"fairway/internal/engine/embedded/wire"
	"fairway/internal/engine/traffic"
	"fairway/internal/metrics"
	"fairway/internal/route/arrival"
)

type meters struct {
	*traffic.Counters
	none      *traffic.Route // requests that no route took
	evictions *metrics.Vec[metrics.Counter]
}

func newMeters(m *metrics.Set, e *Engine) *meters {
	counters := traffic.NewCounters(m, e.gauges)
	return &meters{
		Counters: counters,
		none:     counters.Route(""),
		evictions: m.CounterVec("fairway_evicted_connections_total",
			"Idle connections of clients that were closed to make room for others, by the limit that was reached.", "reason"),
	}
}

func (m *meters) refused(reason string) { m.Refusals.With(reason).Inc() }

// of returns the counters of a route; nil is for what no route took.
func (m *meters) of(lr *liveRoute) *traffic.Route {
	if lr == nil {
		return m.none
	}
	return lr.metrics
}

// Traffic returns what has come through each route; see traffic.Counters.
func (e *Engine) Traffic() []traffic.Totals { return e.meters.Snapshot() }

// OpenConnections returns how many connections of clients each listener has.
func (e *Engine) OpenConnections() map[string]int64 {
	open, _, _ := e.gauges()
	return open
}

func (e *Engine) gauges() (open map[string]int64, held int64, ok bool) {
	open = map[string]int64{}
	live := e.live.Load()
	for l, conf := range live.listeners {
		open[conf.name] += l.open.Load()
	}
	for _, lr := range live.routes {
		held += lr.held.Load()
	}
	return open, held, true
}

func (e *Engine) logRequest(x *exchange, took time.Duration, aborted bool) {
	if !e.access.Wants(aborted || x.reason != "" || x.w.status < 100 || x.w.status >= http.StatusInternalServerError) {
		return
	}
	if aborted && x.reason == "" {
		x.reason = traffic.BrokenOff(x.failed && x.in.ctx.Err() == nil, e.ctx.Err() != nil)
	}
	line := traffic.Request{
		Time: traffic.Time(x.began), Client: x.conn.text,
		Method: x.in.Method, Host: x.in.authority, Proto: x.in.proto(), TLS: x.in.tls != nil,
		Status: x.w.status, Bytes: x.w.bytes, Seconds: took.Seconds(), Attempts: x.attempts, Aborted: aborted, Error: x.reason,
		Left: aborted && x.reason == traffic.ClientLeft,
	}
	if x.q == nil {
		line.Path, _, _ = wire.SplitTarget(x.in.target, x.in.Major)
	} else {
		line.ID, line.Client = x.q.identity.ID, x.q.Client.String()
		line.Host, line.Path = x.q.Host, x.q.Path
	}
	if x.route != nil {
		line.Route = x.route.route.ID
	}
	if x.endpoint != nil {
		line.Endpoint = x.endpoint.ID()
	}
	e.access.Request(line)
}

// Requests is where requests that are over are reported.
func (e *Engine) Requests() *traffic.Log { return e.access }

func (e *Engine) logTunnel(t *tunnel, took time.Duration) {
	line := traffic.Connection{
		Time: traffic.Time(t.began), Client: arrival.AddrOf(t.client.from.String()).String(), Listener: t.conf.name, Host: t.name,
		Proto: "TCP", TLS: t.tls, Outcome: t.outcome, Received: t.in, Bytes: t.out, Seconds: took.Seconds(),
		Attempts: t.attempts, Error: t.reason,
	}
	if t.route != nil {
		line.Route = t.route.route.ID
	}
	if t.endpoint != nil {
		line.Endpoint = t.endpoint.ID()
	}
	e.access.Connection(line)
}
