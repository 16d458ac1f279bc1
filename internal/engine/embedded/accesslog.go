package embedded

import (
	"time"

	"fairway/internal/engine/traffic"
)

// logRequest adds the line of an exchange to the access log.
func (e *Engine) logRequest(x *exchange, took time.Duration, aborted bool) {
	if e.access == nil {
		return
	}
	line := traffic.Request{
		Time:     traffic.Time(x.began),
		Client:   addrOf(x.r.RemoteAddr).String(),
		Method:   x.r.Method,
		Host:     x.r.Host,
		Path:     x.r.URL.EscapedPath(),
		Proto:    x.r.Proto,
		TLS:      x.r.TLS != nil,
		Status:   x.w.status,
		Bytes:    x.w.bytes,
		Seconds:  took.Seconds(),
		Attempts: x.attempts,
		Aborted:  aborted,
	}
	if x.q != nil {
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

// logTunnel adds the line of a connection to the access log.
func (e *Engine) logTunnel(t *tunnel, took time.Duration) {
	if e.access == nil {
		return
	}
	line := traffic.Connection{
		Time:     traffic.Time(t.began),
		Client:   addrOf(t.client.from.String()).String(),
		Listener: t.conf.name,
		Host:     t.name,
		Proto:    "TCP",
		TLS:      t.tls,
		Outcome:  t.outcome,
		Received: t.in,
		Bytes:    t.out,
		Seconds:  took.Seconds(),
		Attempts: t.attempts,
	}
	if t.route != nil {
		line.Route = t.route.route.ID
	}
	if t.endpoint != nil {
		line.Endpoint = t.endpoint.ID()
	}
	e.access.Connection(line)
}
